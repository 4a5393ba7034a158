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
    /// File name under which the stage wrote it.
    pub file: String,
    /// Kind, digest and size.
    pub artifact: Artifact,
}

/// Result of a fingerprint. Written last and atomically, and never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionRecord {
    /// The fingerprint of the result.
    pub fingerprint: Digest,
    /// Everything that the fingerprint was computed from, in the caller's terms.
    pub recipe: Value,
    /// Outputs, by port.
    pub outputs: Vec<OutputRecord>,
    /// Reported metrics.
    pub metrics: Map<String, Value>,
    /// Log: the output that the stage printed.
    pub log: Option<Artifact>,
    /// Duration in milliseconds.
    pub duration_ms: u64,
    /// Time of completion.
    pub finished_at: Timestamp,
    /// Name and version of the program that computed it.
    pub program: String,
    /// Sequence number; 0 in records of earlier formats.
    #[serde(default)]
    pub sequence: u64,
    /// Digest of further data that no up-to-date check needs: see [`Cache::store_annex`](crate::Cache::store_annex).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annex: Option<Digest>,
    /// Fields of later versions, preserved as they are.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extensions: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    seal: Digest,
    record: Value,
}

const SEAL_DOMAIN: &str = "athanor action 1";

/// Serialised form of a record: JSON in one line, with a checksum.
#[derive(Debug, Clone)]
pub struct SealedRecord {
    pub(crate) fingerprint: Digest,
    pub(crate) line: Vec<u8>,
}

impl SealedRecord {
    /// The line.
    pub fn line(&self) -> &[u8] {
        &self.line
    }
}

impl ActionRecord {
    /// Outputs and log of the result.
    pub(crate) fn artifacts(&self) -> impl Iterator<Item = &Artifact> {
        self.outputs.iter().map(|output| &output.artifact).chain(&self.log)
    }

    /// Serialises the record, with a checksum.
    pub fn seal(&self) -> serde_json::Result<SealedRecord> {
        let record = serde_json::to_value(self)?;
        let line = serde_json::to_vec(&Sealed { seal: hash_value(SEAL_DOMAIN, &record), record })?;
        Ok(SealedRecord { fingerprint: self.fingerprint, line })
    }

    /// Deserialises a record; `None` if it is damaged.
    pub fn unsealed(bytes: &[u8]) -> Option<ActionRecord> {
        let sealed: Sealed = serde_json::from_slice(bytes).ok()?;
        if hash_value(SEAL_DOMAIN, &sealed.record) != sealed.seal {
            return None;
        }
        serde_json::from_value(sealed.record).ok()
    }
}
