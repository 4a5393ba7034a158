//! Search for programs, as a shell does it.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

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

/// Whether a file is there that may be executed.
pub(crate) fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
