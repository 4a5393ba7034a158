//! A pool of scratch folders for attempts, which are used again as long as nothing is in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use athanor_cache::{Cache, CacheError, Lock, is_name_of_run, keep_scratch, remove_scratch};

use crate::run::attempts::sandbox::ScratchFolder;

/// Pool of the scratch folders of a run.
pub struct ScratchPool {
    cache: Arc<Cache>,
    run: String,
    keeps_failed: bool,
    scratch: Option<Scratch>,
    /// Folder that somebody else removes, in place of a scratch folder.
    given: Option<PathBuf>,
    made: usize,
    folders: Vec<ScratchFolder>,
    /// Folder of logs that was made last.
    logs: Option<PathBuf>,
}

impl ScratchPool {
    /// Pool of the run called `run`, which `keeps_failed` attempts' folders or not.
    pub fn new(cache: Arc<Cache>, run: String, keeps_failed: bool) -> ScratchPool {
        ScratchPool { cache, run, keeps_failed, scratch: None, given: None, made: 0, folders: Vec::new(), logs: None }
    }

    /// The same pool, with attempts in `folder`, which outlives the run if need be.
    #[must_use]
    pub(crate) fn within(self, folder: PathBuf) -> ScratchPool {
        ScratchPool { given: Some(folder), ..self }
    }

    /// Folder for the next attempt.
    pub fn acquire(&mut self) -> Result<ScratchFolder, CacheError> {
        if let Some(folder) = self.folders.pop() {
            return Ok(folder);
        }
        self.made += 1;
        if let Some(folder) = &self.given {
            return Ok(folder.join(format!("{}-{}", self.run, self.made)).into());
        }
        let scratch = match self.scratch.take() {
            Some(scratch) => scratch,
            None => Scratch::make(&self.cache, &self.run)?,
        };
        Ok(self.scratch.insert(scratch).folder.join(self.made.to_string()).into())
    }

    /// Makes the folder of an attempt's log.
    pub fn prepare_log(&mut self, path: &Path) -> Result<(), CacheError> {
        match path.parent() {
            Some(folder) if self.logs.as_deref() != Some(folder) => {
                fs::create_dir_all(folder).map_err(|source| CacheError::Io { path: folder.to_owned(), source })?;
                self.logs = Some(folder.to_owned());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes back a folder that an attempt has left empty.
    pub fn release(&mut self, folder: Option<ScratchFolder>) {
        self.folders.extend(folder);
    }

    /// Keeps the folder of a failed attempt, if the run is to; returns a sentence that says where, or why not.
    pub fn keep(&self, instance: &str, attempt: &Path) -> Option<String> {
        self.keeps_failed.then(|| match keep_scratch(attempt) {
            Ok(()) => format!("the folder of {instance} is kept for a week: {}", attempt.display()),
            Err(error) => format!("the folder of {instance} cannot be kept: {error}"),
        })
    }

    /// Whether another run works with the cache at this moment.
    pub fn others_run(&self) -> bool {
        let own = self.scratch.as_ref().map(|scratch| scratch.lock_path.clone());
        let is_lock = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "lock");
        let is_held = |path: &PathBuf| self.cache.locks().is_locked(path);
        let entries = fs::read_dir(self.cache.scratch_root()).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|path| is_lock(&path) && Some(&path) != own.as_ref() && is_held(&path))
    }
}

/// Scratch folder of a run; removed with it, or by the first run after it was killed.
///
/// `RUN.lock` beside the folder `RUN` is locked before the folder is made and for as long as the run lives: a folder whose
/// lock is free belongs to nobody.
struct Scratch {
    folder: PathBuf,
    lock_path: PathBuf,
    _lock: Lock,
}

impl Scratch {
    fn make(cache: &Cache, run: &str) -> Result<Scratch, CacheError> {
        let root = cache.scratch_root();
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| CacheError::Io { path, source }
        };
        for entry in std::fs::read_dir(&root).map_err(io(&root))?.flatten() {
            let is_run = entry.file_name().to_str().is_some_and(is_name_of_run);
            if is_run && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                sweep_if_abandoned(cache, &entry.path());
            }
        }
        let (folder, lock_path) = (root.join(run), root.join(format!("{run}.lock")));
        let lock = cache.locks().lock(&lock_path)?;
        std::fs::create_dir(&folder).map_err(io(&folder))?;
        Ok(Scratch { folder, lock_path, _lock: lock })
    }
}

fn sweep_if_abandoned(cache: &Cache, folder: &Path) {
    let mut lock_path = folder.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock_path = PathBuf::from(lock_path);
    if !cache.locks().is_locked(&lock_path) {
        // Another process that sweeps at the same time may remove the rest.
        let _ = remove_scratch(folder);
        let _ = std::fs::remove_file(lock_path);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Files that cannot be removed now are swept by the next run.
        let _ = remove_scratch(&self.folder);
        let _ = std::fs::remove_file(&self.lock_path);
    }
}
