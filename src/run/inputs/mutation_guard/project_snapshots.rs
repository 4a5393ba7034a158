//! Detection of changes to the project's files while stages read them.
//!
//! A file with the same content as before may have been changed in between: it may have been changed and changed back, or
//! rewritten, which empties it first.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use athanor_cache::{Artifact, Cache, CacheError, Exclusions, FsTime, StatSnapshot};

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
    /// Its content when the run began, where all of it counts.
    content: Option<Artifact>,
    exclusions: Arc<Exclusions>,
}

impl ProjectSnapshots {
    /// Takes a snapshot of `name` in the folder `project` before an attempt that reads it begins. `content` is what it was when
    /// the run began.
    pub fn take(
        &mut self,
        project: &Path,
        name: &str,
        content: Option<&Artifact>,
        exclusions: &Arc<Exclusions>,
    ) -> Result<ProjectSnapshot, CacheError> {
        let path = project.join(name);
        let trace = match self.folders.get(&path) {
            Some(trace) => *trace,
            None => StatSnapshot::of_content(&path, exclusions)?,
        };
        if path.is_dir() {
            self.folders.insert(path.clone(), trace);
        }
        let (content, exclusions) = (content.cloned(), Arc::clone(exclusions));
        Ok(ProjectSnapshot { name: name.to_owned(), path, trace, content, exclusions })
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

    /// Whether its content is the one with which the run began.
    pub fn has_same_content(&self, cache: &Cache) -> bool {
        let Some(before) = &self.content else { return true };
        cache.content_of(&self.path, &self.exclusions).is_ok_and(|now| now == *before)
    }

    /// Whether nobody has touched it since the attempt began, at `began` on the clock of its file system if that is known.
    pub fn is_unchanged(&self, began: Option<FsTime>) -> bool {
        StatSnapshot::of_content(&self.path, &self.exclusions).is_ok_and(|now| !self.trace.shows_change(&now, began))
    }
}
