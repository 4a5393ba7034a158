//! The passes of a run: one over everything, and another one over what was disturbed or lost on the way.
//!
//! A stage that changes what it was only to read spoils it for others. Attempts that may have read it then, and results that lost
//! a stored output, are made again in a second pass, in which every attempt has copies of its own to read.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use athanor_cache::{CacheError, Presence};

use crate::events::{Counts, Outcome, RunEvent};
use crate::plan::{Instance, InstanceId};
use crate::run::crew::Crew;
use crate::run::dispatch::{Conduct, Dispatched, Dispatcher, Happening};
use crate::run::flights::Outputs;
use crate::run::journal::Journal;
use crate::run::local::{LocalExecutor, LocalSettings};
use crate::run::places::Places;
use crate::run::recall::{Recall, Settled};
use crate::run::resolve::Inputs;
use crate::run::resources::Capacity;
use crate::run::schedule::{Scheduler, Task};
use crate::run::session::Session;
use crate::run::workshop::OnDisk;

/// What all passes of a run have in common.
pub struct Passes<'r> {
    /// What the run is about.
    pub session: &'r Session<'r>,
    /// What the last run found, and whether the history may contradict that.
    pub recall: (&'r Recall, bool),
    /// What the run may use.
    pub capacity: Capacity,
    /// How stages are run as processes.
    pub local: LocalSettings,
    /// Whether to go on with what does not depend on a failed instance.
    pub keep_going: bool,
    /// The run's identifier.
    pub run: String,
    /// The run's folder, for logs.
    pub logs: PathBuf,
    /// For who tells the run of something.
    pub sender: Sender<Happening>,
    /// What the run is told.
    pub happenings: Receiver<Happening>,
}

impl Passes<'_> {
    /// Brings everything up to date but what is `known` to be.
    pub fn first(
        &mut self,
        inputs: Inputs<'_>,
        known: Vec<Option<Settled>>,
        force: HashSet<InstanceId>,
        journal: &mut Journal,
    ) -> Result<Dispatched, CacheError> {
        let wanted = self.session.wanted.iter().copied().filter(|id| known[id.index()].is_none()).collect();
        let conduct = self.conduct(force, false);
        let scheduler = Scheduler::new(&self.tasks(&wanted), &self.session.plan.order(), &self.capacity);
        let mut dispatcher = self.dispatcher(inputs, self.recall, scheduler, journal, conduct);
        dispatcher.take_as_known(known);
        dispatcher.run(&self.happenings)
    }

    /// Makes again what the first pass left to this one and, if it is to look for that, what was made and lost since. Returns
    /// what came of both.
    pub fn second(
        &mut self,
        inputs: Inputs<'_>,
        first: Dispatched,
        force: HashSet<InstanceId>,
        look_for_lost: bool,
        journal: &mut Journal,
    ) -> Result<Dispatched, CacheError> {
        let mut made = settled(&first);
        if look_for_lost {
            self.drop_lost(&mut made);
        }
        let is_left = |id: &InstanceId| made[id.index()].is_none() && first.outputs[id.index()].is_some();
        let lost = self.session.wanted.iter().copied().filter(is_left);
        let stopped = first.outcome == Outcome::Failed && !self.keep_going;
        let deferred = if stopped { &first.disturbed } else { &first.deferred };
        let left: HashSet<InstanceId> = lost.chain(deferred.iter().copied()).collect();
        if left.is_empty() || first.outcome == Outcome::Interrupted {
            return Ok(first);
        }
        let (wanted, skipped) = self.possible(&left, &made, journal);
        let force = force.into_iter().filter(|id| first.deferred.contains(id)).collect();
        let conduct = self.conduct(force, true);
        let scheduler = Scheduler::new(&self.tasks(&wanted), &self.session.plan.order(), &self.capacity);
        // What was there when the run began may be gone.
        let nothing = Recall::default();
        let mut dispatcher = self.dispatcher(inputs, (&nothing, true), scheduler, journal, conduct);
        dispatcher.take_as_made(made);
        let second = dispatcher.run(&self.happenings)?;
        let mut counts = sum(&first.counts, &second.counts);
        counts.skipped += skipped;
        let outcome = if first.outcome == Outcome::Failed && second.outcome == Outcome::UpToDate {
            Outcome::Failed
        } else {
            second.outcome
        };
        Ok(Dispatched { outcome, counts, ..second })
    }

    /// Takes those results out of `made` that lost an output.
    fn drop_lost(&self, made: &mut [Option<Settled>]) {
        let cache = &self.session.project.cache;
        for result in made.iter_mut() {
            let is_lost = |settled: &Settled| {
                settled.outputs.iter().any(|output| cache.presence(&output.artifact) != Presence::Present)
            };
            if result.as_ref().is_some_and(is_lost) {
                *result = None;
            }
        }
    }

    /// Those of `left` that can be made, since all they read from is made or can be; how many cannot.
    fn possible(
        &self,
        left: &HashSet<InstanceId>,
        made: &[Option<Settled>],
        journal: &mut Journal,
    ) -> (HashSet<InstanceId>, usize) {
        let (plan, mut possible, mut skipped) = (self.session.plan, HashSet::new(), 0);
        for id in self.session.wanted.iter().copied().filter(|id| left.contains(id)) {
            let is_there = |producer: &InstanceId| made[producer.index()].is_some() || possible.contains(producer);
            match plan.producers(id).find(|producer| !is_there(producer)) {
                None => {
                    possible.insert(id);
                }
                Some(missing) => {
                    skipped += 1;
                    let name = |id: InstanceId| plan.instances[id.index()].name.clone();
                    journal.record(RunEvent::Skipped { instance: name(id), because: name(missing) });
                }
            }
        }
        (possible, skipped)
    }

    fn conduct(&self, force: HashSet<InstanceId>, private_inputs: bool) -> Conduct {
        Conduct { keep_going: self.keep_going, force, logs: self.logs.clone(), private_inputs }
    }

    fn dispatcher<'d>(
        &'d self,
        inputs: Inputs<'d>,
        recall: (&'d Recall, bool),
        scheduler: Scheduler,
        journal: &'d mut Journal,
        conduct: Conduct,
    ) -> Dispatcher<'d, OnDisk<'d>> {
        let listener = self.sender.clone();
        let listener = Arc::new(move |event| drop(listener.send(Happening::Job(event))));
        let crew = Crew::default();
        let executor = LocalExecutor::new(self.local.clone(), listener, crew.clone());
        let cache = Arc::clone(&self.session.project.cache);
        let places = Places::new(Arc::clone(&cache), self.run.clone());
        let workshop = OnDisk::new(cache, recall, places, crew, self.sender.clone());
        let durations = Box::new(|| self.session.expected_durations());
        Dispatcher::new(inputs, workshop, scheduler, journal, conduct, Box::new(executor), durations)
    }

    /// What is to be scheduled; all that `wanted` instances read from is made or wanted too.
    fn tasks(&self, wanted: &HashSet<InstanceId>) -> Vec<Task> {
        let task = |instance: &Instance| Task {
            producers: self.session.plan.producers(instance.id).filter(|id| wanted.contains(id)).collect(),
            resources: instance.resources.clone(),
            wanted: wanted.contains(&instance.id),
        };
        self.session.plan.instances.iter().map(task).collect()
    }
}

/// The results of a pass, by instance.
fn settled(pass: &Dispatched) -> Vec<Option<Settled>> {
    let both = pass.outputs.iter().zip(&pass.fingerprints);
    let settled = both.map(|(outputs, fingerprint)| {
        Some(Settled { fingerprint: (*fingerprint)?, outputs: Outputs::clone(outputs.as_ref()?) })
    });
    settled.collect()
}

fn sum(one: &Counts, other: &Counts) -> Counts {
    Counts {
        ran: one.ran + other.ran,
        cached: one.cached + other.cached,
        failed: one.failed + other.failed,
        skipped: one.skipped + other.skipped,
        interrupted: one.interrupted + other.interrupted,
        not_started: one.not_started + other.not_started,
    }
}
