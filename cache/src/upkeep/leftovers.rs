//! Leftovers that a collection removes besides results: the quarantine, and what killed processes left in working
//! folders. Only the cache's own names are touched.

use std::fs;
use std::path::Path;

use crate::fs::freed::Freed;
use crate::fs::list;
use crate::locks::exclusive::Exclusive;
use crate::upkeep::kept_scratch::is_kept;
use crate::{Cache, CacheError, Result};

const QUARANTINE: &str = "quarantine";

impl Cache {
    /// Empties the quarantine; without `removal` only says how much that would free.
    pub(crate) fn sweep_quarantine(&self, removal: Option<&Exclusive<'_>>) -> Result<Freed> {
        self.sweep_area(QUARANTINE, removal)
    }

    /// Removes leftovers of killed processes; without `removal` only says how much that would free.
    pub(crate) fn sweep_leftovers(&self, removal: Option<&Exclusive<'_>>) -> Result<Freed> {
        let temporary = self.sweep_area("tmp", removal)?;
        let scratch = self.sweep_area("scratch", removal)?;
        Ok([temporary, scratch].into_iter().sum())
    }

    /// Removes a folder in the cache with everything in it, atomically as others see it.
    pub fn remove_own_folder(&self, path: &Path) -> Result<()> {
        let parent = self.root().join("tmp");
        let aside = self.disk.temporary_folder_in(&parent, "").map_err(CacheError::io(&parent))?;
        self.disk.rename(path, &aside.path().join("removed")).map_err(CacheError::io(path))?;
        self.disk.sync_parent(path)?;
        self.disk.remove(aside.path())
    }

    fn sweep_area(&self, area: &str, removal: Option<&Exclusive<'_>>) -> Result<Freed> {
        let folder = self.root().join(area);
        // A link in its place leads to somebody else's folder.
        if !fs::symlink_metadata(&folder).is_ok_and(|metadata| metadata.is_dir()) {
            return Ok(Freed::default());
        }
        let mut freed = Freed::default();
        for path in list::list_own(self.root(), area)?.into_iter().filter(|path| !is_kept(path)) {
            let of_this = Freed::of(&path);
            let is_gone = match removal {
                None => true,
                Some(exclusive) => exclusive.check().and_then(|()| self.remove_if_permitted(&path))?,
            };
            if is_gone {
                freed = [freed, of_this].into_iter().sum();
            }
        }
        Ok(freed)
    }

    /// Removes a leftover; returns false if it belongs to another user and has to stay.
    fn remove_if_permitted(&self, path: &Path) -> Result<bool> {
        match self.disk.remove(path) {
            Err(CacheError::Io { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => Ok(false),
            other => other.map(|()| true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_were_made_here_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let exclusive = Exclusive::new(folder.path(), None);
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
        assert_eq!(cache.sweep_quarantine(None).unwrap(), Freed { items: 1, bytes: 4 });
        assert_eq!(cache.sweep_leftovers(None).unwrap(), Freed { items: 4, bytes: 16 });
        assert!(ours.iter().all(|path| folder.path().join(path).exists()));
        cache.sweep_quarantine(Some(&exclusive)).unwrap();
        cache.sweep_leftovers(Some(&exclusive)).unwrap();
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
        let exclusive = Exclusive::new(folder.path(), None);
        assert_eq!(cache.sweep_leftovers(Some(&exclusive)).unwrap(), Freed::default());
        assert!(path.exists());
    }
}
