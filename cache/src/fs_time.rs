//! Time as the cache's own file system tells it: that of a file touched there. The machine's clock may be ahead of it, behind it,
//! or be set back, and says nothing about what `stat` tells of files.

use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW};

use crate::stat::{Moment, Stat};
use crate::{Cache, CacheError, Result};

/// The file's name in the cache's folder.
const NAME: &str = "clock";

/// A moment on the clock of the cache's file system, as coarse as that file system counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FsTime(i128);

impl FsTime {
    /// Whether a file that was last changed at `changed` may have been changed at this moment or later.
    pub(crate) fn may_precede(self, changed: Moment) -> bool {
        changed.in_ns() >= self.0
    }
}

/// The file that is touched; opened when the time is first asked for.
#[derive(Debug, Default)]
pub(crate) struct FsClock(Mutex<Option<File>>);

impl Cache {
    /// The time now on the cache's file system.
    pub fn fs_now(&self) -> Result<FsTime> {
        let path = self.root().join(NAME);
        let mut open = self.fs_clock.0.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match open.take() {
            Some(file) => file,
            None => self.disk.open_to_overwrite(&path).map_err(CacheError::io(&path))?,
        };
        let touched = touch(&file).map_err(CacheError::io(&path));
        *open = Some(file);
        touched
    }

    /// Whether a file or folder lies on the cache's file system, so that [`Cache::fs_now`] is its time too.
    pub fn shares_file_system_with(&self, path: &Path) -> bool {
        let device = |path: &Path| Stat::of(path).map(|stat| stat.device).ok();
        device(path).is_some_and(|theirs| device(self.root()) == Some(theirs))
    }
}

fn touch(file: &File) -> std::io::Result<FsTime> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    rustix::fs::futimens(file, &Timestamps { last_access: now, last_modification: now })?;
    Ok(FsTime(Stat::from(rustix::fs::fstat(file)?).changed.in_ns()))
}
