//! The location of a pipeline: the machine, and the file system mounted there, on which its file lies.
//!
//! A file that is not there may be gone, or lie where this process cannot see it: on a disk that is not mounted now, or on the
//! machine of somebody who shares the cache. Only the first is a reason to forget a pipeline.

use std::fs;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use serde::{Deserialize, Serialize};

/// Machine and mounted file system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Location {
    /// Name of the machine.
    host: String,
    /// Folder at which the file system is mounted.
    mounted_at: String,
}

impl Location {
    /// The location of `file`, or of the nearest folder above it that is there.
    pub(super) fn of(file: &Path) -> Option<Location> {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").ok()?.trim().to_owned();
        let near = file.ancestors().skip(1).find_map(|folder| fs::canonicalize(folder).ok())?;
        let mount = Mount::of(&near)?;
        let inside = near.ancestors().take_while(|folder| Mount::of(folder).is_some_and(|other| other == mount));
        Some(Location { host, mounted_at: inside.last()?.to_string_lossy().into_owned() })
    }

    /// Reason why a file of this place cannot be looked for at `now`, as the end of a sentence; `None` if it can.
    pub(super) fn out_of_reach(&self, now: &Location) -> Option<String> {
        if self.host != now.host {
            return Some(format!("it is a pipeline of the machine `{}`", self.host));
        }
        (self.mounted_at != now.mounted_at)
            .then(|| format!("its folder was on the file system at `{}`, which is not mounted now", self.mounted_at))
    }
}

/// Identity of a mounted file system.
#[derive(PartialEq)]
struct Mount {
    device: (u32, u32),
    /// Tells mounts of one device apart; 0 before Linux 5.8.
    number: u64,
}

impl Mount {
    fn of(folder: &Path) -> Option<Mount> {
        let found = statx(CWD, folder, AtFlags::empty(), StatxFlags::MNT_ID).ok()?;
        let has_number = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID);
        let number = if has_number { found.stx_mnt_id } else { 0 };
        Some(Mount { device: (found.stx_dev_major, found.stx_dev_minor), number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_out_of_reach_on_another_machine_or_where_another_file_system_is_mounted() {
        let folder = tempfile::tempdir().unwrap();
        let here = Location::of(&folder.path().join("p.yaml")).unwrap();
        assert_eq!(Location::of(&folder.path().join("gone/p.yaml")), Some(here.clone()));
        assert_eq!(here.out_of_reach(&here), None);
        let elsewhere = Location { host: "another".to_owned(), ..here.clone() };
        assert!(elsewhere.out_of_reach(&here).unwrap().contains("`another`"));
        let unmounted = Location { mounted_at: "/mnt/disk".to_owned(), ..here.clone() };
        assert!(unmounted.out_of_reach(&here).unwrap().contains("`/mnt/disk`"));
        assert_eq!(Location::of(Path::new("/proc/self/p.yaml")).unwrap().mounted_at, "/proc");
    }
}
