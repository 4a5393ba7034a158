//! The program that runs a script.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::run::environment::EnvironmentVariable;
use crate::run::executor::job::Script;
use crate::run::program_search::{find, is_program, paths_in};

/// Search for interpreters, which remembers what it found: a `PATH` can have many folders, and a run many stages.
#[derive(Debug, Default)]
pub(super) struct Interpreters {
    found: Mutex<HashMap<(String, Vec<OsString>), PathBuf>>,
}

impl Interpreters {
    /// Command that runs a script. Its shell is looked for in the stage's `PATH`, and else in the user's, which comes before it in
    /// `environment`.
    pub(super) fn command(&self, script: &Script, environment: &[EnvironmentVariable]) -> io::Result<Command> {
        let paths = paths_in(environment);
        let words = script.shell.command_line(script.path, |name| self.find(name, &paths).is_some());
        let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let usual = || (program == "sh").then(|| PathBuf::from("/bin/sh"));
        let found = self.find(program, &paths).or_else(usual).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("`{program}`, which is to run its script, is not on the PATH"),
            )
        })?;
        let mut command = Command::new(found);
        command.args(arguments);
        Ok(command)
    }

    /// Path of a program, as [`find`] finds it, or as it did before if it is still there.
    fn find(&self, program: &str, paths: &[OsString]) -> Option<PathBuf> {
        let mut known = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (program.to_owned(), paths.to_vec());
        if let Some(found) = known.get(&key).filter(|found| is_program(found)) {
            return Some(found.clone());
        }
        let found = find(program, paths)?;
        known.insert(key, found.clone());
        Some(found)
    }
}
