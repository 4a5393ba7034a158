//! Which results a run is making, and who else of its instances needs the same ones.

use std::collections::HashMap;
use std::sync::Arc;

use athanor_cache::Digest;

use crate::plan::InstanceId;
use crate::run::state::outputs::Outputs;

/// Results that are being made, by fingerprint.
#[derive(Default)]
pub(super) struct InFlight {
    entries: HashMap<Digest, Entry>,
}

#[derive(Default)]
struct Entry {
    /// Instances that get the result without making it.
    followers: Vec<InstanceId>,
    /// The outputs, once they are stored; the result is still to be recorded.
    stored: Option<Outputs>,
}

/// What an instance finds when it needs a result.
pub(super) enum JoinOutcome {
    /// Nobody is making it.
    NotInFlight,
    /// Somebody is; the instance will be among [`InFlight::stored`]'s.
    Joined,
    /// It is stored already; the instance will be among [`InFlight::finish`]'s.
    Stored(Outputs),
}

impl InFlight {
    /// `id` needs the result of `fingerprint`.
    pub(super) fn join(&mut self, fingerprint: &Digest, id: InstanceId) -> JoinOutcome {
        let Some(entry) = self.entries.get_mut(fingerprint) else { return JoinOutcome::NotInFlight };
        entry.followers.push(id);
        entry.stored.as_ref().map_or(JoinOutcome::Joined, |outputs| JoinOutcome::Stored(Arc::clone(outputs)))
    }

    /// Somebody begins to make the result.
    pub(super) fn begin(&mut self, fingerprint: Digest) {
        self.entries.entry(fingerprint).or_default();
    }

    /// The outputs are stored; returns who has waited for them.
    pub(super) fn stored(&mut self, fingerprint: &Digest, outputs: &Outputs) -> Vec<InstanceId> {
        let Some(entry) = self.entries.get_mut(fingerprint) else { return Vec::new() };
        entry.stored = Some(Arc::clone(outputs));
        entry.followers.clone()
    }

    /// The result is recorded, was found, or will not be made; returns all who followed.
    pub(super) fn finish(&mut self, fingerprint: &Digest) -> Vec<InstanceId> {
        self.entries.remove(fingerprint).map(|entry| entry.followers).unwrap_or_default()
    }
}
