//! State of work that was cut off, for the same work to go on from.
//!
//! `unfinished/a/<fingerprint>/` belongs to the holder of the claim on that fingerprint, and goes away when the result is
//! recorded. Since its name is the fingerprint, changed work never finds it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::fs::disk::Disk;
use crate::fs::freed::Freed;
use crate::fs::list;
use crate::fs::names::digest_in_name;
use crate::{Cache, CacheError, Digest, ItemFile, Result};

/// The file in such a folder that lists digests of items' files, which are in use as long as the folder is there.
const FILES: &str = "item-files";

impl Cache {
    /// Where work on `fingerprint` keeps its state. The folder need not exist.
    pub fn resume_state_path(&self, fingerprint: &Digest) -> PathBuf {
        self.root().join(self.layout.resume_state(fingerprint))
    }

    /// Throws away the state of work that is finished.
    pub fn remove_resume_state(&self, fingerprint: &Digest) -> Result<()> {
        self.disk.remove(&self.resume_state_path(fingerprint))
    }

    /// Files of items that cut-off work has computed, for every fingerprint in `kept`.
    pub(crate) fn files_of_resume_states(&self, kept: &HashSet<Digest>) -> Vec<PathBuf> {
        let lists = kept.iter().map(|fingerprint| self.resume_state_path(fingerprint).join(FILES));
        let text: String = lists.filter_map(|list| fs::read_to_string(list).ok()).collect();
        text.lines().filter_map(|line| Some(self.object_path(&line.parse().ok()?, false))).collect()
    }

    /// Throws away the state of all work but that on the fingerprints in `kept`.
    pub(crate) fn sweep_resume_states(&self, kept: &HashSet<Digest>) -> Result<()> {
        let kept: HashSet<PathBuf> = kept.iter().map(|fingerprint| self.resume_state_path(fingerprint)).collect();
        let folders = list::list_sharded(self.root(), "unfinished")?.into_iter();
        let ours = folders.filter(|folder| digest_in_name(folder).is_some());
        ours.filter(|folder| !kept.contains(folder)).try_for_each(|folder| self.disk.remove(&folder))
    }

    /// Fingerprints of all work that was begun and has left something.
    pub fn all_resume_states(&self) -> Result<Vec<Digest>> {
        Ok(list::list_sharded(self.root(), "unfinished")?.iter().filter_map(|path| digest_in_name(path)).collect())
    }

    /// How much the state of all work takes but that on the fingerprints in `kept`.
    pub(crate) fn resume_states_except(&self, kept: &HashSet<Digest>) -> Result<Freed> {
        let others = self.all_resume_states()?.into_iter().filter(|fingerprint| !kept.contains(fingerprint));
        Ok(others.map(|fingerprint| Freed::of(&self.resume_state_path(&fingerprint))).sum())
    }
}

/// The list, in the folder of some work, of items' files that are in use as long as that folder is there.
pub(crate) struct FilesInUse {
    disk: Disk,
    list: File,
    path: PathBuf,
}

impl FilesInUse {
    /// The list in `folder`, which is made if need be.
    pub fn open(disk: &Disk, folder: &Path) -> Result<FilesInUse> {
        disk.make_folders(folder).map_err(CacheError::io(folder))?;
        let path = folder.join(FILES);
        let list = disk.open_to_append(&path).map_err(CacheError::io(&path))?;
        Ok(FilesInUse { disk: disk.clone(), list, path })
    }

    /// Adds files.
    pub fn add(&mut self, used: &[ItemFile]) -> Result<()> {
        let lines: String = used.iter().map(|file| format!("{}\n", file.digest)).collect();
        self.disk.append(&self.list, &self.path, lines.as_bytes()).map_err(CacheError::io(&self.path))
    }
}
