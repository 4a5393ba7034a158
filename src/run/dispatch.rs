//! The heart of a run: alone holds its state, hears what happens, decides with the scheduler what happens next.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use athanor_cache::{Cache, CacheError, Claim, Digest, Lookup};
use athanor_stages::context::StageReport;

use crate::events::{Counts, Outcome, RunEvent};
use crate::plan::{InstanceId, Plan};
use crate::run::attempt::{Attempt, CommitError, Place, Stored};
use crate::run::crew::Crew;
use crate::run::executor::{Executor, Exit, JobEvent, Stop};
use crate::run::failure::{Failure, log_tail};
use crate::run::flights::{Boarding, Flights, Outputs};
use crate::run::journal::Journal;
use crate::run::places::Places;
use crate::run::recall::Recall;
use crate::run::recipe::Resolved;
use crate::run::recorder::{Recorded, Recorder, Unrecorded};
use crate::run::resolve::Inputs;
use crate::run::resources::Allocation;
use crate::run::schedule::{Scheduler, State};

/// How often results that another process is making are looked for.
const POLL: Duration = Duration::from_millis(50);

/// What a run hears.
pub enum Happening {
    /// Something about a job.
    Job(JobEvent),
    /// A finished job's result was stored, or not; the try is over.
    Ended(InstanceId, Box<Ended>),
    /// Results were recorded, or not.
    Recorded(Recorded),
    /// The user asks it to stop.
    Interrupt,
}

/// A try that is over.
pub struct Ended {
    result: Result<Stored, CommitError>,
    claim: Claim,
    folder: Option<PathBuf>,
    /// Its log, if nothing was printed.
    empty_log: Option<PathBuf>,
}

/// How a run is to behave.
#[derive(Debug, Clone, Default)]
pub struct Conduct {
    /// Whether to go on with what does not depend on a failed instance.
    pub keep_going: bool,
    /// Instances to make again even if the cache has them.
    pub force: HashSet<InstanceId>,
}

/// What is known before a run.
pub struct Knowledge<'k> {
    /// Results of earlier runs.
    pub recall: &'k Recall,
    /// Whether it is to be logged, too, that they are still there.
    pub news: bool,
    /// How long each instance is expected to take; asked for if any is to be made.
    pub durations: Box<dyn Fn() -> Vec<f64> + 'k>,
}

/// A run in progress.
pub struct Dispatcher<'a> {
    inputs: Inputs<'a>,
    cache: Arc<Cache>,
    knowledge: Knowledge<'a>,
    /// Whether the scheduler knows how long things take.
    informed: bool,
    scheduler: Scheduler,
    journal: &'a mut Journal,
    conduct: Conduct,
    places: Places,
    executor: Box<dyn Executor>,
    crew: Crew,
    recorder: Recorder,
    happenings: Receiver<Happening>,
    sender: Sender<Happening>,
    outputs: Vec<Outputs>,
    fingerprints: Vec<Option<Digest>>,
    /// What instances that are not settled are to do.
    resolved: HashMap<InstanceId, Resolved>,
    running: HashMap<InstanceId, Attempt>,
    /// How many results are being stored.
    storing: usize,
    /// How many are stored and not yet recorded.
    unrecorded: usize,
    /// Instances whose result was stored and could not be recorded.
    lost: HashSet<InstanceId>,
    flights: Flights,
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
    pub outputs: Vec<Option<Outputs>>,
    /// Fingerprints by instance, as far as known.
    pub fingerprints: Vec<Option<Digest>>,
}

impl<'a> Dispatcher<'a> {
    /// A run that has not begun.
    #[expect(clippy::too_many_arguments, reason = "everything that a run consists of, once")]
    pub fn new(
        inputs: Inputs<'a>,
        cache: Arc<Cache>,
        knowledge: Knowledge<'a>,
        scheduler: Scheduler,
        journal: &'a mut Journal,
        (conduct, places): (Conduct, Places),
        (executor, crew): (Box<dyn Executor>, Crew),
        (sender, happenings): (Sender<Happening>, Receiver<Happening>),
    ) -> Self {
        let count = inputs.plan.instances.len();
        let outputs = vec![Outputs::from([]); count];
        let heard = sender.clone();
        // Nobody listens only when the whole run ends early.
        let recorder =
            Recorder::start(Arc::clone(&cache), move |recorded| drop(heard.send(Happening::Recorded(recorded))));
        Dispatcher {
            inputs,
            cache,
            knowledge,
            informed: false,
            scheduler,
            journal,
            conduct,
            places,
            executor,
            crew,
            recorder,
            happenings,
            sender,
            outputs,
            fingerprints: vec![None; count],
            resolved: HashMap::new(),
            running: HashMap::new(),
            storing: 0,
            unrecorded: 0,
            lost: HashSet::new(),
            flights: Flights::default(),
            elsewhere: Vec::new(),
            tries: HashMap::new(),
            timed_out: HashSet::new(),
            interrupts: 0,
            counts: Counts::default(),
        }
    }

    /// Runs until every instance is settled.
    pub fn run(mut self) -> Result<Dispatched, CacheError> {
        loop {
            self.settle_ready()?;
            self.start_what_fits()?;
            if self.running.is_empty() && self.storing == 0 && self.unrecorded > 0 {
                self.recorder.hurry();
            } else if self.scheduler.is_finished() && self.storing == 0 && self.unrecorded == 0 {
                break;
            }
            self.journal.flush();
            match self.happenings.recv_timeout(self.patience()) {
                Ok(happening) => self.hear(happening),
                Err(RecvTimeoutError::Timeout) => self.journal.tick(),
                Err(RecvTimeoutError::Disconnected) => unreachable!("this dispatcher holds a sender itself"),
            }
            while let Ok(happening) = self.happenings.try_recv() {
                self.hear(happening);
            }
            self.stop_overdue();
            self.look_elsewhere()?;
        }
        Ok(self.conclude())
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
            let fingerprint = match self.inputs.fingerprint(id, |producer| &*self.outputs[producer.index()]) {
                Ok(fingerprint) => fingerprint,
                Err(unwritten) => {
                    self.fail(id, &Failure::new(unwritten.to_string()));
                    continue;
                }
            };
            self.fingerprints[id.index()] = Some(fingerprint);
            match self.flights.board(&fingerprint, id) {
                Boarding::Nobody => {}
                Boarding::Waits => {
                    self.scheduler.made_elsewhere(id);
                    continue;
                }
                Boarding::Stored(outputs) => {
                    self.settle(id, outputs);
                    continue;
                }
            }
            if !self.conduct.force.contains(&id)
                && let Some(outputs) = self.look_up(&fingerprint)?
            {
                self.cached(id, fingerprint, &outputs);
                continue;
            }
            match self.inputs.recipe(id, |producer| &*self.outputs[producer.index()]) {
                Ok(recipe) => self.enqueue(id, Resolved { recipe, fingerprint }),
                Err(unwritten) => self.fail(id, &Failure::new(unwritten.to_string())),
            }
        }
        Ok(())
    }

    /// The outputs of a result that is in the cache.
    fn look_up(&self, fingerprint: &Digest) -> Result<Option<Outputs>, CacheError> {
        if let Some(outputs) = self.knowledge.recall.outputs(fingerprint) {
            return Ok(Some(Arc::clone(outputs)));
        }
        Ok(match self.cache.lookup(fingerprint)? {
            Lookup::Hit(record) => Some(record.outputs.into()),
            Lookup::Incomplete { .. } | Lookup::Miss => None,
        })
    }

    fn enqueue(&mut self, id: InstanceId, resolved: Resolved) {
        if !self.informed {
            self.scheduler.expect(&(self.knowledge.durations)());
            self.informed = true;
        }
        self.flights.begin(resolved.fingerprint);
        self.resolved.insert(id, resolved);
        self.scheduler.enqueue(id);
    }

    fn start_what_fits(&mut self) -> Result<(), CacheError> {
        while let Some((id, allocation)) = self.scheduler.next_start() {
            let fingerprint = self.resolved[&id].fingerprint;
            let Some(claim) = self.cache.try_claim(&fingerprint)? else {
                self.scheduler.made_elsewhere(id);
                self.journal.record(RunEvent::Waiting { instance: self.name(id) });
                self.elsewhere.push(id);
                continue;
            };
            // Between the first look and the claim another process may have finished it.
            if !self.conduct.force.contains(&id)
                && let Lookup::Hit(record) = self.cache.lookup(&fingerprint)?
            {
                drop(claim);
                self.cached(id, fingerprint, &record.outputs.into());
                self.settle_ready()?;
                continue;
            }
            let number = self.tries.get(&id).copied().unwrap_or(0) + 1;
            self.tries.insert(id, number);
            let log = format!("logs/{}.{number}.log", id.0);
            let made = self.journal.make_folder();
            made.map_err(|source| CacheError::Io { path: self.journal.folder().to_owned(), source })?;
            let place = Place {
                folder: self.places.folder()?,
                log: self.places.log(self.journal.folder().join(&log)),
                number,
                anew: self.conduct.force.contains(&id),
            };
            let resolved = self.resolved[&id].clone();
            match Attempt::prepare(&self.cache, &self.inputs, id, resolved, claim, place) {
                Ok(attempt) => self.start(id, attempt, &allocation, log),
                Err(error) => self.fail(id, &Failure::new(error.to_string())),
            }
        }
        Ok(())
    }

    fn start(&mut self, id: InstanceId, attempt: Attempt, allocation: &Allocation, log: String) {
        self.journal.record(RunEvent::Started {
            instance: self.name(id),
            fingerprint: attempt.fingerprint,
            attempt: attempt.number,
            cpus: allocation.cpus,
            gpus: allocation.gpus.clone(),
            log,
        });
        let job = attempt.job(&self.cache, &self.inputs, &self.plan().instances[id.index()], allocation);
        self.running.insert(id, attempt);
        self.executor.start(job);
    }

    fn hear(&mut self, happening: Happening) {
        match happening {
            Happening::Job(JobEvent::Report(id, report)) => self.report(id, report),
            Happening::Job(JobEvent::Exited(id, exit)) => self.exited(id, exit),
            Happening::Ended(id, ended) => self.ended(id, *ended),
            Happening::Recorded(recorded) => self.recorded(recorded),
            Happening::Interrupt => self.interrupt(),
        }
    }

    fn report(&mut self, id: InstanceId, report: StageReport) {
        let Some(attempt) = self.running.get_mut(&id) else { return };
        attempt.note(&report);
        let instance = self.inputs.plan.instances[id.index()].name.clone();
        match report {
            StageReport::Progress { done, total, unit } => {
                self.journal.progress(RunEvent::Progress { instance, done, total, unit });
            }
            StageReport::Metric { name, value, step } => {
                self.journal.record(RunEvent::Metric { instance, name, value, step });
            }
            StageReport::Log { line } => append_line(&attempt.log, &line),
        }
    }

    fn exited(&mut self, id: InstanceId, exit: Exit) {
        let Some(attempt) = self.running.remove(&id) else { return };
        if exit == Exit::Success && !self.timed_out.contains(&id) {
            // Hashing large outputs takes a while, during which other stages want to be heard.
            let (cache, sender) = (Arc::clone(&self.cache), self.sender.clone());
            let instance = self.plan().instances[id.index()].clone();
            let project = self.inputs.project.to_owned();
            let read: Vec<String> = self.inputs.paths_read(id).into_iter().map(str::to_owned).collect();
            self.storing += 1;
            self.crew.run(move || {
                let result = attempt.store(&cache, &instance, &project, &read);
                let empty_log = (result.is_ok() && attempt.is_silent()).then(|| attempt.log.clone());
                let (claim, folder) = attempt.end();
                // Nobody listens only when the whole process ends.
                let _ = sender.send(Happening::Ended(id, Box::new(Ended { result, claim, folder, empty_log })));
            });
            return;
        }
        let timeout = self.timed_out.remove(&id).then(|| self.plan().instances[id.index()].timeout).flatten();
        let stopped = self.interrupts > 0 && timeout.is_none();
        let tail = log_tail(&attempt.log);
        let (claim, folder) = attempt.end();
        drop(claim);
        self.places.vacate(folder, None);
        if stopped {
            self.counts.interrupted += 1;
            self.journal.record(RunEvent::Interrupted { instance: self.name(id) });
            self.forget(id);
            self.scheduler.stopped(id);
        } else {
            self.failed_try(id, &Failure::of_exit(exit, timeout).with_log(tail));
        }
    }

    /// The result of `id` is in the cache, and so is that of all who waited for it.
    fn cached(&mut self, id: InstanceId, fingerprint: Digest, outputs: &Outputs) {
        for id in std::iter::once(id).chain(self.flights.landed(&fingerprint)) {
            self.note_cached(id, fingerprint);
            self.settle(id, Arc::clone(outputs));
        }
    }

    fn note_cached(&mut self, id: InstanceId, fingerprint: Digest) {
        self.counts.cached += 1;
        let instance = &self.inputs.plan.instances[id.index()].name;
        let news = self.knowledge.news || !self.knowledge.recall.is_current(instance, &fingerprint);
        let event = RunEvent::Cached { instance: instance.clone(), fingerprint };
        if news { self.journal.record(event) } else { self.journal.show(event) }
    }

    fn settle(&mut self, id: InstanceId, outputs: Outputs) {
        self.outputs[id.index()] = outputs;
        self.resolved.remove(&id);
        self.scheduler.done(id);
    }

    /// What a try made is stored, so that others can read it; it is finished when it is recorded.
    fn ended(&mut self, id: InstanceId, ended: Ended) {
        self.storing -= 1;
        self.places.vacate(ended.folder, ended.empty_log);
        let stored = match ended.result {
            Ok(stored) => stored,
            Err(error) => {
                drop(ended.claim);
                return self.failed_try(id, &Failure::new(error.to_string()));
            }
        };
        self.journal.record(RunEvent::Stored { instance: self.name(id) });
        let outputs = Outputs::from(stored.record.outputs.as_slice());
        let followers = self.flights.stored(&stored.record.fingerprint, &outputs);
        for id in std::iter::once(id).chain(followers) {
            self.settle(id, Arc::clone(&outputs));
        }
        self.unrecorded += 1;
        self.recorder.record(Unrecorded { id, stored, _claim: ended.claim });
    }

    fn recorded(&mut self, recorded: Recorded) {
        let refusal = recorded.refusal.map(|error| Failure::new(format!("Its result cannot be recorded: {error}")));
        for (id, stored) in recorded.results {
            self.unrecorded -= 1;
            let fingerprint = stored.record.fingerprint;
            let followers = self.flights.landed(&fingerprint);
            if let Some(refusal) = &refusal {
                self.lose(id, followers, refusal);
                continue;
            }
            self.counts.ran += 1;
            self.journal.record(RunEvent::Finished {
                instance: self.name(id),
                fingerprint,
                duration_ms: stored.record.duration_ms,
                undeclared: stored.undeclared,
            });
            followers.into_iter().for_each(|id| self.note_cached(id, fingerprint));
        }
    }

    /// The stored result of `id` cannot be recorded. What was made from it stands, but nothing more is begun.
    fn lose(&mut self, id: InstanceId, followers: Vec<InstanceId>, refusal: &Failure) {
        let attempt = self.tries.get(&id).copied().unwrap_or(1);
        for id in std::iter::once(id).chain(followers) {
            self.counts.failed += 1;
            self.journal.record(refusal.event(self.name(id), attempt, false));
            self.lost.insert(id);
        }
        self.scheduler.stop_accepting();
    }

    /// A try came to nothing: another one, or failure for good.
    fn failed_try(&mut self, id: InstanceId, failure: &Failure) {
        let attempt = self.tries.get(&id).copied().unwrap_or(1);
        if attempt <= self.plan().instances[id.index()].retries && self.interrupts == 0 {
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
        let Some(resolved) = self.resolved.get(&id) else { return Vec::new() };
        self.flights.landed(&resolved.fingerprint)
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
        for (id, attempt) in &self.running {
            let timeout = self.inputs.plan.instances[id.index()].timeout;
            let overdue = timeout.is_some_and(|timeout| attempt.started.elapsed() >= timeout);
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
            let fingerprint = self.resolved[&id].fingerprint;
            if let Some(claim) = self.cache.try_claim(&fingerprint)? {
                drop(claim);
                self.scheduler.enqueue(id);
            } else {
                self.elsewhere.push(id);
            }
        }
        Ok(())
    }

    fn conclude(self) -> Dispatched {
        let outcome = match (self.interrupts, self.counts.failed) {
            (0, 0) => Outcome::UpToDate,
            (0, _) => Outcome::Failed,
            _ => Outcome::Interrupted,
        };
        let ids = (0..).map(InstanceId).zip(self.outputs);
        let done = |id| *self.scheduler.state(id) == State::Done && !self.lost.contains(&id);
        let outputs = ids.map(|(id, outputs)| done(id).then_some(outputs)).collect();
        Dispatched { outcome, counts: self.counts, outputs, fingerprints: self.fingerprints }
    }
}

fn append_line(log: &std::path::Path, line: &str) {
    use std::io::Write;
    let file = std::fs::File::options().append(true).create(true).open(log);
    // A log that cannot be written loses a line, not a stage.
    let _ = file.and_then(|mut file| writeln!(file, "{line}"));
}
