//! Content-addressed storage of stage results, safe for many processes at once.
//!
//! A cache is one folder. Files are stored once by the BLAKE3 digest of their content, folders as trees of hard links to
//! them, and what a stage computed as a record from its fingerprint to the digests of its outputs. Everything appears by an
//! atomic rename or link, the record last, so that a reader sees a result whole or not at all. Nothing here knows of stages,
//! pipelines or scheduling.

mod actions;
mod checkout;
mod copies;
mod digest;
mod disk;
mod error;
mod files;
mod fs_time;
mod gaps;
mod gc;
mod incidents;
mod integrity;
mod item_log;
mod items;
mod layout;
mod locks;
mod look;
mod pending;
mod placements;
mod presence;
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
mod walk;
mod writers;

pub use actions::{ActionRecord, Lookup, OutputRecord, SealedRecord};
pub use checkout::{Checkout, ResultsLock, Staged, Swap};
pub use digest::{Digest, ParseDigestError, ValueHasher, hash_value};
pub use disk::{Operation, Watch};
pub use error::CacheError;
pub use fs_time::FsTime;
pub use gc::{Dropped, GcReport, GcRequest};
pub use integrity::Evidence;
pub use items::{ItemFile, ItemRecord, Items};
pub use locks::{Claim, UseGuard};
pub use look::Stamp;
pub use pending::Pending;
pub use placements::Placements;
pub use presence::InputState;
pub use stat_index::Look;
pub use store::{Presence, Unsynced};
pub use trace::Trace;
pub use tree::{Artifact, ArtifactKind, Change, Content, Tree, TreeEntry, diff};
pub use usage::{Usage, UsageEntry};
pub use verify::{Damage, VerifyReport};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use disk::Disk;
use layout::Layout;
use locks::ClaimTable;
use look::Glance;
use stat_index::StatIndex;

/// The result of an operation on a cache.
pub type Result<T> = std::result::Result<T, CacheError>;

/// An open cache. Cheap to share between threads by reference.
pub struct Cache {
    disk: Disk,
    stat_index: StatIndex,
    claims: Arc<ClaimTable>,
    counter: sequence::Counter,
    fs_clock: fs_time::FsClock,
    glance: Glance,
    integrity: integrity::Integrity,
    layout: Layout,
}

impl Cache {
    /// Opens the cache in `root`, making it where there is none.
    pub fn open(root: &Path) -> Result<Cache> {
        Cache::open_watched(root, None)
    }

    /// As [`Cache::open`], with something that stands before every change of files.
    pub fn open_watched(root: &Path, watch: Option<Arc<dyn Watch>>) -> Result<Cache> {
        let root = std::path::absolute(root).map_err(CacheError::io(root))?;
        let disk = Disk::new(&root, watch.clone());
        disk.make_lasting_folders(&root)?;
        let mut missing = false;
        for folder in [
            "objects",
            "trees",
            "manifests",
            "actions",
            "items",
            "unfinished",
            pending::AREA,
            gaps::AREA,
            integrity::AREA,
            "scratch",
            "tmp",
            "quarantine",
        ] {
            missing |= !root.join(folder).is_dir();
            disk.make_folders(&root.join(folder)).map_err(CacheError::io(&root))?;
        }
        if missing {
            disk.sync(&root).map_err(CacheError::io(&root))?;
        }
        let root = root.canonicalize().map_err(CacheError::io(&root))?;
        let disk = Disk::new(&root, watch);
        let layout = layout_on(&disk)?;
        // Nothing depends on these two.
        disk.write_unsynced_if_absent("CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n")?;
        disk.write_unsynced_if_absent(".gitignore", "*\n")?;
        let stat_index = StatIndex::new(disk.clone());
        let claims = ClaimTable::open(&root)?;
        let glance = Glance::new(&root)?;
        Ok(Cache {
            disk,
            stat_index,
            claims,
            counter: sequence::Counter::default(),
            fs_clock: fs_time::FsClock::default(),
            glance,
            integrity: integrity::Integrity::default(),
            layout,
        })
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
        if artifact.kind == ArtifactKind::Folder {
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

/// The layout of the cache on `disk`. A cache of a newer format is refused, one of an older format becomes one of this.
fn layout_on(disk: &Disk) -> Result<Layout> {
    disk.write_if_absent("format", Layout::NEWEST)?;
    let path = disk.root().join("format");
    let text = std::fs::read_to_string(&path).map_err(CacheError::io(&path))?;
    let unknown = || CacheError::Format { root: disk.root().to_owned(), found: text.trim().to_owned() };
    let (layout, upgraded) = Layout::of_format(&text).ok_or_else(unknown)?;
    if let Some(upgraded) = upgraded {
        // Where it cannot be written, nothing can be changed that earlier programs would not understand.
        let _ = disk.write_atomically(&path, upgraded.as_bytes());
    }
    Ok(layout)
}
