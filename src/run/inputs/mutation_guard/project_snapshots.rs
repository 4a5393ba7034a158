//! Detection of changes to the project's files while stages read them.
//!
//! A file with the same content as before may have been changed in between: it may have been changed and changed back, or
//! rewritten, which empties it first.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use athanor_cache::{Artifact, ArtifactKind, Cache, CacheError, Change, Exclusions, FsTime, StatSnapshot, diff};

use crate::run::inputs::keys;
use crate::run::inputs::resolve::PathRead;

/// Largest file that is looked at once more before an attempt, in bytes.
const SMALL: u64 = 16 << 20;

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
    /// Its content when the run began, where that counts.
    content: Option<Artifact>,
    /// The keys in it that count alone.
    keys: Option<KeysRead>,
    exclusions: Arc<Exclusions>,
}

/// Keys of a file whose values count.
struct KeysRead {
    project: PathBuf,
    keys: Vec<String>,
    /// Whether the values were those with which the run began when the attempt did.
    began_same: bool,
}

impl KeysRead {
    fn new(project: &Path, read: &PathRead<'_>, keys: &[String]) -> KeysRead {
        let mut keys = KeysRead { project: project.to_owned(), keys: keys.to_owned(), began_same: true };
        keys.began_same = read.content.is_none_or(|content| keys.have_content(&read.path, content));
        keys
    }

    fn have_content(&self, path: &str, content: &Artifact) -> bool {
        keys::content_of(&self.project, path, &self.keys).is_ok_and(|now| now == *content)
    }
}

impl ProjectSnapshots {
    /// Takes a snapshot of a file or folder in the folder `project` before an attempt that reads it begins.
    pub fn take(
        &mut self,
        project: &Path,
        read: &PathRead<'_>,
        exclusions: &Arc<Exclusions>,
    ) -> Result<ProjectSnapshot, CacheError> {
        let path = project.join(&*read.path);
        let trace = match self.folders.get(&path) {
            Some(trace) => *trace,
            None => StatSnapshot::of_content(&path, exclusions)?,
        };
        if path.is_dir() {
            self.folders.insert(path.clone(), trace);
        }
        let keys = read.keys.map(|keys| KeysRead::new(project, read, keys));
        let (content, exclusions) = (read.content.cloned(), Arc::clone(exclusions));
        Ok(ProjectSnapshot { name: read.path.clone().into_owned(), path, trace, content, keys, exclusions })
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
        if let Some(keys) = &self.keys {
            return keys.began_same && keys.have_content(&self.name, before);
        }
        cache.content_of(&self.path, &self.exclusions).is_ok_and(|now| now == *before)
    }

    /// Whether it is known, by a look that costs little, to be another than when the run began.
    pub fn is_outdated(&self, cache: &Cache) -> bool {
        let is_small = |content: &Artifact| content.kind == ArtifactKind::File && content.bytes <= SMALL;
        (self.keys.is_some() || self.content.as_ref().is_some_and(is_small)) && !self.has_same_content(cache)
    }

    /// Files of a folder that are not what they were when the run began.
    pub fn changed_files(&self, cache: &Cache) -> Vec<String> {
        let trees = || {
            let before = cache.read_tree(&self.content.as_ref()?.digest).ok()?;
            let now = cache.artifact_with_manifest_of(&self.path, &self.exclusions).ok()?;
            Some((before, cache.read_tree(&now.digest).ok()?))
        };
        let changes = trees().map(|(before, now)| diff(&before, &now)).unwrap_or_default();
        let path = |change| match change {
            Change::Added(path) | Change::Removed(path) | Change::Modified(path) => path,
        };
        changes.into_iter().map(path).collect()
    }

    /// Whether nobody has touched it since the attempt began, at `began` on the clock of its file system if that is known. A file of
    /// which only keys count may be edited elsewhere while a stage works for hours.
    pub fn is_unchanged(&self, began: Option<FsTime>) -> bool {
        self.keys.is_some()
            || StatSnapshot::of_content(&self.path, &self.exclusions)
                .is_ok_and(|now| !self.trace.shows_change(&now, began))
    }
}
