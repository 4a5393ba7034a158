//! Write-ahead log of records, which the next process recovers should this one be killed.
//!
//! `pending/<name>` belongs to the process that holds its lock. It starts with the machine's boot, followed by a line
//! for every result that was stored and may not be recorded yet. Under the same boot there was no power cut since, so
//! that its lines are valid; after a reboot they are ignored.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::fs::boot;
use crate::fs::disk::Disk;
use crate::fs::list;
use crate::locks::table::{Lock, Locks};
use crate::{ActionRecord, ArtifactKind, Cache, CacheError, Presence, Result, SealedRecord, StoredResult, Unsynced};

/// Folder of the logs.
pub(crate) const AREA: &str = "pending";

/// Write-ahead log of this process.
pub struct WriteAheadLog {
    disk: Disk,
    locks: Arc<Locks>,
    state: Mutex<State>,
}

/// A file that this process has locked.
struct OwnFile {
    path: PathBuf,
    file: File,
    _lock: Option<Lock>,
}

#[derive(Default)]
struct State {
    /// The log file, as long as it has open entries.
    file: Option<OwnFile>,
    /// Number of entries whose records are not on disk yet.
    open: usize,
}

impl WriteAheadLog {
    /// Log of results in `cache`.
    pub fn new(cache: &Cache) -> WriteAheadLog {
        WriteAheadLog { disk: cache.disk.clone(), locks: Arc::clone(&cache.locks), state: Mutex::default() }
    }

    /// Appends the record of a result whose outputs are stored.
    pub fn append(&self, record: &SealedRecord) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open += 1;
        let OwnFile { path, file, .. } = match state.file.take() {
            Some(file) => state.file.insert(file),
            None => state.file.insert(create(&self.disk, &self.locks)?),
        };
        let line = [&record.line, b"\n".as_slice()].concat();
        self.disk.append(file, path, &line).map_err(CacheError::io(path))
    }

    /// Completes `count` entries: their results are recorded, or will not be.
    pub fn complete(&self, count: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open = state.open.saturating_sub(count);
        if state.open == 0
            && let Some(OwnFile { path, .. }) = state.file.take()
        {
            // A file that stays is removed by the next process: all its entries are recorded.
            let _ = self.disk.remove_file(&path);
        }
    }
}

/// First line of a log that is written under this boot.
fn boot_line() -> Vec<u8> {
    [boot::boot_line().as_slice(), b"\n"].concat()
}

/// Records in a log, if it was written under this boot.
fn records_in(bytes: &[u8]) -> Vec<ActionRecord> {
    let boot = boot_line();
    // Where the machine does not tell its boot, no log counts as one of this boot.
    let lines = bytes.strip_prefix(boot.as_slice()).filter(|_| !boot.ends_with(b" \n")).unwrap_or_default();
    lines.split(|byte| *byte == b'\n').filter_map(ActionRecord::unsealed).collect()
}

/// Creates a log file, locked before others can see it.
fn create(disk: &Disk, locks: &Locks) -> Result<OwnFile> {
    let temporary = disk.temporary()?;
    let file = temporary.as_file().try_clone().map_err(CacheError::io(temporary.path()))?;
    let path = disk.root().join(AREA).join(temporary.path().file_name().unwrap_or_default());
    let lock = locks.lock_own(&file, &path)?;
    disk.append(&file, temporary.path(), &boot_line()).map_err(CacheError::io(temporary.path()))?;
    disk.persist(temporary, &path).map_err(CacheError::io(&path))?;
    Ok(OwnFile { path, file, _lock: lock })
}

impl Cache {
    /// Recovers the write-ahead logs of killed processes: records the results that they had stored and not yet
    /// recorded. Does nothing in a read-only cache.
    pub fn recover_wal(&self) -> Result<()> {
        if self.is_read_only() {
            return Ok(());
        }
        for path in list::list_own(self.root(), AREA)? {
            let Some(_lock) = self.locks.try_lock_existing(&path)? else { continue };
            let bytes = match std::fs::read(&path) {
                Ok(bytes) => bytes,
                // Its process has just ended, or another one has recovered it.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(CacheError::io(&path)(error)),
            };
            self.recover(&bytes)?;
            self.disk.remove(&path)?;
        }
        Ok(())
    }

    /// Valid entries of all write-ahead logs that are not recorded yet.
    pub(crate) fn wal_records(&self) -> Result<Vec<ActionRecord>> {
        let mut pending = Vec::new();
        for path in list::list_own(self.root(), AREA)? {
            // A log that is gone was recovered just now.
            let bytes = std::fs::read(&path).unwrap_or_default();
            for record in records_in(&bytes) {
                if self.read_record(&record.fingerprint)?.is_none() {
                    pending.push(record);
                }
            }
        }
        Ok(pending)
    }

    fn recover(&self, bytes: &[u8]) -> Result<()> {
        let mut results = Vec::new();
        for record in records_in(bytes) {
            let artifacts: Vec<_> = record.artifacts().collect();
            let there = artifacts.iter().all(|artifact| self.presence(artifact) == Presence::Present);
            if there && self.read_record(&record.fingerprint)?.is_none() {
                // Folders are synced when they are stored.
                let files = artifacts.iter().filter(|artifact| artifact.kind != ArtifactKind::Folder);
                let unsynced = Unsynced(files.map(|artifact| self.path_of(artifact)).collect());
                results.push((record.seal().map_err(|error| CacheError::io(self.root())(error.into()))?, unsynced));
            }
        }
        let stored: Vec<_> = results.iter().map(|(record, unsynced)| StoredResult { record, unsynced }).collect();
        self.record_all(&stored)?;
        results.iter().try_for_each(|(record, _)| self.remove_resume_state(&record.fingerprint))
    }
}
