//! The passes of a run: one over everything, and another one over what was disturbed or lost on the way.
//!
//! A stage that changes what it was only to read spoils it for others. Attempts that may have read it then, and results that lost
//! a stored output, are made again in a second pass, in which every attempt has copies of its own to read.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use athanor_cache::{CacheError, OutputRecord, Presence};

use crate::events::RunEvent;
use crate::plan::InstanceId;
use crate::run::attempts::backend::CacheBackend;
use crate::run::attempts::scratch_pool::ScratchPool;
use crate::run::engine::dispatcher::{Dispatcher, Message, PassResult, RunPolicy};
use crate::run::engine::scheduler::Scheduler;
use crate::run::executor::local::{LocalExecutor, LocalExecutorConfig};
use crate::run::executor::resources::Capacity;
use crate::run::executor::thread_pool::ThreadPool;
use crate::run::inputs::resolve::Inputs;
use crate::run::session::Session;
use crate::run::session::second_pass::{SecondPass, joined, tasks};
use crate::run::state::journal::Journal;
use crate::run::state::last_run::{LastRun, UpToDate};

/// What all passes of a run have in common.
pub struct Passes<'r> {
    /// What the run is about.
    pub session: &'r Session<'r>,
    /// What the last run found, and whether the history may contradict that.
    pub last_run: (&'r LastRun, bool),
    /// What the run may use.
    pub capacity: Capacity,
    /// How stages are run as processes.
    pub local: LocalExecutorConfig,
    /// Whether to go on with what does not depend on a failed instance.
    pub keep_going: bool,
    /// The run's identifier.
    pub run: String,
    /// The run's folder, for logs.
    pub logs: PathBuf,
    /// For who tells the run of something.
    pub sender: Sender<Message>,
    /// What the run is told.
    pub messages: Receiver<Message>,
}

impl Passes<'_> {
    /// Brings everything up to date but what is `known` to be.
    pub fn first(
        &mut self,
        inputs: Inputs<'_>,
        known: Vec<Option<UpToDate>>,
        force: HashSet<InstanceId>,
        journal: &mut Journal,
    ) -> Result<PassResult, CacheError> {
        let wanted = self.session.wanted.iter().copied().filter(|id| known[id.index()].is_none()).collect();
        let policy = self.policy(force, false);
        let scheduler = self.scheduler(&wanted);
        let mut dispatcher = self.dispatcher(inputs, self.last_run, scheduler, journal, policy);
        dispatcher.seed_cached(known);
        dispatcher.run(&self.messages)
    }

    /// Makes again what the first pass left to this one and, if it is to look for that, what was made and lost since. Returns
    /// what came of both.
    pub fn second(
        &mut self,
        inputs: Inputs<'_>,
        first: PassResult,
        force: HashSet<InstanceId>,
        look_for_lost: bool,
        journal: &mut Journal,
    ) -> Result<PassResult, CacheError> {
        let cache = &self.session.project.cache;
        let lost = |output: &OutputRecord| cache.presence(&output.artifact) != Presence::Present;
        let is_lost = |settled: &UpToDate| look_for_lost && settled.outputs.iter().any(lost);
        let of_plan = (self.session.plan, self.session.wanted.as_slice());
        let Some(mut pass) = SecondPass::after(&first, of_plan, self.keep_going, is_lost) else { return Ok(first) };
        for (id, missing) in &pass.skipped {
            let name = |id: &InstanceId| self.session.plan.instances[id.index()].name.clone();
            journal.record(RunEvent::Skipped { instance: name(id), because: name(missing) });
        }
        let policy = self.policy(SecondPass::left_of(force, &first), true);
        let scheduler = self.scheduler(&pass.wanted);
        // What was there when the run began may be gone.
        let nothing = LastRun::default();
        let mut dispatcher = self.dispatcher(inputs, (&nothing, true), scheduler, journal, policy);
        dispatcher.seed_made(std::mem::take(&mut pass.made));
        Ok(joined(first, &pass, dispatcher.run(&self.messages)?))
    }

    fn scheduler(&self, wanted: &HashSet<InstanceId>) -> Scheduler {
        Scheduler::new(&tasks(self.session.plan, wanted), &self.session.plan.order(), &self.capacity)
    }

    fn policy(&self, force: HashSet<InstanceId>, private_inputs: bool) -> RunPolicy {
        RunPolicy { keep_going: self.keep_going, force, logs: self.logs.clone(), private_inputs }
    }

    fn dispatcher<'d>(
        &'d self,
        inputs: Inputs<'d>,
        last_run: (&'d LastRun, bool),
        scheduler: Scheduler,
        journal: &'d mut Journal,
        policy: RunPolicy,
    ) -> Dispatcher<'d, CacheBackend<'d>> {
        let listener = self.sender.clone();
        let listener = Arc::new(move |event| drop(listener.send(Message::Job(event))));
        let threads = ThreadPool::default();
        let executor = LocalExecutor::new(self.local.clone(), listener, threads.clone());
        let cache = Arc::clone(&self.session.project.cache);
        let scratch_pool = ScratchPool::new(Arc::clone(&cache), self.run.clone());
        let backend = CacheBackend::new(cache, last_run, scratch_pool, threads, self.sender.clone());
        let durations = Box::new(|| self.session.expected_durations());
        Dispatcher::new(inputs, backend, scheduler, journal, policy, Box::new(executor), durations)
    }
}
