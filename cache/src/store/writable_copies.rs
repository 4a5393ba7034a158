//! Private, writable copies of inputs for single stages, and checks whether a stage wrote to them.

use std::fs;
use std::path::Path;

use rayon::prelude::*;

use crate::fs::exclusions::Exclusions;
use crate::fs::walk;
use crate::tree;
use crate::{
    Artifact, ArtifactKind, Cache, CacheError, Change, InputState, Result, StatSnapshot, Tree, TreeEntry, diff,
};

/// Permission bits of files in such a copy.
const PLAIN: u32 = 0o644;
const EXECUTABLE: u32 = 0o755;
/// Attempts at copying stored content that others change at the same time.
const COPIES: u32 = 3;

impl Cache {
    /// Copies an artifact to `path`, which must not exist, for one stage alone; the copy is not synced. Content that
    /// somebody has changed for good is [`CacheError::Gone`].
    pub fn copy_for_stage(&self, artifact: &Artifact, path: &Path) -> Result<()> {
        for _ in 0..COPIES {
            let since = self.fs_now()?;
            let copied = self.copy_stored(artifact, path);
            if copied.is_ok() && self.is_copy(artifact, path)? {
                return Ok(());
            }
            // Somebody writes to it at this moment, or has removed it.
            match self.check_input(artifact, since)? {
                InputState::Changed { lost: true, .. } => break,
                InputState::Intact => copied?,
                _ => {}
            }
            self.disk.remove(path)?;
        }
        Err(CacheError::Gone { path: self.path_of(artifact) })
    }

    /// Whether a copy has the artifact's digest.
    fn is_copy(&self, artifact: &Artifact, path: &Path) -> Result<bool> {
        let digest = match artifact.kind {
            ArtifactKind::Folder => Tree::of_folder(path)?.artifact().digest,
            ArtifactKind::File | ArtifactKind::Executable => tree::hash_file(path, artifact.bytes)?,
        };
        Ok(digest == artifact.digest)
    }

    fn copy_stored(&self, artifact: &Artifact, path: &Path) -> Result<()> {
        let stored = self.path_of(artifact);
        if artifact.kind != ArtifactKind::Folder {
            return self.copy_file_for_stage(&stored, path, artifact.kind == ArtifactKind::Executable);
        }
        let tree = self.read_tree(&artifact.digest)?;
        self.disk.make_folder(path).map_err(CacheError::io(path))?;
        let copy = |entry: &TreeEntry| {
            let at = path.join(&entry.path);
            let folder = if entry.digest.is_some() { at.parent().unwrap_or(path) } else { &at };
            self.disk.make_folders(folder).map_err(CacheError::io(folder))?;
            match entry.digest {
                Some(_) => self.copy_file_for_stage(&stored.join(&entry.path), &at, entry.executable),
                None => Ok(()),
            }
        };
        tree.entries.par_iter().try_for_each(copy)
    }

    /// Copies a file or folder of the user, without what is excluded, to `path`, which must not exist, for one stage alone.
    pub fn copy_in(&self, from: &Path, path: &Path, exclusions: &Exclusions) -> Result<()> {
        if !from.is_dir() {
            return self.copy_user_file(from, path);
        }
        self.disk.make_folder(path).map_err(CacheError::io(path))?;
        walk::find_all(from, exclusions)?.par_iter().try_for_each(|found| {
            let at = path.join(&found.relative);
            let folder = if found.stat.is_folder() { &at } else { at.parent().unwrap_or(path) };
            self.disk.make_folders(folder).map_err(CacheError::io(folder))?;
            if found.stat.is_folder() { Ok(()) } else { self.copy_user_file(&found.path, &at) }
        })
    }

    fn copy_user_file(&self, from: &Path, to: &Path) -> Result<()> {
        let metadata = fs::metadata(from).map_err(CacheError::io(from))?;
        let executable =
            crate::fs::stat::is_executable(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()));
        self.copy_file_for_stage(from, to, executable)
    }

    /// Copies a file to `to`, which must not exist, for one stage alone.
    pub(crate) fn copy_file_for_stage(&self, from: &Path, to: &Path, executable: bool) -> Result<()> {
        self.disk.copy(from, to).map_err(CacheError::io(from))?;
        self.disk.set_mode(to, if executable { EXECUTABLE } else { PLAIN }).map_err(CacheError::io(to))
    }

    /// State of the copy of an artifact at `path` after a stage, given its snapshot from `before`.
    pub fn check_copy(&self, artifact: &Artifact, path: &Path, before: &StatSnapshot) -> Result<InputState> {
        if StatSnapshot::of(path).is_ok_and(|now| now == *before) {
            return Ok(InputState::Intact);
        }
        let changed = |paths| InputState::Changed { paths, lost: false };
        if artifact.kind != ArtifactKind::Folder {
            let now = self.artifact_of(path).ok().map(|now| now.digest);
            return Ok(if now == Some(artifact.digest) { InputState::Intact } else { changed(Vec::new()) });
        }
        let Ok(now) = Tree::of_folder(path) else { return Ok(changed(Vec::new())) };
        let (mut added, mut others) = (Vec::new(), Vec::new());
        // Permission bits are no content, as in stored folders.
        for change in diff(&self.read_tree(&artifact.digest)?.without_modes(), &now.without_modes()) {
            match change {
                Change::Added(path) => added.push(path),
                Change::Removed(path) | Change::Modified(path) => others.push(path),
            }
        }
        Ok(match (others.is_empty(), added.is_empty()) {
            (false, _) => changed(others),
            (true, false) => InputState::Added(added),
            (true, true) => InputState::Intact,
        })
    }

    /// Whether two artifacts have stored files in common.
    pub fn share_content(&self, one: &Artifact, other: &Artifact) -> bool {
        if one.digest == other.digest {
            return true;
        }
        let files: std::collections::HashSet<_> = self.objects_of_artifact(one).into_iter().collect();
        self.objects_of_artifact(other).iter().any(|file| files.contains(file))
    }

    /// Whether anything exists at an artifact's path; nothing else is checked.
    pub fn seems_present(&self, artifact: &Artifact) -> bool {
        fs::symlink_metadata(self.path_of(artifact)).is_ok()
    }
}
