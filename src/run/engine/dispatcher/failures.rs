//! Failures: attempts that fail, results that are lost, and attempts that users and timeouts stop.

use std::collections::VecDeque;

use crate::events::RunEvent;
use crate::plan::InstanceId;
use crate::run::attempts::backend::RunBackend;
use crate::run::attempts::failure::Failure;
use crate::run::executor::job::Stop;

use super::Dispatcher;

/// Maximum number of retries that a stage may request: each of them needs half of what the one before needed.
const MAX_REQUESTED_RETRIES: u32 = 20;

impl<W: RunBackend> Dispatcher<'_, W> {
    /// Handles a stored result that cannot be recorded. Results that were made from it stand, but nothing more is begun.
    pub(super) fn commit_failed(&mut self, id: InstanceId, followers: Vec<InstanceId>, refusal: &Failure) {
        let attempt = self.attempts.get(&id).copied().unwrap_or(1);
        for id in std::iter::once(id).chain(followers) {
            self.counts.failed += 1;
            self.journal.record(refusal.event(self.name(id), attempt, false));
            self.lost.insert(id);
        }
        self.scheduler.stop_accepting();
    }

    /// Defers `id`, and what waits for it, to another pass; in that pass it fails instead.
    pub(super) fn defer(&mut self, id: InstanceId, because: String) {
        if self.policy.private_inputs {
            return self.fail(id, &Failure::new(format!("It could not be made: {because}.")));
        }
        let mut left = VecDeque::from([id]);
        left.extend(self.leave_in_flight(id));
        while let Some(id) = left.pop_front() {
            self.journal.record(RunEvent::Deferred { instance: self.name(id), because: because.clone() });
            self.disturbed.push(id);
            // An instance that waited for its turn is deferred with it, and cannot make what others wait for.
            for consumer in self.scheduler.deferred(id) {
                let followers = self.leave_in_flight(consumer);
                left.extend(followers.into_iter().filter(|id| !self.scheduler.state(*id).is_settled()));
            }
        }
    }

    /// Handles a failed attempt: another one, if the user or the stage itself asks for it, or failure for good.
    pub(super) fn attempt_failed(&mut self, id: InstanceId, failure: &Failure, requested: bool) {
        let attempt = self.attempts.get(&id).copied().unwrap_or(1);
        let retries = self.plan().instances[id.index()].retries;
        let retries = if requested { retries.max(MAX_REQUESTED_RETRIES) } else { retries };
        let failures = attempt - self.resumed.get(&id).map_or(0, |resumed| resumed.count);
        if failures <= retries && self.interrupts == 0 {
            self.journal.record(failure.event(self.name(id), attempt, true));
            self.scheduler.enqueue(id);
        } else {
            self.fail(id, failure);
        }
    }

    pub(super) fn fail(&mut self, id: InstanceId, failure: &Failure) {
        let attempt = self.attempts.get(&id).copied().unwrap_or(1);
        self.counts.failed += 1;
        let kept = self.resolved.get(&id).filter(|_| self.plan().instances[id.index()].state);
        let kept = kept.and_then(|resolved| self.backend.kept_state(&resolved.fingerprint));
        let failure = failure.clone().with_state(kept.as_deref(), &self.name(id));
        self.journal.record(failure.event(self.name(id), attempt, false));
        let waiters = self.leave_in_flight(id);
        let skipped = self.scheduler.failed(id);
        self.counts.skipped += skipped.len();
        for instance in &skipped {
            self.journal.record(RunEvent::Skipped { instance: self.name(*instance), because: self.name(id) });
        }
        // It may have begun to wait for its turn before what it reads was lost.
        skipped.into_iter().for_each(|instance| self.hand_on(instance));
        for waiter in waiters {
            // It needs nothing of the other one: both are the same work.
            self.fail(waiter, &Failure::new(format!("It is the same work as `{}`, which failed.", self.name(id))));
        }
        if !self.policy.keep_going {
            self.scheduler.stop_accepting();
        }
    }

    /// Removes the work of `id` from what is in flight; returns who waited for its result.
    pub(super) fn leave_in_flight(&mut self, id: InstanceId) -> Vec<InstanceId> {
        let Some(resolved) = self.resolved.remove(&id) else { return Vec::new() };
        self.in_flight.finish(&resolved.fingerprint)
    }

    /// Goes on after failures from now on, unless one has stopped the run already.
    pub(super) fn keep_going(&mut self) {
        let message = match (self.policy.keep_going, self.scheduler.is_accepting()) {
            (true, _) => return,
            (false, true) => "from now on a failure stops only what depends on it",
            (false, false) => "the run is stopping already; the next one with `--keep-going` goes on after failures",
        };
        self.policy.keep_going = self.scheduler.is_accepting();
        self.journal.record(RunEvent::Notice { message: message.to_owned() });
    }

    pub(super) fn interrupt(&mut self) {
        self.interrupts += 1;
        self.stop(self.interrupts > 1, false);
    }

    /// Starts nothing more, and asks what runs to stop, or kills it.
    pub(super) fn stop(&mut self, forced: bool, out_of_time: bool) {
        self.journal.record(RunEvent::StopRequested { forced, out_of_time });
        self.scheduler.stop_accepting();
        self.elsewhere.clear();
        let how = if forced { Stop::Now } else { Stop::Gently };
        for id in self.running.keys() {
            self.executor.stop(*id, how);
        }
    }

    pub(super) fn stop_overdue(&mut self) {
        for (id, running) in &self.running {
            let timeout = self.inputs.plan.instances[id.index()].timeout;
            let overdue = timeout.zip(running.began).is_some_and(|(timeout, began)| began.elapsed() >= timeout);
            if overdue && self.timed_out.insert(*id) {
                self.executor.stop(*id, Stop::Now);
            }
        }
    }
}
