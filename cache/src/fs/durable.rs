//! Atomic and durable writes: compound operations on top of [`Disk`].

use std::path::Path;

use tempfile::NamedTempFile;

use crate::fs::disk::Disk;
use crate::{CacheError, Result};

impl Disk {
    /// Creates a temporary file in the cache.
    pub(crate) fn temporary(&self) -> Result<NamedTempFile> {
        let folder = self.root().join("tmp");
        self.temporary_in(&folder, "").map_err(CacheError::io(&folder))
    }

    /// Writes `content` to `path` atomically, and syncs it to disk.
    pub(crate) fn write_atomically(&self, path: &Path, content: &[u8]) -> Result<()> {
        let file = self.temporary()?;
        self.append(file.as_file(), file.path(), content).map_err(CacheError::io(path))?;
        self.sync_open(file.as_file(), file.path()).map_err(CacheError::io(path))?;
        self.make_parent(path)?;
        self.persist(file, path).map_err(CacheError::io(path))?;
        self.sync_parent(path)
    }

    /// Writes `content` to `path` atomically; the caller syncs it to disk. In place of an existing file it is synced at
    /// once, so that nothing is lost that was promised before.
    pub(crate) fn write_unsynced(&self, path: &Path, content: &[u8]) -> Result<()> {
        if path.exists() {
            return self.write_atomically(path, content);
        }
        self.ensure_parent(path)?;
        let file = self.temporary()?;
        self.append(file.as_file(), file.path(), content).map_err(CacheError::io(path))?;
        self.persist(file, path).map_err(CacheError::io(path))
    }

    /// Creates the parent folder of `path`.
    pub(crate) fn ensure_parent(&self, path: &Path) -> Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        self.make_folders(parent).map_err(CacheError::io(parent))
    }

    /// Writes a small file unless it exists; nothing depends on it should a power cut lose it.
    pub(crate) fn write_unsynced_if_absent(&self, name: &str, content: &str) -> Result<()> {
        let path = self.root().join(name);
        if path.exists() { Ok(()) } else { self.write_unsynced(&path, content.as_bytes()) }
    }

    /// Creates the parent folder of `path` and syncs it to disk.
    pub(crate) fn make_parent(&self, path: &Path) -> Result<()> {
        path.parent().map_or(Ok(()), |parent| self.make_folders_durably(parent))
    }

    /// Creates a folder and its parents, unless they exist, and syncs them to disk.
    pub(crate) fn make_folders_durably(&self, path: &Path) -> Result<()> {
        if path.as_os_str().is_empty() || self.is_folder(path) {
            return Ok(());
        }
        self.make_parent(path)?;
        self.make_folders(path).map_err(CacheError::io(path))?;
        self.sync_parent(path)
    }

    /// Syncs the entry of `path` in its parent folder to disk.
    pub(crate) fn sync_parent(&self, path: &Path) -> Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        self.sync(parent).map_err(CacheError::io(parent))
    }

    /// Syncs the entries that lead to a stored file or folder (`area/a/name`) to disk, also those that another process
    /// made: it may have been killed while waiting for the disk.
    pub(crate) fn sync_way_to(&self, path: &Path) -> Result<()> {
        path.ancestors().skip(1).take(2).try_for_each(|folder| self.sync(folder).map_err(CacheError::io(folder)))
    }
}
