//! An open cache: what it consists of.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fs::disk::Disk;
use crate::fs::fs_time::FsTime;
use crate::fs::layout::Layout;
use crate::fs::stat::{Moment, Stat};
use crate::index::clock::FileSystemClock;
use crate::index::stat_index::StatIndex;
use crate::locks::table::{Claim, Locks, UseGuard};
use crate::records::counter::Counter;
use crate::store::integrity::Integrity;
use crate::store::probe::Probe;
use crate::store::rehash::VerifyOnUse;
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
    pub(crate) verify_on_use: VerifyOnUse,
}

impl Cache {
    /// The cache's folder.
    pub fn root(&self) -> &Path {
        self.disk.root()
    }

    /// Keeps what was noted of stored content for later processes. Nothing depends on it: what cannot be kept is read again.
    pub fn flush_integrity(&self) {
        self.integrity.flush();
    }

    /// Where an artifact lies, for reading.
    pub fn path_of(&self, artifact: &Artifact) -> PathBuf {
        match artifact.kind {
            ArtifactKind::Folder => self.tree_path(&artifact.digest),
            kind => self.object_path(&artifact.digest, kind == ArtifactKind::Executable),
        }
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

    /// A folder on the same file system, for stages to work in.
    pub fn scratch_root(&self) -> PathBuf {
        self.root().join("scratch")
    }

    /// Whether nothing can be changed in the cache: what only looks works all the same.
    pub fn is_read_only(&self) -> bool {
        self.disk.refusal().is_some()
    }

    /// Refuses what would change a cache that cannot be changed.
    pub fn require_writable(&self) -> Result<()> {
        match self.disk.refusal() {
            None => Ok(()),
            Some(source) => Err(CacheError::ReadOnly { root: self.root().to_owned(), source }),
        }
    }

    /// What the user should know of the cache's file system: sentences, none where it does all that it should.
    pub fn notices(&self) -> Vec<String> {
        self.locks.capabilities().notice().into_iter().collect()
    }

    /// The present time by the clock of the cache's file system, which stamps what is written in it: the machine's may differ.
    pub fn file_system_time(&self) -> Result<Moment> {
        self.clock.now().map_err(CacheError::io(self.root()))
    }

    /// The time now on the cache's file system.
    pub fn fs_now(&self) -> Result<FsTime> {
        self.file_system_time().map(FsTime)
    }

    /// Whether a file or folder lies on the cache's file system, so that [`Cache::fs_now`] is its time too.
    pub fn shares_file_system_with(&self, path: &Path) -> bool {
        let device = |path: &Path| Stat::of(path).map(|stat| stat.device).ok();
        device(path).is_some_and(|theirs| device(self.root()) == Some(theirs))
    }

    /// Claims the right to make a fingerprint's result; `None` while somebody else has it.
    pub fn try_claim(&self, fingerprint: &Digest) -> Result<Option<Claim>> {
        self.locks.try_claim(fingerprint)
    }

    /// Says that this process works with the cache; waits while somebody has it alone.
    pub fn use_shared(&self) -> Result<UseGuard> {
        self.require_writable()?;
        self.locks.use_shared()
    }

    /// The cache alone, to remove things from it; `None` while somebody works with it.
    pub fn try_use_exclusive(&self) -> Result<Option<UseGuard>> {
        self.require_writable()?;
        self.locks.try_use_exclusive()
    }

    /// The cache's locks, for what its caller keeps in its folder.
    pub fn locks(&self) -> &Arc<Locks> {
        &self.locks
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.integrity.flush();
    }
}
