//! The heart of a run: alone holds its state, hears what happens, decides with the scheduler what happens next.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use athanor_cache::{ActionRecord, CacheError, Digest, Lookup, OutputRecord};
use athanor_stages::context::StageReport;

use crate::events::{Counts, Outcome, RunEvent};
use crate::plan::{InstanceId, Plan};
use crate::run::attempt::{CommitError, Committed, Place};
use crate::run::executor::{Executor, Exit, JobEvent, Stop};
use crate::run::failure::Failure;
use crate::run::journal::Journal;
use crate::run::recipe::Recipe;
use crate::run::resolve::Inputs;
use crate::run::resources::Allocation;
use crate::run::schedule::{Scheduler, State};
use crate::run::workshop::Workshop;

/// How often results that another process is making are looked for.
const POLL: Duration = Duration::from_millis(50);
/// How often a stage may ask for another try: each of them needs half of what the one before needed.
const MOST_TRIES_ASKED_FOR: u32 = 20;

/// What a run hears.
pub enum Happening {
    /// Something about a job.
    Job(JobEvent),
    /// A finished job's result was recorded, or not.
    Committed(InstanceId, Box<Result<Committed, CommitError>>),
    /// The user asks it to stop.
    Interrupt,
}

/// How a run is to behave.
#[derive(Debug, Clone, Default)]
pub struct Conduct {
    /// Whether to go on with what does not depend on a failed instance.
    pub keep_going: bool,
    /// Instances to make again even if the cache has them.
    pub force: HashSet<InstanceId>,
    /// Where stages' folders are made.
    pub scratch: PathBuf,
    /// The run's folder, for logs.
    pub logs: PathBuf,
}

/// A try under way.
struct Running<A> {
    attempt: A,
    started: Instant,
}

/// A run in progress.
pub struct Dispatcher<'a, W: Workshop> {
    inputs: Inputs<'a>,
    workshop: W,
    scheduler: Scheduler,
    journal: &'a mut Journal,
    conduct: Conduct,
    executor: Box<dyn Executor>,
    outputs: Vec<Vec<OutputRecord>>,
    recipes: HashMap<InstanceId, Recipe>,
    running: HashMap<InstanceId, Running<W::Attempt>>,
    /// Instances that are queued or run, and those that wait for their result.
    in_flight: HashMap<Digest, (InstanceId, Vec<InstanceId>)>,
    elsewhere: Vec<InstanceId>,
    tries: HashMap<InstanceId, u32>,
    timed_out: HashSet<InstanceId>,
    interrupts: u32,
    counts: Counts,
}

/// What came of a run.
pub struct Dispatched {
    /// How it ended.
    pub outcome: Outcome,
    /// How many instances ended how.
    pub counts: Counts,
    /// Outputs by instance; `None` for instances that are not up to date.
    pub outputs: Vec<Option<Vec<OutputRecord>>>,
}

impl<'a, W: Workshop> Dispatcher<'a, W> {
    /// A run that has not begun.
    pub fn new(
        inputs: Inputs<'a>,
        workshop: W,
        scheduler: Scheduler,
        journal: &'a mut Journal,
        conduct: Conduct,
        executor: Box<dyn Executor>,
    ) -> Self {
        let outputs = vec![Vec::new(); inputs.plan.instances.len()];
        Dispatcher {
            inputs,
            workshop,
            scheduler,
            journal,
            conduct,
            executor,
            outputs,
            recipes: HashMap::new(),
            running: HashMap::new(),
            in_flight: HashMap::new(),
            elsewhere: Vec::new(),
            tries: HashMap::new(),
            timed_out: HashSet::new(),
            interrupts: 0,
            counts: Counts::default(),
        }
    }

    /// Runs until every instance is settled.
    pub fn run(mut self, happenings: &Receiver<Happening>) -> Result<Dispatched, CacheError> {
        while !self.advance()? {
            match happenings.recv_timeout(self.patience()) {
                Ok(happening) => self.hear(happening),
                Err(RecvTimeoutError::Timeout) => self.journal.tick(),
                Err(RecvTimeoutError::Disconnected) => unreachable!("the run's jobs hold senders as long as it lasts"),
            }
            while let Ok(happening) = happenings.try_recv() {
                self.hear(happening);
            }
            self.look_around()?;
        }
        Ok(self.conclude())
    }

    /// Decides and starts all that can be now; says whether every instance is settled.
    pub fn advance(&mut self) -> Result<bool, CacheError> {
        self.settle_ready()?;
        self.start_what_fits()?;
        Ok(self.scheduler.is_finished())
    }

    /// Looks after what nobody reports: overdue jobs, and what other processes do.
    pub fn look_around(&mut self) -> Result<(), CacheError> {
        self.stop_overdue();
        self.look_elsewhere()
    }

    fn plan(&self) -> &'a Plan {
        self.inputs.plan
    }

    fn name(&self, id: InstanceId) -> String {
        self.plan().instances[id.index()].name.clone()
    }

    /// How long nothing may happen before there is something to look after.
    fn patience(&self) -> Duration {
        if self.elsewhere.is_empty() && self.running.is_empty() { Duration::from_secs(1) } else { POLL }
    }

    /// Looks up every instance whose inputs are all there.
    fn settle_ready(&mut self) -> Result<(), CacheError> {
        while let Some(id) = self.scheduler.next_ready() {
            let recipe = match self.inputs.recipe(id, |producer| self.outputs[producer.index()].as_slice()) {
                Ok(recipe) => recipe,
                Err(unwritten) => {
                    self.fail(id, &Failure::new(unwritten.to_string()));
                    continue;
                }
            };
            let fingerprint = recipe.fingerprint();
            self.recipes.insert(id, recipe);
            if let Some((_, waiters)) = self.in_flight.get_mut(&fingerprint) {
                waiters.push(id);
                self.scheduler.made_elsewhere(id);
                continue;
            }
            if !self.conduct.force.contains(&id)
                && let Lookup::Hit(record) = self.workshop.lookup(&fingerprint)?
            {
                self.cached(id, record);
                continue;
            }
            self.in_flight.insert(fingerprint, (id, Vec::new()));
            self.scheduler.enqueue(id);
        }
        Ok(())
    }

    fn start_what_fits(&mut self) -> Result<(), CacheError> {
        while let Some((id, allocation)) = self.scheduler.next_start() {
            let fingerprint = self.recipes[&id].fingerprint();
            let Some(claim) = self.workshop.try_claim(&fingerprint)? else {
                self.scheduler.made_elsewhere(id);
                self.journal.record(RunEvent::Waiting { instance: self.name(id) });
                self.elsewhere.push(id);
                continue;
            };
            // Between the first look and the claim another process may have finished it.
            if !self.conduct.force.contains(&id)
                && let Lookup::Hit(record) = self.workshop.lookup(&fingerprint)?
            {
                drop(claim);
                self.cached(id, record);
                self.settle_ready()?;
                continue;
            }
            let number = self.tries.get(&id).copied().unwrap_or(0) + 1;
            self.tries.insert(id, number);
            let log = format!("logs/{}.{number}.log", id.0);
            let place = Place {
                folder: self.conduct.scratch.join(format!("{}.{number}", id.0)),
                log: self.conduct.logs.join(&log),
                number,
                anew: self.conduct.force.contains(&id),
            };
            let recipe = self.recipes[&id].clone();
            match self.workshop.prepare(&self.inputs, id, recipe, claim, place) {
                Ok(attempt) => self.start(id, attempt, &allocation, log),
                Err(error) => self.fail(id, &Failure::new(error.to_string())),
            }
        }
        Ok(())
    }

    fn start(&mut self, id: InstanceId, attempt: W::Attempt, allocation: &Allocation, log: String) {
        self.journal.record(RunEvent::Started {
            instance: self.name(id),
            fingerprint: self.recipes[&id].fingerprint(),
            attempt: self.tries[&id],
            cpus: allocation.cpus,
            gpus: allocation.gpus.clone(),
            log,
        });
        let job = self.workshop.job(&self.inputs, id, &attempt, allocation);
        self.running.insert(id, Running { attempt, started: Instant::now() });
        self.executor.start(job);
    }

    /// Takes in what has happened.
    pub fn hear(&mut self, happening: Happening) {
        match happening {
            Happening::Job(JobEvent::Report(id, report)) => self.report(id, report),
            Happening::Job(JobEvent::Exited(id, exit)) => self.exited(id, exit),
            Happening::Committed(id, result) => match *result {
                Ok(committed) => self.finished(id, committed),
                Err(error) => self.failed_try(id, &Failure::new(error.to_string()), false),
            },
            Happening::Interrupt => self.interrupt(),
        }
    }

    fn report(&mut self, id: InstanceId, report: StageReport) {
        let Some(running) = self.running.get_mut(&id) else { return };
        self.workshop.note(&mut running.attempt, &report);
        let instance = self.inputs.plan.instances[id.index()].name.clone();
        match report {
            StageReport::Progress { done, total, unit } => {
                self.journal.progress(RunEvent::Progress { instance, done, total, unit });
            }
            StageReport::Metric { name, value, step } => {
                self.journal.record(RunEvent::Metric { instance, name, value, step });
            }
            StageReport::Log { .. } => {}
        }
    }

    fn exited(&mut self, id: InstanceId, exit: Exit) {
        let Some(Running { attempt, .. }) = self.running.remove(&id) else { return };
        if exit == Exit::Success && !self.timed_out.contains(&id) {
            self.workshop.commit(&self.inputs, id, attempt);
            return;
        }
        let tail = self.workshop.abandon(attempt);
        let timeout = self.timed_out.remove(&id).then(|| self.plan().instances[id.index()].timeout).flatten();
        let stopped = self.interrupts > 0 && timeout.is_none();
        if stopped {
            self.counts.interrupted += 1;
            self.journal.record(RunEvent::Interrupted { instance: self.name(id) });
            self.forget(id);
            self.scheduler.stopped(id);
        } else {
            let again = matches!(exit, Exit::Failed { again: true, .. });
            self.failed_try(id, &Failure::of_exit(exit, timeout).with_log(tail), again);
        }
    }

    fn cached(&mut self, id: InstanceId, record: ActionRecord) {
        self.counts.cached += 1;
        self.journal.record(RunEvent::Cached { instance: self.name(id), fingerprint: record.fingerprint });
        self.settle_done(id, record);
    }

    fn finished(&mut self, id: InstanceId, committed: Committed) {
        self.counts.ran += 1;
        let record = committed.record;
        self.journal.record(RunEvent::Finished {
            instance: self.name(id),
            fingerprint: record.fingerprint,
            duration_ms: record.duration_ms,
            undeclared: committed.undeclared,
        });
        self.settle_done(id, record);
    }

    fn settle_done(&mut self, id: InstanceId, record: ActionRecord) {
        let waiters = self.in_flight.remove(&record.fingerprint).map(|(_, waiters)| waiters).unwrap_or_default();
        self.outputs[id.index()] = record.outputs.clone();
        self.scheduler.done(id);
        for waiter in waiters {
            self.cached(waiter, record.clone());
        }
    }

    /// A try came to nothing: another one, if the user or the stage itself asks for it, or failure for good.
    fn failed_try(&mut self, id: InstanceId, failure: &Failure, asked: bool) {
        let attempt = self.tries.get(&id).copied().unwrap_or(1);
        let retries = self.plan().instances[id.index()].retries;
        let retries = if asked { retries.max(MOST_TRIES_ASKED_FOR) } else { retries };
        if attempt <= retries && self.interrupts == 0 {
            self.journal.record(failure.event(self.name(id), attempt, true));
            self.scheduler.enqueue(id);
        } else {
            self.fail(id, failure);
        }
    }

    fn fail(&mut self, id: InstanceId, failure: &Failure) {
        let attempt = self.tries.get(&id).copied().unwrap_or(1);
        self.counts.failed += 1;
        self.journal.record(failure.event(self.name(id), attempt, false));
        let waiters = self.forget(id);
        let mut skipped = self.scheduler.failed(id);
        for waiter in waiters {
            skipped.push(waiter);
            skipped.extend(self.scheduler.failed(waiter));
        }
        self.counts.skipped += skipped.len();
        for instance in skipped {
            self.journal.record(RunEvent::Skipped { instance: self.name(instance), because: self.name(id) });
        }
        if !self.conduct.keep_going {
            self.scheduler.stop_accepting();
        }
    }

    /// Nobody is to wait for the result of `id` any more; returns who did.
    fn forget(&mut self, id: InstanceId) -> Vec<InstanceId> {
        let Some(recipe) = self.recipes.get(&id) else { return Vec::new() };
        self.in_flight.remove(&recipe.fingerprint()).map(|(_, waiters)| waiters).unwrap_or_default()
    }

    fn interrupt(&mut self) {
        self.interrupts += 1;
        let forced = self.interrupts > 1;
        self.journal.record(RunEvent::StopRequested { forced });
        self.scheduler.stop_accepting();
        self.elsewhere.clear();
        let how = if forced { Stop::Now } else { Stop::Gently };
        for id in self.running.keys() {
            self.executor.stop(*id, how);
        }
    }

    fn stop_overdue(&mut self) {
        for (id, running) in &self.running {
            let timeout = self.inputs.plan.instances[id.index()].timeout;
            let overdue = timeout.is_some_and(|timeout| running.started.elapsed() >= timeout);
            if overdue && self.timed_out.insert(*id) {
                self.executor.stop(*id, Stop::Now);
            }
        }
    }

    /// Takes what other processes have made meanwhile, or takes over what they have given up.
    fn look_elsewhere(&mut self) -> Result<(), CacheError> {
        for id in std::mem::take(&mut self.elsewhere) {
            if *self.scheduler.state(id) != State::Elsewhere {
                continue;
            }
            let fingerprint = self.recipes[&id].fingerprint();
            if let Some(claim) = self.workshop.try_claim(&fingerprint)? {
                drop(claim);
                self.scheduler.enqueue(id);
            } else {
                self.elsewhere.push(id);
            }
        }
        Ok(())
    }

    /// What came of the run.
    pub fn conclude(self) -> Dispatched {
        let outcome = match (self.interrupts, self.counts.failed) {
            (0, 0) => Outcome::UpToDate,
            (0, _) => Outcome::Failed,
            _ => Outcome::Interrupted,
        };
        let ids = (0..).map(InstanceId).zip(self.outputs);
        let done = |id| *self.scheduler.state(id) == State::Done;
        let outputs = ids.map(|(id, outputs)| done(id).then_some(outputs)).collect();
        Dispatched { outcome, counts: self.counts, outputs }
    }
}
