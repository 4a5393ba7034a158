//! Which results a run is making, and who else of its instances needs the same ones.

use std::collections::HashMap;
use std::sync::Arc;

use athanor_cache::{Digest, OutputRecord};

use crate::plan::InstanceId;

/// Outputs of an instance, shared between all who need them.
pub type Outputs = Arc<[OutputRecord]>;

/// Results that are being made, by fingerprint.
#[derive(Default)]
pub struct Flights {
    under_way: HashMap<Digest, Flight>,
}

#[derive(Default)]
struct Flight {
    /// Instances that get the result without making it.
    followers: Vec<InstanceId>,
    /// The outputs, once they are stored; the result is still to be recorded.
    stored: Option<Outputs>,
}

/// What an instance finds when it needs a result.
pub enum Boarding {
    /// Nobody is making it.
    Nobody,
    /// Somebody is; the instance will be among [`Flights::stored`]'s.
    Waits,
    /// It is stored already; the instance will be among [`Flights::landed`]'s.
    Stored(Outputs),
}

impl Flights {
    /// `id` needs the result of `fingerprint`.
    pub fn board(&mut self, fingerprint: &Digest, id: InstanceId) -> Boarding {
        let Some(flight) = self.under_way.get_mut(fingerprint) else { return Boarding::Nobody };
        flight.followers.push(id);
        flight.stored.as_ref().map_or(Boarding::Waits, |outputs| Boarding::Stored(Arc::clone(outputs)))
    }

    /// Somebody begins to make the result.
    pub fn begin(&mut self, fingerprint: Digest) {
        self.under_way.entry(fingerprint).or_default();
    }

    /// The outputs are stored; returns who has waited for them.
    pub fn stored(&mut self, fingerprint: &Digest, outputs: &Outputs) -> Vec<InstanceId> {
        let Some(flight) = self.under_way.get_mut(fingerprint) else { return Vec::new() };
        flight.stored = Some(Arc::clone(outputs));
        flight.followers.clone()
    }

    /// The result is recorded, was found, or will not be made; returns all who followed.
    pub fn landed(&mut self, fingerprint: &Digest) -> Vec<InstanceId> {
        self.under_way.remove(fingerprint).map(|flight| flight.followers).unwrap_or_default()
    }
}
