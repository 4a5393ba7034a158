//! Counter of sequence numbers: the order of events in a cache, independent of any clock.
//!
//! The file `sequence` holds the last number given out and a seal over it, in one line of a fixed length that is
//! overwritten in place: a disk writes one sector whole or not at all. A lost or damaged counter goes on above the
//! number of every record, with a margin for numbers that no record has.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::fs::disk::Disk;
use crate::locks::table::Locks;
use crate::{CacheError, Digest, Result};

/// The file's name in the cache's folder.
pub(crate) const NAME: &str = "sequence";
/// Numbers skipped after the counter was lost: more than runs have numbers beyond those of their records.
const SKIPPED: u64 = 1 << 20;
/// Bytes of the line; anything after it does not count.
const LENGTH: usize = 20 + 1 + 12 + 1;
const SEAL: &[u8] = b"athanor sequence 1";

/// The counter of one cache.
pub(crate) struct Counter {
    disk: Disk,
    locks: Arc<Locks>,
    /// The open file, from the first number on.
    file: Mutex<Option<File>>,
    /// The last number that this process was given; 0 before the first one.
    latest: AtomicU64,
    /// Whether the file's entry in its folder is known to be on disk.
    is_entry_durable: AtomicBool,
}

impl Counter {
    /// The counter of the cache on `disk`.
    pub(crate) fn new(disk: Disk, locks: Arc<Locks>) -> Counter {
        Counter {
            disk,
            locks,
            file: Mutex::default(),
            latest: AtomicU64::new(0),
            is_entry_durable: AtomicBool::new(false),
        }
    }

    /// Returns the next number: greater than every one given out before by any process, and than `floor`.
    /// `highest_recorded` is called if the counter was lost.
    pub(crate) fn next(&self, floor: u64, highest_recorded: impl FnOnce() -> Result<u64>) -> Result<u64> {
        let path = self.path();
        let mut open = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match open.take() {
            Some(file) => file,
            None => self.disk.open_to_overwrite(&path).map_err(CacheError::io(&path))?,
        };
        let alone = self.locks.lock_handle(&file, &path)?;
        let advanced = self.advance(&file, floor, highest_recorded);
        drop(alone);
        *open = Some(file);
        advanced
    }

    fn advance(&self, file: &File, floor: u64, highest_recorded: impl FnOnce() -> Result<u64>) -> Result<u64> {
        let path = self.path();
        let last = match read(file).map_err(CacheError::io(&path))? {
            State::Last(last) => last,
            State::New => 0,
            State::Lost => highest_recorded()? + SKIPPED,
        };
        let next = last.max(floor) + 1;
        self.disk.overwrite(file, &path, line(next).as_bytes()).map_err(CacheError::io(&path))?;
        self.latest.store(next, Ordering::Relaxed);
        Ok(next)
    }

    /// A recent number, as far as it can be told without waiting for a lock; 0 where it cannot.
    pub(crate) fn peek(&self) -> u64 {
        match self.latest.load(Ordering::Relaxed) {
            0 => {}
            own => return own,
        }
        let open = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match &*open {
            Some(file) => read(file),
            None => File::open(self.path()).and_then(|file| read(&file)),
        };
        match opened {
            Ok(State::Last(last)) => last,
            _ => 0,
        }
    }

    /// Syncs the counter to disk: after a power cut no number of a record that survived is given out again.
    pub(crate) fn sync(&self) -> Result<()> {
        let path = self.path();
        if !path.exists() {
            return Ok(());
        }
        self.disk.sync(&path).map_err(CacheError::io(&path))?;
        // The file is overwritten in place, so that its entry needs to be synced only once.
        if !self.is_entry_durable.load(Ordering::Relaxed) {
            self.disk.sync_way_to(&path)?;
            self.is_entry_durable.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Path of the counter's file.
    pub(crate) fn path(&self) -> PathBuf {
        self.disk.root().join(NAME)
    }
}

enum State {
    Last(u64),
    /// There is no number yet.
    New,
    Lost,
}

fn line(number: u64) -> String {
    let number = format!("{number:020}");
    format!("{number} {}\n", Digest::of(&[SEAL, number.as_bytes()].concat()).short())
}

fn read(file: &File) -> std::io::Result<State> {
    let mut bytes = [0; LENGTH];
    let length = file.read_at(&mut bytes, 0)?;
    if length == 0 {
        return Ok(State::New);
    }
    let text = str::from_utf8(&bytes[..length]).unwrap_or_default();
    let number = text.get(..20).and_then(|digits| digits.parse().ok());
    Ok(number.filter(|number| line(*number) == *text).map_or(State::Lost, State::Last))
}
