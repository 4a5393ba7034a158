//! Manifests: the trees of folders, by the folder's digest.

use std::borrow::Borrow;
use std::fs;
use std::path::PathBuf;

use crate::{Artifact, ArtifactKind, Cache, CacheError, Digest, Result, Tree};

impl Cache {
    /// Stores the manifest of a folder, whether or not its files are stored. `tree` is called only if there is none
    /// with this digest yet.
    pub(crate) fn store_manifest<T: Borrow<Tree>>(&self, digest: &Digest, tree: impl FnOnce() -> T) -> Result<()> {
        let path = self.manifest_path(digest);
        if path.exists() {
            return Ok(());
        }
        let text = serde_json::to_vec(tree().borrow()).map_err(|error| CacheError::io(&path)(error.into()))?;
        self.disk.write_atomically(&path, &text)
    }

    /// Reads the manifest of a folder, checked against its digest.
    pub fn read_tree(&self, digest: &Digest) -> Result<Tree> {
        let path = self.manifest_path(digest);
        let bytes = fs::read(&path).map_err(CacheError::io(&path))?;
        let tree: Option<Tree> = serde_json::from_slice(&bytes).ok();
        let sound = tree.filter(|tree| tree.artifact().digest == *digest);
        sound.ok_or_else(|| CacheError::Damaged { path, what: "the manifest is not what its name says".to_owned() })
    }

    /// Paths of the stored files that an artifact consists of.
    pub(crate) fn objects_of_artifact(&self, artifact: &Artifact) -> Vec<PathBuf> {
        if artifact.kind != ArtifactKind::Folder {
            return vec![self.path_of(artifact)];
        }
        // Without an intact manifest, the stored folder itself still tells its files.
        let by_folder = || Tree::of_folder(&self.tree_path(&artifact.digest));
        let Ok(tree) = self.read_tree(&artifact.digest).or_else(|_| by_folder()) else { return Vec::new() };
        let files = tree.entries.iter().filter_map(|entry| Some(self.object_path(&entry.digest?, entry.executable)));
        files.collect()
    }
}
