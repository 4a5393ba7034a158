//! The cache of items: results of single items, for kinds whose items do not depend on each other.
//!
//! A kind describes its work on one item ([`PerItem`]) and asks its context to do it for all ([`ItemCache::compute`]).
//! Items that were computed before, by whatever stage of the same kind, are found again; the others are computed in
//! parallel, and each is kept from the moment it is finished, so that a stage that is killed loses only the items in
//! flight.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use athanor_cache::{Digest, DigestHints, ItemFile, ItemRecord, ItemStore, hash_value};
use rayon::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::words::counted;

/// A file of an item, and the path that it goes to.
#[derive(Debug)]
pub struct ItemPlacement<'f> {
    /// File.
    pub file: &'f ItemFile,
    /// Path of an output, or inside one.
    pub path: PathBuf,
}

/// Between two reports of progress.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// Work on single items.
pub trait PerItem: Sync {
    /// An item.
    type Item: Sync;
    /// Small part of the result; large parts are files.
    type Value: Serialize + DeserializeOwned + Send;
    /// Noun of several items, e.g. `images`.
    const UNIT: &'static str;

    /// Everything that the result depends on, apart from the kind and its revision: digests of what is read, and
    /// parameters.
    fn key(&self, item: &Self::Item) -> Value;

    /// Does the work. Every file written into `folder` is part of the result.
    fn compute(&self, item: &Self::Item, folder: &Path) -> Result<Self::Value, StageError>;
}

/// The result of one item.
#[derive(Debug, Clone, PartialEq)]
pub struct Computed<V> {
    /// Its small part.
    pub value: V,
    /// Its files, sorted by name.
    pub files: Vec<ItemFile>,
}

/// Result of an item.
pub type Outcome<V> = Result<Computed<V>, StageError>;

/// Whether the first item that fails ends the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The first failure ends the work.
    Stop,
    /// The other items are computed.
    Continue,
}

/// The cached items of one stage.
pub struct ItemCache<'c> {
    kind: &'static str,
    revision: u32,
    context: &'c StageContext<'c>,
    /// Folder for temporary folders.
    scratch: PathBuf,
    store: Option<(ItemStore<'c>, DigestHints)>,
    force: bool,
    /// Empty folders to write the files of an item into: making one costs more than many a small file.
    folders: Mutex<Vec<TempDir>>,
}

impl<'c> ItemCache<'c> {
    /// The items of a stage of kind `K`.
    pub fn of<K: StageKind>(context: &'c StageContext<'c>) -> Result<ItemCache<'c>, StageError> {
        let (kind, revision) = (K::NAME, K::REVISION);
        let store = match context.cache() {
            Some(access) => {
                let unfinished = access.cache.resume_state_path(&access.fingerprint);
                let items = access.cache.items(&scope(kind, revision), &unfinished)?;
                Some((items, DigestHints::create(&access.placements)?))
            }
            None => None,
        };
        let scratch = context.scratch.join("items");
        fs::create_dir_all(&scratch).map_err(StageError::io(&scratch))?;
        let force = context.cache().is_some_and(|access| access.force);
        Ok(ItemCache { kind, revision, context, scratch, store, force, folders: Mutex::default() })
    }

    /// Results in the order of `items`; computes those that are not known. With [`OnFailure::Stop`] the error is that
    /// of the first item, in order, that was seen to fail.
    pub fn compute<P: PerItem>(
        &self,
        work: &P,
        items: &[P::Item],
        on_failure: OnFailure,
    ) -> Result<Vec<Outcome<P::Value>>, StageError> {
        let (failed, reused) = (AtomicBool::new(false), AtomicUsize::new(0));
        let progress = Progress::new(self.context, items.len(), P::UNIT);
        let results: Vec<Option<Outcome<P::Value>>> = items
            .par_iter()
            .map(|item| {
                let over = failed.load(Ordering::Relaxed) && on_failure == OnFailure::Stop;
                if over || self.context.should_stop() {
                    return None;
                }
                let result = self.compute_one(work, item, &reused);
                failed.fetch_or(result.is_err(), Ordering::Relaxed);
                progress.step();
                Some(result)
            })
            .collect();
        self.sync()?;
        if self.context.should_stop() {
            return Err(StageError::Interrupted);
        }
        let (done, known) = (results.iter().flatten().filter(|result| result.is_ok()).count(), reused.into_inner());
        let computed = done - known;
        let counted = counted(items.len(), P::UNIT.trim_end_matches('s'));
        self.context.log(format!("{counted}: {known} known from before, {computed} computed"));
        if on_failure == OnFailure::Stop {
            let done = results.into_iter().flatten().collect::<Result<Vec<_>, _>>()?;
            return Ok(done.into_iter().map(Ok).collect());
        }
        Ok(results.into_iter().flatten().collect())
    }

    fn compute_one<P: PerItem>(
        &self,
        work: &P,
        item: &P::Item,
        reused: &AtomicUsize,
    ) -> Result<Computed<P::Value>, StageError> {
        let key = self.key(work.key(item));
        if let Some(known) = self.find(&key) {
            reused.fetch_add(1, Ordering::Relaxed);
            return Ok(known);
        }
        let folder = self.folder()?;
        let value = work.compute(item, folder.path())?;
        let computed = self.insert(&key, value, folder.path())?;
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).push(folder);
        Ok(computed)
    }

    /// The key of an item whose result depends on `parts`.
    pub fn key(&self, parts: Value) -> Digest {
        hash_value("athanor item 1", &json!({ "kind": self.kind, "revision": self.revision, "item": parts }))
    }

    /// The stored result of the item with `key`.
    pub fn find<V: DeserializeOwned>(&self, key: &Digest) -> Option<Computed<V>> {
        let (items, _) = self.store.as_ref().filter(|_| !self.force)?;
        let ItemRecord { value, files } = items.find(key)?;
        Some(Computed { value: serde_json::from_value(value).ok()?, files })
    }

    /// An empty folder to write an item's files into; goes away with the value that is returned.
    pub fn folder(&self) -> Result<TempDir, StageError> {
        let spare = self.folders.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(folder) = spare {
            return Ok(folder);
        }
        tempfile::tempdir_in(&self.scratch).map_err(StageError::io(&self.scratch))
    }

    /// Stores the result of the item with `key`: `value`, and the files in `folder`, which are moved away.
    pub fn insert<V: Serialize>(&self, key: &Digest, value: V, folder: &Path) -> Result<Computed<V>, StageError> {
        let Some((items, _)) = &self.store else {
            return Ok(Computed { value, files: self.set_aside(folder)? });
        };
        let json = serde_json::to_value(&value).map_err(|error| StageError::mismatch(error.to_string()))?;
        let record = items.insert(key, json, folder)?;
        Ok(Computed { value, files: record.files })
    }

    /// Stores a result without files of its own for the item with `key`: `value`, and files that other items have.
    pub fn insert_shared(&self, key: &Digest, value: impl Serialize, files: &[ItemFile]) -> Result<(), StageError> {
        let Some((items, _)) = &self.store else { return Ok(()) };
        let value = serde_json::to_value(value).map_err(|error| StageError::mismatch(error.to_string()))?;
        Ok(items.append(key, &ItemRecord { value, files: files.to_vec() })?)
    }

    /// Syncs the stored results to disk; others are computed again after a power cut.
    pub fn sync(&self) -> Result<(), StageError> {
        match &self.store {
            Some((items, _)) => Ok(items.sync()?),
            None => Ok(()),
        }
    }

    /// The path of a file of an item.
    pub fn path_of(&self, file: &ItemFile) -> Option<PathBuf> {
        self.store.as_ref().map(|(items, _)| items.path_of(file))
    }

    /// Places files of items, in parallel; see [`ItemCache::place`].
    pub fn place_all(&self, files: &[ItemPlacement<'_>]) -> Result<(), StageError> {
        files.par_iter().try_for_each(|ItemPlacement { file, path }| self.place(file, path))
    }

    /// Places a file of an item at `path`, an output or inside one.
    pub fn place(&self, file: &ItemFile, path: &Path) -> Result<(), StageError> {
        match &self.store {
            Some((items, placements)) => Ok(items.link(file, path, placements)?),
            None => {
                if let Some(parent) = path.parent() {
                    fs::create_dir_all(parent).map_err(StageError::io(parent))?;
                }
                fs::hard_link(self.scratch.join(file.digest.to_string()), path).map_err(StageError::io(path))
            }
        }
    }

    /// Without a cache, an item's files wait in the scratch folder to be placed.
    fn set_aside(&self, folder: &Path) -> Result<Vec<ItemFile>, StageError> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(StageError::io(folder))? {
            let path = entry.map_err(StageError::io(folder))?.path();
            let content = fs::read(&path).map_err(StageError::io(&path))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let file = ItemFile { name, digest: Digest::of(&content), bytes: content.len() as u64 };
            fs::rename(&path, self.scratch.join(file.digest.to_string())).map_err(StageError::io(&path))?;
            files.push(file);
        }
        files.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(files)
    }
}

/// The name of a kind's items in a cache.
pub fn scope(kind: &str, revision: u32) -> String {
    format!("{kind} {revision}")
}

/// Counts finished units and reports them at intervals.
pub struct Progress<'c> {
    context: &'c StageContext<'c>,
    unit: &'static str,
    total: usize,
    done: AtomicUsize,
    reported: Mutex<Instant>,
}

impl<'c> Progress<'c> {
    /// Progress of `total` units, none of them finished.
    pub fn new(context: &'c StageContext<'c>, total: usize, unit: &'static str) -> Self {
        context.progress(0, total as u64, unit);
        Progress { context, unit, total, done: AtomicUsize::new(0), reported: Mutex::new(Instant::now()) }
    }

    /// Counts a finished unit.
    pub fn step(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        // If the lock is taken, its holder reports.
        let due = self.reported.try_lock().ok().filter(|last| done == self.total || last.elapsed() >= REPORT_EVERY);
        if let Some(mut last) = due {
            *last = Instant::now();
            self.context.progress(done as u64, self.total as u64, self.unit);
        }
    }
}
