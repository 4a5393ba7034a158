//! Detection of full disks after a failure, as programs report them in many ways or not at all.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

use crate::language::ByteSize;

/// Free bytes below which a disk counts as full …
const NEARLY_NOTHING: u64 = 1 << 20;
/// … or, for a small one, the reciprocal of the share.
const SMALL_SHARE: u64 = 64;

/// Full disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FullDisk {
    folder: PathBuf,
    lack: Lack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// Too little space: this many bytes are free.
    Space(u64),
    /// No inodes.
    Files,
}

impl FullDisk {
    /// First of these folders whose disk is full. A folder that cannot be queried counts as one with room.
    pub(super) fn find<'f>(folders: impl IntoIterator<Item = &'f Path>) -> Option<FullDisk> {
        folders.into_iter().find_map(|folder| {
            let disk = statvfs(folder).ok()?;
            let (free, all) =
                (disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize));
            let lack = lack(free, all, disk.f_favail, disk.f_files)?;
            Some(FullDisk { folder: folder.to_owned(), lack })
        })
    }
}

/// Lack of space or inodes. Some file systems count no files: all of none are free.
fn lack(free: u64, all: u64, files_free: u64, files: u64) -> Option<Lack> {
    if all > 0 && free < NEARLY_NOTHING.min(all / SMALL_SHARE).max(1) {
        Some(Lack::Space(free))
    } else {
        (files > 0 && files_free == 0).then_some(Lack::Files)
    }
}

impl fmt::Display for FullDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        match self.lack {
            Lack::Space(free) => {
                write!(f, "The disk of `{folder}` is full ({} left).", ByteSize::new(free).rounded())
            }
            Lack::Files => write!(f, "The disk of `{folder}` has no room for another file: all its inodes are in use."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_when_nearly_nothing_is_free() {
        const GIB: u64 = 1 << 30;
        for (free, all, files_free, files, expected) in [
            (500 * GIB, 1000 * GIB, 5, 10, None),
            (4096, 1000 * GIB, 5, 10, Some(Lack::Space(4096))),
            (0, 100 * GIB, 0, 0, Some(Lack::Space(0))),
            (2 << 20, 1000 * GIB, 0, 0, None),
            (500 * GIB, 1000 * GIB, 0, 10, Some(Lack::Files)),
            (512 << 10, 2 << 20, 5, 10, None),
            (0, 0, 0, 0, None),
        ] {
            assert_eq!(lack(free, all, files_free, files), expected, "{free} of {all}");
        }
        assert_eq!(FullDisk::find([Path::new("/no/such/folder")]), None);
    }
}
