//! Stored folders: built from stored files, protected, and repaired.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::fs::disk::TemporaryFolder;
use crate::fs::disk_fallback::Linked;
use crate::fs::list;
use crate::store::stored_tree::Deviation;
use crate::tree::TreeEntry;
use crate::{Cache, CacheError, Digest, Result, Tree};

/// Permission bits of a stored folder while its entries are changed.
const UNLOCKED: u32 = 0o755;

impl Cache {
    /// Whether a stored folder is there and matches its manifest. One that does not match is repaired from the stored
    /// files, which must be intact.
    pub(crate) fn has_intact_tree(&self, tree: &Tree, digest: &Digest) -> Result<bool> {
        let target = self.tree_path(digest);
        if fs::symlink_metadata(&target).is_err() {
            return Ok(false);
        }
        let Ok(snapshot) = self.tree_snapshot(digest) else {
            self.quarantine(&target)?;
            return Ok(false);
        };
        let deviation = self.deviation(tree, &target, &snapshot);
        if deviation.is_none() {
            return Ok(true);
        }
        self.note_incident(&[*digest])?;
        if self.restore_tree(tree, &target, &deviation).is_ok() {
            return Ok(true);
        }
        self.quarantine(&target)?;
        Ok(false)
    }

    /// Builds the folder of `tree` at `target` from stored files.
    pub(crate) fn materialise(&self, tree: &Tree, target: &Path) -> Result<()> {
        let temporary = self.staging_folder()?;
        let folder = temporary.path().join("tree");
        self.disk.make_folder(&folder).map_err(CacheError::io(&folder))?;
        let make = |entry| self.materialise_entry(&folder, entry);
        let copies = tree.entries.par_iter().map(make).collect::<Result<Vec<_>>>()?;
        self.sync_copies(&copies.into_iter().flatten().collect::<Vec<_>>())?;
        self.move_into_place(&folder, target)
    }

    /// Makes one entry of a folder from the stored file; returns its path if it is a copy, which is not synced yet.
    fn materialise_entry(&self, folder: &Path, entry: &TreeEntry) -> Result<Option<PathBuf>> {
        let path = folder.join(&entry.path);
        let Some(digest) = entry.digest else {
            return self.disk.make_folders(&path).map(|()| None).map_err(CacheError::io(&path));
        };
        if let Some(parent) = path.parent() {
            self.disk.make_folders(parent).map_err(CacheError::io(parent))?;
        }
        let linked = self.link_stored(&self.object_path(&digest, entry.executable), digest, &path)?;
        Ok((linked == Linked::Copy).then_some(path))
    }

    pub(crate) fn move_into_place(&self, folder: &Path, target: &Path) -> Result<()> {
        self.disk.make_parent(target)?;
        // An empty folder would take the place of another one, and look like a change of it to whoever reads that.
        match self.disk.rename_unless_there(folder, target) {
            // Another process was faster, which may not have waited for the disk.
            Err(_) if target.is_dir() => {}
            other => other.map_err(CacheError::io(target))?,
        }
        self.protect_and_sync(target)
    }

    /// Makes a stored folder read-only, and syncs it to disk.
    pub(crate) fn protect_and_sync(&self, target: &Path) -> Result<()> {
        self.protect_recursively(target)?;
        self.disk.sync_way_to(target)
    }

    /// Makes a folder and those below it read-only, and syncs their entries to disk. Bits that are right are not set again: that would
    /// look like a change to whoever reads the folder now.
    fn protect_recursively(&self, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder).map_err(CacheError::io(folder))? {
            let entry = entry.map_err(CacheError::io(folder))?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.protect_recursively(&entry.path())?;
            }
        }
        self.protect(folder)?;
        self.disk.sync(folder).map_err(CacheError::io(folder))
    }

    /// Restores the permission bits of a stored folder and those below it.
    pub(crate) fn restore_folder_modes(&self, folder: &Path) -> Result<()> {
        for path in list::read_folder(folder)? {
            if fs::symlink_metadata(&path).is_ok_and(|inner| inner.is_dir()) {
                self.restore_folder_modes(&path)?;
            }
        }
        self.protect(folder)
    }

    /// Gives a folder the permission bits of stored folders, unless it has them.
    fn protect(&self, folder: &Path) -> Result<()> {
        let mode = self.disk.stored_folder_mode();
        let is_as_made = rustix::fs::lstat(folder).is_ok_and(|stat| stat.st_mode & 0o777 == mode);
        if is_as_made { Ok(()) } else { self.set_mode(folder, mode) }
    }

    /// Restores a stored folder to its manifest from the stored files, which must all be intact.
    pub(crate) fn restore_tree(&self, tree: &Tree, folder: &Path, deviation: &Deviation) -> Result<()> {
        self.unlock_folders(folder)?;
        for path in deviation.added.iter().chain(&deviation.changed) {
            self.disk.remove(&folder.join(path))?;
        }
        // Made apart, so that copies are on disk before another process can find them in the stored folder.
        let staging = self.staging_folder()?;
        let missing = tree.entries.iter().filter(|entry| fs::symlink_metadata(folder.join(&entry.path)).is_err());
        let missing: Vec<&TreeEntry> = missing.collect();
        let make = |entry: &&TreeEntry| self.materialise_entry(staging.path(), entry);
        let copies = missing.iter().map(make).collect::<Result<Vec<_>>>()?;
        self.sync_copies(&copies.into_iter().flatten().collect::<Vec<_>>())?;
        missing.into_iter().try_for_each(|entry| self.move_entry(staging.path(), folder, entry))?;
        self.protect_and_sync(folder)
    }

    /// Moves an entry from one folder to another one.
    fn move_entry(&self, from: &Path, to: &Path, entry: &TreeEntry) -> Result<()> {
        let path = to.join(&entry.path);
        let parent = if entry.digest.is_some() { path.parent().unwrap_or(to) } else { &path };
        self.disk.make_folders(parent).map_err(CacheError::io(parent))?;
        if entry.digest.is_none() {
            return Ok(());
        }
        self.disk.rename(&from.join(&entry.path), &path).map_err(CacheError::io(&path))
    }

    fn staging_folder(&self) -> Result<TemporaryFolder> {
        self.disk.temporary_folder_in(&self.root().join("tmp"), ".tmp").map_err(CacheError::io(self.root()))
    }

    /// Makes a stored folder and those below it writable.
    fn unlock_folders(&self, folder: &Path) -> Result<()> {
        self.disk.set_mode_if_possible(folder, UNLOCKED).map_err(CacheError::io(folder))?;
        for path in list::read_folder(folder)? {
            if fs::symlink_metadata(&path).is_ok_and(|inner| inner.is_dir()) {
                self.unlock_folders(&path)?;
            }
        }
        Ok(())
    }

    /// Moves the damaged stored files of `tree` to quarantine, and returns their digests and those of missing ones.
    pub(crate) fn damaged_files_of(&self, tree: &Tree) -> Result<Vec<Digest>> {
        let check = |entry: &TreeEntry| -> Result<Option<Digest>> {
            let Some(digest) = entry.digest else { return Ok(None) };
            let object = self.object_path(&digest, entry.executable);
            Ok((!self.has_intact(&object, digest, entry.executable, entry.bytes)?).then_some(digest))
        };
        let found = tree.entries.par_iter().map(check).collect::<Result<Vec<_>>>()?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Repairs a stored folder that deviates from its manifest if all its files are intact; otherwise it goes to
    /// quarantine with those that are not. Returns the deviation, and the digests of lost files. One thread at a time.
    pub(crate) fn repair_tree(&self, tree: &Tree, digest: &Digest) -> Result<(Deviation, Vec<Digest>)> {
        let folder = self.tree_path(digest);
        let deviation = match self.tree_snapshot(digest) {
            Ok(snapshot) => self.deviation(tree, &folder, &snapshot),
            Err(_) => Deviation { changed: vec![std::path::PathBuf::new()], ..Deviation::default() },
        };
        let lost = if deviation.changed.is_empty() { Vec::new() } else { self.damaged_files_of(tree)? };
        if !lost.is_empty() {
            self.note_incident(&lost)?;
            self.quarantine(&folder)?;
            return Ok((deviation, lost));
        }
        if !deviation.is_none() {
            self.note_incident(&[*digest])?;
            if fs::symlink_metadata(&folder).is_ok_and(|folder| folder.is_dir()) {
                self.restore_tree(tree, &folder, &deviation)?;
            } else {
                self.materialise(tree, &folder)?;
            }
        } else {
            self.restore_folder_modes(&folder)?;
        }
        if let Ok(snapshot) = self.tree_snapshot(digest) {
            self.note_tree(digest, &snapshot);
        }
        Ok((deviation, lost))
    }
}
