//! What was computed: from a fingerprint to the digests of its outputs.

use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::look::Stamp;
use crate::store::action_name;
use crate::{Artifact, Cache, CacheError, Digest, Presence, Result, Unsynced, hash_value};

/// One output of a recorded result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputRecord {
    /// The port's name.
    pub name: String,
    /// The file or folder name the stage wrote it under.
    pub file: String,
    /// Its content.
    pub artifact: Artifact,
}

/// What a fingerprint's work came to. Written last, whole, and not changed afterwards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionRecord {
    /// What was computed.
    pub fingerprint: Digest,
    /// All that the fingerprint was made of, in the caller's own terms.
    pub recipe: Value,
    /// What came out.
    pub outputs: Vec<OutputRecord>,
    /// Figures reported on the way.
    pub metrics: Map<String, Value>,
    /// What the stage printed.
    pub log: Option<Artifact>,
    /// How long it took.
    pub duration_ms: u64,
    /// When it was done.
    pub finished_at: Timestamp,
    /// Name and version of the program that did it.
    pub program: String,
}

/// What the cache knows of a fingerprint.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    /// The result and all its outputs are there.
    Hit(ActionRecord),
    /// The result was there, but the named outputs are missing or damaged.
    Incomplete {
        /// The record.
        record: ActionRecord,
        /// Names of outputs.
        lost: Vec<String>,
    },
    /// Nothing.
    Miss,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    seal: Digest,
    record: Value,
}

const SEAL_DOMAIN: &str = "athanor action 1";

/// A record as it is written: JSON in one line, with a checksum.
#[derive(Debug, Clone)]
pub struct SealedRecord {
    fingerprint: Digest,
    pub(crate) line: Vec<u8>,
}

impl ActionRecord {
    /// The record as it is to be written.
    pub fn seal(&self) -> serde_json::Result<SealedRecord> {
        let record = serde_json::to_value(self)?;
        let line = serde_json::to_vec(&Sealed { seal: hash_value(SEAL_DOMAIN, &record), record })?;
        Ok(SealedRecord { fingerprint: self.fingerprint, line })
    }

    /// The record that was written; `None` if it is not as it was.
    pub(crate) fn unsealed(bytes: &[u8]) -> Option<ActionRecord> {
        let sealed: Sealed = serde_json::from_slice(bytes).ok()?;
        if hash_value(SEAL_DOMAIN, &sealed.record) != sealed.seal {
            return None;
        }
        serde_json::from_value(sealed.record).ok()
    }
}

impl Cache {
    /// Records a result whose outputs have been ingested. Replaces an earlier record of the same fingerprint.
    pub fn record(&self, record: &ActionRecord) -> Result<()> {
        let sealed = record.seal().map_err(|error| CacheError::io(self.root())(error.into()))?;
        self.record_all([(&sealed, &Unsynced::default())])
    }

    /// Records results, bringing first what belongs to them and then the records safely to disk: many at once wait for the
    /// device as long as one.
    pub fn record_all<'r>(
        &self,
        results: impl IntoIterator<Item = (&'r SealedRecord, &'r Unsynced)> + Clone,
    ) -> Result<()> {
        let objects = results.clone().into_iter().flat_map(|(_, unsynced)| unsynced.0.iter().cloned());
        self.sync(&objects.collect::<Vec<_>>())?;
        let records = results.into_iter().map(|(record, _)| self.write_record(record));
        self.sync(&records.collect::<Result<Vec<_>>>()?)
    }

    /// Writes a record, not yet safe from a power cut; returns its path.
    fn write_record(&self, record: &SealedRecord) -> Result<PathBuf> {
        let path = self.action_path(&record.fingerprint);
        self.disk.write_unsynced(&path, &record.line)?;
        Ok(path)
    }

    /// The record of a fingerprint, whether or not its outputs are still there. A damaged record is moved to quarantine and
    /// counts as none.
    pub fn read_record(&self, fingerprint: &Digest) -> Result<Option<ActionRecord>> {
        let path = self.action_path(fingerprint);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(CacheError::io(&path)(error)),
        };
        let record = ActionRecord::unsealed(&bytes);
        let record = record.filter(|record| record.fingerprint == *fingerprint);
        if record.is_none() {
            self.quarantine(&path)?;
        }
        Ok(record)
    }

    /// The stamp of a fingerprint's record; `None` if there is none.
    pub fn record_stamp(&self, fingerprint: &Digest) -> Option<Stamp> {
        self.glance.stamp(&action_name(fingerprint))
    }

    /// What can be served for a fingerprint.
    pub fn lookup(&self, fingerprint: &Digest) -> Result<Lookup> {
        let Some(record) = self.read_record(fingerprint)? else { return Ok(Lookup::Miss) };
        let lost = record.outputs.iter().filter(|output| self.presence(&output.artifact) != Presence::Present);
        let lost: Vec<String> = lost.map(|output| output.name.clone()).collect();
        Ok(if lost.is_empty() { Lookup::Hit(record) } else { Lookup::Incomplete { record, lost } })
    }
}
