//! Single-flight execution: results that a run is making, and the other instances that need the same ones.

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
    /// Outputs, once they are stored; the result is still to be recorded.
    stored: Option<Outputs>,
}

/// Result of joining work in flight.
pub(super) enum JoinOutcome {
    /// Nobody is making the result.
    NotInFlight,
    /// Another instance is making it; this one will be among [`InFlight::stored`]'s.
    Joined,
    /// It is stored already; this instance will be among [`InFlight::finish`]'s.
    Stored(Outputs),
}

impl InFlight {
    /// Joins the work at `fingerprint`, whose result `id` needs, if it is in flight.
    pub(super) fn join(&mut self, fingerprint: &Digest, id: InstanceId) -> JoinOutcome {
        let Some(entry) = self.entries.get_mut(fingerprint) else { return JoinOutcome::NotInFlight };
        entry.followers.push(id);
        entry.stored.as_ref().map_or(JoinOutcome::Joined, |outputs| JoinOutcome::Stored(Arc::clone(outputs)))
    }

    /// Registers that an instance begins to make the result.
    pub(super) fn begin(&mut self, fingerprint: Digest) {
        self.entries.entry(fingerprint).or_default();
    }

    /// Notes that the outputs are stored; returns who has waited for them.
    pub(super) fn stored(&mut self, fingerprint: &Digest, outputs: &Outputs) -> Vec<InstanceId> {
        let Some(entry) = self.entries.get_mut(fingerprint) else { return Vec::new() };
        entry.stored = Some(Arc::clone(outputs));
        entry.followers.clone()
    }

    /// Removes work whose result is recorded, was found, or will not be made; returns all who followed.
    pub(super) fn finish(&mut self, fingerprint: &Digest) -> Vec<InstanceId> {
        self.entries.remove(fingerprint).map(|entry| entry.followers).unwrap_or_default()
    }
}
