//! Small compound operations that keep the cache's promises: whole or not at all, and safely on disk.

use std::path::Path;

use tempfile::NamedTempFile;

use crate::fs::disk::Disk;
use crate::{CacheError, Result};

impl Disk {
    /// A temporary file of the cache's own.
    pub(crate) fn temporary(&self) -> Result<NamedTempFile> {
        let folder = self.root().join("tmp");
        self.temporary_in(&folder, "").map_err(CacheError::io(&folder))
    }

    /// Writes `content` to `path` whole or not at all, and makes sure that it survives a power cut.
    pub(crate) fn write_atomically(&self, path: &Path, content: &[u8]) -> Result<()> {
        let file = self.temporary()?;
        self.append(file.as_file(), file.path(), content).map_err(CacheError::io(path))?;
        self.sync_open(file.as_file(), file.path()).map_err(CacheError::io(path))?;
        self.make_parent(path)?;
        self.persist(file, path).map_err(CacheError::io(path))?;
        self.sync_parent(path)
    }

    /// As [`Disk::write_atomically`], but what is written survives a power cut only when the caller has brought it to disk. A
    /// file that is there already is safe from the first moment, so that nothing is lost that was promised before.
    pub(crate) fn write_unsynced(&self, path: &Path, content: &[u8]) -> Result<()> {
        if path.exists() {
            return self.write_atomically(path, content);
        }
        self.ensure_parent(path)?;
        let file = self.temporary()?;
        self.append(file.as_file(), file.path(), content).map_err(CacheError::io(path))?;
        self.persist(file, path).map_err(CacheError::io(path))
    }

    /// Makes the folder that `path` lies in.
    pub(crate) fn ensure_parent(&self, path: &Path) -> Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        self.make_folders(parent).map_err(CacheError::io(parent))
    }

    /// Writes a small file that never changes, unless it is there; one that nothing depends on should a power cut lose it.
    pub(crate) fn write_unsynced_if_absent(&self, name: &str, content: &str) -> Result<()> {
        let path = self.root().join(name);
        if path.exists() { Ok(()) } else { self.write_unsynced(&path, content.as_bytes()) }
    }

    /// Makes the folder that `path` lies in, to survive a power cut.
    pub(crate) fn make_parent(&self, path: &Path) -> Result<()> {
        path.parent().map_or(Ok(()), |parent| self.make_lasting_folders(parent))
    }

    /// Makes a folder and all it lies in, to survive a power cut; those that are there are fine.
    pub(crate) fn make_lasting_folders(&self, path: &Path) -> Result<()> {
        if path.as_os_str().is_empty() || self.is_folder(path) {
            return Ok(());
        }
        self.make_parent(path)?;
        self.make_folders(path).map_err(CacheError::io(path))?;
        self.sync_parent(path)
    }

    /// Makes sure that the entry of `path` in its folder survives a power cut.
    pub(crate) fn sync_parent(&self, path: &Path) -> Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        self.sync(parent).map_err(CacheError::io(parent))
    }

    /// Makes sure that the entries that lead to a stored file or folder (`area/ab/name`) survive a power cut, whoever made them:
    /// that may have been a process that was killed while waiting for the disk.
    pub(crate) fn sync_way_to(&self, path: &Path) -> Result<()> {
        path.ancestors().skip(1).take(2).try_for_each(|folder| self.sync(folder).map_err(CacheError::io(folder)))
    }
}
