//! The passes of a run: one over everything, and a second one over results that were disturbed or lost on the way.
//!
//! A stage that changes what it was only to read spoils it for others. Attempts that may have read it then, and results that
//! lost a stored output, are made again in a second pass, in which every attempt reads copies of its own.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use athanor_cache::{Cache, CacheError, OutputRecord, Presence};

use crate::events::RunEvent;
use crate::plan::{InstanceId, Plan, Resources};
use crate::run::access::policy::AccessPolicy;
use crate::run::attempts::backend::{CacheBackend, KnownResults};
use crate::run::attempts::facts::RunFacts;
use crate::run::attempts::scratch_pool::ScratchPool;
use crate::run::engine::dispatcher::{Dispatcher, PassResult, RunPolicy};
use crate::run::engine::message::Message;
use crate::run::engine::scheduler::Scheduler;
use crate::run::engine::time_limit::TimeLimit;
use crate::run::environment::Variables;
use crate::run::executor::cluster::{ClusterConfig, ClusterExecutor, ClusterFolder};
use crate::run::executor::job::{Executor, JobEvent, JobListener};
use crate::run::executor::local::{LocalExecutor, LocalExecutorConfig};
use crate::run::executor::resources::Capacity;
use crate::run::executor::thread_pool::ThreadPool;
use crate::run::inputs::resolve::Inputs;
use crate::run::remote::RemoteUse;
use crate::run::session::second_pass::{SecondPass, joined, tasks};
use crate::run::state::journal::Journal;
use crate::run::state::last_run::LastRun;
use crate::run::state::outputs::UpToDate;

/// Context that all passes of a run share.
pub(super) struct Passes<'r> {
    /// The plan.
    pub(super) plan: &'r Plan,
    /// Instances to bring up to date, producers first.
    pub(super) wanted: &'r [InstanceId],
    /// The cache.
    pub(super) cache: &'r Arc<Cache>,
    /// Expected durations, by instance; computed when something is to be made.
    pub(super) durations: &'r dyn Fn() -> Vec<f64>,
    /// Resources that the run may use.
    pub(super) capacity: Capacity,
    /// Configuration of the executor of a cluster, and the folder of the pipeline's history, where jobs run there.
    pub(super) cluster: Option<(ClusterConfig, PathBuf)>,
    /// Configuration of the processes that carry out stages.
    pub(super) local: LocalExecutorConfig,
    /// Access of stages to files.
    pub(super) policy: Arc<AccessPolicy>,
    /// Whether to go on with what does not depend on a failed instance, unless the user says so later.
    pub(super) keep_going: bool,
    /// Instances whose kept state is dropped.
    pub(super) fresh_state: HashSet<InstanceId>,
    /// Variables of the user's that scripts name and do not get, by instance.
    pub(super) withheld: HashMap<InstanceId, Vec<String>>,
    /// Variables of this process.
    pub(super) variables: Variables,
    /// Whether to keep the folders of failed attempts.
    pub(super) keep_scratch: bool,
    /// Limit of the run's time, if it has one.
    pub(super) time_limit: Option<TimeLimit>,
    /// Name of the run.
    pub(super) run: String,
    /// Folder of the run, for logs.
    pub(super) logs: PathBuf,
    /// Facts for the records of the run.
    pub(super) facts: &'r Arc<RunFacts>,
    /// Remote cache, if there is one.
    pub(super) remote: Option<Arc<RemoteUse>>,
    /// Sends messages to the run.
    pub(super) sender: Sender<Message>,
    /// Receives them.
    pub(super) messages: &'r Receiver<Message>,
}

impl Passes<'_> {
    /// Brings everything up to date except what is `settled`.
    pub(super) fn first(
        &self,
        inputs: Inputs<'_>,
        known: KnownResults<'_>,
        settled: Vec<Option<UpToDate>>,
        force: HashSet<InstanceId>,
        journal: &mut Journal,
    ) -> Result<PassResult, CacheError> {
        let wanted = self.wanted.iter().copied().filter(|id| settled[id.index()].is_none()).collect();
        let policy = self.policy(force, self.keep_going, false);
        let scheduler = self.scheduler(&wanted);
        let mut dispatcher = self.dispatcher(inputs, known, scheduler, journal, policy)?;
        dispatcher.seed_cached(settled);
        let outcome = dispatcher.run(self.messages)?;
        self.note_last_words(journal);
        Ok(outcome)
    }

    /// Records what an executor said when it ended.
    fn note_last_words(&self, journal: &mut Journal) {
        for message in self.messages.try_iter().collect::<Vec<Message>>() {
            match message {
                Message::Job(JobEvent::Notice(message)) => journal.record(RunEvent::Notice { message }),
                // A run that has ended early receives none.
                other => drop(self.sender.send(other)),
            }
        }
    }

    /// Makes again what the first pass deferred and, with `look_for_lost`, what was made and lost since. Returns the outcome of
    /// both passes.
    pub(super) fn second(
        &self,
        inputs: Inputs<'_>,
        first: PassResult,
        force: HashSet<InstanceId>,
        look_for_lost: bool,
        journal: &mut Journal,
    ) -> Result<PassResult, CacheError> {
        let is_promised =
            |output: &OutputRecord| self.remote.as_ref().is_some_and(|remote| remote.is_promised(&output.artifact));
        let lost =
            |output: &OutputRecord| !is_promised(output) && self.cache.presence(&output.artifact) != Presence::Present;
        let is_lost = |result: &UpToDate| look_for_lost && result.outputs.iter().any(lost);
        let Some(mut pass) = SecondPass::after(&first, self.plan, self.wanted, first.keep_going, is_lost) else {
            return Ok(first);
        };
        for (id, missing) in &pass.skipped {
            let name = |id: &InstanceId| self.plan.instances[id.index()].name.clone();
            journal.record(RunEvent::Skipped { instance: name(id), because: name(missing) });
        }
        let policy = self.policy(SecondPass::left_of(force, &first), first.keep_going, true);
        let scheduler = self.scheduler(&pass.wanted);
        // Results that were there when the run began may be gone.
        let known = KnownResults { last_run: &LastRun::default(), is_outdated: true, facts: self.facts };
        let mut dispatcher = self.dispatcher(inputs, known, scheduler, journal, policy)?;
        dispatcher.seed_made(std::mem::take(&mut pass.made));
        let second = dispatcher.run(self.messages)?;
        self.note_last_words(journal);
        Ok(joined(first, &pass, second))
    }

    fn scheduler(&self, wanted: &HashSet<InstanceId>) -> Scheduler {
        let mut tasks = tasks(self.plan, wanted, &self.capacity);
        if self.cluster.is_some() {
            // The cluster gives out resources; here each attempt takes one of the places for those that are prepared at once.
            tasks.iter_mut().for_each(|task| task.resources = Resources::default());
        }
        Scheduler::new(&tasks, &self.plan.order(), &self.capacity)
    }

    fn policy(&self, force: HashSet<InstanceId>, keep_going: bool, private_inputs: bool) -> RunPolicy {
        RunPolicy {
            keep_going,
            force,
            fresh_state: self.fresh_state.clone(),
            logs: self.logs.clone(),
            cpu_fallback: self.capacity.cpu_fallback,
            private_inputs,
            withheld: self.withheld.clone(),
            time_limit: self.time_limit.clone(),
        }
    }

    fn dispatcher<'d>(
        &'d self,
        inputs: Inputs<'d>,
        known: KnownResults<'d>,
        scheduler: Scheduler,
        journal: &'d mut Journal,
        policy: RunPolicy,
    ) -> Result<Dispatcher<'d, CacheBackend<'d>>, CacheError> {
        // A message that nobody receives is of a run that ended early.
        let jobs = self.sender.clone();
        let on_job = Arc::new(move |event| drop(jobs.send(Message::Job(event))));
        let results = self.sender.clone();
        let on_result = Arc::new(move |event| drop(results.send(Message::Backend(event))));
        let threads = ThreadPool::default();
        let scratch_pool = ScratchPool::new(Arc::clone(self.cache), self.run.clone(), self.keep_scratch);
        let (executor, scratch_pool) = self.executor(on_job, &threads, scratch_pool)?;
        let (cache, access) = (Arc::clone(self.cache), Arc::clone(&self.policy));
        let backend = CacheBackend::new(cache, known, scratch_pool, threads, self.variables.clone(), access, on_result);
        // A second pass makes what is missing, and asks nobody for it: an answer might again be a promise that is not kept.
        let backend = backend.with_remote(self.remote.clone(), !policy.private_inputs);
        let backend = if self.cluster.is_some() { backend.adopting() } else { backend };
        Ok(Dispatcher::new(inputs, backend, scheduler, journal, policy, executor, Box::new(self.durations)))
    }

    /// The executor, and the pool of folders for its attempts.
    fn executor(
        &self,
        events: JobListener,
        threads: &ThreadPool,
        scratch_pool: ScratchPool,
    ) -> Result<(Box<dyn Executor>, ScratchPool), CacheError> {
        let Some((config, history)) = &self.cluster else {
            return Ok((Box::new(LocalExecutor::new(self.local.clone(), events, threads.clone())), scratch_pool));
        };
        let folder = ClusterFolder::claim(self.cache, history, &self.run)?;
        let scratch_pool = scratch_pool.within(folder.attempts());
        Ok((Box::new(ClusterExecutor::new(config.clone(), folder, events)), scratch_pool))
    }
}
