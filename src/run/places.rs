//! Where tries take place: folders and logs that are used again as long as nothing is in them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use athanor_cache::{Cache, CacheError};

/// The folders of a run's tries, and logs in which nothing was printed.
pub struct Places {
    cache: Arc<Cache>,
    run: String,
    scratch: Option<Scratch>,
    made: usize,
    folders: Vec<PathBuf>,
    logs: Vec<PathBuf>,
}

impl Places {
    /// For the run called `run`.
    pub fn new(cache: Arc<Cache>, run: String) -> Places {
        Places { cache, run, scratch: None, made: 0, folders: Vec::new(), logs: Vec::new() }
    }

    /// A folder for the next try.
    pub fn folder(&mut self) -> Result<PathBuf, CacheError> {
        if let Some(folder) = self.folders.pop() {
            return Ok(folder);
        }
        self.made += 1;
        let scratch = match self.scratch.take() {
            Some(scratch) => scratch,
            None => Scratch::make(&self.cache, &self.run)?,
        };
        Ok(self.scratch.insert(scratch).folder.join(self.made.to_string()))
    }

    /// Makes `path` ready for a try's log: an empty one takes that name if there is one.
    pub fn prepare_log(&mut self, path: &Path) -> Result<(), CacheError> {
        if let Some(empty) = self.logs.pop() {
            // One that cannot be renamed stays where it is, and the new one is made when it is opened.
            let _ = fs::rename(empty, path);
            return Ok(());
        }
        let Some(folder) = path.parent() else { return Ok(()) };
        fs::create_dir_all(folder).map_err(|source| CacheError::Io { path: folder.to_owned(), source })
    }

    /// Takes back what a try has left empty.
    pub fn vacate(&mut self, folder: Option<PathBuf>, log: Option<PathBuf>) {
        self.folders.extend(folder);
        self.logs.extend(log);
    }
}

impl Places {
    /// Whether another run works with the cache at this moment.
    pub fn others_run(&self) -> bool {
        let own = self.scratch.as_ref().map(|scratch| scratch.lock_path.clone());
        let is_lock = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "lock");
        let is_held = |path: &PathBuf| File::open(path).is_ok_and(|lock| lock.try_lock().is_err());
        let entries = fs::read_dir(self.cache.scratch_root()).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|path| is_lock(&path) && Some(&path) != own.as_ref() && is_held(&path))
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        for log in &self.logs {
            // An empty log that stays harms nobody.
            let _ = fs::remove_file(log);
        }
    }
}

/// The folder in which a run's stages work; goes away with it, or with the first run after it was killed.
///
/// `RUN.lock` beside the folder `RUN` is locked before the folder is made and for as long as the run lives: a folder whose
/// lock can be had belongs to nobody.
struct Scratch {
    folder: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

impl Scratch {
    fn make(cache: &Cache, run: &str) -> Result<Scratch, CacheError> {
        let root = cache.scratch_root();
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| CacheError::Io { path, source }
        };
        for entry in std::fs::read_dir(&root).map_err(io(&root))?.flatten() {
            if entry.path().is_dir() {
                sweep_if_abandoned(&entry.path());
            }
        }
        let (folder, lock_path) = (root.join(run), root.join(format!("{run}.lock")));
        let lock = File::create(&lock_path).map_err(io(&lock_path))?;
        lock.lock().map_err(io(&lock_path))?;
        std::fs::create_dir(&folder).map_err(io(&folder))?;
        Ok(Scratch { folder, lock_path, _lock: lock })
    }
}

fn sweep_if_abandoned(folder: &Path) {
    let mut lock_path = folder.as_os_str().to_owned();
    lock_path.push(".lock");
    let alive = File::open(&lock_path).is_ok_and(|lock| lock.try_lock().is_err());
    if !alive {
        // Whoever else sweeps at the same time is welcome to what this does not get to.
        let _ = std::fs::remove_dir_all(folder);
        let _ = std::fs::remove_file(lock_path);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next run.
        let _ = std::fs::remove_dir_all(&self.folder);
        let _ = std::fs::remove_file(&self.lock_path);
    }
}
