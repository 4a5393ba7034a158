//! Results that may have been computed from damaged content.
//!
//! A damaged file was right when it was stored, or when it was last read whole. Results that read it and were recorded after
//! that may have been computed from the damaged content, and so may all that was computed from such results.

use std::collections::{HashMap, HashSet};

use athanor_cache::{ActionRecord, Cache, CacheError, Damage, Digest};
use serde::{Deserialize, Serialize};

use crate::run::inputs::fingerprint::Recipe;

/// Result that may be wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Suspect {
    /// Instance that first made it.
    pub instance: String,
    /// Fingerprint of the work.
    pub fingerprint: Digest,
    /// Input that was damaged, or was computed from damaged content.
    pub read: String,
    /// Sequence number of its record; made again, the result has another.
    sequence: u64,
}

/// Results that may have been computed from content that is `damaged` now or was found damaged earlier, as long as they are
/// unchanged. They are remembered until they are set aside.
pub(crate) fn remembered(cache: &Cache, damaged: &[Damage]) -> Result<Vec<Suspect>, CacheError> {
    let doubts = cache.suspects();
    let earlier = doubts.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Suspect>(line).ok());
    let mut all: Vec<Suspect> = earlier.chain(suspects(cache, damaged)?).collect();
    let mut seen = HashSet::new();
    all.retain(|suspect| {
        let record = cache.read_record(&suspect.fingerprint).ok().flatten();
        record.is_some_and(|record| record.sequence == suspect.sequence) && seen.insert(suspect.fingerprint)
    });
    let lines = all.iter().filter_map(|suspect| serde_json::to_string(suspect).ok()).map(|line| line + "\n");
    cache.set_suspects(lines.collect::<String>().as_bytes())?;
    Ok(all)
}

/// Sets suspect results aside, so that the next run makes them again.
pub(crate) fn set_aside(cache: &Cache, suspects: &[Suspect]) -> Result<(), CacheError> {
    suspects.iter().try_for_each(|suspect| cache.quarantine_record(&suspect.fingerprint))?;
    cache.set_suspects(&[])
}

/// Results that may have been computed from damaged content, in the order in which they were recorded.
fn suspects(cache: &Cache, damaged: &[Damage]) -> Result<Vec<Suspect>, CacheError> {
    // By digest: the sequence number up to which the content is known to have been right.
    let mut doubtful: HashMap<Digest, u64> = damaged.iter().filter_map(|damage| damage.content).collect();
    if doubtful.is_empty() {
        return Ok(Vec::new());
    }
    let mut records = cache.records()?;
    records.sort_by_key(|record| (record.sequence, record.finished_at));
    let mut suspects = Vec::new();
    for record in records {
        let Some(suspect) = suspect(&record, &doubtful) else { continue };
        suspects.push(suspect);
        for output in &record.outputs {
            // Another result may have the same content, and from a sound source; naming it, too, does no harm.
            doubtful.entry(output.artifact.digest).or_insert(record.sequence.saturating_sub(1));
        }
    }
    Ok(suspects)
}

fn suspect(record: &ActionRecord, doubtful: &HashMap<Digest, u64>) -> Option<Suspect> {
    let recipe: Recipe = serde_json::from_value(record.recipe.clone()).ok()?;
    let is_later = |right: &u64| *right == 0 || record.sequence > *right;
    let mut items = recipe.inputs.iter().flat_map(|input| &input.items);
    let read = items.find(|item| doubtful.get(&item.artifact.digest).is_some_and(is_later))?;
    let instance = record.recipe["instance"].as_str().unwrap_or("?").to_owned();
    let (read, sequence) = (read.from.clone(), record.sequence);
    Some(Suspect { instance, fingerprint: record.fingerprint, read, sequence })
}
