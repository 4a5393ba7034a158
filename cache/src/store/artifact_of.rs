//! Digests of files and folders anywhere on disk.

use std::path::Path;

use crate::fs::exclusions::Exclusions;
use crate::index::stat_index::Scan;
use crate::{Artifact, ArtifactKind, Cache, Result, Tree};

impl Cache {
    /// The artifact at a path anywhere on disk. Files that are unchanged by their `stat` are not read again.
    pub fn artifact_of(&self, path: &Path) -> Result<Artifact> {
        Ok(self.stat_index.scan(path, &Exclusions::default())?.artifact)
    }

    /// Scans a path as [`Cache::artifact_of`] does, for callers that may need the folder's tree, too.
    pub fn scan(&self, path: &Path) -> Result<Scan> {
        self.stat_index.scan(path, &Exclusions::default())
    }

    /// The artifact at a path, as by [`Cache::artifact_of`], without what is excluded.
    pub fn content_of(&self, path: &Path, exclusions: &Exclusions) -> Result<Artifact> {
        Ok(self.stat_index.scan(path, exclusions)?.artifact)
    }

    /// The artifacts of some files of one folder, in the order of their names. Costs less than [`Cache::artifact_of`] for
    /// each of them.
    pub fn files_in(&self, folder: &Path, names: &[&str]) -> Result<Vec<Artifact>> {
        self.stat_index.files_in(folder, names)
    }

    /// Stores the manifest of a tree that was put together, so that a later comparison can name what changed; returns the
    /// tree as an artifact.
    pub fn keep_manifest(&self, tree: &Tree) -> Result<Artifact> {
        let artifact = tree.artifact();
        if !self.is_read_only() {
            self.store_manifest(&artifact.digest, || tree.clone())?;
        }
        Ok(artifact)
    }

    /// The artifact at a path, as by [`Cache::content_of`]; the manifest of a folder is stored, so that a later
    /// comparison can name what changed.
    pub fn artifact_with_manifest_of(&self, path: &Path, exclusions: &Exclusions) -> Result<Artifact> {
        let scan = self.stat_index.scan(path, exclusions)?;
        let artifact = scan.artifact.clone();
        if artifact.kind == ArtifactKind::Folder && !self.is_read_only() {
            self.store_manifest(&artifact.digest, || scan.into_tree())?;
        }
        Ok(artifact)
    }

    /// Saves the digests that [`Cache::artifact_of`] has computed.
    pub fn flush_stat_index(&self) -> Result<()> {
        self.stat_index.flush()
    }
}
