//! Records on their way to the disk, for the next process to take over should this one be killed.
//!
//! `pending/<name>` belongs to the process that has it locked. It starts with the boot of the machine that it is written under;
//! then comes a line for every result that was stored and may not be recorded yet. Under the same boot no power was lost
//! since, so what is noted there is true; after another one nothing is known of it, and it counts for nothing.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::disk::Disk;
use crate::item_log;
use crate::{ActionRecord, ArtifactKind, Cache, CacheError, Presence, Result, SealedRecord, Unsynced, files};

/// The folder of such files.
pub(crate) const AREA: &str = "pending";

/// The records that this process is about to bring to disk.
pub struct Pending {
    disk: Disk,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The file, as long as there is something in it.
    file: Option<(PathBuf, File)>,
    /// Notes in it whose records are not on disk.
    open: usize,
}

impl Pending {
    /// For results in `cache`.
    pub fn new(cache: &Cache) -> Pending {
        Pending { disk: cache.disk.clone(), state: Mutex::default() }
    }

    /// Notes a result whose outputs are stored.
    pub fn note(&self, record: &SealedRecord) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open += 1;
        let (path, file) = match state.file.take() {
            Some(file) => state.file.insert(file),
            None => state.file.insert(create(&self.disk)?),
        };
        let line = [&record.line, b"\n".as_slice()].concat();
        self.disk.append(file, path, &line).map_err(CacheError::io(path))
    }

    /// `count` results that were noted are recorded, or will not be.
    pub fn settle(&self, count: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.open = state.open.saturating_sub(count);
        if state.open == 0
            && let Some((path, _)) = state.file.take()
        {
            // One that stays is removed by the next process: all in it is recorded.
            let _ = self.disk.remove_file(&path);
        }
    }
}

/// What a file that is written now starts with.
fn boot_line() -> Vec<u8> {
    [item_log::boot_line().as_slice(), b"\n"].concat()
}

/// A file that is locked before others can see it.
fn create(disk: &Disk) -> Result<(PathBuf, File)> {
    let temporary = disk.temporary()?;
    let file = temporary.as_file().try_clone().map_err(CacheError::io(temporary.path()))?;
    file.lock().map_err(CacheError::io(temporary.path()))?;
    disk.append(&file, temporary.path(), &boot_line()).map_err(CacheError::io(temporary.path()))?;
    let path = disk.root().join(AREA).join(temporary.path().file_name().unwrap_or_default());
    disk.persist(temporary, &path).map_err(CacheError::io(&path))?;
    Ok((path, file))
}

impl Cache {
    /// Records what processes that were killed had stored and not yet recorded.
    pub fn adopt_pending(&self) -> Result<()> {
        for path in files::read_folder(&self.root().join(AREA))? {
            let Ok(mut file) = File::open(&path) else { continue };
            if file.try_lock().is_err() {
                continue;
            }
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(CacheError::io(&path))?;
            self.adopt(&bytes)?;
            self.disk.remove(&path)?;
        }
        Ok(())
    }

    fn adopt(&self, bytes: &[u8]) -> Result<()> {
        let boot = boot_line();
        // Where the machine does not tell its boot, none is the same.
        let Some(lines) = bytes.strip_prefix(boot.as_slice()).filter(|_| !boot.ends_with(b" \n")) else {
            return Ok(());
        };
        let mut results = Vec::new();
        for record in lines.split(|byte| *byte == b'\n').filter_map(ActionRecord::unsealed) {
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
