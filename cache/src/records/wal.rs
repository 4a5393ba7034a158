//! Records on their way to the disk, for the next process to take over should this one be killed.
//!
//! `pending/<name>` belongs to the process that has it locked. It starts with the boot of the machine that it is written under;
//! then comes a line for every result that was stored and may not be recorded yet. Under the same boot no power was lost
//! since, so what is noted there is true; after another one nothing is known of it, and it counts for nothing.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::fs::boot;
use crate::fs::disk::Disk;
use crate::fs::list;
use crate::locks::table::{Lock, Locks};
use crate::{ActionRecord, ArtifactKind, Cache, CacheError, Presence, Result, SealedRecord, Unsynced};

/// The folder of such files.
pub(crate) const AREA: &str = "pending";

/// The records that this process is about to bring to disk.
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
    /// The file, as long as there is something in it.
    file: Option<OwnFile>,
    /// Notes in it whose records are not on disk.
    open: usize,
}

impl WriteAheadLog {
    /// For results in `cache`.
    pub fn new(cache: &Cache) -> WriteAheadLog {
        WriteAheadLog { disk: cache.disk.clone(), locks: Arc::clone(&cache.locks), state: Mutex::default() }
    }

    /// Notes a result whose outputs are stored.
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

    /// `count` results that were noted are recorded, or will not be.
    pub fn complete(&self, count: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open = state.open.saturating_sub(count);
        if state.open == 0
            && let Some(OwnFile { path, .. }) = state.file.take()
        {
            // One that stays is removed by the next process: all in it is recorded.
            let _ = self.disk.remove_file(&path);
        }
    }
}

/// What a file that is written now starts with.
fn boot_line() -> Vec<u8> {
    [boot::boot_line().as_slice(), b"\n"].concat()
}

/// The records that a file notes, if it is of this boot.
fn records_in(bytes: &[u8]) -> Vec<ActionRecord> {
    let boot = boot_line();
    // Where the machine does not tell its boot, none is the same.
    let lines = bytes.strip_prefix(boot.as_slice()).filter(|_| !boot.ends_with(b" \n")).unwrap_or_default();
    lines.split(|byte| *byte == b'\n').filter_map(ActionRecord::unsealed).collect()
}

/// A file that is locked before others can see it.
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
    /// Records what processes that were killed had stored and not yet recorded. In a cache that cannot be changed that waits.
    pub fn recover_wal(&self) -> Result<()> {
        if self.is_read_only() {
            return Ok(());
        }
        for path in list::list_own(self.root(), AREA)? {
            let Some(_lock) = self.locks.try_lock_existing(&path)? else { continue };
            let bytes = match std::fs::read(&path) {
                Ok(bytes) => bytes,
                // Its process has just ended, or another one has adopted it.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(CacheError::io(&path)(error)),
            };
            self.recover(&bytes)?;
            self.disk.remove(&path)?;
        }
        Ok(())
    }

    /// Results that were stored and are not recorded, as far as this boot knows of them.
    pub(crate) fn wal_records(&self) -> Result<Vec<ActionRecord>> {
        let mut pending = Vec::new();
        for path in list::list_own(self.root(), AREA)? {
            // One that is gone was adopted just now.
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
            let artifacts: Vec<_> = record.outputs.iter().map(|output| &output.artifact).chain(&record.log).collect();
            let there = artifacts.iter().all(|artifact| self.presence(artifact) == Presence::Present);
            if there && self.read_record(&record.fingerprint)?.is_none() {
                // Folders are stored safely at once.
                let files = artifacts.iter().filter(|artifact| artifact.kind != ArtifactKind::Folder);
                let unsynced = Unsynced(files.map(|artifact| self.path_of(artifact)).collect());
                results.push((record.seal().map_err(|error| CacheError::io(self.root())(error.into()))?, unsynced));
            }
        }
        let results: Vec<_> = results.iter().map(|(record, unsynced)| (record, unsynced)).collect();
        self.record_all(&results).map(|_| ())
    }
}
