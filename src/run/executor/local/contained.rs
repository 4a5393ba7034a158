//! A job in a container: its command line, and the end of the container.
//!
//! The job's process is that of the engine, which passes SIGTERM on and ends when the container does. An engine that was killed
//! leaves its container running; so that is removed by its name.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::language::ContainerEngine;
use crate::run::container::{ContainerRun, Purpose, mounts, new_name, remove, remove_left_over, words};
use crate::run::environment::EnvironmentVariable;
use crate::run::executor::job::{Job, JobContainer, Script};
use crate::run::executor::protocol::EVENTS_VARIABLE;
use crate::run::program_search::find_program;

/// Status with which engines end that could not do their part.
const OF_ENGINE: i32 = 125;
/// Time that what an engine has left gets to tidy up after its container.
pub(super) const TIDYING: Duration = Duration::from_secs(10);

/// Engines that this run has used.
#[derive(Debug, Default)]
pub(super) struct Engines(Mutex<HashSet<PathBuf>>);

impl Engines {
    /// Notes the use of an engine: at the first, containers of runs that were killed are removed, and `tell` is told of it.
    fn begin(&self, program: &Path, environment: &[EnvironmentVariable], tell: &dyn Fn(&Path)) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.insert(program.to_owned()) {
            tell(program);
            remove_left_over(program, environment, None);
        }
    }
}

/// Container of a job.
pub(super) struct Contained {
    program: PathBuf,
    environment: Vec<EnvironmentVariable>,
    /// Its name; Apptainer's have none, and are processes like others.
    name: Option<String>,
}

impl Contained {
    /// The container of `job`, and the command that runs it; the pipe for its events is at `events`. `tell` is told of an engine
    /// that is used for the first time.
    pub(super) fn new(
        job: &Job,
        script: &Script,
        container: &JobContainer,
        events: &Path,
        engines: &Engines,
        tell: &dyn Fn(&Path),
    ) -> io::Result<(Contained, Command)> {
        let JobContainer { image, reference, variables } = container;
        let engine = image.engine.name();
        let program = find_program(engine, &job.environment).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("`{engine}`, which is to run its container, is not on the PATH"),
            )
        })?;
        let is_named = image.engine != ContainerEngine::Apptainer;
        if is_named {
            engines.begin(&program, &job.environment, tell);
        }
        let name = new_name();
        let mut variables = variables.clone();
        variables.set.insert(0, (EVENTS_VARIABLE.into(), events.into()));
        let mounts = job.access.as_ref().map(mounts).unwrap_or_default();
        let run = ContainerRun {
            image,
            reference,
            name: &name,
            folder: &job.folder,
            mounts: &mounts,
            variables: &variables,
            gpus: &job.gpus,
            purpose: Purpose::Batch,
        };
        let words = words(&script.shell, script.path, is_named);
        let command = run.command(&program, &job.environment, &words);
        let environment = job.environment.clone();
        Ok((Contained { program, environment, name: is_named.then_some(name) }, command))
    }

    /// Sees to it that the container is gone whose engine ended with `status`; the error is the end of a sentence about it.
    pub(super) fn end(&self, status: &io::Result<ExitStatus>) -> Result<(), String> {
        let ended = status.as_ref().is_ok_and(|status| status.signal().is_none() && status.code() != Some(OF_ENGINE));
        match &self.name {
            Some(name) if !ended => remove(&self.program, &self.environment, name)
                .map_err(|why| format!("the container {name} is left: `{} rm` {why}", self.engine().display())),
            _ => Ok(()),
        }
    }

    fn engine(&self) -> &Path {
        self.program.file_name().map_or(&self.program, |name: &OsStr| Path::new(name))
    }
}
