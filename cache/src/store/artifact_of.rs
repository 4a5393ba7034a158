//! Digests of files and folders anywhere on disk.

use std::path::Path;

use crate::index::stat_index::Scan;
use crate::{Artifact, ArtifactKind, Cache, Result};

impl Cache {
    /// The artifact at a path anywhere on disk. Files that are unchanged by their `stat` are not read again.
    pub fn artifact_of(&self, path: &Path) -> Result<Artifact> {
        Ok(self.stat_index.scan(path)?.artifact)
    }

    /// Scans a path as [`Cache::artifact_of`] does, for callers that may need the folder's tree, too.
    pub fn scan(&self, path: &Path) -> Result<Scan> {
        self.stat_index.scan(path)
    }

    /// The artifact at a path, as by [`Cache::artifact_of`]; the manifest of a folder is stored, so that a later
    /// comparison can name what changed.
    pub fn artifact_with_manifest_of(&self, path: &Path) -> Result<Artifact> {
        let scan = self.stat_index.scan(path)?;
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
