//! Whether anybody touched the project's files while stages read them.
//!
//! That a file holds the same as before does not say that it did all the time: it may have been changed and changed back, or
//! written anew, which empties it first.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use athanor_cache::{CacheError, Trace};

/// Traces of the project's folders from when a run first used them: to look at every file of one for every stage would take
/// long.
#[derive(Default)]
pub struct Traces {
    folders: HashMap<PathBuf, Trace>,
}

/// What a try reads, as it was before it began.
pub struct Untouched {
    path: PathBuf,
    trace: Trace,
}

impl Traces {
    /// What lies at `path` before a try that reads it begins.
    pub fn take(&mut self, path: &Path) -> Result<Untouched, CacheError> {
        if let Some(trace) = self.folders.get(path) {
            return Ok(Untouched { path: path.to_owned(), trace: *trace });
        }
        let trace = Trace::of(path)?;
        if path.is_dir() {
            self.folders.insert(path.to_owned(), trace);
        }
        Ok(Untouched { path: path.to_owned(), trace })
    }
}

impl Untouched {
    /// Whether nobody has touched it since the try began, at `began`.
    pub fn is_untouched(&self, began: SystemTime) -> bool {
        Trace::of(&self.path).is_ok_and(|now| !self.trace.shows_change(&now, began))
    }
}
