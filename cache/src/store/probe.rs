//! Probes of stored files by `stat`, without opening them.
//!
//! Paths are relative to the cache's folder, which is held open: for ten thousand files, resolving the path of that
//! folder each time costs more than all else.

use std::fs::File;
use std::path::Path;

use rustix::fs::{AtFlags, lstat, statat};
use serde::{Deserialize, Serialize};

use crate::fs::stat::{Moment, Stat};
use crate::{CacheError, Result};

/// Presence of an artifact in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// All of it, each file with the right size.
    Present,
    /// Something is not there.
    Missing,
    /// Something has the wrong size.
    Damaged,
}

/// The cache's folder, held open.
pub(crate) struct Probe {
    folder: File,
}

/// Stamp by which a file is known to be unchanged without being read, if it is only ever replaced as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    /// Stamp of the file at `path`; `None` if it does not exist.
    pub fn of(path: &Path) -> Option<FileStamp> {
        Some(FileStamp::of_stat(&lstat(path).ok()?.into()))
    }

    pub(crate) fn of_stat(stat: &Stat) -> FileStamp {
        let time = |moment: Moment| (moment.seconds, i64::from(moment.nanoseconds));
        let (modified, changed) = (time(stat.modified), time(stat.changed));
        FileStamp { inode: stat.inode, bytes: stat.size, modified, changed }
    }
}

impl Probe {
    /// Probe of the cache at `root`.
    pub(crate) fn new(root: &Path) -> Result<Probe> {
        File::open(root).map(|folder| Probe { folder }).map_err(CacheError::io(root))
    }

    /// The cache's folder.
    pub(crate) fn folder(&self) -> &File {
        &self.folder
    }

    /// Metadata of a file or folder, or of a link itself.
    pub(crate) fn stat(&self, relative: &str) -> rustix::io::Result<Stat> {
        statat(&self.folder, relative, AtFlags::SYMLINK_NOFOLLOW).map(Stat::from)
    }

    /// Whether a file of this size is there.
    pub(crate) fn presence(&self, relative: &str, bytes: u64) -> Presence {
        match self.stat(relative) {
            Ok(stat) if stat.is_file() && stat.size == bytes => Presence::Present,
            Ok(_) => Presence::Damaged,
            Err(_) => Presence::Missing,
        }
    }

    /// Metadata of a regular file; `None` for anything else.
    pub(crate) fn file(&self, relative: &str) -> Option<Stat> {
        self.stat(relative).ok().filter(Stat::is_file)
    }

    /// Stamp of a file; `None` if it does not exist.
    pub(crate) fn stamp(&self, relative: &str) -> Option<FileStamp> {
        self.stat(relative).ok().map(|stat| FileStamp::of_stat(&stat))
    }
}
