//! The program that runs a script.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::executor::job::Script;

/// Variable with the folders in which programs are looked for.
const PATH: &str = "PATH";
/// These folders where the variable is not set.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Command that runs a script; its shell is looked for where the variables in `environment` say, else those of this process.
pub(super) fn command(script: &Script, environment: &[(String, OsString)]) -> io::Result<Command> {
    let given = environment.iter().rev().find(|(name, _)| name == PATH).map(|(_, value)| value.clone());
    let folders = given.or_else(|| std::env::var_os(PATH)).unwrap_or_else(|| USUAL_PATH.into());
    let words = script.shell.command_line(script.path, |name| find(name, &folders).is_some());
    let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let found = find(program, &folders).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, format!("`{program}`, which is to run its script, is not on the PATH"))
    })?;
    let mut command = Command::new(found);
    command.args(arguments);
    Ok(command)
}

/// Path of a program: as it is if it has a slash in it, else the first of this name in one of `folders`.
fn find(program: &str, folders: &OsStr) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program));
    }
    let mut candidates = std::env::split_paths(folders).filter(|folder| folder.is_absolute());
    candidates.find_map(|folder| Some(folder.join(program)).filter(|path| is_program(path)))
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
