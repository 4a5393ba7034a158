//! What `stat` says of a file, or of every file of a folder, so that it shows when somebody touches one.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::tree;
use crate::{Digest, Result};

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
        let metadata = tree::metadata(path)?;
        if !metadata.is_dir() {
            return Ok(Trace { seal: Digest::of(line("", &metadata).as_bytes()), changed_ns: changed_ns(&metadata) });
        }
        let mut found = tree::walk(path)?;
        found.sort_unstable_by(|left, right| left.relative.cmp(&right.relative));
        let lines: String = found.iter().map(|found| line(&found.relative, &found.metadata)).collect();
        // What is gone left its trace on the folder.
        let all = found.iter().map(|found| &found.metadata).chain([&metadata]);
        let changed_ns = all.map(changed_ns).max().unwrap_or_default();
        Ok(Trace { seal: Digest::of(lines.as_bytes()), changed_ns })
    }

    /// Whether something was changed at `since` or later, given what there is `now`.
    pub fn shows_change(&self, now: &Trace, since: SystemTime) -> bool {
        let since = since.checked_sub(CLOCK_TICK).unwrap_or(UNIX_EPOCH).duration_since(UNIX_EPOCH).unwrap_or_default();
        self.seal != now.seal && now.changed_ns >= i128::try_from(since.as_nanos()).unwrap_or(i128::MAX)
    }
}

fn line(name: &str, metadata: &Metadata) -> String {
    let (size, inode, device) = (metadata.len(), metadata.ino(), metadata.dev());
    let (modified, changed) = ((metadata.mtime(), metadata.mtime_nsec()), changed_ns(metadata));
    format!("{name} {size} {inode} {device} {modified:?} {changed}\n")
}

fn changed_ns(metadata: &Metadata) -> i128 {
    i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec())
}
