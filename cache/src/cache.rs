//! The open cache: its components, and what they do by themselves.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fs::disk::Disk;
use crate::fs::fs_time::FsTime;
use crate::fs::layout::Layout;
use crate::fs::stat::Stat;
use crate::index::clock::FileSystemClock;
use crate::index::stat_index::StatIndex;
use crate::locks::table::{Claim, Locks, UseGuard};
use crate::records::counter::Counter;
use crate::store::integrity::Integrity;
use crate::store::probe::Probe;
use crate::store::rehash::VerifyOnUse;
use crate::store::serial::Serial;
use crate::{Artifact, ArtifactKind, CacheError, Digest, Result};

/// An open cache. Cheap to share between threads by reference.
pub struct Cache {
    pub(crate) disk: Disk,
    pub(crate) stat_index: StatIndex,
    pub(crate) locks: Arc<Locks>,
    pub(crate) clock: Arc<FileSystemClock>,
    pub(crate) counter: Counter,
    pub(crate) probe: Probe,
    pub(crate) integrity: Integrity,
    pub(crate) layout: Layout,
    pub(crate) serial: Serial,
    pub(crate) verify_on_use: VerifyOnUse,
    /// Areas of results that somebody had deleted when it was opened.
    pub(crate) deleted: Vec<&'static str>,
}

impl Cache {
    /// Path of the cache's folder.
    pub fn root(&self) -> &Path {
        self.disk.root()
    }

    /// Saves integrity notes for later processes. Nothing depends on them: content without a note is read again.
    #[doc(hidden)]
    pub fn flush_integrity(&self) {
        self.integrity.flush();
    }

    /// Path of an artifact in the store, for reading.
    pub fn path_of(&self, artifact: &Artifact) -> PathBuf {
        match artifact.kind {
            ArtifactKind::Folder => self.tree_path(&artifact.digest),
            kind => self.object_path(&artifact.digest, kind == ArtifactKind::Executable),
        }
    }

    /// Folders in which everything lies that [`Cache::path_of`] gives.
    pub fn stored_areas(&self) -> [PathBuf; 2] {
        ["objects", "trees"].map(|area| self.root().join(area))
    }

    pub(crate) fn object_path(&self, digest: &Digest, executable: bool) -> PathBuf {
        self.root().join(self.layout.object(digest, executable))
    }

    pub(crate) fn tree_path(&self, digest: &Digest) -> PathBuf {
        self.root().join(self.layout.tree(digest))
    }

    pub(crate) fn manifest_path(&self, digest: &Digest) -> PathBuf {
        self.root().join(self.layout.manifest(digest))
    }

    pub(crate) fn action_path(&self, fingerprint: &Digest) -> PathBuf {
        self.root().join(self.layout.action(fingerprint))
    }

    /// Path of the folder that stages work in, on the cache's file system.
    pub fn scratch_root(&self) -> PathBuf {
        self.root().join("scratch")
    }

    /// Whether the cache is read-only: lookups work all the same.
    pub fn is_read_only(&self) -> bool {
        self.disk.refusal().is_some()
    }

    /// Returns an error if the cache is read-only.
    pub fn require_writable(&self) -> Result<()> {
        match self.disk.refusal() {
            None => Ok(()),
            Some(source) => Err(CacheError::ReadOnly { root: self.root().to_owned(), source }),
        }
    }

    /// Notices for the user about the cache and its file system, in sentences; none if it is whole and has all capabilities.
    pub fn notices(&self) -> Vec<String> {
        let deleted = (!self.deleted.is_empty()).then(|| {
            let names: Vec<String> = self.deleted.iter().map(|area| format!("`{area}`")).collect();
            format!(
                "the cache `{}` lacks {}, as if its deletion had been interrupted: results that are gone with that are made \
                 again; to begin with an empty cache, delete the whole folder",
                self.root().display(),
                names.join(" and ")
            )
        });
        self.locks.capabilities().notice().into_iter().chain(deleted).collect()
    }

    /// Present time on the cache's file system, for comparison with times of change.
    pub fn fs_now(&self) -> Result<FsTime> {
        self.clock.now().map(FsTime).map_err(CacheError::io(self.root()))
    }

    /// Whether a file or folder lies on the cache's file system, so that [`Cache::fs_now`] is comparable with its
    /// times.
    pub fn shares_file_system_with(&self, path: &Path) -> bool {
        let device = |path: &Path| Stat::of(path).map(|stat| stat.device).ok();
        device(path).is_some_and(|theirs| device(self.root()) == Some(theirs))
    }

    /// Claims the right to compute a fingerprint's result; `None` while somebody else has it.
    pub fn try_claim(&self, fingerprint: &Digest) -> Result<Option<Claim>> {
        self.locks.try_claim(fingerprint)
    }

    /// Announces shared use of the cache; waits while another process has exclusive use.
    pub fn use_shared(&self) -> Result<UseGuard> {
        self.require_writable()?;
        self.locks.use_shared()
    }

    /// Takes exclusive use of the cache, for a collection; `None` while anybody else uses it.
    pub fn try_use_exclusive(&self) -> Result<Option<UseGuard>> {
        self.require_writable()?;
        self.locks.try_use_exclusive()
    }

    /// Locks of the cache, for files that the caller keeps in its folder.
    pub fn locks(&self) -> &Arc<Locks> {
        &self.locks
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.integrity.flush();
    }
}
