//! Removal of containers by their names: an engine that was killed leaves its container behind, and runs may be killed, too.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use athanor_cache::is_process_gone;

use super::command_line::LABEL;
use super::name::process_of;
use crate::run::environment::EnvironmentVariable;
use crate::run::limited_command::{Answer, Patience, answer_of};

/// Time that an engine is given to remove a container, or to list them.
const LIMIT: Duration = Duration::from_secs(60);

/// Kills and removes the container of this name, if it is there; the error is the end of a sentence.
pub(crate) fn remove(program: &Path, environment: &[EnvironmentVariable], name: &str) -> Result<(), String> {
    // Removing alone would let it have its time to end, with Podman.
    let _ = ask(program, environment, &["kill", name]);
    let rm = || ask(program, environment, &["rm", "-f", name]);
    let mut answer = rm()?;
    if !is_gone(&answer) {
        // Podman waits in vain for what its helper says of a container's end if the helper was killed with the run, and only then takes
        // the container for ended.
        answer = rm()?;
    }
    if is_gone(&answer) { Ok(()) } else { Err(answer.failure()) }
}

/// Whether a container is gone, by the answer to its removal.
fn is_gone(answer: &Answer) -> bool {
    let err = answer.err.to_lowercase();
    answer.status.success() || err.contains("no such container") || err.contains("no container with")
}

/// Kills and removes containers whose processes are gone, and those of the process `gone`, if one is given.
pub(crate) fn remove_left_over(program: &Path, environment: &[EnvironmentVariable], gone: Option<&str>) {
    let filter = format!("label={LABEL}");
    let arguments = ["ps", "-a", "--filter", &filter, "--format", "{{.Names}}"];
    // An engine that cannot list its containers cannot start any either, and says why then.
    let Ok(list) = ask(program, environment, &arguments) else { return };
    let is_left = |process: String| gone == Some(&*process) || is_process_gone(&process);
    for name in list.out.lines().map(str::trim).filter(|name| process_of(name).is_some_and(is_left)) {
        // The next run tries again.
        let _ = remove(program, environment, name);
    }
}

fn ask(program: &Path, environment: &[EnvironmentVariable], arguments: &[&str]) -> Result<Answer, String> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    match answer_of(&mut command, &Patience { quiet: LIMIT, limit: LIMIT, tell: &|| () }) {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err("did not end within a minute".to_owned()),
        Err(error) => Err(format!("cannot be started: {error}")),
    }
}
