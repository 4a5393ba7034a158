//! What the file system says of a file without opening it.

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use crate::{CacheError, Result};

/// Moment by a file system's clock, which is not the machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds since then.
    pub nanoseconds: u32,
}

impl Moment {
    /// Nanoseconds since 1970.
    pub fn in_ns(self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanoseconds)
    }

    /// The moment after this one.
    pub(crate) fn next(self) -> Moment {
        match self.nanoseconds {
            999_999_999.. => Moment { seconds: self.seconds + 1, nanoseconds: 0 },
            nanoseconds => Moment { nanoseconds: nanoseconds + 1, ..self },
        }
    }
}

/// What is known of a file or folder, symbolic links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub size: u64,
    pub inode: u64,
    pub device: u64,
    pub modified: Moment,
    pub changed: Moment,
    pub mode: u32,
}

impl From<rustix::fs::Stat> for Stat {
    fn from(found: rustix::fs::Stat) -> Stat {
        Stat {
            size: found.st_size as u64,
            inode: found.st_ino,
            device: found.st_dev,
            modified: Moment { seconds: found.st_mtime, nanoseconds: found.st_mtime_nsec as u32 },
            changed: Moment { seconds: found.st_ctime, nanoseconds: found.st_ctime_nsec as u32 },
            mode: found.st_mode,
        }
    }
}

impl Stat {
    /// Of what `path` leads to, or why nothing can be made of it.
    pub fn of(path: &Path) -> Result<Stat> {
        checked(rustix::fs::stat(path)).map_err(|error| error.at(path))
    }

    /// As [`Stat::of`], of what has this name in an open folder: a fraction of the work for the kernel.
    pub fn in_folder(folder: impl AsFd, name: &CStr) -> std::result::Result<Stat, StatError> {
        checked(rustix::fs::statat(folder, name, AtFlags::empty()))
    }

    /// Whether it is a folder; if not, it is a file.
    pub fn is_folder(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Directory
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::RegularFile
    }

    /// Whether anybody may execute the file.
    pub fn is_executable(&self) -> bool {
        is_executable(self.mode)
    }

    /// What no other file or folder has at the same time.
    pub fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }
}

/// Whether these permission bits let anybody execute the file.
pub(crate) fn is_executable(mode: u32) -> bool {
    mode & 0o111 != 0
}

/// Why nothing can be made of what lies at some path.
#[derive(Debug)]
pub(crate) enum StatError {
    Refused(Errno),
    Special,
}

fn checked(found: rustix::io::Result<rustix::fs::Stat>) -> std::result::Result<Stat, StatError> {
    let stat = Stat::from(found.map_err(StatError::Refused)?);
    match FileType::from_raw_mode(stat.mode) {
        FileType::RegularFile | FileType::Directory => Ok(stat),
        _ => Err(StatError::Special),
    }
}

impl StatError {
    /// The error, now that somebody needs the whole path.
    pub fn at(self, path: &Path) -> CacheError {
        let path = path.to_owned();
        match self {
            StatError::Special => CacheError::Special { path },
            StatError::Refused(errno) if !path.is_symlink() => CacheError::io(&path)(errno.into()),
            StatError::Refused(Errno::NOENT) => CacheError::Dangling { path },
            StatError::Refused(_) => CacheError::Cycle { path },
        }
    }
}
