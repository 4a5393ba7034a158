//! Stat index: digests of files on disk, remembered by their `stat`, as in git's index.
//!
//! A file counts as unchanged while its size, modification and change time, inode, device and mode are unchanged. It is
//! remembered only if it was last touched in an earlier tick of its file system's clock than the one in which it was
//! hashed: a file touched in the same tick could change once more without its times showing it (git calls such an entry
//! racily clean).
//!
//! Files are remembered by folder, in the order in which the folder lists them. An unchanged folder is thus compared
//! with the index in one pass, and its digest is known without being computed.

mod hashed;
mod index_file;
mod listing;
mod scan;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashed::{Hashed, hash};
use index_file::{IndexFile, TreeDigest};
use listing::{KnownFile, Listing};
use rustix::fs::{Mode, OFlags};

use crate::fs::disk::Disk;
use crate::fs::exclusions::Exclusions;
use crate::fs::stat::Stat;
use crate::index::clock::FileSystemClock;
use crate::locks::table::Locks;
use crate::tree;
use crate::{Artifact, CacheError, Digest, Result};

pub use scan::Scan;

/// Entries of deleted files are dropped when at least one in this many entries is new.
const GROWTH: usize = 8;

/// Entries that are not saved yet.
#[derive(Debug, Default)]
struct Unsaved {
    /// Listings of folders that were scanned as a whole.
    listings: HashMap<PathBuf, Arc<Listing>>,
    tree_digests: HashMap<PathBuf, TreeDigest>,
    /// Single files, by folder and name.
    files: HashMap<PathBuf, HashMap<OsString, Hashed>>,
}

impl Unsaved {
    fn is_empty(&self) -> bool {
        self.listings.is_empty() && self.tree_digests.is_empty() && self.files.is_empty()
    }
}

/// Stat index of one cache.
pub(crate) struct StatIndex {
    disk: Disk,
    locks: Arc<Locks>,
    clock: Arc<FileSystemClock>,
    index_file: Mutex<Option<Arc<IndexFile>>>,
    unsaved: Mutex<Unsaved>,
}

impl StatIndex {
    /// Index of the cache on `disk`; read when it is first needed.
    pub(crate) fn new(disk: Disk, locks: Arc<Locks>, clock: Arc<FileSystemClock>) -> StatIndex {
        StatIndex { disk, locks, clock, index_file: Mutex::default(), unsaved: Mutex::default() }
    }

    /// Implements [`crate::Cache::scan`].
    pub(crate) fn scan(&self, path: &Path, exclusions: &Exclusions) -> Result<Scan> {
        let path = std::path::absolute(path).map_err(CacheError::io(path))?;
        let stat = Stat::of(&path)?;
        if stat.is_folder() {
            return self.scan_folder(&path, exclusions);
        }
        let artifact = tree::file_artifact(&stat, self.digest_of_file(&path, stat)?);
        Ok(Scan { artifact, folders: Vec::new(), tree: None })
    }

    fn scan_folder(&self, root: &Path, exclusions: &Exclusions) -> Result<Scan> {
        let index_file = self.index_file();
        let folders = scan::scan(root, exclusions, &self.clock, |folder| self.listing(&index_file, folder))?;
        let listings = scan::digest_of_listings(&folders);
        let mut unsaved = self.unsaved();
        for folder in folders.iter().filter(|folder| folder.is_changed) {
            unsaved.listings.insert(folder.dir.path.clone(), Arc::clone(&folder.listing));
        }
        let tree_digest = unsaved.tree_digests.get(root).or_else(|| index_file.tree_digests().get(root));
        if let Some(tree_digest) = tree_digest.filter(|tree_digest| Some(tree_digest.listings) == listings) {
            return Ok(Scan { artifact: tree_digest.artifact.clone(), folders, tree: None });
        }
        drop(unsaved);
        let tree = scan::tree_of(&folders);
        let artifact = tree.artifact();
        if let Some(listings) = listings {
            self.unsaved().tree_digests.insert(root.to_owned(), TreeDigest { listings, artifact: artifact.clone() });
        }
        Ok(Scan { artifact, folders, tree: Some(tree) })
    }

    /// Implements [`crate::Cache::files_in`].
    pub(crate) fn files_in(&self, folder: &Path, names: &[&str]) -> Result<Vec<Artifact>> {
        let folder = std::path::absolute(folder).map_err(CacheError::io(folder))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = rustix::fs::open(&folder, flags, Mode::empty());
        let open = open.map_err(|errno| CacheError::io(&folder)(errno.into()))?;
        let known = self.listing(&self.index_file(), &folder);
        let mut next = 0;
        let mut artifact_of = |name: &&str| {
            let path = || folder.join(name);
            let bytes = CString::new(*name).map_err(|_| CacheError::Name { path: path() })?;
            let stat = Stat::in_folder(&open, &bytes).map_err(|error| error.at(&path()))?;
            if stat.is_folder() {
                return Err(CacheError::Special { path: path() });
            }
            let number = known.as_ref().and_then(|known| known.find(name.as_bytes(), next));
            next = number.map_or(next, |number| number + 1);
            let file = number.and_then(|number| known.as_ref()?.file(number)).filter(|file| file.stat == stat);
            let digest = file.map_or_else(|| self.digest_of_file(&path(), stat), |file| Ok(file.digest))?;
            Ok(tree::file_artifact(&stat, digest))
        };
        names.iter().map(&mut artifact_of).collect()
    }

    fn digest_of_file(&self, path: &Path, stat: Stat) -> Result<Digest> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return tree::hash_file(path, stat.size);
        };
        if let Some(digest) = self.known_digest(folder, name, &stat) {
            return Ok(digest);
        }
        let is_settled = self.clock.ticks().is_settled(path, &stat);
        let hashed = hash(path, name.as_bytes(), stat, is_settled)?;
        let digest = hashed.digest;
        if hashed.is_settled {
            self.unsaved().files.entry(folder.to_owned()).or_default().insert(name.to_owned(), hashed);
        }
        Ok(digest)
    }

    fn known_digest(&self, folder: &Path, name: &OsStr, stat: &Stat) -> Option<Digest> {
        if let Some(file) = self.unsaved().files.get(folder).and_then(|files| files.get(name)) {
            return (file.stat == *stat).then_some(file.digest);
        }
        let known = self.listing(&self.index_file(), folder)?;
        let file = known.file(known.find(name.as_bytes(), 0)?)?;
        (file.stat == *stat).then_some(file.digest)
    }

    fn listing(&self, index_file: &IndexFile, folder: &Path) -> Option<Arc<Listing>> {
        let unsaved = self.unsaved().listings.get(folder).cloned();
        unsaved.or_else(|| index_file.listing(folder))
    }

    fn unsaved(&self) -> MutexGuard<'_, Unsaved> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_file(&self) -> Arc<IndexFile> {
        let mut index_file = self.index_file.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(index_file.get_or_insert_with(|| Arc::new(IndexFile::open(&self.path()))))
    }

    fn path(&self) -> PathBuf {
        self.disk.root().join("stat-index")
    }

    /// Implements [`crate::Cache::flush_stat_index`]. Entries that other processes have saved meanwhile stay.
    pub(crate) fn flush(&self) -> Result<()> {
        let unsaved = std::mem::take(&mut *self.unsaved());
        if unsaved.is_empty() || self.disk.refusal().is_some() {
            return Ok(());
        }
        let _alone = self.locks.lock(&self.disk.root().join("stat-index.lock"))?;
        let before = self.index_file.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        let (listings, tree_digests) = combine(&before, &IndexFile::open(&self.path()), unsaved);
        self.disk.write_atomically(&self.path(), &index_file::encode(&listings, &tree_digests))
    }
}

/// Merges `unsaved` entries into those that the file holds `now`; `before` is what it held when it was first read.
fn combine(
    before: &IndexFile,
    now: &IndexFile,
    unsaved: Unsaved,
) -> (HashMap<PathBuf, Arc<Listing>>, HashMap<PathBuf, TreeDigest>) {
    let (mut listings, mut tree_digests) = (now.listings(), now.tree_digests().clone());
    // Finding out which folders are gone costs a call each, so it is done only when the index grows much.
    if (unsaved.listings.len() + unsaved.files.len()) * GROWTH >= listings.len() {
        let is_there = |folder: &Path| unsaved.listings.contains_key(folder) || fs::symlink_metadata(folder).is_ok();
        listings.retain(|folder, _| is_there(folder));
        tree_digests.retain(|folder, _| is_there(folder));
    }
    for (folder, mut listing) in unsaved.listings {
        if now.digest(&folder) != before.digest(&folder)
            && let Some(others) = listings.get(&folder)
        {
            listing = Arc::new(with(others, &listing.files().collect::<Vec<_>>()));
        }
        listings.insert(folder, listing);
    }
    for (folder, files) in unsaved.files {
        let files: Vec<KnownFile<'_>> = files.values().map(Hashed::file).collect();
        let listing = match listings.get(&folder) {
            Some(known) if files.len() * GROWTH >= known.len() => with(&without_lost(known, &folder), &files),
            Some(known) => with(known, &files),
            None => Listing::new(&files),
        };
        listings.insert(folder, Arc::new(listing));
    }
    listings.retain(|_, listing| listing.len() > 0);
    tree_digests.extend(unsaved.tree_digests);
    (listings, tree_digests)
}

/// Merges `better` entries into a listing.
fn with(known: &Listing, better: &[KnownFile<'_>]) -> Listing {
    let names: HashSet<&[u8]> = better.iter().map(|file| file.name).collect();
    let others = known.files().filter(|file| !names.contains(file.name));
    Listing::new(&others.chain(better.iter().copied()).collect::<Vec<_>>())
}

/// The entries of a listing whose files still exist.
fn without_lost(known: &Listing, folder: &Path) -> Listing {
    let is_there = |name: &[u8]| fs::symlink_metadata(folder.join(OsStr::from_bytes(name))).is_ok();
    Listing::new(&known.files().filter(|file| is_there(file.name)).collect::<Vec<_>>())
}
