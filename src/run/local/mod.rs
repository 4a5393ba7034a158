//! Jobs as processes on this machine.
//!
//! Each job leads a process group of its own, so that a terminal's Ctrl-C does not reach it and a kill takes all it has
//! started. Whatever outlives its leader, in the group or out of it, is killed before the job counts as over: nothing writes
//! into a stage's folder after its outputs are hashed.

mod guardian;
mod household;
mod kernel_kills;
mod log;
mod mark;
mod masked_log;
mod process;
mod watch;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::plan::InstanceId;
use crate::run::crew::Crew;
use crate::run::executor::{Executor, Job, JobEvent, JobListener, Stop};

use guardian::Guardian;
pub use guardian::main as guardian_main;
use household::Household;
use kernel_kills::KernelKills;
pub use mark::ATTEMPT_VARIABLE;
use mark::RunMark;
use process::{Process, Shared, carry_out};

/// How jobs are run as processes.
#[derive(Debug, Clone)]
pub struct LocalSettings {
    /// The path of this program's binary.
    pub program: PathBuf,
    /// Tells this run's processes from all others; has no space in it.
    pub mark: String,
    /// What [`ATTEMPT_VARIABLE`] says to this process: the attempts of other runs that it is part of.
    pub within: String,
    /// Bytes that a stage's log may have; beyond that its beginning and its end are kept.
    pub log_limit: u64,
}

/// Runs jobs as processes on this machine.
pub struct LocalExecutor {
    settings: LocalSettings,
    events: JobListener,
    crew: Crew,
    /// From the first job on.
    started: Option<(Arc<Shared>, Option<Guardian>)>,
    running: HashMap<InstanceId, Arc<Process>>,
}

impl LocalExecutor {
    /// Events go to `events`; jobs are started and waited for by `crew`.
    pub fn new(settings: LocalSettings, events: JobListener, crew: Crew) -> LocalExecutor {
        LocalExecutor { settings, events, crew, started: None, running: HashMap::new() }
    }

    /// What all jobs have in common; made for the first one, which works below `folder`.
    fn shared(&mut self, folder: &Path) -> Arc<Shared> {
        let (shared, _) = self.started.get_or_insert_with(|| {
            let LocalSettings { program, mark, within, log_limit } = self.settings.clone();
            let household = Household::new(RunMark::new(&mark, &within));
            let guardian = Guardian::start(&program, household.mark(), folder.parent().unwrap_or(folder));
            guardian.iter().for_each(|guardian| household.add_stranger(guardian.process()));
            let (events, kernel_kills) = (Arc::clone(&self.events), KernelKills::new());
            (Arc::new(Shared { program, events, household, log_limit, kernel_kills }), guardian)
        });
        Arc::clone(shared)
    }
}

impl Executor for LocalExecutor {
    fn start(&mut self, job: Job) {
        let shared = self.shared(&job.attempt);
        let process = Arc::new(Process::default());
        self.running.insert(job.id, Arc::clone(&process));
        // Until a process has begun, who starts it has to wait: not the run, which has others to look after.
        self.crew.run(move || {
            let exit = carry_out(&shared, &job, &process);
            (shared.events)(JobEvent::Exited(job.id, exit));
        });
    }

    fn stop(&mut self, id: InstanceId, how: Stop) {
        if let Some(process) = self.running.get(&id) {
            process.stop(how);
        }
    }
}
