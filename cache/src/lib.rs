//! Content-addressed storage of stage results, safe for many processes at once.
//!
//! A cache is one folder. Files are stored once by the BLAKE3 digest of their content, folders as trees of hard links to
//! them, and what a stage computed as a record from its fingerprint to the digests of its outputs. Everything appears by an
//! atomic rename or link, the record last, so that a reader sees a result whole or not at all. Nothing here knows of stages,
//! pipelines or scheduling.

mod abilities;
mod actions;
mod advice;
pub mod any_path;
mod byte_array;
mod checkout;
mod clock;
mod copies;
mod digest;
mod disk;
mod error;
mod fallback;
mod files;
mod fs_time;
mod gaps;
mod gc;
mod incidents;
mod integrity;
mod item_log;
mod items;
mod layout;
mod leases;
mod leftovers;
mod locks;
mod look;
mod names;
mod opening;
mod pending;
mod placements;
mod presence;
mod process;
mod reading;
mod sequence;
mod stat;
mod stat_index;
mod store;
mod stored_tree;
mod trace;
mod tree;
mod unfinished;
mod usage;
mod verify;
mod verify_on_use;
mod walk;
mod writers;

pub use actions::{ActionRecord, Lookup, OutputRecord, SealedRecord};
pub use checkout::{Checkout, ResultsLock, Staged, Swap};
pub use clock::fs_time;
pub use digest::{Digest, ParseDigestError, ValueHasher, hash_value};
pub use disk::{Operation, Watch};
pub use error::{CacheError, explain};
pub use fallback::{move_folder, remove_tree, symlink_or_copy};
pub use fs_time::FsTime;
pub use gc::{Dropped, GcReport, GcRequest};
pub use integrity::Evidence;
pub use items::{ItemFile, ItemRecord, Items};
pub use leftovers::Freed;
pub use locks::{Claim, Lock, Locks, UseGuard};
pub use look::Stamp;
pub use names::is_run as is_name_of_run;
pub use pending::Pending;
pub use placements::Placements;
pub use presence::InputState;
pub use stat::Moment;
pub use stat_index::Look;
pub use store::{Presence, Unsynced};
pub use trace::Trace;
pub use tree::{Artifact, ArtifactKind, Change, Content, Tree, TreeEntry, diff};
pub use usage::{Usage, UsageEntry};
pub use verify::{Damage, VerifyReport};
pub use verify_on_use::Rehash;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clock::FileSystemClock;
use disk::Disk;
use layout::Layout;
use look::Glance;
use stat_index::StatIndex;

/// The result of an operation on a cache.
pub type Result<T> = std::result::Result<T, CacheError>;

/// An open cache. Cheap to share between threads by reference.
pub struct Cache {
    disk: Disk,
    stat_index: StatIndex,
    locks: Arc<Locks>,
    clock: Arc<FileSystemClock>,
    counter: sequence::Counter,
    glance: Glance,
    integrity: integrity::Integrity,
    layout: Layout,
    verify_on_use: verify_on_use::VerifyOnUse,
}

impl Cache {
    /// Opens the cache in `root`, making it where there is nothing. A folder with anything else in it is refused. A cache that
    /// cannot be changed is opened for looking.
    pub fn open(root: &Path) -> Result<Cache> {
        opening::open(root, None)
    }

    /// As [`Cache::open`], with something that stands before every change of files.
    pub fn open_watched(root: &Path, watch: Option<Arc<dyn Watch>>) -> Result<Cache> {
        opening::open(root, watch)
    }

    /// The cache's folder.
    pub fn root(&self) -> &Path {
        self.disk.root()
    }

    /// A folder on the same file system, for stages to work in.
    pub fn scratch_root(&self) -> PathBuf {
        self.root().join("scratch")
    }

    /// The digest of a file or folder anywhere on disk. Unchanged files are not read again.
    pub fn artifact_of(&self, path: &Path) -> Result<Artifact> {
        Ok(self.stat_index.look_at(path)?.artifact)
    }

    /// As [`Cache::artifact_of`], for those who may want to know what is in a folder, too.
    pub fn look_at(&self, path: &Path) -> Result<Look> {
        self.stat_index.look_at(path)
    }

    /// As [`Cache::artifact_of`]; the manifest of a folder is kept, so that a later comparison can name what changed.
    pub fn artifact_with_manifest_of(&self, path: &Path) -> Result<Artifact> {
        let look = self.stat_index.look_at(path)?;
        let artifact = look.artifact.clone();
        if artifact.kind == ArtifactKind::Folder && !self.is_read_only() {
            self.keep_manifest(&artifact.digest, || look.into_tree())?;
        }
        Ok(artifact)
    }

    /// Saves what [`Cache::artifact_of`] has learned.
    pub fn flush_stat_index(&self) -> Result<()> {
        self.stat_index.flush()
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.flush_integrity();
    }
}
