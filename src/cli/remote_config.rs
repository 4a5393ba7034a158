//! Configuration of the remote cache, from settings and variables.

use std::path::{Path, PathBuf};

use athanor_remote::TeamKey;

use crate::cli::Exit;
use crate::escape::escape;
use crate::run::remote::RemoteConfig;
use crate::settings::{RemoteMode, Setting, Settings};

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
        team_key: team_key(&settings.remote_key_file)?,
        variables: variables.filter(|(name, _)| is_of_service(name)).collect(),
        program_there: program.unwrap_or_else(|| "athanor".to_owned()),
    }))
}

/// The team's key, from its variable or its file.
fn team_key(file: &Setting<Option<PathBuf>>) -> Result<Option<TeamKey>, Exit> {
    if let Some(text) = std::env::var_os(KEY).filter(|text| !text.is_empty()) {
        let key = text.to_str().ok_or("it is not UTF-8 text".to_owned()).and_then(TeamKey::new);
        return key.map(Some).map_err(|why| Exit::wrong(format!("error: the variable `{KEY}`: {why}")));
    }
    let Setting { value: Some(path), origin } = file else { return Ok(None) };
    key_in(path).map(Some).map_err(|why| {
        let (name, from) = (path.display().to_string(), origin.to_string());
        Exit::wrong(format!("error: the key file `{}` of `remote.key_file` ({}) {why}", escape(&name), escape(&from)))
    })
}

/// The key in a file; the error is the end of a sentence about the file, with what to do.
fn key_in(path: &Path) -> Result<TeamKey, String> {
    // Opening a named pipe that nobody writes to would wait for ever, and some devices have no end.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return Err("is not a file\n  help: correct its path, or get the file from your team".to_owned());
    }
    let bytes = std::fs::read(path).map_err(|error| {
        format!("cannot be read: {error}\n  help: correct its path, or get the file from your team")
    })?;
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())?;
    TeamKey::new(&text).map_err(|why| format!("holds no key: {why}"))
}
