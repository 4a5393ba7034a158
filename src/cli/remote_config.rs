//! Configuration of the remote cache, from settings and variables.

use std::path::PathBuf;

use athanor_remote::TeamKey;

use crate::cli::Exit;
use crate::escape::escape;
use crate::run::remote::RemoteConfig;
use crate::settings::{RemoteMode, Settings};

/// Variable with the team's key.
const KEY: &str = "ATHANOR_REMOTE_KEY";
/// Variable with the name of this program on other machines.
const PROGRAM: &str = "ATHANOR_REMOTE_PROGRAM";
/// Beginnings of variables that say who asks, and where.
const OF_SERVICES: [&str; 5] = ["AWS_", "GOOGLE_", "AZURE_", "SSL_CERT_FILE", "HOME"];

/// Configuration of the remote cache; `None` if there is none.
pub(super) fn config(settings: &Settings) -> Result<Option<RemoteConfig>, Exit> {
    let Some(address) = settings.remote.value.0.clone() else { return Ok(None) };
    let is_of_service = |name: &str| OF_SERVICES.iter().any(|start| name.starts_with(start));
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let program = std::env::var(PROGRAM).ok().filter(|program| !program.is_empty());
    Ok(Some(RemoteConfig {
        address,
        pushes: settings.remote_mode.value == RemoteMode::ReadWrite,
        push_logs: settings.remote_push_logs.value,
        team_key: team_key(settings.remote_key_file.value.clone())?,
        variables: variables.filter(|(name, _)| is_of_service(name)).collect(),
        program_there: program.unwrap_or_else(|| "athanor".to_owned()),
    }))
}

/// The team's key, from its variable or its file.
fn team_key(file: Option<PathBuf>) -> Result<Option<TeamKey>, Exit> {
    if let Some(text) = std::env::var_os(KEY).filter(|text| !text.is_empty()) {
        let key = text.to_str().ok_or("it is not UTF-8 text".to_owned()).and_then(TeamKey::new);
        return key.map(Some).map_err(|why| Exit::wrong(format!("error: the variable `{KEY}`: {why}.")));
    }
    let Some(file) = file else { return Ok(None) };
    let text = std::fs::read_to_string(&file).map_err(|error| error.to_string());
    let key = text.and_then(|text| TeamKey::new(&text));
    let name = file.display().to_string();
    key.map(Some)
        .map_err(|why| Exit::wrong(format!("error: the file of `remote.key_file`, `{}`: {why}.", escape(&name))))
}
