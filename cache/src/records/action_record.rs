//! Action records: results by fingerprint, as they are written.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Artifact, Digest, hash_value};

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
    /// Its place in the order of all that happened in the cache; 0 in records of earlier formats.
    #[serde(default)]
    pub sequence: u64,
    /// Where more about the result is kept that no up-to-date check needs: see [`Cache::store_annex`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annex: Option<Digest>,
    /// What later versions add; a version that does not know a field leaves it alone.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extensions: Map<String, Value>,
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
    pub(crate) fingerprint: Digest,
    pub(crate) line: Vec<u8>,
}

impl ActionRecord {
    /// Outputs and log of the result.
    pub(crate) fn artifacts(&self) -> impl Iterator<Item = &Artifact> {
        self.outputs.iter().map(|output| &output.artifact).chain(&self.log)
    }

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
