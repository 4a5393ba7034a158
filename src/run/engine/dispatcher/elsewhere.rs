//! Results that are elsewhere: answers to questions about them, and their bytes as far as stages need them.

use athanor_cache::Digest;

use crate::plan::InstanceId;
use crate::run::attempts::backend::RunBackend;
use crate::run::engine::scheduler::State;
use crate::run::state::outputs::Outputs;

use super::Dispatcher;

impl<W: RunBackend> Dispatcher<'_, W> {
    /// Handles the answer about a result that was not here. Until it came, the instance was neither queued nor settled; meanwhile it
    /// may have been deferred, and the run may have stopped.
    pub(super) fn answered(&mut self, id: InstanceId, fingerprint: Digest, outputs: Option<Outputs>) {
        let mut waiting = vec![id];
        waiting.extend(self.in_flight.finish(&fingerprint));
        waiting.retain(|id| self.waits(*id));
        let Some(outputs) = outputs else { return self.all_missed(&waiting, fingerprint) };
        for id in waiting {
            self.note_cached(id, fingerprint);
            self.settle(id, Outputs::clone(&outputs));
        }
    }

    /// Queues an instance, all of whose inputs are here now; one whose inputs did not come is left to the next pass, which makes
    /// them.
    pub(super) fn fetched(&mut self, id: InstanceId, all: bool) {
        if !self.waits(id) {
            self.hand_on(id);
        } else if all {
            self.enqueue(id);
        } else {
            self.defer(id, "the remote cache did not give what it reads".to_owned());
        }
    }

    /// Has another one make the result that `id` was to make, which was settled without it: one of those who wait for it.
    pub(super) fn hand_on(&mut self, id: InstanceId) {
        let Some(fingerprint) = self.resolved.get(&id).map(|resolved| resolved.fingerprint) else { return };
        let mut waiting = self.leave_in_flight(id);
        waiting.retain(|id| self.waits(*id));
        self.all_missed(&waiting, fingerprint);
    }

    /// Whether an instance still waits for an answer, for bytes, or for another one that does.
    fn waits(&self, id: InstanceId) -> bool {
        matches!(self.scheduler.state(id), State::Ready | State::Elsewhere)
    }

    /// Has the first of these instances make a result that is nowhere, for all of them.
    fn all_missed(&mut self, waiting: &[InstanceId], fingerprint: Digest) {
        let Some((first, followers)) = waiting.split_first() else { return };
        self.missed(*first, fingerprint);
        for follower in followers {
            self.in_flight.join(&fingerprint, *follower);
        }
    }
}
