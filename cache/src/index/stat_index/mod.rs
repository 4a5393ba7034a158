//! Digests of files on disk, remembered by what `stat` says, as git's index does.
//!
//! A file is believed to be as it was while size, modification and change time, inode, device and mode are as they were. It is
//! remembered only if it was last touched in an earlier tick of its file system's clock than the one in which it was hashed: a
//! file touched in the same tick could change once more without its times showing it (git calls such an entry racily clean).
//!
//! Files are remembered by folder, in the order in which the folder lists them. So a folder that did not change is compared
//! with what is known of it in one pass, and its digest is known without being computed.

mod folder;
mod hashed;
mod listing;
mod saved;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashed::{Hashed, hash};
use listing::{KnownFile, Listing};
use saved::{Saved, TreeSum};

use crate::fs::disk::Disk;
use crate::fs::stat::Stat;
use crate::index::clock::FileSystemClock;
use crate::locks::table::Locks;
use crate::tree;
use crate::{CacheError, Digest, Result};

pub use folder::Look;

/// News of more than one in this many of what is known is an occasion to forget what is gone.
const GROWTH: usize = 8;

/// What is not saved yet.
#[derive(Debug, Default)]
struct Learned {
    /// Of folders that were looked at as a whole.
    listings: HashMap<PathBuf, Arc<Listing>>,
    sums: HashMap<PathBuf, TreeSum>,
    /// Of single files, by folder and name.
    files: HashMap<PathBuf, HashMap<OsString, Hashed>>,
}

impl Learned {
    fn is_empty(&self) -> bool {
        self.listings.is_empty() && self.sums.is_empty() && self.files.is_empty()
    }
}

/// The remembered digests of one cache.
pub(crate) struct StatIndex {
    disk: Disk,
    locks: Arc<Locks>,
    clock: Arc<FileSystemClock>,
    saved: Mutex<Option<Arc<Saved>>>,
    learned: Mutex<Learned>,
}

impl StatIndex {
    /// The index kept in the cache on `disk`; read when it is first needed.
    pub fn new(disk: Disk, locks: Arc<Locks>, clock: Arc<FileSystemClock>) -> StatIndex {
        StatIndex { disk, locks, clock, saved: Mutex::default(), learned: Mutex::default() }
    }

    /// See [`crate::Cache::artifact_of`].
    pub fn look_at(&self, path: &Path) -> Result<Look> {
        let path = std::path::absolute(path).map_err(CacheError::io(path))?;
        let stat = Stat::of(&path)?;
        if stat.is_folder() {
            return self.look_at_folder(&path);
        }
        let artifact = tree::file_artifact(&stat, self.digest_of_file(&path, stat)?);
        Ok(Look { artifact, folders: Vec::new(), tree: None })
    }

    fn look_at_folder(&self, root: &Path) -> Result<Look> {
        let saved = self.saved();
        let folders = folder::look_at(root, &self.clock, |folder| self.listing(&saved, folder))?;
        let listings = folder::digest_of_listings(&folders);
        let mut learned = self.learned();
        for folder in folders.iter().filter(|folder| folder.is_news) {
            learned.listings.insert(folder.place.path.clone(), Arc::clone(&folder.listing));
        }
        let sum = learned.sums.get(root).or_else(|| saved.sums().get(root));
        if let Some(sum) = sum.filter(|sum| Some(sum.listings) == listings) {
            return Ok(Look { artifact: sum.artifact.clone(), folders, tree: None });
        }
        drop(learned);
        let tree = folder::tree_of(&folders);
        let artifact = tree.artifact();
        if let Some(listings) = listings {
            self.learned().sums.insert(root.to_owned(), TreeSum { listings, artifact: artifact.clone() });
        }
        Ok(Look { artifact, folders, tree: Some(tree) })
    }

    fn digest_of_file(&self, path: &Path, stat: Stat) -> Result<Digest> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return tree::hash_file(path, stat.size);
        };
        if let Some(digest) = self.known_digest(folder, name, &stat) {
            return Ok(digest);
        }
        let is_settled = self.clock.ticks().rests(path, &stat);
        let hashed = hash(path, name.as_bytes(), stat, is_settled)?;
        let digest = hashed.digest;
        if hashed.is_settled {
            self.learned().files.entry(folder.to_owned()).or_default().insert(name.to_owned(), hashed);
        }
        Ok(digest)
    }

    fn known_digest(&self, folder: &Path, name: &OsStr, stat: &Stat) -> Option<Digest> {
        if let Some(file) = self.learned().files.get(folder).and_then(|files| files.get(name)) {
            return (file.stat == *stat).then_some(file.digest);
        }
        let known = self.listing(&self.saved(), folder)?;
        let file = known.file(known.find(name.as_bytes(), 0)?)?;
        (file.stat == *stat).then_some(file.digest)
    }

    fn listing(&self, saved: &Saved, folder: &Path) -> Option<Arc<Listing>> {
        let learned = self.learned().listings.get(folder).cloned();
        learned.or_else(|| saved.listing(folder))
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn saved(&self) -> Arc<Saved> {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(saved.get_or_insert_with(|| Arc::new(Saved::open(&self.path()))))
    }

    fn path(&self) -> PathBuf {
        self.disk.root().join("stat-index")
    }

    /// See [`crate::Cache::flush_stat_index`]. What other processes have learned meanwhile is kept.
    pub fn flush(&self) -> Result<()> {
        let learned = std::mem::take(&mut *self.learned());
        if learned.is_empty() || self.disk.refusal().is_some() {
            return Ok(());
        }
        let _alone = self.locks.lock(&self.disk.root().join("stat-index.lock"))?;
        let before = self.saved.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        let (listings, sums) = combine(&before, &Saved::open(&self.path()), learned);
        self.disk.write_atomically(&self.path(), &saved::encode(&listings, &sums))
    }
}

/// What is known when what was `learned` is added to what the file holds `now`; `before` is what it held at first.
fn combine(
    before: &Saved,
    now: &Saved,
    learned: Learned,
) -> (HashMap<PathBuf, Arc<Listing>>, HashMap<PathBuf, TreeSum>) {
    let (mut listings, mut sums) = (now.listings(), now.sums().clone());
    // Looking for folders that are gone costs a call each, so that is done when the index grows much.
    if (learned.listings.len() + learned.files.len()) * GROWTH >= listings.len() {
        let is_there = |folder: &Path| learned.listings.contains_key(folder) || fs::symlink_metadata(folder).is_ok();
        listings.retain(|folder, _| is_there(folder));
        sums.retain(|folder, _| is_there(folder));
    }
    for (folder, mut listing) in learned.listings {
        if now.digest(&folder) != before.digest(&folder)
            && let Some(others) = listings.get(&folder)
        {
            listing = Arc::new(with(others, &listing.files().collect::<Vec<_>>()));
        }
        listings.insert(folder, listing);
    }
    for (folder, files) in learned.files {
        let files: Vec<KnownFile<'_>> = files.values().map(Hashed::file).collect();
        let listing = match listings.get(&folder) {
            Some(known) if files.len() * GROWTH >= known.len() => with(&without_lost(known, &folder), &files),
            Some(known) => with(known, &files),
            None => Listing::new(&files),
        };
        listings.insert(folder, Arc::new(listing));
    }
    listings.retain(|_, listing| listing.len() > 0);
    sums.extend(learned.sums);
    (listings, sums)
}

/// What is known, with what is known better.
fn with(known: &Listing, better: &[KnownFile<'_>]) -> Listing {
    let names: HashSet<&[u8]> = better.iter().map(|file| file.name).collect();
    let others = known.files().filter(|file| !names.contains(file.name));
    Listing::new(&others.chain(better.iter().copied()).collect::<Vec<_>>())
}

/// What is known of the files that are still in the folder.
fn without_lost(known: &Listing, folder: &Path) -> Listing {
    let is_there = |name: &[u8]| fs::symlink_metadata(folder.join(OsStr::from_bytes(name))).is_ok();
    Listing::new(&known.files().filter(|file| is_there(file.name)).collect::<Vec<_>>())
}
