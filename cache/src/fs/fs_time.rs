//! Moments on the clock of the cache's file system, and what may have changed since.

use std::path::Path;

use crate::fs::stat::{Moment, Stat};
use crate::{Cache, Result};

/// A moment on the clock of the cache's file system, as coarse as that file system counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FsTime(Moment);

impl FsTime {
    /// Whether a file that was last changed at `changed` may have been changed at this moment or later.
    pub(crate) fn may_precede(self, changed: Moment) -> bool {
        changed >= self.0
    }

    /// Whether this moment is certainly earlier.
    pub(crate) fn precedes(self, changed: Moment) -> bool {
        changed > self.0
    }
}

impl Cache {
    /// The time now on the cache's file system.
    pub fn fs_now(&self) -> Result<FsTime> {
        self.file_system_time().map(FsTime)
    }

    /// Whether a file or folder lies on the cache's file system, so that [`Cache::fs_now`] is its time too.
    pub fn shares_file_system_with(&self, path: &Path) -> bool {
        let device = |path: &Path| Stat::of(path).map(|stat| stat.device).ok();
        device(path).is_some_and(|theirs| device(self.root()) == Some(theirs))
    }
}
