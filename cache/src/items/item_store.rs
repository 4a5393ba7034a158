//! Item store: results of single items, for stages that process their items one by one.
//!
//! `items/a/<scope>/*.log` are append-only files, one per writing process, so that writers never wait for each other. A
//! line holds an item's key, the digest of the rest of the line, and the item's value and files as JSON. An incomplete
//! or damaged line counts as absent. Files of items are objects of the store. The items that a killed stage has
//! finished are there for the next one.
//!
//! Waiting for the disk after every item would cost more than many items do. So a log starts with the machine's boot
//! (`boot <digest of id> <id>`), and a line marks now and then how much of the log is synced to disk (`synced <bytes>
//! <checksum>`). Items after that mark are trusted under the same boot, since there was no power cut; otherwise only if
//! their files still have the right content.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fs::boot::{BOOT, boot_line};
use crate::fs::disk::Disk;
use crate::fs::list;
use crate::fs::stat::Stat;
use crate::items::item_log::{decode, encode, is_remark, key_of, line_ranges, read_if_there, safe_length, synced_line};
use crate::items::resume_state::FilesInUse;
use crate::locks::exclusive::Exclusive;
use crate::locks::table::Lock;
use crate::store::digest_hints::DigestHints;
use crate::store::integrity::Stored;
use crate::tree;
use crate::{Cache, CacheError, Digest, ItemFile, ItemRecord, Presence, Result, hash_value};

/// Number of finished logs of one scope beyond which they are merged.
const MANY_LOGS: usize = 8;

/// Item store of one scope, the items computed by the same kind.
pub struct ItemStore<'c> {
    cache: &'c Cache,
    folder: PathBuf,
    /// Content of the logs when they were opened. Lines are decoded only when they are asked for: there may be many.
    lines: Vec<Vec<u8>>,
    known: HashMap<Digest, LineRef>,
    log: Mutex<Option<Log>>,
    /// Files of earlier work's items that may not be synced; computed when first asked for, and empty once they are
    /// synced.
    doubtful: Mutex<Option<HashSet<Digest>>>,
    /// Held while files are synced, so that other threads can insert items meanwhile.
    syncing: Mutex<()>,
    resume_state: PathBuf,
}

/// Reference to an item's line.
struct LineRef {
    log: usize,
    range: Range<usize>,
    /// Whether its files are trusted to be as they were written: synced to disk, or written under this boot.
    safe: bool,
    /// Whether its files are known to be on disk.
    on_disk: bool,
}

/// The log that this process writes.
struct Log {
    disk: Disk,
    file: File,
    path: PathBuf,
    _lock: Option<Lock>,
    in_use: FilesInUse,
    length: usize,
    synced: Instant,
    /// Files that are not synced to disk yet.
    unsynced_files: HashSet<Digest>,
}

impl Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<()> {
        self.length += line.len() + 1;
        self.disk.append(&self.file, &self.path, &[line, b"\n"].concat())
    }
}

/// Interval at which a log that is being written is synced.
const SYNC_EVERY: Duration = Duration::from_secs(20);

impl Cache {
    /// Opens the item store of `scope`, a name chosen by the caller. `resume_state` is the folder of the work that
    /// opens it ([`Cache::resume_state_path`]): while it exists, the items that the work has computed are in use.
    pub fn items(&self, scope: &str, resume_state: &Path) -> Result<ItemStore<'_>> {
        let folder = self.items_path(scope);
        self.disk.make_folders_durably(&folder)?;
        let paths = list::list_item_logs(&folder)?;
        let mut lines = Vec::new();
        for path in &paths {
            // A log that is gone was merged by another process; at worst some items are computed again.
            lines.extend(read_if_there(path)?);
        }
        let (mut known, boot) = (HashMap::new(), boot_line());
        for (log, bytes) in lines.iter().enumerate() {
            let (safe_up_to, on_disk_up_to) = (safe_length(bytes, &boot), safe_length(bytes, b""));
            for range in line_ranges(bytes) {
                let Some(key) = key_of(&bytes[range.clone()]) else { continue };
                let (safe, on_disk) = (range.end <= safe_up_to, range.end <= on_disk_up_to);
                known.insert(key, LineRef { log, safe, on_disk, range });
            }
        }
        if paths.len() > MANY_LOGS {
            self.merge_logs(&folder, &paths)?;
        }
        let resume_state = resume_state.to_owned();
        Ok(ItemStore {
            cache: self,
            folder,
            lines,
            known,
            log: Mutex::default(),
            doubtful: Mutex::default(),
            syncing: Mutex::default(),
            resume_state,
        })
    }

    /// Merges the logs that nobody writes to any more into one.
    fn merge_logs(&self, folder: &Path, paths: &[PathBuf]) -> Result<()> {
        let lock = |path| self.locks.try_lock_existing(path).ok().flatten();
        let finished: Vec<(&PathBuf, Lock)> = paths.iter().filter_map(|path| Some((path, lock(path)?))).collect();
        let (mut latest, boot) = (HashMap::new(), boot_line());
        for (path, _lock) in &finished {
            let bytes = read_if_there(path)?.unwrap_or_default();
            let safe_up_to = safe_length(&bytes, &boot);
            for range in line_ranges(&bytes) {
                let Some((key, record)) = decode(&bytes[range.clone()]) else { continue };
                if range.end <= safe_up_to || record.files.iter().all(|file| self.has_content(file)) {
                    latest.insert(key, bytes[range].to_vec());
                }
            }
        }
        let known = latest.values().filter_map(|line: &Vec<u8>| decode(line)).flat_map(|(_, record)| record.files);
        self.sync(&known.map(|file| self.object_path(&file.digest, false)).collect::<Vec<_>>())?;
        let mut merged: Vec<&[u8]> = latest.values().map(Vec::as_slice).collect();
        merged.sort_unstable();
        let mut merged: Vec<u8> = merged.into_iter().flat_map(|line| [line, b"\n"].concat()).collect();
        merged.extend([synced_line(merged.len()), b"\n".to_vec()].concat());
        let target = folder.join(format!("{}.log", Digest::of(&merged)));
        self.disk.write_atomically(&target, &merged)?;
        finished.iter().filter(|(path, _)| **path != target).try_for_each(|(path, _)| self.disk.remove(path))
    }

    /// Removes all items of scopes that are not in `scopes`, and items with a file that is gone or does not stay.
    pub(crate) fn sweep_items(
        &self,
        scopes: &HashSet<String>,
        stays: impl Fn(&Path) -> bool,
        exclusive: &Exclusive<'_>,
    ) -> Result<()> {
        let is_left = |file: &ItemFile| self.has_file(file) && stays(&self.object_path(&file.digest, false));
        let kept: HashSet<PathBuf> = scopes.iter().map(|scope| self.items_path(scope)).collect();
        for folder in list::list_sharded(self.root(), "items")? {
            exclusive.check()?;
            if !kept.contains(&folder) {
                self.disk.remove(&folder)?;
                continue;
            }
            for log in list::list_item_logs(&folder)? {
                exclusive.check()?;
                self.filter_log(&log, |record| record.files.iter().all(is_left))?;
            }
        }
        Ok(())
    }

    /// Moves damaged item logs to quarantine, rewrites them with their intact lines, and returns their paths.
    pub(crate) fn verify_items(&self) -> Result<Vec<PathBuf>> {
        let mut damaged = Vec::new();
        for folder in list::list_sharded(self.root(), "items")? {
            for log in list::list_item_logs(&folder)? {
                let bytes = read_if_there(&log)?.unwrap_or_default();
                let cut_off = bytes.last().is_some_and(|byte| *byte != b'\n') && !self.locks.is_locked(&log);
                let is_intact_with_mode = |line: &[u8]| is_remark(line) || decode(line).is_some();
                if cut_off || !line_ranges(&bytes).all(|range| is_intact_with_mode(&bytes[range])) {
                    let copy = self.disk.temporary()?;
                    self.disk.append(copy.as_file(), copy.path(), &bytes).map_err(CacheError::io(&log))?;
                    self.filter_log(&log, |_| true)?;
                    let (_, copy) = copy.keep().map_err(|error| CacheError::io(&log)(error.error))?;
                    self.quarantine(&copy)?;
                    damaged.push(log);
                }
            }
        }
        Ok(damaged)
    }

    /// Rewrites a log with the intact lines for which `keep` returns true.
    fn filter_log(&self, log: &Path, keep: impl Fn(&ItemRecord) -> bool) -> Result<()> {
        let Some(bytes) = read_if_there(log)? else { return Ok(()) };
        let safe_up_to = safe_length(&bytes, b"");
        let (mut safe, mut not_safe, mut boot) = (Vec::new(), Vec::new(), Vec::new());
        for range in line_ranges(&bytes) {
            let line = &bytes[range.clone()];
            let part = match decode(line) {
                Some((_, record)) if !keep(&record) => continue,
                Some(_) if range.end <= safe_up_to => &mut safe,
                Some(_) => &mut not_safe,
                None if is_remark(line) && line.starts_with(BOOT) => &mut boot,
                None => continue,
            };
            part.extend([line, b"\n"].concat());
        }
        let is_empty = safe.is_empty() && not_safe.is_empty();
        let mut filtered = [boot, safe].concat();
        filtered.extend([synced_line(filtered.len()), b"\n".to_vec(), not_safe].concat());
        match is_empty {
            true => self.disk.remove(log),
            false if filtered == bytes => Ok(()),
            false => self.disk.write_atomically(log, &filtered),
        }
    }

    fn has_content(&self, file: &ItemFile) -> bool {
        let object = self.object_path(&file.digest, false);
        self.has_file(file) && tree::hash_file(&object, file.bytes).is_ok_and(|digest| digest == file.digest)
    }

    fn has_file(&self, file: &ItemFile) -> bool {
        self.probe.presence(&self.layout.object(&file.digest, false), file.bytes) == Presence::Present
    }

    /// Whether a file of an item is there and intact; it is read unless its integrity note is valid.
    fn has_intact_file(&self, file: &ItemFile) -> bool {
        let object = self.object_path(&file.digest, false);
        self.is_intact(&Stored::File(file.digest), &object, file.digest, file.bytes).unwrap_or(false)
    }

    fn items_path(&self, scope: &str) -> PathBuf {
        self.root().join(self.layout.items(&hash_value("athanor items 1", &Value::from(scope))))
    }
}

impl ItemStore<'_> {
    /// Looks up the item with `key`; `None` unless all its files are there.
    pub fn find(&self, key: &Digest) -> Option<ItemRecord> {
        let place = self.known.get(key)?;
        let (_, record) = decode(&self.lines[place.log][place.range.clone()])?;
        let is_there = |file| if place.safe { self.cache.has_intact_file(file) } else { self.cache.has_content(file) };
        record.files.iter().all(is_there).then_some(record)
    }

    /// Stores the result of the item with `key`: `value`, and every file in `folder`, which is moved into the store.
    /// Every later stage finds it, even if this one fails.
    pub fn insert(&self, key: &Digest, value: Value, folder: &Path) -> Result<ItemRecord> {
        let mut files = Vec::new();
        for path in list::read_folder(folder)? {
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| CacheError::Name { path: path.clone() })?.to_owned();
            let bytes = Stat::of(&path)?.size;
            let digest = tree::hash_file(&path, bytes)?;
            self.cache.move_in(&path, digest, false, bytes)?;
            files.push(ItemFile { name, digest, bytes });
        }
        files.sort_by(|left, right| left.name.cmp(&right.name));
        let record = ItemRecord { value, files };
        self.append(key, &record)?;
        self.sync_now_and_then()?;
        Ok(record)
    }

    /// Path of an item's file in the store.
    pub fn path_of(&self, file: &ItemFile) -> PathBuf {
        self.cache.object_path(&file.digest, false)
    }

    /// Appends an item as [`ItemStore::insert`] does, with files that are stored already.
    pub fn append(&self, key: &Digest, record: &ItemRecord) -> Result<()> {
        let line = encode(key, record).map_err(|error| CacheError::io(&self.folder)(error.into()))?;
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let log = match &mut *log {
            Some(log) => log,
            none => none.insert(self.new_log()?),
        };
        if !record.files.is_empty() {
            log.in_use.add(&record.files)?;
        }
        log.write(&line).map_err(CacheError::io(&self.folder))?;
        log.unsynced_files.extend(record.files.iter().map(|file| file.digest));
        Ok(())
    }

    /// Syncs all items so far to disk.
    pub fn sync(&self) -> Result<()> {
        let _alone = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        self.sync_stored()
    }

    /// Syncs if it is due and no other thread does it.
    fn sync_now_and_then(&self) -> Result<()> {
        let Ok(_alone) = self.syncing.try_lock() else { return Ok(()) };
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let due = log.as_ref().is_some_and(|log| log.synced.elapsed() >= SYNC_EVERY);
        drop(log);
        if due { self.sync_stored() } else { Ok(()) }
    }

    /// Syncs the files of earlier work if `file` is one of those that may not be on disk: all at once, since more of
    /// them will be asked for.
    fn sync_if_doubtful(&self, file: &ItemFile) -> Result<()> {
        let mut doubtful = self.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
        let files = doubtful.get_or_insert_with(|| {
            let places = self.known.values().filter(|place| !place.on_disk);
            let records = places.filter_map(|place| decode(&self.lines[place.log][place.range.clone()]));
            records.flat_map(|(_, record)| record.files).map(|file| file.digest).collect()
        });
        if files.contains(&file.digest) {
            let objects = files.iter().map(|digest| self.cache.object_path(digest, false));
            // Items with a missing file are never found.
            self.cache.sync(&objects.filter(|object| object.exists()).collect::<Vec<_>>())?;
            files.clear();
        }
        Ok(())
    }

    /// To be called only while `syncing` is held.
    fn sync_stored(&self) -> Result<()> {
        let log = || self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = log().as_ref().map(|log| (log.unsynced_files.clone(), log.length));
        let Some((files, length)) = kept.filter(|(files, _)| !files.is_empty()) else { return Ok(()) };
        self.cache.sync(&files.iter().map(|digest| self.cache.object_path(digest, false)).collect::<Vec<_>>())?;
        match &mut *log() {
            Some(log) => {
                log.unsynced_files.retain(|digest| !files.contains(digest));
                log.synced = Instant::now();
                log.write(&synced_line(length)).map_err(CacheError::io(&self.folder))
            }
            None => Ok(()),
        }
    }

    /// Creates a log of this process; its lock says that it is being written.
    fn new_log(&self) -> Result<Log> {
        loop {
            let disk = self.cache.disk.clone();
            let log = disk.temporary_in(&self.folder, ".log");
            let log = log.and_then(|log| log.keep().map_err(Into::into));
            let (file, path) = log.map_err(CacheError::io(&self.folder))?;
            let lock = self.cache.locks.lock_own(&file, &path)?;
            let links = file.metadata().map_err(CacheError::io(&path))?.nlink();
            let in_use = FilesInUse::open(&disk, &self.resume_state)?;
            let (synced, unsynced_files) = (Instant::now(), HashSet::new());
            let mut log = Log { disk, file, path, _lock: lock, in_use, length: 0, synced, unsynced_files };
            log.write(&boot_line()).map_err(CacheError::io(&self.folder))?;
            // Before it was locked, another process may have taken it for finished and merged it away.
            if links > 0 {
                return Ok(log);
            }
        }
    }

    /// Links a file of an item to `path` by a symbolic link, and adds it to `hints`. The file is synced first, since
    /// outputs may only refer to files on disk.
    pub fn link(&self, file: &ItemFile, path: &Path, hints: &DigestHints) -> Result<()> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let is_unsafe = log.as_ref().is_some_and(|log| log.unsynced_files.contains(&file.digest));
        drop(log);
        if is_unsafe {
            self.sync()?;
        }
        self.sync_if_doubtful(file)?;
        if let Some(parent) = path.parent() {
            self.cache.disk.make_folders(parent).map_err(CacheError::io(parent))?;
        }
        self.cache.link_symbolic_or_copy(&self.cache.object_path(&file.digest, false), path)?;
        hints.add(path, file.digest)
    }
}
