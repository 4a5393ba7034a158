//! Small compound operations that keep the cache's promises: whole or not at all, and safely on disk.

use std::fs::{self, FileType};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::disk::Disk;
use crate::{CacheError, Result, names};

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

/// What the cache has made in `area`, in folders by first digits (`area/a/name`), sorted: names that it does not give are
/// somebody else's. Nothing is reached through a symbolic link; one that has such a name itself is listed only among what is
/// verified.
pub fn list_sharded(root: &Path, area: &str) -> Result<Vec<PathBuf>> {
    let is_verified = matches!(area, "objects" | "trees" | "manifests" | "actions");
    let mut found = Vec::new();
    for (shard, kind) in entries(&root.join(area))? {
        if !kind.is_dir() || !shard.file_name().is_some_and(names::is_shard) {
            continue;
        }
        let own = entries(&shard)?.into_iter().filter(|(path, kind)| {
            (is_verified || !kind.is_symlink()) && path.file_name().is_some_and(|name| names::is_own(area, name))
        });
        found.extend(own.map(|(path, _)| path));
    }
    found.sort();
    Ok(found)
}

/// What the cache has made in an area without such folders, in no particular order, without symbolic links.
pub fn list_own(root: &Path, area: &str) -> Result<Vec<PathBuf>> {
    let entries = entries(&root.join(area))?.into_iter();
    let own = entries
        .filter(|(path, kind)| !kind.is_symlink() && path.file_name().is_some_and(|name| names::is_own(area, name)));
    Ok(own.map(|(path, _)| path).collect())
}

/// The logs of items in the folder of a scope.
pub fn list_item_logs(folder: &Path) -> Result<Vec<PathBuf>> {
    let logs = entries(folder)?.into_iter();
    let logs = logs.filter(|(path, kind)| kind.is_file() && path.file_name().is_some_and(names::is_item_log));
    Ok(logs.map(|(path, _)| path).collect())
}

/// What lies in a folder, in no particular order.
pub fn read_folder(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(path).map_err(CacheError::io(path))?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(CacheError::io(path))).collect()
}

/// What lies in a folder of the cache, links not followed; nothing if there is none, as in a read-only cache of earlier days.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, FileType)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(CacheError::io(folder)(error)),
    };
    let entry = |entry: std::io::Result<fs::DirEntry>| entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)));
    entries.map(|found| entry(found).map_err(CacheError::io(folder))).collect()
}
