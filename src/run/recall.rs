//! What the last runs of a pipeline found in the cache, in one file: as good as the records it was read from while their files
//! and their outputs are still as they were.

use std::collections::HashMap;

use athanor_cache::{Cache, Digest, OutputRecord, Presence, RecordStamp};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::run::flights::Outputs;
use crate::run::keep::Keep;

const NAME: &str = "recall";

/// Results of a pipeline's instances.
#[derive(Default)]
pub struct Recall {
    /// The newest run that is summed up here.
    last_run: Option<String>,
    /// By instance name: what it computed.
    instances: HashMap<String, Digest>,
    results: HashMap<Digest, Known>,
}

struct Known {
    stamp: RecordStamp,
    outputs: Outputs,
}

#[derive(Serialize, Deserialize)]
struct Written {
    last_run: Option<String>,
    entries: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    instance: String,
    fingerprint: Digest,
    stamp: RecordStamp,
    outputs: Vec<OutputRecord>,
}

impl Recall {
    /// What is kept, without what has changed in the cache since. Records and outputs are looked at, and not read.
    pub fn read(keep: &Keep, cache: &Cache) -> Recall {
        let bytes = keep.read(NAME, &key());
        let Some(written) = bytes.and_then(|bytes| rmp_serde::from_slice::<Written>(&bytes).ok()) else {
            return Recall::default();
        };
        let holds = |entry: &Entry| {
            let there = |output: &OutputRecord| cache.presence(&output.artifact) == Presence::Present;
            cache.record_stamp(&entry.fingerprint) == Some(entry.stamp) && entry.outputs.iter().all(there)
        };
        let entries: Vec<Entry> = written.entries.into_par_iter().filter(holds).collect();
        let mut recall = Recall {
            last_run: written.last_run,
            instances: HashMap::with_capacity(entries.len()),
            results: HashMap::with_capacity(entries.len()),
        };
        for Entry { instance, fingerprint, stamp, outputs } in entries {
            recall.results.insert(fingerprint, Known { stamp, outputs: outputs.into() });
            recall.instances.insert(instance, fingerprint);
        }
        recall
    }

    /// The outputs of a result that is in the cache.
    pub fn outputs(&self, fingerprint: &Digest) -> Option<&Outputs> {
        self.results.get(fingerprint).map(|known| &known.outputs)
    }

    /// Whether this is what the instance came to when it was last heard of.
    pub fn is_current(&self, instance: &str, fingerprint: &Digest) -> bool {
        self.instances.get(instance) == Some(fingerprint)
    }

    /// How many instances are known.
    pub fn instances(&self) -> usize {
        self.instances.len()
    }

    /// Whether it sums up `run`, or whatever came last if that is `None`.
    pub fn is_of(&self, run: Option<&String>) -> bool {
        self.last_run.as_ref() == run
    }

    /// Keeps what a run came to: for each instance its fingerprint and outputs.
    pub fn write<'n>(
        &self,
        keep: &Keep,
        cache: &Cache,
        last_run: Option<String>,
        instances: impl IntoIterator<Item = (&'n str, Digest, &'n Outputs)>,
    ) {
        let entry = |(instance, fingerprint, outputs): (&str, Digest, &Outputs)| {
            let known = self.results.get(&fingerprint).filter(|known| Outputs::ptr_eq(&known.outputs, outputs));
            let known = known.map(|known| known.stamp);
            let stamp = known.or_else(|| cache.record_stamp(&fingerprint))?;
            Some(Entry { instance: instance.to_owned(), fingerprint, stamp, outputs: outputs.to_vec() })
        };
        let entries = instances.into_iter().filter_map(entry).collect();
        if let Ok(bytes) = rmp_serde::to_vec(&Written { last_run, entries }) {
            keep.write(NAME, &key(), &bytes);
        }
    }
}

/// Of the form in which it is kept.
fn key() -> Digest {
    Digest::of(b"athanor recall 1")
}
