//! Folders in a remote cache: their entries, and where their small files lie.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use athanor_cache::{Artifact, Digest, Tree};

use crate::action::PackRange;
use crate::error::StorageError;
use crate::pack;

/// Largest index that is read, in bytes: some millions of files.
pub(crate) const LARGEST: u64 = 1 << 30;

/// A folder: its tree, and the packs with its small files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FolderIndex {
    pub(crate) tree: Tree,
    pub(crate) packs: Vec<PackOfFolder>,
}

/// A pack with small files of a folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PackOfFolder {
    /// Digest of the pack.
    pub(crate) pack: Digest,
    /// Its files, by the number of an entry with the same content, in their order in the pack, from its beginning.
    pub(crate) entries: Vec<u32>,
}

/// Area of folders.
pub(crate) const AREA: &str = "folders";

/// Key of the index of a folder.
pub(crate) fn key(digest: &Digest) -> String {
    format!("{AREA}/{digest}")
}

impl FolderIndex {
    /// Reads the index of `folder`. Nothing else seals it: the folder's digest covers its entries, and those of its files cover what
    /// the places lead to.
    pub(crate) fn read(folder: &Artifact, bytes: &[u8]) -> Result<FolderIndex, StorageError> {
        let index: Option<FolderIndex> = serde_json::from_slice(bytes).ok();
        let index = index.filter(|index| index.tree.artifact() == *folder);
        let key = key(&folder.digest);
        index.ok_or_else(|| StorageError::damaged(&key, "holds a damaged file"))
    }

    /// Keys of all content that the folder names.
    pub(crate) fn keys(&self) -> Vec<String> {
        let places = self.places();
        let files = self.tree.entries.iter().filter(|entry| entry.bytes > 0).filter_map(|entry| entry.digest);
        let objects = files.filter(|digest| !places.contains_key(digest)).map(|digest| pack::object_key(&digest));
        self.packs.iter().map(|pack| pack::key(&pack.pack)).chain(objects).collect()
    }

    /// Places of the small files, by digest.
    pub(crate) fn places(&self) -> HashMap<Digest, PackRange> {
        let mut places = HashMap::new();
        for PackOfFolder { pack, entries } in &self.packs {
            let mut at = 0u64;
            for entry in entries.iter().filter_map(|number| self.tree.entries.get(*number as usize)) {
                let Some(digest) = entry.digest else { continue };
                places.insert(digest, PackRange { pack: *pack, at, bytes: entry.bytes });
                at = at.saturating_add(entry.bytes);
            }
        }
        places
    }
}
