//! What nobody needs any more and a collection frees besides results: what was set aside as damaged, and what killed processes
//! left in working folders. Only names that were made here are touched.

use std::fs;
use std::iter::Sum;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{Cache, CacheError, Result, files};

const QUARANTINE: &str = "quarantine";
/// How temporary files and folders of this program are called.
const TEMPORARY: &str = ".tmp";

/// How much was freed, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Freed {
    /// Files and folders.
    pub items: usize,
    /// Their bytes, without those of files that have a further name elsewhere.
    pub bytes: u64,
}

impl Freed {
    /// How much the removal of a file or folder frees; nothing where nothing is.
    pub(crate) fn of(path: &Path) -> Freed {
        let there = fs::symlink_metadata(path).is_ok();
        Freed { items: usize::from(there), bytes: bytes_below(path) }
    }
}

impl Sum for Freed {
    fn sum<I: Iterator<Item = Freed>>(all: I) -> Freed {
        all.fold(Freed::default(), |sum, it| Freed { items: sum.items + it.items, bytes: sum.bytes + it.bytes })
    }
}

impl Cache {
    /// Frees what was set aside as damaged.
    pub(crate) fn sweep_quarantine(&self, dry_run: bool) -> Result<Freed> {
        self.sweep_area(QUARANTINE, is_quarantined, dry_run)
    }

    /// Frees what killed processes left. Nobody else may be working with the cache.
    pub(crate) fn sweep_leftovers(&self, dry_run: bool) -> Result<Freed> {
        let temporary = self.sweep_area("tmp", is_temporary, dry_run)?;
        let scratch = self.sweep_area("scratch", is_of_a_run, dry_run)?;
        Ok([temporary, scratch].into_iter().sum())
    }

    /// Removes a folder of this cache with everything in it, whole or not at all as others see it.
    pub fn remove_folder_of_ours(&self, path: &Path) -> Result<()> {
        let parent = self.root().join("tmp");
        let aside = self.disk.temporary_folder_in(&parent, TEMPORARY).map_err(CacheError::io(&parent))?;
        self.disk.rename(path, &aside.path().join("removed")).map_err(CacheError::io(path))?;
        self.disk.sync_parent(path)?;
        self.disk.remove(aside.path())
    }

    fn sweep_area(&self, area: &str, is_ours: fn(&Path) -> bool, dry_run: bool) -> Result<Freed> {
        let folder = self.root().join(area);
        // A link in its place leads to something that is not ours.
        if !fs::symlink_metadata(&folder).is_ok_and(|metadata| metadata.is_dir()) {
            return Ok(Freed::default());
        }
        let mut freed = Freed::default();
        for path in files::read_folder(&folder)?.into_iter().filter(|path| is_ours(path)) {
            let of_this = Freed::of(&path);
            if dry_run || self.removed(&path)? {
                freed = [freed, of_this].into_iter().sum();
            }
        }
        Ok(freed)
    }

    /// Removes what is in no use; false where another user's must be left to them.
    fn removed(&self, path: &PathBuf) -> Result<bool> {
        match self.disk.remove(path) {
            Err(CacheError::Io { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => Ok(false),
            other => other.map(|()| true),
        }
    }
}

/// Whether a file or folder has the name of a temporary one.
pub(crate) fn is_temporary(path: &Path) -> bool {
    name(path).starts_with(TEMPORARY)
}

/// Whether something was set aside: `objects_a_<digest>.0`.
fn is_quarantined(path: &Path) -> bool {
    let areas = ["objects_", "trees_", "manifests_", "actions_", "items_", "unfinished_", "tmp_"];
    let numbered = name(path).rsplit_once('.').is_some_and(|(_, number)| number.parse::<u32>().is_ok());
    numbered && areas.iter().any(|area| name(path).starts_with(area))
}

/// Whether a folder or lock belongs to a run: `000042-20261126-213007` and `000042-20261126-213007.lock`.
fn is_of_a_run(path: &Path) -> bool {
    let name = name(path);
    let run = name.strip_suffix(".lock").unwrap_or(name);
    let is_name = run.bytes().all(|c| c.is_ascii_digit() || c == b'-' || c == b'.');
    is_name && run.matches('-').count() == 2 && run.starts_with(|c: char| c.is_ascii_digit())
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Bytes of files that have no further name. Nothing that cannot be looked at counts.
fn bytes_below(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if metadata.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        return entries.map(|entry| bytes_below(&entry.path())).sum();
    }
    if metadata.is_file() && metadata.nlink() == 1 { metadata.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_were_made_here_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let ours = [
            "tmp/.tmpAbc123",
            "scratch/000042-20261126-213007/1/o.txt",
            "scratch/000042-20261126-213007.lock",
            "scratch/20261126-213007.123456-4711/1",
            "quarantine/objects_a_abc.0",
        ];
        let foreign = ["tmp/mine.txt", "scratch/notes-a-b", "quarantine/thesis.1", "quarantine/objects_mine"];
        for path in ours.iter().chain(&foreign) {
            fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
            fs::write(folder.path().join(path), "four").unwrap();
        }
        assert_eq!(cache.sweep_quarantine(true).unwrap(), Freed { items: 1, bytes: 4 });
        assert_eq!(cache.sweep_leftovers(true).unwrap(), Freed { items: 4, bytes: 16 });
        assert!(ours.iter().all(|path| folder.path().join(path).exists()));
        cache.sweep_quarantine(false).unwrap();
        cache.sweep_leftovers(false).unwrap();
        assert!(!ours.iter().any(|path| folder.path().join(path).exists()));
        assert!(foreign.iter().all(|path| folder.path().join(path).exists()));
    }

    #[test]
    fn a_link_in_the_place_of_an_area_is_not_followed() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cache = Cache::open(folder.path()).unwrap();
        let path = elsewhere.path().join(".tmpmine");
        fs::write(&path, "mine").unwrap();
        fs::remove_dir(folder.path().join("tmp")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("tmp")).unwrap();
        assert_eq!(cache.sweep_leftovers(false).unwrap(), Freed::default());
        assert!(path.exists());
    }
}
