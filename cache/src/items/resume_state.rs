//! Resume state: state of interrupted work, from which the same work continues.
//!
//! `unfinished/a/<fingerprint>/` belongs to the holder of the claim on that fingerprint, and is removed when the result
//! is recorded. Its name is the fingerprint, so that changed work never finds it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::fs::disk::Disk;
use crate::fs::freed::Freed;
use crate::fs::list;
use crate::fs::names::digest_in_name;
use crate::locks::exclusive::Exclusive;
use crate::{Cache, CacheError, Digest, ItemFile, Result};

/// File that lists the digests of item files in use as long as the resume state exists.
pub(crate) const FILES: &str = "item-files";

impl Cache {
    /// Folder of the resume state of `fingerprint`, which need not exist.
    pub fn resume_state_path(&self, fingerprint: &Digest) -> PathBuf {
        self.root().join(self.layout.resume_state(fingerprint))
    }

    /// Removes the resume state of `fingerprint`.
    pub fn remove_resume_state(&self, fingerprint: &Digest) -> Result<()> {
        self.disk.remove(&self.resume_state_path(fingerprint))
    }

    /// Item files in use by the resume states of the fingerprints in `kept`.
    pub(crate) fn files_of_resume_states(&self, kept: &HashSet<Digest>) -> Vec<PathBuf> {
        let lists = kept.iter().map(|fingerprint| self.resume_state_path(fingerprint).join(FILES));
        let text: String = lists.filter_map(|list| fs::read_to_string(list).ok()).collect();
        text.lines().filter_map(|line| Some(self.object_path(&line.parse().ok()?, false))).collect()
    }

    /// Removes all resume states but those of the fingerprints in `kept`.
    pub(crate) fn sweep_resume_states(&self, kept: &HashSet<Digest>, exclusive: &Exclusive<'_>) -> Result<()> {
        let kept: HashSet<PathBuf> = kept.iter().map(|fingerprint| self.resume_state_path(fingerprint)).collect();
        let folders = list::list_sharded(self.root(), "unfinished")?.into_iter();
        let ours = folders.filter(|folder| digest_in_name(folder).is_some());
        let mut others = ours.filter(|folder| !kept.contains(folder));
        others.try_for_each(|folder| exclusive.check().and_then(|()| self.disk.remove(&folder)))
    }

    /// Fingerprints of all resume states.
    pub fn all_resume_states(&self) -> Result<Vec<Digest>> {
        Ok(list::list_sharded(self.root(), "unfinished")?.iter().filter_map(|path| digest_in_name(path)).collect())
    }

    /// Space of all resume states but those of the fingerprints in `kept`.
    pub(crate) fn resume_states_except(&self, kept: &HashSet<Digest>) -> Result<Freed> {
        let others = self.all_resume_states()?.into_iter().filter(|fingerprint| !kept.contains(fingerprint));
        Ok(others.map(|fingerprint| Freed::of(&self.resume_state_path(&fingerprint))).sum())
    }
}

/// List of the item files in use by one resume state.
pub(crate) struct FilesInUse {
    disk: Disk,
    list: File,
    path: PathBuf,
}

impl FilesInUse {
    /// Opens the list in `folder`, which is created if need be.
    pub(crate) fn open(disk: &Disk, folder: &Path) -> Result<FilesInUse> {
        disk.make_folders(folder).map_err(CacheError::io(folder))?;
        let path = folder.join(FILES);
        let list = disk.open_to_append(&path).map_err(CacheError::io(&path))?;
        Ok(FilesInUse { disk: disk.clone(), list, path })
    }

    /// Adds files.
    pub(crate) fn add(&mut self, used: &[ItemFile]) -> Result<()> {
        let lines: String = used.iter().map(|file| format!("{}\n", file.digest)).collect();
        self.disk.append(&self.list, &self.path, lines.as_bytes()).map_err(CacheError::io(&self.path))
    }
}
