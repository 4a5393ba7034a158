//! Disk usage of a cache.

use std::fs;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::fs::freed::Freed;
use crate::fs::list;
use crate::{Cache, CacheError, Digest, Result};

/// One recorded result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UsageEntry {
    /// Its fingerprint.
    pub fingerprint: Digest,
    /// Recipe that it was computed from, in the caller's terms.
    pub recipe: Value,
    /// Bytes of its outputs and log, shared ones included.
    pub bytes: u64,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// Time of completion.
    pub finished_at: Timestamp,
}

/// Disk usage of the store.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Usage {
    /// Recorded results, largest first.
    pub entries: Vec<UsageEntry>,
    /// Number of stored files.
    pub objects: usize,
    /// Bytes of stored files, shared ones counted once.
    pub bytes: u64,
    /// Content of the quarantine, which a collection removes.
    pub quarantine: Freed,
}

impl Cache {
    /// Computes the disk usage of the store.
    pub fn usage(&self) -> Result<Usage> {
        let records = self.records()?;
        let mut entries: Vec<UsageEntry> = records
            .into_iter()
            .map(|record| UsageEntry {
                fingerprint: record.fingerprint,
                bytes: record.artifacts().map(|artifact| artifact.bytes).sum(),
                recipe: record.recipe,
                duration_ms: record.duration_ms,
                finished_at: record.finished_at,
            })
            .collect();
        entries.sort_by(|left, right| right.bytes.cmp(&left.bytes).then(left.fingerprint.cmp(&right.fingerprint)));
        let objects = list::list_sharded(self.root(), "objects")?;
        let sizes =
            objects.iter().map(|path| fs::symlink_metadata(path).map(|data| data.len()).map_err(CacheError::io(path)));
        let bytes = sizes.sum::<Result<u64>>()?;
        Ok(Usage { entries, objects: objects.len(), bytes, quarantine: self.sweep_quarantine(None)? })
    }
}
