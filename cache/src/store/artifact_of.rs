//! Digests of files and folders anywhere on disk.

use std::path::Path;

use crate::index::stat_index::Scan;
use crate::{Artifact, ArtifactKind, Cache, Result};

impl Cache {
    /// The digest of a file or folder anywhere on disk. Unchanged files are not read again.
    pub fn artifact_of(&self, path: &Path) -> Result<Artifact> {
        Ok(self.stat_index.scan(path)?.artifact)
    }

    /// As [`Cache::artifact_of`], for those who may want to know what is in a folder, too.
    pub fn scan(&self, path: &Path) -> Result<Scan> {
        self.stat_index.scan(path)
    }

    /// As [`Cache::artifact_of`]; the manifest of a folder is kept, so that a later comparison can name what changed.
    pub fn artifact_with_manifest_of(&self, path: &Path) -> Result<Artifact> {
        let scan = self.stat_index.scan(path)?;
        let artifact = scan.artifact.clone();
        if artifact.kind == ArtifactKind::Folder && !self.is_read_only() {
            self.store_manifest(&artifact.digest, || scan.into_tree())?;
        }
        Ok(artifact)
    }

    /// Saves what [`Cache::artifact_of`] has learned.
    pub fn flush_stat_index(&self) -> Result<()> {
        self.stat_index.flush()
    }
}
