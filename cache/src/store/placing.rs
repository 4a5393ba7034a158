//! Placing: content that comes from elsewhere, checked against its digest before it is stored.
//!
//! Nothing that another machine says of content is believed: a name is given to bytes that have its digest, and a folder has
//! the paths of a folder.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use rayon::prelude::*;
use tempfile::NamedTempFile;

use crate::fs::stat::Stat;
use crate::tree;
use crate::{Artifact, ArtifactKind, Cache, CacheError, Digest, Result, Tree, TreeEntry, Unsynced};

impl Cache {
    /// Whether a stored file is there and intact, of this size.
    pub fn has_stored_file(&self, digest: &Digest, executable: bool, bytes: u64) -> Result<bool> {
        let object = self.object_path(digest, executable);
        // A wrong size is no evidence against the stored file: it may come from elsewhere.
        let has_size = rustix::fs::lstat(&object).is_ok_and(|stat| Stat::from(stat).size == bytes);
        Ok(has_size && self.has_intact(&object, *digest, executable, bytes)?)
    }

    /// Creates an empty file beside the store, for [`Cache::place_file`].
    pub fn file_to_place(&self) -> Result<NamedTempFile> {
        self.disk.temporary()
    }

    /// Creates a file to place that holds `content`.
    pub fn bytes_to_place(&self, content: &[u8]) -> Result<NamedTempFile> {
        let file = self.disk.temporary()?;
        self.disk.append(file.as_file(), file.path(), content).map_err(CacheError::io(file.path()))?;
        Ok(file)
    }

    /// Moves a file into the store if it has the digest that it should have. It is not synced yet: see [`Cache::unsynced`].
    ///
    /// # Errors
    /// [`CacheError::Damaged`] if it has another digest: then nothing is stored.
    pub fn place_file(&self, file: NamedTempFile, digest: &Digest, executable: bool) -> Result<()> {
        let path = file.into_temp_path();
        let bytes = Stat::of(&path)?.size;
        if tree::hash_file(&path, bytes)? != *digest {
            return Err(CacheError::Damaged { path: path.to_path_buf(), what: "its bytes are others".to_owned() });
        }
        self.move_in(&path, *digest, executable, bytes)
    }

    /// Stored files among artifacts, to be synced with the record that names them. Folders were synced when they were placed.
    pub fn unsynced<'a>(&self, artifacts: impl IntoIterator<Item = &'a Artifact>) -> Unsynced {
        let files = artifacts.into_iter().filter(|artifact| artifact.kind != ArtifactKind::Folder);
        Unsynced(files.map(|artifact| self.path_of(artifact)).collect())
    }

    /// Stores a folder, all of whose files are stored.
    ///
    /// # Errors
    /// [`CacheError::Damaged`] if `tree` is none of a folder; [`CacheError::Gone`] if a file of it is missing.
    pub fn place_folder(&self, tree: &Tree) -> Result<Artifact> {
        let artifact = tree.artifact();
        let manifest = self.manifest_path(&artifact.digest);
        if let Some(what) = flaw(tree) {
            return Err(CacheError::Damaged { path: manifest, what });
        }
        let check = |entry: &TreeEntry| -> Result<Option<PathBuf>> {
            let Some(digest) = entry.digest else { return Ok(None) };
            let object = self.object_path(&digest, entry.executable);
            let is_there = self.has_stored_file(&digest, entry.executable, entry.bytes)?;
            is_there.then_some(Some(object.clone())).ok_or(CacheError::Gone { path: object })
        };
        let objects = tree.entries.par_iter().map(check).collect::<Result<Vec<_>>>()?;
        let objects: HashSet<PathBuf> = objects.into_iter().flatten().collect();
        self.sync(&objects.into_iter().collect::<Vec<_>>())?;
        if manifest.exists() && self.read_tree(&artifact.digest).is_err() {
            self.quarantine(&manifest)?;
        }
        self.store_manifest(&artifact.digest, || tree)?;
        self.disk.sync_way_to(&manifest)?;
        let target = self.tree_path(&artifact.digest);
        if self.has_intact_tree(tree, &artifact.digest)? {
            self.protect_and_sync(&target)?;
        } else {
            self.materialise(tree, &target)?;
        }
        if let Ok(snapshot) = self.tree_snapshot(&artifact.digest) {
            self.note_tree(&artifact.digest, &snapshot);
        }
        Ok(artifact)
    }
}

/// Reason why a tree is none of a folder.
fn flaw(tree: &Tree) -> Option<String> {
    let files: HashSet<&Path> =
        tree.entries.iter().filter(|entry| entry.digest.is_some()).map(|entry| Path::new(&entry.path)).collect();
    let mut before: Option<&str> = None;
    for entry in &tree.entries {
        let path = Path::new(&entry.path);
        let is_plain = !entry.path.is_empty()
            && path.components().all(|part| matches!(part, Component::Normal(_)))
            // Neither `a//b` nor `a/.` nor `a/` is a second name of an entry.
            && path.components().map(|part| part.as_os_str().len() + 1).sum::<usize>() == entry.path.len() + 1
            && !entry.path.contains('\0');
        let is_below_file = path.ancestors().skip(1).any(|parent| files.contains(parent));
        let is_later = before.is_none_or(|before| before < entry.path.as_str());
        if !is_plain || is_below_file || !is_later || (entry.digest.is_none() && entry.executable) {
            return Some(format!("no folder has the entry {:?} there", entry.path));
        }
        before = Some(&entry.path);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn open() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        (folder, cache)
    }

    fn place(cache: &Cache, content: &[u8], digest: &Digest, executable: bool) -> Result<()> {
        cache.place_file(cache.bytes_to_place(content)?, digest, executable)
    }

    fn entry(path: &str, content: Option<&[u8]>, executable: bool) -> TreeEntry {
        let bytes = content.map_or(0, |content| content.len() as u64);
        TreeEntry { path: path.to_owned(), digest: content.map(Digest::of), bytes, executable }
    }

    #[test]
    fn bytes_of_another_digest_are_not_stored() {
        let (_folder, cache) = open();
        let digest = Digest::of(b"right");
        assert!(matches!(place(&cache, b"wrong", &digest, false), Err(CacheError::Damaged { .. })));
        assert!(!cache.has_stored_file(&digest, false, 5).unwrap());
        assert!(!cache.has_stored_file(&Digest::of(b"wrong"), false, 5).unwrap());
        assert_eq!(fs::read_dir(cache.root().join("tmp")).unwrap().count(), 0);
        place(&cache, b"right", &digest, false).unwrap();
        assert!(cache.has_stored_file(&digest, false, 5).unwrap() && !cache.has_stored_file(&digest, true, 5).unwrap());
        // A lie about the size does no harm to what is stored.
        assert!(!cache.has_stored_file(&digest, false, 6).unwrap());
        assert!(cache.has_stored_file(&digest, false, 5).unwrap());
    }

    #[test]
    fn a_placed_folder_is_the_one_that_was_stored_elsewhere() {
        let (_folder, cache) = open();
        let tree = Tree {
            entries: vec![
                entry("a.b", Some(b"1"), false),
                entry("a/run", Some(b"2"), true),
                entry("a/same", Some(b"1"), false),
                entry("empty", None, false),
            ],
        };
        place(&cache, b"1", &Digest::of(b"1"), false).unwrap();
        assert!(matches!(cache.place_folder(&tree), Err(CacheError::Gone { .. })));
        place(&cache, b"2", &Digest::of(b"2"), true).unwrap();
        let artifact = cache.place_folder(&tree).unwrap();
        assert_eq!(Tree::of_folder(&cache.path_of(&artifact)).unwrap(), tree);
        assert_eq!(cache.presence(&artifact), crate::Presence::Present);
        assert_eq!(cache.place_folder(&tree).unwrap(), artifact);
    }

    #[test]
    fn paths_that_lead_out_of_a_folder_are_refused() {
        let (_folder, cache) = open();
        place(&cache, b"1", &Digest::of(b"1"), false).unwrap();
        let file = |path: &str| entry(path, Some(b"1"), false);
        let lists = [
            vec![file("../x")],
            vec![file("/etc/x")],
            vec![file("a/../../x")],
            vec![file("a//x")],
            vec![file("a/")],
            vec![file("./a")],
            vec![file("")],
            vec![file("a\0b")],
            vec![file("b"), file("a")],
            vec![file("a"), file("a")],
            vec![file("a"), file("a.b"), file("a/b")],
            vec![entry("a", None, true)],
        ];
        for entries in lists {
            let tree = Tree { entries };
            assert!(matches!(cache.place_folder(&tree), Err(CacheError::Damaged { .. })), "{tree:?}");
        }
    }
}
