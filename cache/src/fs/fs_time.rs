//! Moments on the clock of the cache's file system, and what may have changed since.

use crate::fs::stat::Moment;

/// A moment on the clock of the cache's file system, as coarse as that file system counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FsTime(pub(crate) Moment);

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
