//! Action cache: recorded results by fingerprint.
//!
//! `actions/a/<fingerprint>.json` is a file with the record, one line of it. Records that are written together are
//! lines of one file with a hard link for each: creating a file costs more than everything else about a record. A
//! record is gone when its name is, and a later one under the same name is in another file.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use crate::fs::list;
use crate::fs::names::digest_in_name;
use crate::fs::stat::Stat;
use crate::store::integrity::{ContentStamp, Stored};
use crate::store::probe::FileStamp;
use crate::{ActionRecord, Cache, CacheError, Digest, Presence, Result, SealedRecord, Unsynced};

/// Maximum number of records per file: more would make each of them slow to find.
const RECORDS_IN_A_FILE: usize = 16;

/// Permission bits of a file of records where hard links have to be copies.
const RECORD_MODE: u32 = 0o644;

/// A result whose outputs are stored, and that is to be recorded.
#[derive(Debug, Clone, Copy)]
pub struct StoredResult<'r> {
    /// Its record.
    pub record: &'r SealedRecord,
    /// Files of it that are to be synced first.
    pub unsynced: &'r Unsynced,
}

/// Outcome of a lookup.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    /// The result is recorded, and all its outputs are there.
    Hit(ActionRecord),
    /// The result is recorded, but the named outputs are missing or damaged.
    Incomplete {
        /// The record.
        record: ActionRecord,
        /// Names of outputs.
        lost: Vec<String>,
    },
    /// No result is recorded.
    Miss,
}

impl Cache {
    /// Records a result whose outputs have been ingested, and replaces an earlier record of the same fingerprint.
    pub fn record(&self, record: &ActionRecord) -> Result<()> {
        let sealed = record.seal().map_err(|error| CacheError::io(self.root())(error.into()))?;
        self.record_all(&[StoredResult { record: &sealed, unsynced: &Unsynced::default() }]).map(|_| ())
    }

    /// Records results: first their files and then the records are synced to disk (group commit: many wait for the
    /// device as long as one). A result that lost an output since it was stored is not recorded; returns for each
    /// whether it was.
    pub fn record_all(&self, results: &[StoredResult<'_>]) -> Result<Vec<bool>> {
        let is_whole = |result: &StoredResult<'_>| result.unsynced.0.iter().all(|object| self.is_as_stored(object));
        let whole: Vec<bool> = results.iter().map(is_whole).collect();
        let whole_results = || results.iter().zip(&whole).filter(|(_, whole)| **whole).map(|(result, _)| *result);
        let objects: Vec<PathBuf> = whole_results().flat_map(|result| result.unsynced.0.iter().cloned()).collect();
        let (synced, counted) = rayon::join(|| self.sync(&objects), || self.counter.sync());
        synced.and(counted)?;
        let is_known = |record: &&SealedRecord| self.probe.stamp(&self.layout.action(&record.fingerprint)).is_some();
        let (known, new): (Vec<&SealedRecord>, Vec<&SealedRecord>) =
            whole_results().map(|result| result.record).partition(is_known);
        for record in known {
            // Synced at once, so that the result recorded before is not lost.
            self.disk.write_atomically(&self.action_path(&record.fingerprint), &record.line)?;
        }
        new.chunks(RECORDS_IN_A_FILE).try_for_each(|records| self.write_records(records))?;
        self.sync(&new.iter().map(|record| self.action_path(&record.fingerprint)).collect::<Vec<_>>())?;
        self.integrity.flush();
        Ok(whole)
    }

    /// Whether a file that was just stored is still there and intact.
    fn is_as_stored(&self, object: &Path) -> bool {
        let (Some(stored), Some(digest)) = (Stored::at(object), digest_in_name(object)) else { return true };
        let Ok(stat) = rustix::fs::lstat(object) else { return false };
        let stat = Stat::from(stat);
        self.integrity.is_noted(&stored, &ContentStamp::of_file(&stat))
            || self.is_intact(&stored, object, digest, stat.size).unwrap_or(false)
    }

    /// Whether a result with the same outputs is recorded already.
    pub fn has_same_outputs(&self, sealed: &SealedRecord) -> Result<bool> {
        let ours = ActionRecord::unsealed(&sealed.line).map(|record| record.outputs);
        let recorded = self.read_record(&sealed.fingerprint)?.map(|record| record.outputs);
        Ok(ours.is_some() && recorded == ours)
    }

    /// Writes records into one file, which is not synced yet.
    fn write_records(&self, records: &[&SealedRecord]) -> Result<()> {
        let lines: Vec<&[u8]> = records.iter().map(|record| record.line.as_slice()).collect();
        let mut paths = records.iter().map(|record| self.action_path(&record.fingerprint));
        let Some(first) = paths.next() else { return Ok(()) };
        self.disk.write_unsynced(&first, &lines.join(&b'\n'))?;
        paths.try_for_each(|path| {
            self.disk.ensure_parent(&path)?;
            match self.disk.link_or_copy(&first, &path, RECORD_MODE) {
                // Another process had the same result pending.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
                other => other.map(drop).map_err(CacheError::io(&path)),
            }
        })
    }

    /// Reads the record of a fingerprint, whether or not its outputs are there. A damaged record is moved to quarantine
    /// and counts as none.
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

    /// Stores data of a result that no up-to-date check needs (curves, metrics, resources used), for
    /// [`ActionRecord::annex`]. Its file is added to `unsynced`, and synced with the record.
    pub fn store_annex(&self, content: &[u8], unsynced: &mut Unsynced) -> Result<Digest> {
        let file = self.disk.temporary()?;
        self.disk.append(file.as_file(), file.path(), content).map_err(CacheError::io(file.path()))?;
        Ok(self.ingest_unsynced(file.path(), &HashMap::new(), unsynced)?.digest)
    }

    /// Reads an annex, checked against its digest.
    pub fn read_annex(&self, annex: &Digest) -> Result<Vec<u8>> {
        let path = self.object_path(annex, false);
        let content = fs::read(&path).map_err(CacheError::io(&path))?;
        let sound = Digest::of(&content) == *annex;
        sound
            .then_some(content)
            .ok_or_else(|| CacheError::Damaged { path, what: "it is not what its name says".to_owned() })
    }

    /// Reads all records, in no particular order.
    pub fn records(&self) -> Result<Vec<ActionRecord>> {
        let mut records = Vec::new();
        for fingerprint in list::list_sharded(self.root(), "actions")?.iter().filter_map(|path| digest_in_name(path)) {
            records.extend(self.read_record(&fingerprint)?);
        }
        Ok(records)
    }

    /// Whether any result is recorded that is not among `known`, by name alone.
    pub fn has_records_besides(&self, known: &BTreeSet<Digest>) -> Result<bool> {
        let is_other = |path: &PathBuf| digest_in_name(path).is_some_and(|fingerprint| !known.contains(&fingerprint));
        Ok(list::list_sharded(self.root(), "actions")?.iter().any(is_other))
    }

    /// Fingerprints of all results recorded with this sequence number or a higher one.
    pub fn recorded_since(&self, sequence: u64) -> Result<Vec<Digest>> {
        let records = self.records()?.into_iter().filter(|record| record.sequence >= sequence);
        Ok(records.map(|record| record.fingerprint).collect())
    }

    /// Moves the record of a result to quarantine, so that the result is computed again; its files stay until a
    /// collection.
    pub fn quarantine_record(&self, fingerprint: &Digest) -> Result<()> {
        self.quarantine(&self.action_path(fingerprint))
    }

    /// Stamp of a fingerprint's record; `None` if there is none.
    pub fn record_stamp(&self, fingerprint: &Digest) -> Option<FileStamp> {
        self.probe.stamp(&self.layout.action(fingerprint))
    }

    /// Looks up the result of a fingerprint.
    pub fn lookup(&self, fingerprint: &Digest) -> Result<Lookup> {
        let Some(record) = self.read_record(fingerprint)? else { return Ok(Lookup::Miss) };
        let lost = record.outputs.iter().filter(|output| self.presence(&output.artifact) != Presence::Present);
        let lost: Vec<String> = lost.map(|output| output.name.clone()).collect();
        Ok(if lost.is_empty() { Lookup::Hit(record) } else { Lookup::Incomplete { record, lost } })
    }
}
