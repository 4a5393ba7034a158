//! Content-addressed storage of stage results, safe for many processes at once.
//!
//! A cache is one folder. Files are stored once by the BLAKE3 digest of their content, folders as trees of hard links to
//! them, and what a stage computed as a record from its fingerprint to the digests of its outputs. Everything appears by an
//! atomic rename or link, the record last, so that a reader sees a result whole or not at all. Nothing here knows of stages,
//! pipelines or scheduling.

pub mod any_path;
mod digest;
mod error;
mod fs;
mod index;
mod items;
mod locks;
mod open;
mod records;
mod store;
mod tree;
mod upkeep;

pub use digest::{Digest, ParseDigestError, ValueHasher, hash_value};
pub use error::{CacheError, explain};
pub use fs::disk::{Operation, Watch};
pub use fs::fallback::{move_folder, remove_tree, symlink_or_copy};
pub use fs::fs_time::FsTime;
pub use fs::names::is_run as is_name_of_run;
pub use fs::stat::Moment;
pub use fs::stat_snapshot::Trace;
pub use index::clock::fs_time;
pub use index::stat_index::Look;
pub use items::item_store::{ItemFile, ItemRecord, Items};
pub use locks::table::{Claim, Lock, Locks, UseGuard};
pub use records::actions::{ActionRecord, Lookup, OutputRecord, SealedRecord};
pub use records::wal::Pending;
pub use store::checkout::{Checkout, ResultsLock, Staged, Swap};
pub use store::digest_hints::Placements;
pub use store::integrity::Evidence;
pub use store::objects::{Presence, Unsynced};
pub use store::presence::InputState;
pub use store::probe::Stamp;
pub use store::rehash::Rehash;
pub use tree::{Artifact, ArtifactKind, Change, Content, Tree, TreeEntry, diff};
pub use upkeep::gc::{Dropped, GcReport, GcRequest};
pub use upkeep::leftovers::Freed;
pub use upkeep::usage::{Usage, UsageEntry};
pub use upkeep::verify::{Damage, VerifyReport};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs::disk::Disk;
use fs::layout::Layout;
use index::clock::FileSystemClock;
use index::stat_index::StatIndex;
use records::sequence;
use store::probe::Glance;
use store::{integrity, rehash};

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
    verify_on_use: rehash::VerifyOnUse,
}

impl Cache {
    /// Opens the cache in `root`, making it where there is nothing. A folder with anything else in it is refused. A cache that
    /// cannot be changed is opened for looking.
    pub fn open(root: &Path) -> Result<Cache> {
        open::open(root, None)
    }

    /// As [`Cache::open`], with something that stands before every change of files.
    pub fn open_watched(root: &Path, watch: Option<Arc<dyn Watch>>) -> Result<Cache> {
        open::open(root, watch)
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
