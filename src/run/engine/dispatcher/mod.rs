//! The dispatcher: alone holds the state of a run, handles its messages, and asks the scheduler what happens next.

mod elsewhere;
mod failures;
mod jobs;
mod pass;
mod time;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use athanor_cache::{CacheError, Digest};
use serde_json::{Map, Value};

use crate::events::{Counts, RunEvent};
use crate::plan::{InstanceId, Plan};
use crate::run::attempts::attempt::{AttemptOptions, CommitError, Stored};
use crate::run::attempts::backend::{BackendEvent, PrepareError, RunBackend};
use crate::run::attempts::failure::Failure;
use crate::run::attempts::group_commit::Recorded;
use crate::run::attempts::sandbox::TakeError;
use crate::run::engine::in_flight::{InFlight, JoinOutcome};
use crate::run::engine::message::Message;
use crate::run::engine::scheduler::{Scheduler, State};
use crate::run::executor::job::Executor;
use crate::run::executor::resources::Allocation;
use crate::run::inputs::fingerprint::Resolved;
use crate::run::inputs::mutation_guard::InputError;
use crate::run::inputs::resolve::Inputs;
use crate::run::state::journal::Journal;
use crate::run::state::outputs::{Outputs, UpToDate};

pub use pass::{PassResult, RunPolicy};

/// Interval at which results that another process makes are looked for.
const POLL: Duration = Duration::from_millis(50);
/// Maximum number of results that wait to be stored before nothing more is started, so that work cannot outrun the disk.
const MAX_STORING: usize = 32;

/// Attempt in progress.
struct Running<A> {
    attempt: A,
    /// Begin of its work; `None` while it waits in a queue.
    began: Option<Instant>,
}

/// Maximum number of times that an instance goes on in a pass after it has stopped unasked.
const MAX_STOPS: u32 = 1_000;

/// Attempts of an instance that went on from the state of one that had stopped in good order, unasked.
#[derive(Default)]
struct Resumed {
    /// Their number: they are no retries.
    count: u32,
    /// Number of those after a stop, and not after an eviction.
    stops: u32,
    /// Digest of the state when the last of them began.
    state: Option<Digest>,
}

/// Dispatcher of a pass.
pub struct Dispatcher<'a, W: RunBackend> {
    inputs: Inputs<'a>,
    backend: W,
    scheduler: Scheduler,
    journal: &'a mut Journal,
    policy: RunPolicy,
    executor: Box<dyn Executor>,
    /// Expected durations; computed if any instance is to be made.
    durations: Option<Durations<'a>>,
    outputs: Vec<Outputs>,
    fingerprints: Vec<Option<Digest>>,
    /// Instances whose results were known from the beginning.
    settled: HashSet<InstanceId>,
    /// Work of instances that are not settled.
    resolved: HashMap<InstanceId, Resolved>,
    running: HashMap<InstanceId, Running<W::Attempt>>,
    /// Attempts whose work is done and whose results are to be stored.
    exited_ok: Vec<(InstanceId, W::Attempt)>,
    /// Number of results that are being stored, or are to be.
    storing: usize,
    /// Results that are stored and not yet recorded.
    unrecorded: HashMap<InstanceId, Stored>,
    /// Instances whose result was stored and could not be recorded.
    lost: HashSet<InstanceId>,
    /// Instances that were made, and whose results are recorded.
    finished: HashSet<InstanceId>,
    /// Metrics of those that report any.
    metrics: HashMap<InstanceId, Map<String, Value>>,
    /// Instances that another pass is to make because of what happened to their inputs or outputs.
    disturbed: Vec<InstanceId>,
    in_flight: InFlight,
    elsewhere: Vec<InstanceId>,
    attempts: HashMap<InstanceId, u32>,
    /// Attempts that went on from the state of one that had stopped in good order.
    resumed: HashMap<InstanceId, Resumed>,
    /// Notices that were given.
    noticed: HashSet<String>,
    timed_out: HashSet<InstanceId>,
    interrupts: u32,
    /// Whether the end of the time was what stopped the pass.
    out_of_time: bool,
    /// Whether instances were left that would not end in time.
    has_left: bool,
    counts: Counts,
}

/// Computes the expected duration of each instance, in any unit that is the same for all.
pub type Durations<'d> = Box<dyn FnOnce() -> Vec<f64> + 'd>;

impl<'a, W: RunBackend> Dispatcher<'a, W> {
    /// A dispatcher of a pass that has not begun.
    pub fn new(
        inputs: Inputs<'a>,
        backend: W,
        scheduler: Scheduler,
        journal: &'a mut Journal,
        policy: RunPolicy,
        executor: Box<dyn Executor>,
        durations: Durations<'a>,
    ) -> Self {
        let count = inputs.plan.instances.len();
        Dispatcher {
            inputs,
            backend,
            scheduler,
            journal,
            policy,
            executor,
            durations: Some(durations),
            outputs: vec![Outputs::from([]); count],
            fingerprints: vec![None; count],
            settled: HashSet::new(),
            resolved: HashMap::new(),
            running: HashMap::new(),
            exited_ok: Vec::new(),
            storing: 0,
            unrecorded: HashMap::new(),
            lost: HashSet::new(),
            finished: HashSet::new(),
            metrics: HashMap::new(),
            disturbed: Vec::new(),
            in_flight: InFlight::default(),
            elsewhere: Vec::new(),
            attempts: HashMap::new(),
            resumed: HashMap::new(),
            noticed: HashSet::new(),
            timed_out: HashSet::new(),
            interrupts: 0,
            out_of_time: false,
            has_left: false,
            counts: Counts::default(),
        }
    }

    /// Takes these results, by instance, as known from the beginning, and as no news. The scheduler must not want their
    /// instances.
    pub fn seed_cached(&mut self, known: Vec<Option<UpToDate>>) {
        for (id, known) in (0..).map(InstanceId).zip(known) {
            let Some(UpToDate { fingerprint, outputs }) = known else { continue };
            self.fingerprints[id.index()] = Some(fingerprint);
            self.outputs[id.index()] = outputs;
            self.settled.insert(id);
            self.counts.cached += 1;
            self.journal.show(RunEvent::Cached { instance: self.name(id), fingerprint });
        }
    }

    /// Takes these results, by instance, as made by an earlier pass, which has reported them.
    pub fn seed_made(&mut self, made: Vec<Option<UpToDate>>) {
        for (id, made) in (0..).map(InstanceId).zip(made) {
            let Some(UpToDate { fingerprint, outputs }) = made else { continue };
            self.fingerprints[id.index()] = Some(fingerprint);
            self.outputs[id.index()] = outputs;
            self.settled.insert(id);
        }
    }

    /// Runs until every instance is settled.
    pub fn run(mut self, messages: &Receiver<Message>) -> Result<PassResult, CacheError> {
        while !self.advance()? {
            match messages.recv_timeout(self.poll_timeout()) {
                Ok(message) => self.handle(message),
                Err(RecvTimeoutError::Timeout) => self.journal.tick(),
                Err(RecvTimeoutError::Disconnected) => unreachable!("the run's jobs hold senders as long as it lasts"),
            }
            while let Ok(message) = messages.try_recv() {
                self.handle(message);
            }
            self.poll()?;
        }
        Ok(self.finish())
    }

    /// Decides and starts all that can be now; returns whether every instance is settled.
    pub fn advance(&mut self) -> Result<bool, CacheError> {
        self.look_up_ready()?;
        // A collection after a kill must find in the log all that this run relies on.
        self.journal.flush();
        self.start_fitting()?;
        self.executor.flush();
        // Resources are idle until something is started; what has been made can wait as long.
        for (id, attempt) in std::mem::take(&mut self.exited_ok) {
            self.backend.store(&self.inputs, id, attempt);
        }
        self.journal.flush();
        if self.running.is_empty() && self.storing == 0 && !self.unrecorded.is_empty() {
            self.backend.flush();
        }
        Ok(self.scheduler.is_finished() && self.storing == 0 && self.unrecorded.is_empty())
    }

    /// Checks what nobody reports: overdue jobs, and results of other processes.
    pub fn poll(&mut self) -> Result<(), CacheError> {
        self.stop_overdue();
        self.watch_time();
        self.poll_other_processes()
    }

    fn plan(&self) -> &'a Plan {
        self.inputs.plan
    }

    fn name(&self, id: InstanceId) -> String {
        self.plan().instances[id.index()].name.clone()
    }

    /// Time to wait for messages before other processes and timeouts are looked at.
    fn poll_timeout(&self) -> Duration {
        if self.elsewhere.is_empty() && self.running.is_empty() { Duration::from_secs(1) } else { POLL }
    }

    /// Looks up every instance whose inputs are all there.
    fn look_up_ready(&mut self) -> Result<(), CacheError> {
        while let Some(id) = self.scheduler.next_ready() {
            let fingerprint = match self.inputs.fingerprint(id, |producer| &*self.outputs[producer.index()]) {
                Ok(fingerprint) => fingerprint,
                Err(unwritten) => {
                    self.fail(id, &Failure::new(unwritten.to_string()));
                    continue;
                }
            };
            self.fingerprints[id.index()] = Some(fingerprint);
            match self.in_flight.join(&fingerprint, id) {
                JoinOutcome::NotInFlight => {}
                JoinOutcome::Joined => {
                    self.scheduler.made_elsewhere(id);
                    continue;
                }
                JoinOutcome::Stored(outputs) => {
                    self.settle(id, outputs);
                    continue;
                }
            }
            if !self.policy.force.contains(&id) {
                if let Some(outputs) = self.backend.look_up(&fingerprint)? {
                    self.cached(id, fingerprint, &outputs);
                    continue;
                }
                if self.backend.ask(&self.inputs, id, &fingerprint) {
                    self.in_flight.begin(fingerprint);
                    continue;
                }
            }
            self.missed(id, fingerprint);
        }
        Ok(())
    }

    /// Queues an instance whose result is nowhere, as soon as all that it reads is here.
    fn missed(&mut self, id: InstanceId, fingerprint: Digest) {
        match self.inputs.recipe(id, |producer| &*self.outputs[producer.index()]) {
            Ok(recipe) => {
                let resolved = Resolved { recipe, fingerprint };
                self.in_flight.begin(fingerprint);
                let is_fetching = self.backend.fetch(&self.inputs, id, &resolved);
                self.resolved.insert(id, resolved);
                if !is_fetching {
                    self.enqueue(id);
                }
            }
            Err(unwritten) => self.fail(id, &Failure::new(unwritten.to_string())),
        }
    }

    fn enqueue(&mut self, id: InstanceId) {
        if let Some(durations) = self.durations.take() {
            self.scheduler.expect(&durations());
        }
        self.scheduler.enqueue(id);
    }

    fn start_fitting(&mut self) -> Result<(), CacheError> {
        while self.storing < MAX_STORING
            && let Some((id, allocation)) = self.scheduler.next_start()
        {
            let fingerprint = self.resolved[&id].fingerprint;
            if let Some(because) = self.refusal(id) {
                self.leave(id, &because);
                continue;
            }
            let Some(claim) = self.backend.try_claim(&fingerprint)? else {
                self.scheduler.made_elsewhere(id);
                self.journal.record(RunEvent::Waiting { instance: self.name(id) });
                self.elsewhere.push(id);
                continue;
            };
            // Between the first look and the claim another process may have finished it.
            if !self.policy.force.contains(&id)
                && let Some(outputs) = self.backend.look_up(&fingerprint)?
            {
                drop(claim);
                self.cached(id, fingerprint, &outputs);
                self.look_up_ready()?;
                continue;
            }
            let number = self.attempts.get(&id).copied().unwrap_or(0) + 1;
            self.attempts.insert(id, number);
            let pass = if self.policy.private_inputs { "again." } else { "" };
            let log = format!("logs/{}.{pass}{number}.log", id.0);
            let RunPolicy { force, fresh_state, logs, cpu_fallback, private_inputs, .. } = &self.policy;
            let options = AttemptOptions {
                log: logs.join(&log),
                number,
                force: force.contains(&id),
                fresh_state: fresh_state.contains(&id),
                cpu_fallback: *cpu_fallback,
                private_inputs: *private_inputs,
            };
            let resolved = self.resolved[&id].clone();
            match self.backend.prepare(&self.inputs, id, resolved, claim, options) {
                Ok(attempt) => self.start(id, attempt, &allocation, log),
                Err(PrepareError::Cache(CacheError::Gone { .. })) => {
                    self.defer(id, "a stored input of it was lost".to_owned());
                }
                Err(error) => self.fail(id, &Failure::of_error("", &error)),
            }
        }
        Ok(())
    }

    fn start(&mut self, id: InstanceId, attempt: W::Attempt, allocation: &Allocation, log: String) {
        self.journal.record(RunEvent::Started {
            instance: self.name(id),
            fingerprint: self.resolved[&id].fingerprint,
            attempt: self.attempts[&id],
            cpus: allocation.cpus,
            gpus: allocation.gpus.clone(),
            log,
            queues: self.executor.queues(),
        });
        for message in self.inputs.notices(id) {
            if self.noticed.insert(message.clone()) {
                self.journal.record(RunEvent::Advice { instance: self.name(id), message });
            }
        }
        let job = self.backend.job(&self.inputs, id, &attempt, allocation);
        let began = (!self.executor.queues()).then(Instant::now);
        self.running.insert(id, Running { attempt, began });
        self.executor.start(job);
    }

    /// Handles a message.
    pub fn handle(&mut self, message: Message) {
        match message {
            Message::Job(event) => self.job_event(event),
            Message::Backend(BackendEvent::Stored(id, result)) => self.stored(id, *result),
            Message::Backend(BackendEvent::Recorded(recorded)) => self.recorded(recorded),
            Message::Backend(BackendEvent::Answered(id, fingerprint, outputs)) => {
                self.answered(id, fingerprint, outputs);
            }
            Message::Backend(BackendEvent::Fetched(id, all)) => self.fetched(id, all),
            Message::Backend(BackendEvent::Notice(message)) => self.journal.record(RunEvent::Notice { message }),
            Message::Interrupt => self.interrupt(),
            Message::KeepGoing => self.keep_going(),
        }
    }

    /// Settles `id`, and all that waited for it, with a result that is in the cache.
    fn cached(&mut self, id: InstanceId, fingerprint: Digest, outputs: &Outputs) {
        for id in std::iter::once(id).chain(self.in_flight.finish(&fingerprint)) {
            self.note_cached(id, fingerprint);
            self.settle(id, Arc::clone(outputs));
        }
    }

    fn note_cached(&mut self, id: InstanceId, fingerprint: Digest) {
        self.counts.cached += 1;
        let instance = &self.inputs.plan.instances[id.index()].name;
        let news = self.backend.is_news(instance, &fingerprint);
        let event = RunEvent::Cached { instance: instance.clone(), fingerprint };
        if news { self.journal.record(event) } else { self.journal.show(event) }
    }

    fn settle(&mut self, id: InstanceId, outputs: Outputs) {
        self.outputs[id.index()] = outputs;
        self.resolved.remove(&id);
        self.scheduler.done(id);
    }

    /// The outputs of an attempt are stored, so that others can read them; the instance is finished when its record is written.
    fn stored(&mut self, id: InstanceId, result: Result<Stored, CommitError>) {
        self.storing -= 1;
        let stored = match result {
            Ok(stored) => stored,
            Err(CommitError::Input(error @ InputError::Disturbed { .. })) => return self.defer(id, error.to_string()),
            // Programs that are asked to end may do so well, with their work not done.
            Err(CommitError::Take(TakeError::NotWritten { .. })) if self.interrupts > 0 => return self.interrupted(id),
            Err(error) => return self.attempt_failed(id, &Failure::of_error("", &error), false),
        };
        self.backend.record(id, &stored);
        self.journal.record(RunEvent::Stored { instance: self.name(id) });
        let outputs = Outputs::from(stored.record.outputs.as_slice());
        let followers = self.in_flight.stored(&stored.record.fingerprint, &outputs);
        for id in std::iter::once(id).chain(followers) {
            self.settle(id, Arc::clone(&outputs));
        }
        self.unrecorded.insert(id, stored);
    }

    fn recorded(&mut self, recorded: Recorded) {
        let refusal = recorded.refusal.map(|error| Failure::of_error("Its result cannot be recorded: ", &error));
        for id in recorded.ids {
            let Some(Stored { record, undeclared, removed }) = self.unrecorded.remove(&id) else { continue };
            let followers = self.in_flight.finish(&record.fingerprint);
            if recorded.lost.contains(&id) {
                let because = "its stored output was changed before it was recorded".to_owned();
                followers.into_iter().chain([id]).for_each(|id| self.defer(id, because.clone()));
                continue;
            }
            if let Some(refusal) = &refusal {
                self.commit_failed(id, followers, refusal);
                continue;
            }
            self.counts.ran += 1;
            self.finished.insert(id);
            self.backend.recorded(&record);
            self.learn_duration(id, record.duration_ms);
            if !record.metrics.is_empty() {
                self.metrics.insert(id, record.metrics);
            }
            self.journal.record(RunEvent::Finished {
                instance: self.name(id),
                fingerprint: record.fingerprint,
                duration_ms: record.duration_ms,
                undeclared,
                removed,
            });
            followers.into_iter().for_each(|id| self.note_cached(id, record.fingerprint));
        }
    }

    /// Uses results that other processes have made meanwhile, or takes over work that they gave up.
    fn poll_other_processes(&mut self) -> Result<(), CacheError> {
        for id in std::mem::take(&mut self.elsewhere) {
            if *self.scheduler.state(id) != State::Elsewhere {
                continue;
            }
            let fingerprint = self.resolved[&id].fingerprint;
            if let Some(claim) = self.backend.try_claim(&fingerprint)? {
                drop(claim);
                self.scheduler.enqueue(id);
            } else {
                self.elsewhere.push(id);
            }
        }
        Ok(())
    }
}
