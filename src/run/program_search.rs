//! Search for programs, as a shell does it.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;

use crate::run::environment::EnvironmentVariable;

/// Variable with the folders in which programs are looked for.
const PATH: &str = "PATH";
/// These folders where the variable is not set.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Path of the program of this name, for a process with the variables `environment`.
pub(crate) fn find_program(name: &str, environment: &[EnvironmentVariable]) -> Option<PathBuf> {
    find(name, &paths_in(environment))
}

/// Lists of folders in which programs are looked for, the last one first.
pub(crate) fn paths_in(environment: &[EnvironmentVariable]) -> Vec<OsString> {
    let paths = environment.iter().rev().filter(|(name, _)| name == PATH).map(|(_, value)| value.clone());
    let paths: Vec<OsString> = paths.collect();
    if paths.is_empty() { vec![USUAL_PATH.into()] } else { paths }
}

/// Path of a program: as it is if it has a slash in it, else the first of this name in the folders that `paths` list.
pub(crate) fn find(program: &str, paths: &[OsString]) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program));
    }
    let folders = paths.iter().flat_map(std::env::split_paths).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(program)).find(|path| is_program(path))
}

/// Why `command` was not started, as this process looks for programs: a folder of `PATH` that may not be searched makes a refusal of
/// what is simply not there.
pub(crate) fn start_error(command: &Command, error: io::Error) -> io::Error {
    let own_path = std::env::var_os(PATH).unwrap_or_else(|| USUAL_PATH.into());
    let is_there = || command.get_program().to_str().is_none_or(|name| find(name, &[own_path]).is_some());
    if error.kind() == io::ErrorKind::PermissionDenied && !is_there() { Errno::ENOENT.into() } else { error }
}

/// Whether a file is there that may be executed.
pub(crate) fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_not_refused() {
        let refused = |program: &str| start_error(&Command::new(program), Errno::EACCES.into()).kind();
        assert_eq!(refused("no-such-program"), io::ErrorKind::NotFound);
        assert_eq!(refused("sh"), io::ErrorKind::PermissionDenied);
        assert_eq!(refused("/no-such-program"), io::ErrorKind::PermissionDenied);
    }
}
