//! Gaps: names of stored files that were set aside.
//!
//! A file is on disk before anything says that it is there; so whatever is said of a stored file of the right size can be
//! believed after a power cut. But what was said of a file stays when the file is set aside as damaged, and another one that took its
//! name without being on disk yet could be left torn by a power cut, at its full length. `tombstones/ab/<name>` says of
//! `objects/ab/<name>` that it was set aside: what takes that name is brought to disk first.

use std::path::{Path, PathBuf};

use crate::fs::list;
use crate::{Cache, CacheError, Result};

/// The folder of tombstones.
pub(crate) const AREA: &str = "gaps";
const OBJECTS: &str = "objects";

impl Cache {
    /// Notes, to survive a power cut, that a stored file is about to be set aside. Other things that are set aside leave no
    /// tombstone: folders are brought to disk with what is in them, and everything else is sealed.
    pub(crate) fn add_tombstone(&self, path: &Path) -> Result<()> {
        let Some(tombstone) = self.moved(path, OBJECTS, AREA) else { return Ok(()) };
        self.disk.make_parent(&tombstone)?;
        self.disk.open_to_append(&tombstone).map_err(CacheError::io(&tombstone))?;
        self.disk.sync_way_to(&tombstone)
    }

    /// Makes sure that `file` is on disk if it is about to become the stored file `object` where there is a tombstone; says whether
    /// there is.
    pub(crate) fn sync_for_tombstone(&self, file: &Path, object: &Path) -> Result<bool> {
        let has_tombstone = self.moved(object, OBJECTS, AREA).is_some_and(|tombstone| tombstone.exists());
        if has_tombstone {
            self.disk.sync(file).map_err(CacheError::io(file))?;
        }
        Ok(has_tombstone)
    }

    /// The stored file `object` is there again.
    pub(crate) fn remove_tombstone(&self, object: &Path) -> Result<()> {
        let Some(tombstone) = self.moved(object, OBJECTS, AREA) else { return Ok(()) };
        self.disk.sync_parent(object)?;
        self.disk.remove(&tombstone)
    }

    /// Drops the tombstones of stored files that nothing speaks of any more.
    pub(crate) fn sweep_tombstones(&self, is_spoken_of: impl Fn(&Path) -> bool) -> Result<()> {
        for tombstone in list::list_sharded(self.root(), AREA)? {
            if self.moved(&tombstone, AREA, OBJECTS).is_none_or(|object| !is_spoken_of(&object)) {
                self.disk.remove(&tombstone)?;
            }
        }
        Ok(())
    }

    /// The path of the same name in another area; `None` if it does not lie in the first one.
    fn moved(&self, path: &Path, from: &str, to: &str) -> Option<PathBuf> {
        let name = path.strip_prefix(self.root().join(from)).ok()?;
        Some(self.root().join(to).join(name))
    }
}
