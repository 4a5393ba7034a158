//! Events of jobs: what attempts report, and how they end.

use std::time::Instant;

use athanor_stages::context::StageReport;

use crate::events::RunEvent;
use crate::plan::{InstanceId, Work};
use crate::run::attempts::backend::{Abandoned, RunBackend};
use crate::run::attempts::failure::Failure;
use crate::run::executor::job::{Exit, JobEvent, Placement, Queued};

use super::{Dispatcher, MAX_STOPS, Running};

impl<W: RunBackend> Dispatcher<'_, W> {
    pub(super) fn job_event(&mut self, event: JobEvent) {
        match event {
            JobEvent::Report(id, report) => self.report(id, report),
            JobEvent::BadReport(id, message) => {
                self.journal.record(RunEvent::Advice { instance: self.name(id), message });
            }
            JobEvent::Queued(id, Queued { job, reason }) => {
                self.journal.record(RunEvent::Queued { instance: self.name(id), job, reason });
            }
            JobEvent::Began(id, placement) => self.began(id, placement),
            JobEvent::Stored(id, made) => {
                if let Some(running) = self.running.get_mut(&id) {
                    self.backend.made(&mut running.attempt, made);
                }
            }
            JobEvent::Notice(message) => self.journal.record(RunEvent::Notice { message }),
            JobEvent::Used(id, used) => {
                if let Some(running) = self.running.get_mut(&id) {
                    self.backend.note_use(&mut running.attempt, used);
                }
            }
            JobEvent::Exited(id, exit) => self.exited(id, exit),
        }
    }

    fn began(&mut self, id: InstanceId, Placement { job, node, ago }: Placement) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let now = Instant::now();
        running.began = Some(now.checked_sub(ago).unwrap_or(now));
        self.backend.note_node(&mut running.attempt, &node);
        self.journal.record(RunEvent::Placed { instance: self.name(id), job, node });
    }

    fn report(&mut self, id: InstanceId, report: StageReport) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let is_for_log = self.backend.note(&mut running.attempt, &report);
        let instance = self.name(id);
        match report {
            StageReport::Progress { done, total, unit } => {
                self.journal.progress(RunEvent::Progress { instance, done, total, unit });
            }
            StageReport::Metric { name, value, step } => {
                let event = RunEvent::Metric { instance, name, value, step };
                if is_for_log { self.journal.record(event) } else { self.journal.show(event) }
            }
            StageReport::Warning { text } => self.journal.record(RunEvent::Warning { instance, text }),
            StageReport::Message { text } => self.journal.record(RunEvent::Message { instance, text }),
            StageReport::Figure { .. } | StageReport::ComputesOn(_) | StageReport::Log { .. } => {}
        }
    }

    fn exited(&mut self, id: InstanceId, exit: Exit) {
        let Some(Running { attempt, .. }) = self.running.remove(&id) else { return };
        if exit == Exit::Success && !self.timed_out.contains(&id) {
            self.storing += 1;
            self.scheduler.worked(id);
            self.journal.record(RunEvent::Storing { instance: self.name(id) });
            self.exited_ok.push((id, attempt));
            return;
        }
        let Abandoned { log_tail, disturbed, denied, dropped_state } = self.backend.abandon(&self.inputs, id, attempt);
        let lost_state = dropped_state.is_some();
        if let Some(message) = dropped_state {
            self.journal.record(RunEvent::Advice { instance: self.name(id), message });
        }
        let timeout = self.timed_out.remove(&id).then(|| self.plan().instances[id.index()].timeout).flatten();
        // A run that ends at a failure lets others finish, and starts nothing again.
        let is_paused = !self.scheduler.is_accepting() && matches!(exit, Exit::Stopped { .. } | Exit::Evicted { .. });
        let stopped = self.interrupts > 0 || is_paused;
        if stopped && timeout.is_none() {
            self.interrupted(id);
        } else if let Some(because) = disturbed.filter(|_| timeout.is_none()) {
            self.defer(id, because);
        } else if lost_state && timeout.is_none() && matches!(exit, Exit::Stopped { .. }) {
            self.attempt_failed(id, &Failure::of_lost_state(), false);
        } else if timeout.is_none() && self.has_stopped_often(id, &exit) {
            self.attempt_failed(id, &Failure::of_many_stops(MAX_STOPS), false);
        } else if timeout.is_none() && self.resumes(id, &exit) {
            self.journal.record(RunEvent::Resuming { instance: self.name(id), attempt: self.attempts[&id] });
            self.scheduler.enqueue(id);
        } else if let (Exit::Evicted { why }, None) = (&exit, timeout) {
            self.resumed.entry(id).or_default().count += 1;
            let (instance, attempt) = (self.name(id), self.attempts[&id]);
            self.journal.record(RunEvent::Evicted { instance, attempt, why: why.clone() });
            self.scheduler.enqueue(id);
        } else {
            let again = exit.wants_retry();
            let failure = Failure::of_exit(exit, timeout).with_help(denied).with_log(log_tail);
            let failure = match &self.plan().instances[id.index()].work {
                Work::Command(command) => {
                    let withheld = self.policy.withheld.get(&id).map_or(&[][..], Vec::as_slice);
                    let failure = if command.container.is_some() { failure.of_container() } else { failure };
                    failure.of_script(&command.line).with_withheld(withheld)
                }
                Work::BuiltIn { .. } => failure,
            };
            self.attempt_failed(id, &failure, again);
        }
    }

    /// Counts an instance as stopped by the run.
    pub(super) fn interrupted(&mut self, id: InstanceId) {
        self.counts.interrupted += 1;
        self.journal.record(RunEvent::Interrupted { instance: self.name(id) });
        self.leave_in_flight(id);
        self.scheduler.stopped(id);
    }

    /// Whether an attempt that ended like this, with a changed state, has done so too often: it may change its state for ever.
    fn has_stopped_often(&self, id: InstanceId, exit: &Exit) -> bool {
        let is_often = self.resumed.get(&id).is_some_and(|resumed| resumed.stops >= MAX_STOPS);
        is_often && matches!(exit, Exit::Stopped { state: Some(_) })
    }

    /// Whether another attempt goes on from the state of one that ended like this, which nobody asked to stop: one that changed
    /// nothing of its state would stop at the same place for ever.
    fn resumes(&mut self, id: InstanceId, exit: &Exit) -> bool {
        let Exit::Stopped { state: Some(state) } = exit else { return false };
        let resumed = self.resumed.entry(id).or_default();
        if resumed.state.replace(*state) == Some(*state) {
            return false;
        }
        resumed.stops += 1;
        resumed.count += 1;
        true
    }
}
