//! Probes of stored files by `stat`, without opening them.
//!
//! Paths are relative to the cache's folder, which is held open: for ten thousand files, resolving the path of that
//! folder each time costs more than all else.

use std::fs::File;
use std::path::Path;

use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, SFlag, fstatat, lstat};
use serde::{Deserialize, Serialize};

use crate::fs::stat::Stat;
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
        FileStamp::of_stat(&lstat(path).ok()?)
    }

    fn of_stat(stat: &FileStat) -> Option<FileStamp> {
        Some(FileStamp {
            inode: stat.st_ino,
            bytes: u64::try_from(stat.st_size).ok()?,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        })
    }
}

impl Probe {
    /// Probe of the cache at `root`.
    pub(crate) fn new(root: &Path) -> Result<Probe> {
        File::open(root).map(|folder| Probe { folder }).map_err(CacheError::io(root))
    }

    fn stat(&self, relative: &str) -> nix::Result<FileStat> {
        fstatat(&self.folder, relative, AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    /// Whether a file of this size is there.
    pub(crate) fn presence(&self, relative: &str, bytes: u64) -> Presence {
        match self.stat(relative) {
            Ok(stat) if is_file(&stat) && u64::try_from(stat.st_size) == Ok(bytes) => Presence::Present,
            Ok(_) => Presence::Damaged,
            Err(_) => Presence::Missing,
        }
    }

    /// Metadata of a regular file; `None` for anything else.
    pub(crate) fn file(&self, relative: &str) -> Option<Stat> {
        let stat = rustix::fs::statat(&self.folder, relative, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(Stat::from(stat)).filter(Stat::is_file)
    }

    /// Stamp of a file; `None` if it does not exist.
    pub(crate) fn stamp(&self, relative: &str) -> Option<FileStamp> {
        FileStamp::of_stat(&self.stat(relative).ok()?)
    }
}

fn is_file(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG
}
