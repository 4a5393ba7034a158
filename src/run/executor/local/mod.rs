//! Jobs as processes on this machine.
//!
//! Each job leads a process group of its own, so that a terminal's Ctrl-C does not reach it and a kill takes all it has
//! started. Processes that outlive their leader, in the group or out of it, are killed before the job counts as over: nothing writes
//! into a stage's folder after its outputs are hashed.

mod contained;
mod events_pipe;
mod gpu_sampler;
mod interpreter;
mod kept_state;
pub(crate) mod landlock;
mod left_behind;
mod log;
mod masked_log;
mod oom_counter;
mod process;
mod process_mark;
mod process_tree;
mod reaper;
mod resource_use;
mod run_group;
mod script_events;
mod wait;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::plan::InstanceId;
use crate::run::executor::job::{Executor, Job, JobEvent, JobListener, Stop};
use crate::run::executor::thread_pool::ThreadPool;

use contained::Engines;
pub(crate) use events_pipe::NAME as EVENTS;
use interpreter::Interpreters;
use landlock::OpenRules;
use oom_counter::OomCounter;
use process::{Process, Shared, run_job};
pub(crate) use process_mark::ATTEMPT_VARIABLE;
use process_mark::RunMark;
use process_tree::ProcessTree;
use reaper::Reaper;
pub(crate) use reaper::main as reaper_main;
use run_group::RunGroup;

/// Configuration of the local executor.
#[derive(Debug, Clone)]
pub(crate) struct LocalExecutorConfig {
    /// Path of this program's binary.
    pub program: PathBuf,
    /// Mark of this run's processes; has no space in it.
    pub mark: String,
    /// Value of [`ATTEMPT_VARIABLE`] in this process: the attempts of other runs that it is part of.
    pub within: String,
    /// Size limit of a stage's log, in bytes.
    pub log_limit: u64,
}

/// State of running jobs.
struct Started {
    shared: Arc<Shared>,
    /// Held until the run ends; the group is left before the reaper is dismissed.
    _group: Option<RunGroup>,
    _reaper: Option<Arc<Reaper>>,
}

/// Executor that runs jobs as processes on this machine.
pub(crate) struct LocalExecutor {
    settings: LocalExecutorConfig,
    events: JobListener,
    threads: ThreadPool,
    /// State of running jobs, from the first one on.
    started: Option<Started>,
    running: HashMap<InstanceId, Arc<Process>>,
}

impl LocalExecutor {
    /// An executor that reports to `events`, and starts and waits for jobs on `threads`.
    pub(crate) fn new(settings: LocalExecutorConfig, events: JobListener, threads: ThreadPool) -> LocalExecutor {
        LocalExecutor { settings, events, threads, started: None, running: HashMap::new() }
    }

    /// State that all jobs share; made for the first one, which works below `folder`.
    fn shared(&mut self, folder: &Path) -> Arc<Shared> {
        let started = self.started.get_or_insert_with(|| {
            let LocalExecutorConfig { program, mark, within, log_limit } = self.settings.clone();
            let (events, oom_counter) = (Arc::clone(&self.events), OomCounter::new());
            let processes = ProcessTree::new(RunMark::new(&mark, &within));
            let group = RunGroup::make(&mark);
            let folder = folder.parent().unwrap_or(folder);
            let reaper = Reaper::start(&program, processes.mark(), folder, group.as_ref().map(RunGroup::folder));
            reaper.iter().for_each(|reaper| processes.exempt(reaper.process()));
            // Without a reaper outside of it nobody would kill it.
            let group = group.filter(|_| reaper.is_some()).and_then(RunGroup::enter);
            let reaper = reaper.map(Arc::new);
            let shared = Arc::new(Shared {
                program,
                events,
                processes,
                log_limit,
                oom_counter,
                interpreters: Interpreters::default(),
                open_rules: OpenRules::default(),
                engines: Engines::default(),
                reaper: reaper.as_ref().map(Arc::downgrade),
            });
            Started { shared, _group: group, _reaper: reaper }
        });
        Arc::clone(&started.shared)
    }
}

impl Executor for LocalExecutor {
    fn start(&mut self, job: Job) {
        let shared = self.shared(&job.attempt);
        let process = Arc::new(Process::default());
        self.running.insert(job.id, Arc::clone(&process));
        // Starting a process blocks until it has begun, and the dispatcher must not wait.
        self.threads.run(move || {
            let (id, exit) = (job.id, run_job(&shared, &job, &process));
            // The next attempt takes its state.
            drop(job);
            (shared.events)(JobEvent::Exited(id, exit));
        });
    }

    fn stop(&mut self, id: InstanceId, how: Stop) {
        if let Some(process) = self.running.get(&id) {
            process.stop(how);
        }
    }
}
