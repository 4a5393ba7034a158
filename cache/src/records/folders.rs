//! Evidence that no record was added, replaced or removed: the times of the folders that hold them.
//!
//! Records are only ever made, replaced and removed as whole files, and each of these moves the time of its folder. For ten thousand
//! results that is 16 looks in the place of ten thousand.

use rustix::fs::{FsWord, fstatfs};
use serde::{Deserialize, Serialize};

use crate::Cache;
use crate::fs::stat::Stat;
use crate::store::probe::FileStamp;

/// File systems, by their numbers in `statfs`, that are known to move the time of a folder with each of its entries: ext2 to ext4, XFS,
/// Btrfs, tmpfs, F2FS, ZFS, overlayfs and bcachefs.
const KNOWN: [FsWord; 8] =
    [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0xF2F5_2010, 0x2FC1_2FC1, 0x794C_7630, 0xCA45_1A4E];

/// Metadata of all folders of records at a time; `None` for one that was not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordFolders(Vec<Option<FileStamp>>);

impl Cache {
    /// Present metadata of the folders of records. Where it is what [`Cache::settled_record_folders`] gave, the same records are there, none
    /// of them replaced; one that somebody changed in place does not show.
    pub fn record_folders(&self) -> RecordFolders {
        self.record_folder_stats().iter().map(|stat| stat.as_ref().map(FileStamp::of_stat)).collect()
    }

    /// Metadata of the folders of records in which every later change will show; `None` where the last one was made within this tick of the
    /// file system's clock, or where the file system is not known to keep such times. To be asked before the records are looked at.
    pub fn settled_record_folders(&self) -> Option<RecordFolders> {
        let stats = self.record_folder_stats();
        let device = self.probe.stat("actions").ok()?.device;
        let is_known = || fstatfs(self.probe.folder()).is_ok_and(|found| KNOWN.contains(&found.f_type));
        if self.is_read_only() || device != self.probe.stat("tmp").ok()?.device || !is_known() {
            return None;
        }
        let now = self.clock.now().ok()?;
        let is_settled = |stat: &Stat| stat.device == device && stat.modified.max(stat.changed) < now;
        let all_settled = stats.iter().flatten().all(is_settled);
        all_settled.then(|| stats.iter().map(|stat| stat.as_ref().map(FileStamp::of_stat)).collect())
    }

    fn record_folder_stats(&self) -> Vec<Option<Stat>> {
        self.layout.action_folders().map(|folder| self.probe.stat(&folder).ok()).collect()
    }
}

impl FromIterator<Option<FileStamp>> for RecordFolders {
    fn from_iter<I: IntoIterator<Item = Option<FileStamp>>>(stamps: I) -> RecordFolders {
        RecordFolders(stamps.into_iter().collect())
    }
}
