//! Whether anybody touched the project's files while stages read them.
//!
//! That a file holds the same as before does not say that it did all the time: it may have been changed and changed back, or
//! written anew, which empties it first.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use athanor_cache::{CacheError, FsTime, StatSnapshot};

/// Traces of the project's folders from when a run first used them: to look at every file of one for every stage would take
/// long.
#[derive(Default)]
pub struct Traces {
    folders: HashMap<PathBuf, StatSnapshot>,
}

/// What a try reads, as it was before it began.
pub struct Untouched {
    /// As the user wrote it.
    name: String,
    path: PathBuf,
    trace: StatSnapshot,
}

impl Traces {
    /// What lies at `name` in the folder `project` before an attempt that reads it begins.
    pub fn take(&mut self, project: &Path, name: &str) -> Result<Untouched, CacheError> {
        let path = project.join(name);
        let trace = match self.folders.get(&path) {
            Some(trace) => *trace,
            None => StatSnapshot::of(&path)?,
        };
        if path.is_dir() {
            self.folders.insert(path.clone(), trace);
        }
        Ok(Untouched { name: name.to_owned(), path, trace })
    }
}

impl Untouched {
    /// Its path as the user wrote it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nobody has touched it since the attempt began, at `began` on the clock of its file system if that is known.
    pub fn is_untouched(&self, began: Option<FsTime>) -> bool {
        StatSnapshot::of(&self.path).is_ok_and(|now| !self.trace.shows_change(&now, began))
    }
}
