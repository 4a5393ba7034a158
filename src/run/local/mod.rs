//! Jobs as processes on this machine.
//!
//! Each job leads a process group of its own, so that a terminal's Ctrl-C does not reach it and a kill takes all it has
//! started. Whatever of a group outlives its leader is killed before the job counts as over: nothing writes into a stage's
//! folder after its outputs are hashed.

mod guardian;
mod kernel_kills;
mod process;
mod watch;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::plan::InstanceId;
use crate::run::crew::Crew;
use crate::run::executor::{Executor, Job, JobEvent, JobListener, Stop};

use guardian::Guardian;
pub use guardian::main as guardian_main;
use kernel_kills::KernelKills;
use process::{Process, Shared, carry_out};

/// Runs jobs as processes on this machine.
pub struct LocalExecutor {
    shared: Arc<Shared>,
    guardian: Option<Guardian>,
    running: HashMap<InstanceId, Arc<Process>>,
}

impl LocalExecutor {
    /// `program` is the path of this program's binary; events go to `events`; `mark` tells this run's processes from all
    /// others; jobs are started and waited for by `crew`.
    pub fn new(program: PathBuf, events: JobListener, mark: String, crew: Crew) -> LocalExecutor {
        let shared = Shared { program, events, mark, crew, kernel_kills: KernelKills::default() };
        LocalExecutor { shared: Arc::new(shared), guardian: None, running: HashMap::new() }
    }
}

impl Executor for LocalExecutor {
    fn start(&mut self, job: Job) {
        if self.guardian.is_none() {
            self.guardian = Guardian::start(&self.shared.program, &self.shared.mark);
        }
        let process = Arc::new(Process::default());
        self.running.insert(job.id, Arc::clone(&process));
        let shared = Arc::clone(&self.shared);
        // Until a process has begun, who starts it has to wait: not the run, which has others to look after.
        self.shared.crew.run(move || {
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
