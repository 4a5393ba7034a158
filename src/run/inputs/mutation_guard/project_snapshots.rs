//! Detection of changes to the project's files while stages read them.
//!
//! A file with the same content as before may have been changed in between: it may have been changed and changed back, or
//! rewritten, which empties it first.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use athanor_cache::{CacheError, FsTime, StatSnapshot};

/// Snapshots of the project's folders from when a run first used them: looking at every file for every stage would take long.
#[derive(Default)]
pub struct ProjectSnapshots {
    folders: HashMap<PathBuf, StatSnapshot>,
}

/// Snapshot of a project file or folder that an attempt reads, from before it began.
pub struct ProjectSnapshot {
    /// Path as the user wrote it.
    name: String,
    path: PathBuf,
    trace: StatSnapshot,
}

impl ProjectSnapshots {
    /// Takes a snapshot of `name` in the folder `project` before an attempt that reads it begins.
    pub fn take(&mut self, project: &Path, name: &str) -> Result<ProjectSnapshot, CacheError> {
        let path = project.join(name);
        let trace = match self.folders.get(&path) {
            Some(trace) => *trace,
            None => StatSnapshot::of(&path)?,
        };
        if path.is_dir() {
            self.folders.insert(path.clone(), trace);
        }
        Ok(ProjectSnapshot { name: name.to_owned(), path, trace })
    }
}

impl ProjectSnapshot {
    /// Path as the user wrote it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Full path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nobody has touched it since the attempt began, at `began` on the clock of its file system if that is known.
    pub fn is_unchanged(&self, began: Option<FsTime>) -> bool {
        StatSnapshot::of(&self.path).is_ok_and(|now| !self.trace.shows_change(&now, began))
    }
}
