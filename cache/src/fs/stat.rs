//! File metadata by `stat`, without opening the file.

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use crate::{CacheError, Result};

/// Time by a file system's clock, which need not be the machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds since then.
    pub nanoseconds: u32,
}

impl Moment {
    /// Nanoseconds since 1970.
    pub(crate) fn in_ns(self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanoseconds)
    }

    /// The next representable time.
    pub(crate) fn next(self) -> Moment {
        match self.nanoseconds {
            999_999_999.. => Moment { seconds: self.seconds + 1, nanoseconds: 0 },
            nanoseconds => Moment { nanoseconds: nanoseconds + 1, ..self },
        }
    }
}

/// Metadata of a file or folder.
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
    /// Metadata of what `path` leads to, symbolic links followed; an error for anything but a file or folder.
    pub(crate) fn of(path: &Path) -> Result<Stat> {
        checked(rustix::fs::stat(path)).map_err(|error| error.at(path))
    }

    /// Metadata of an entry of an open folder, as by [`Stat::of`]: a fraction of the work for the kernel.
    pub(crate) fn in_folder(folder: impl AsFd, name: &CStr) -> std::result::Result<Stat, StatError> {
        checked(rustix::fs::statat(folder, name, AtFlags::empty()))
    }

    /// Whether it is a folder; if not, it is a file.
    pub(crate) fn is_folder(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Directory
    }

    /// Whether it is a regular file.
    pub(crate) fn is_file(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::RegularFile
    }

    /// Whether anybody may execute the file.
    pub(crate) fn is_executable(&self) -> bool {
        is_executable(self.mode)
    }

    /// Device and inode number, which identify a file or folder.
    pub(crate) fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }
}

/// Whether these permission bits let anybody execute the file.
pub(crate) fn is_executable(mode: u32) -> bool {
    mode & 0o111 != 0
}

/// The reason why a path leads to neither file nor folder.
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
    /// Converts it to an error that names the path.
    pub(crate) fn at(self, path: &Path) -> CacheError {
        let path = path.to_owned();
        match self {
            StatError::Special => CacheError::Special { path },
            StatError::Refused(errno) if !path.is_symlink() => CacheError::io(&path)(errno.into()),
            StatError::Refused(Errno::NOENT) => CacheError::Dangling { path },
            StatError::Refused(_) => CacheError::Cycle { path },
        }
    }
}
