//! Tombstones: names of stored files that were moved to quarantine.
//!
//! A file is synced to disk before anything refers to it, so that a stored file of the right size can be trusted after
//! a power cut. But references stay when a damaged file is moved to quarantine, and a new file that took its name
//! without being synced could be left torn by a power cut, at its full length. `gaps/a/<name>` says that
//! `objects/a/<name>` was moved to quarantine: a new file is synced before it takes that name.

use std::path::{Path, PathBuf};

use crate::fs::list;
use crate::locks::exclusive::Exclusive;
use crate::{Cache, CacheError, Result};

/// Folder of the tombstones.
pub(crate) const AREA: &str = "gaps";
const OBJECTS: &str = "objects";

impl Cache {
    /// Records durably that a stored file is about to be moved to quarantine. Other content needs no tombstone: folders
    /// are synced with their entries, and everything else is sealed.
    pub(crate) fn add_tombstone(&self, path: &Path) -> Result<()> {
        let Some(tombstone) = self.moved(path, OBJECTS, AREA) else { return Ok(()) };
        self.disk.make_parent(&tombstone)?;
        self.disk.open_to_append(&tombstone).map_err(CacheError::io(&tombstone))?;
        self.disk.sync_way_to(&tombstone)
    }

    /// Syncs `file`, which is about to become the stored file `object`, if that has a tombstone; returns whether it
    /// has.
    pub(crate) fn sync_for_tombstone(&self, file: &Path, object: &Path) -> Result<bool> {
        let has_tombstone = self.moved(object, OBJECTS, AREA).is_some_and(|tombstone| tombstone.exists());
        if has_tombstone {
            self.disk.sync(file).map_err(CacheError::io(file))?;
        }
        Ok(has_tombstone)
    }

    /// Removes the tombstone of the stored file `object`, which is there again.
    pub(crate) fn remove_tombstone(&self, object: &Path) -> Result<()> {
        let Some(tombstone) = self.moved(object, OBJECTS, AREA) else { return Ok(()) };
        self.disk.sync_parent(object)?;
        self.disk.remove(&tombstone)
    }

    /// Removes the tombstones of stored files that nothing refers to.
    pub(crate) fn sweep_tombstones(
        &self,
        is_referred_to: impl Fn(&Path) -> bool,
        exclusive: &Exclusive<'_>,
    ) -> Result<()> {
        for tombstone in list::list_sharded(self.root(), AREA)? {
            if self.moved(&tombstone, AREA, OBJECTS).is_none_or(|object| !is_referred_to(&object)) {
                exclusive.check()?;
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
