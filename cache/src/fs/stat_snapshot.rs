//! Snapshots of the `stat` of a file, or of every file of a folder: they differ once somebody touches one.

use std::path::Path;

use crate::fs::exclusions::Exclusions;
use crate::fs::fs_time::FsTime;
use crate::fs::stat::{Moment, Stat};
use crate::fs::walk;
use crate::{Digest, Result};

/// Snapshot of names, sizes, inodes and times of everything at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatSnapshot {
    seal: Digest,
    /// Latest time of change (ctime), which no program can set.
    changed: Moment,
}

impl StatSnapshot {
    /// Snapshot of what `path` leads to.
    pub fn of(path: &Path) -> Result<StatSnapshot> {
        StatSnapshot::of_content(path, &Exclusions::default())
    }

    /// Snapshot of what `path` leads to, without what is excluded.
    pub fn of_content(path: &Path, exclusions: &Exclusions) -> Result<StatSnapshot> {
        let stat = Stat::of(path)?;
        if !stat.is_folder() {
            return Ok(StatSnapshot { seal: Digest::of(line("", &stat).as_bytes()), changed: stat.changed });
        }
        let mut found = walk::find_all(path, exclusions)?;
        found.sort_unstable_by(|left, right| left.relative.cmp(&right.relative));
        let lines: String = found.iter().map(|found| line(&found.relative, &found.stat)).collect();
        // A file that is gone shows in the times of its folder.
        let all = found.iter().map(|found| found.stat).chain([stat]);
        let changed = all.map(|stat| stat.changed).max_by_key(|changed| changed.in_ns()).unwrap_or(stat.changed);
        Ok(StatSnapshot { seal: Digest::of(lines.as_bytes()), changed })
    }

    /// Whether something was changed at `since` or later, compared with the snapshot `now`; without `since`, whether
    /// anything was changed at all.
    pub fn shows_change(&self, now: &StatSnapshot, since: Option<FsTime>) -> bool {
        self.seal != now.seal && since.is_none_or(|since| since.may_precede(now.changed))
    }
}

fn line(name: &str, stat: &Stat) -> String {
    let Stat { size, inode, device, .. } = stat;
    format!("{name} {size} {inode} {device} {} {}\n", stat.modified.in_ns(), stat.changed.in_ns())
}
