//! What was computed: from a fingerprint to the digests of its outputs.
//!
//! `actions/a/<fingerprint>.json` is a file with the record, one line of it. Records that are written together are lines of one
//! file that has the names of them all: to make a file costs more than all else that a record costs. A record is gone when
//! its name is, and another one that takes its name is in another file.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::fs::fallback::Durability;
use crate::fs::stat::Stat;
use crate::store::integrity::Evidence;
use crate::store::objects::{digest_in_name, stored_at};
use crate::store::probe::Stamp;
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

/// The file that [`Cache::keep_doubts`] writes.
const DOUBTS: &str = "doubts";
/// More records would make each of them slow to find.
const RECORDS_IN_A_FILE: usize = 16;

/// Permission bits of a file of records, where further names of it have to be copies.
const RECORD_MODE: u32 = 0o644;

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
        self.record_all(&[(&sealed, &Unsynced::default())]).map(|_| ())
    }

    /// Records results, bringing first what belongs to them and then the records safely to disk: many at once wait for the
    /// device as long as one. A result that lost an output since it was stored is not recorded; says for each whether it was.
    pub fn record_all(&self, results: &[(&SealedRecord, &Unsynced)]) -> Result<Vec<bool>> {
        let is_whole =
            |(_, unsynced): &(&SealedRecord, &Unsynced)| unsynced.0.iter().all(|object| self.is_as_stored(object));
        let whole: Vec<bool> = results.iter().map(is_whole).collect();
        let whole_results = || results.iter().zip(&whole).filter(|(_, whole)| **whole).map(|(result, _)| *result);
        let mut objects: Vec<PathBuf> = whole_results().flat_map(|(_, unsynced)| unsynced.0.iter().cloned()).collect();
        if self.sequence_path().exists() {
            objects.push(self.sequence_path());
        }
        self.sync(&objects)?;
        let is_known = |record: &&SealedRecord| self.glance.stamp(&self.layout.action(&record.fingerprint)).is_some();
        let (known, new): (Vec<&SealedRecord>, Vec<&SealedRecord>) =
            whole_results().map(|(record, _)| record).partition(is_known);
        for record in known {
            // Safe from the first moment: what was promised before is not lost.
            self.disk.write_atomically(&self.action_path(&record.fingerprint), &record.line)?;
        }
        new.chunks(RECORDS_IN_A_FILE).try_for_each(|records| self.write_records(records))?;
        self.sync(&new.iter().map(|record| self.action_path(&record.fingerprint)).collect::<Vec<_>>())?;
        self.flush_integrity();
        Ok(whole)
    }

    /// Whether a file that was stored a moment ago is still there, as it was or with the same content.
    fn is_as_stored(&self, object: &Path) -> bool {
        let (Some(stored), Some(digest)) = (stored_at(object), digest_in_name(object)) else { return true };
        let Ok(stat) = rustix::fs::lstat(object) else { return false };
        let stat = Stat::from(stat);
        self.is_noted(&stored, &Evidence::of_file(&stat))
            || self.is_right(&stored, object, digest, stat.size).unwrap_or(false)
    }

    /// Whether a result with the same outputs is recorded already.
    pub fn has_same_outputs(&self, sealed: &SealedRecord) -> Result<bool> {
        let ours = ActionRecord::unsealed(&sealed.line).map(|record| record.outputs);
        let recorded = self.read_record(&sealed.fingerprint)?.map(|record| record.outputs);
        Ok(ours.is_some() && recorded == ours)
    }

    /// Writes records into one file, not yet safe from a power cut.
    fn write_records(&self, records: &[&SealedRecord]) -> Result<()> {
        let lines: Vec<&[u8]> = records.iter().map(|record| record.line.as_slice()).collect();
        let mut paths = records.iter().map(|record| self.action_path(&record.fingerprint));
        let Some(first) = paths.next() else { return Ok(()) };
        self.disk.write_unsynced(&first, &lines.join(&b'\n'))?;
        paths.try_for_each(|path| {
            self.disk.ensure_parent(&path)?;
            match self.disk.link_or_copy(&first, &path, RECORD_MODE, Durability::Later) {
                // Another process had the same result pending.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
                other => other.map_err(CacheError::io(&path)),
            }
        })
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
        let hex = fingerprint.to_hex();
        let names_it = |line: &&[u8]| str::from_utf8(line).is_ok_and(|line| line.contains(&*hex));
        let mut lines = bytes.split(|byte| *byte == b'\n').filter(names_it);
        let record =
            lines.find_map(|line| ActionRecord::unsealed(line).filter(|record| record.fingerprint == *fingerprint));
        if record.is_none() {
            self.quarantine(&path)?;
        }
        Ok(record)
    }

    /// Stores what belongs to a result and no up-to-date check needs (curves, figures, resources used), for
    /// [`ActionRecord::annex`]. What is added to `unsynced` is on disk when the record is.
    pub fn store_annex(&self, content: &[u8], unsynced: &mut Unsynced) -> Result<Digest> {
        let file = self.disk.temporary()?;
        self.disk.append(file.as_file(), file.path(), content).map_err(CacheError::io(file.path()))?;
        Ok(self.ingest_unsynced(file.path(), &HashMap::new(), unsynced)?.digest)
    }

    /// The content of an annex, which is looked at for damage.
    pub fn read_annex(&self, annex: &Digest) -> Result<Vec<u8>> {
        let path = self.object_path(annex, false);
        let content = fs::read(&path).map_err(CacheError::io(&path))?;
        let sound = Digest::of(&content) == *annex;
        sound
            .then_some(content)
            .ok_or_else(|| CacheError::Damaged { path, what: "it is not what its name says".to_owned() })
    }

    /// All recorded results, in no particular order.
    pub fn records(&self) -> Result<Vec<ActionRecord>> {
        self.all_records()
    }

    /// What was last kept with [`Cache::keep_doubts`]; nothing if that is not there.
    pub fn doubts(&self) -> Vec<u8> {
        fs::read(self.root().join(DOUBTS)).unwrap_or_default()
    }

    /// Keeps what the caller knows of results that may be wrong, in the caller's own terms, until it is replaced.
    pub fn keep_doubts(&self, doubts: &[u8]) -> Result<()> {
        if self.is_read_only() {
            return Ok(());
        }
        let path = self.root().join(DOUBTS);
        if doubts.is_empty() { self.disk.remove(&path) } else { self.disk.write_atomically(&path, doubts) }
    }

    /// Sets the record of a result aside, so that the result is made again; what it consists of stays until a collection.
    pub fn set_record_aside(&self, fingerprint: &Digest) -> Result<()> {
        self.quarantine(&self.action_path(fingerprint))
    }

    /// The stamp of a fingerprint's record; `None` if there is none.
    pub fn record_stamp(&self, fingerprint: &Digest) -> Option<Stamp> {
        self.glance.stamp(&self.layout.action(fingerprint))
    }

    /// What can be served for a fingerprint.
    pub fn lookup(&self, fingerprint: &Digest) -> Result<Lookup> {
        let Some(record) = self.read_record(fingerprint)? else { return Ok(Lookup::Miss) };
        let lost = record.outputs.iter().filter(|output| self.presence(&output.artifact) != Presence::Present);
        let lost: Vec<String> = lost.map(|output| output.name.clone()).collect();
        Ok(if lost.is_empty() { Lookup::Hit(record) } else { Lookup::Incomplete { record, lost } })
    }
}
