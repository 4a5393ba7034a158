//! The run's time: instances that would not end in it, the request to stop when it is nearly over, and the pass's outcome.

use std::time::{Duration, Instant};

use crate::events::{Outcome, RunEvent};
use crate::plan::InstanceId;
use crate::run::attempts::backend::RunBackend;
use crate::run::engine::scheduler::State;

use super::Dispatcher;

impl<W: RunBackend> Dispatcher<'_, W> {
    /// Reason not to start an instance now, in a run whose time is limited.
    pub(super) fn refusal(&self, id: InstanceId) -> Option<String> {
        let limit = self.policy.time_limit.as_ref()?;
        limit.refusal(&self.plan().instances[id.index()], Instant::now())
    }

    /// Leaves an instance, all that waits for its result, and what reads from them to a later run.
    pub(super) fn leave(&mut self, id: InstanceId, because: &str) {
        self.has_left = true;
        let followers = self.leave_in_flight(id);
        for id in std::iter::once(id).chain(followers) {
            self.journal.record(RunEvent::Left { instance: self.name(id), because: because.to_owned() });
            self.scheduler.left(id);
        }
    }

    pub(super) fn learn_duration(&mut self, id: InstanceId, milliseconds: u64) {
        if let Some(limit) = &mut self.policy.time_limit {
            limit.learn(&self.inputs.plan.instances[id.index()], Duration::from_millis(milliseconds));
        }
    }

    /// Asks running stages to stop when the time is nearly over, and kills those that have not stopped at its end. Results that are
    /// being stored need no time of stages.
    pub(super) fn watch_time(&mut self) {
        let Some(limit) = &self.policy.time_limit else { return };
        let now = Instant::now();
        let forced = now >= limit.ends.kill;
        let is_working = self.scheduler.unsettled() > self.storing;
        // An interrupt may have come first.
        let level = 1 + u32::from(forced);
        if now >= limit.ends.stop && is_working && self.interrupts < level {
            self.interrupts = level;
            self.out_of_time = true;
            self.stop(forced, true);
        }
    }

    /// Outcome of the pass, all of whose instances are settled.
    pub(super) fn outcome(&self) -> Outcome {
        let ids = (0..).map(InstanceId).take(self.fingerprints.len());
        let is_complete =
            || ids.into_iter().all(|id| matches!(self.scheduler.state(id), State::Done | State::Unwanted));
        let is_stopped = self.interrupts > 0 && !(self.out_of_time && is_complete());
        match (is_stopped, self.counts.failed) {
            (true, _) => Outcome::Interrupted,
            (false, 0) if self.has_left => Outcome::Interrupted,
            (false, 0) => Outcome::UpToDate,
            (false, _) => Outcome::Failed,
        }
    }

    /// Instances that were not started, since the pass stopped.
    pub(super) fn not_started(&self) -> Vec<InstanceId> {
        let ids = (0..).map(InstanceId).take(self.fingerprints.len());
        let is_stopped = |id: &InstanceId| *self.scheduler.state(*id) == State::Stopped;
        ids.filter(|id| is_stopped(id) && !self.attempts.contains_key(id)).collect()
    }
}
