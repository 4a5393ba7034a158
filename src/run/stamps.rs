//! Whether anybody touched the project's files while stages read them.
//!
//! That a file holds the same as before does not say that it did all the time: it may have been changed and changed back, or
//! written anew, which empties it first.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use athanor_cache::{CacheError, Stamp};

/// Stamps of the project's folders from when a run first used them: to look at every file of one for every stage would take
/// long.
#[derive(Default)]
pub struct Stamps {
    folders: HashMap<PathBuf, Stamp>,
}

/// What a try reads, as it was before it began.
pub struct Untouched {
    path: PathBuf,
    stamp: Stamp,
}

impl Stamps {
    /// What lies at `path` before a try that reads it begins.
    pub fn take(&mut self, path: &Path) -> Result<Untouched, CacheError> {
        if let Some(stamp) = self.folders.get(path) {
            return Ok(Untouched { path: path.to_owned(), stamp: *stamp });
        }
        let stamp = Stamp::of(path)?;
        if path.is_dir() {
            self.folders.insert(path.to_owned(), stamp);
        }
        Ok(Untouched { path: path.to_owned(), stamp })
    }
}

impl Untouched {
    /// Whether nobody has touched it since the try began, at `began`.
    pub fn is_untouched(&self, began: SystemTime) -> bool {
        Stamp::of(&self.path).is_ok_and(|now| !self.stamp.shows_change(&now, began))
    }
}
