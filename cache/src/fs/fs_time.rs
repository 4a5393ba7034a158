//! Time by the clock of the cache's file system.

use crate::fs::stat::Moment;

/// Time by the clock of the cache's file system, in its granularity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FsTime(pub(crate) Moment);

impl FsTime {
    /// Whether a file that was last changed at `changed` may have been changed at this time or later.
    pub(crate) fn may_precede(self, changed: Moment) -> bool {
        changed >= self.0
    }

    /// Whether this time is certainly earlier than `changed`.
    pub(crate) fn precedes(self, changed: Moment) -> bool {
        changed > self.0
    }
}
