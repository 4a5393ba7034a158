//! What `stat` says of a file, or of every file of a folder, so that it shows when somebody touches one.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::stat::Stat;
use crate::{Digest, Result, walk};

/// File systems stamp files with a clock that may lag this much behind the one programs read.
pub(crate) const CLOCK_TICK: Duration = Duration::from_millis(50);

/// Names, sizes, inodes and times of everything at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    seal: Digest,
    /// When the last change was, in nanoseconds since 1970. No program can set this time.
    changed_ns: i128,
}

impl Trace {
    /// Of what `path` leads to.
    pub fn of(path: &Path) -> Result<Trace> {
        let stat = Stat::of(path)?;
        if !stat.is_folder() {
            return Ok(Trace { seal: Digest::of(line("", &stat).as_bytes()), changed_ns: stat.changed.in_ns() });
        }
        let mut found = walk::find_all(path)?;
        found.sort_unstable_by(|left, right| left.relative.cmp(&right.relative));
        let lines: String = found.iter().map(|found| line(&found.relative, &found.stat)).collect();
        // What is gone left its trace on the folder.
        let all = found.iter().map(|found| found.stat).chain([stat]);
        let changed_ns = all.map(|stat| stat.changed.in_ns()).max().unwrap_or_default();
        Ok(Trace { seal: Digest::of(lines.as_bytes()), changed_ns })
    }

    /// Whether something was changed at `since` or later, given what there is `now`.
    pub fn shows_change(&self, now: &Trace, since: SystemTime) -> bool {
        let since = since.checked_sub(CLOCK_TICK).unwrap_or(UNIX_EPOCH).duration_since(UNIX_EPOCH).unwrap_or_default();
        self.seal != now.seal && now.changed_ns >= i128::try_from(since.as_nanos()).unwrap_or(i128::MAX)
    }
}

fn line(name: &str, stat: &Stat) -> String {
    let Stat { size, inode, device, .. } = stat;
    format!("{name} {size} {inode} {device} {} {}\n", stat.modified.in_ns(), stat.changed.in_ns())
}
