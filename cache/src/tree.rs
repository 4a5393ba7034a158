//! Artifacts: files and folders by their digests.

use std::fs;
use std::io::Read;
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::fs::exclusions::Exclusions;
use crate::fs::stat::Stat;
use crate::fs::walk::{self, Found};
use crate::{CacheError, Digest, Result};

/// Kind of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactKind {
    /// A plain file; its digest is that of its content.
    File,
    /// A file with its executable bit set; its digest is that of its content.
    Executable,
    /// A folder; its digest is that of its tree.
    Folder,
}

impl ArtifactKind {
    /// Its name, as it is serialised.
    pub const fn name(self) -> &'static str {
        match self {
            ArtifactKind::File => "file",
            ArtifactKind::Executable => "executable",
            ArtifactKind::Folder => "folder",
        }
    }
}

/// Kind and digest: all of an artifact that a stage's result can depend on.
pub type Content = (ArtifactKind, Digest);

impl Artifact {
    /// Kind and digest.
    pub fn content(&self) -> Content {
        (self.kind, self.digest)
    }
}

/// A file or folder by content.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Artifact {
    /// Its kind.
    pub kind: ArtifactKind,
    /// Its content.
    pub digest: Digest,
    /// Bytes in all its files.
    pub bytes: u64,
    /// Number of its files.
    pub files: u64,
}

/// One entry of a folder: a file, or a folder with nothing in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeEntry {
    /// Path inside the folder, with `/` between parts.
    pub path: String,
    /// The file's content; `None` for an empty folder.
    pub digest: Option<Digest>,
    /// The file's size.
    pub bytes: u64,
    /// Whether the file's executable bit is set.
    pub executable: bool,
}

/// All entries of a folder, sorted by path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// The entries.
    pub entries: Vec<TreeEntry>,
}

impl Tree {
    pub(crate) fn new(mut entries: Vec<TreeEntry>) -> Tree {
        entries.par_sort_unstable_by(|left, right| left.path.cmp(&right.path));
        Tree { entries }
    }

    /// Reads the tree of the folder at `path`, every file of it.
    pub fn of_folder(path: &Path) -> Result<Tree> {
        let entry = |found: &Found| entry_of(found, |found| hash_file(&found.path, found.stat.size));
        Ok(Tree::new(walk::find_all(path, &Exclusions::default())?.par_iter().map(entry).collect::<Result<_>>()?))
    }

    /// The folder as an artifact. Its digest covers paths, contents and executable bits: for every entry the length of its
    /// path (u64, little endian), the path, one byte (0 empty folder, 1 file, 2 executable) and the content's digest.
    pub fn artifact(&self) -> Artifact {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"athanor tree 1");
        for entry in &self.entries {
            hasher.update(&(entry.path.len() as u64).to_le_bytes());
            hasher.update(entry.path.as_bytes());
            hasher.update(&[u8::from(entry.digest.is_some()) + u8::from(entry.executable)]);
            if let Some(digest) = entry.digest {
                hasher.update(digest.bytes());
            }
        }
        let files = self.entries.iter().filter(|entry| entry.digest.is_some()).count() as u64;
        let bytes = self.entries.iter().map(|entry| entry.bytes).sum();
        Artifact { kind: ArtifactKind::Folder, digest: Digest::from(hasher.finalize()), bytes, files }
    }

    /// The same folder without executable bits.
    pub(crate) fn without_modes(&self) -> Tree {
        let bare = |entry: &TreeEntry| TreeEntry { executable: false, ..entry.clone() };
        Tree { entries: self.entries.iter().map(bare).collect() }
    }
}

/// A difference between two trees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Only the new tree has it.
    Added(String),
    /// Only the old tree has it.
    Removed(String),
    /// Both have it, with other content or another executable bit.
    Modified(String),
}

/// Changes that turn `old` into `new`, sorted by path.
pub fn diff(old: &Tree, new: &Tree) -> Vec<Change> {
    let (mut before, mut after) = (old.entries.iter().peekable(), new.entries.iter().peekable());
    let mut changes = Vec::new();
    loop {
        match (before.peek(), after.peek()) {
            (None, None) => return changes,
            (Some(left), Some(right)) if left.path == right.path => {
                if left != right {
                    changes.push(Change::Modified(left.path.clone()));
                }
                before.next();
                after.next();
            }
            (Some(left), right) if right.is_none_or(|right| left.path < right.path) => {
                changes.push(Change::Removed(left.path.clone()));
                before.next();
            }
            (_, Some(right)) => {
                changes.push(Change::Added(right.path.clone()));
                after.next();
            }
            (Some(_), None) => unreachable!("a left entry without a right one was taken above"),
        }
    }
}

/// The digest of a file's content.
pub(crate) fn hash_file(path: &Path, bytes: u64) -> Result<Digest> {
    hash_open(fs::File::open(path).map_err(CacheError::io(path))?, path, bytes)
}

/// The digest of the rest of an open file.
pub(crate) fn hash_open(mut file: fs::File, path: &Path, bytes: u64) -> Result<Digest> {
    // Files are read, not mapped: a mapped file that is truncated meanwhile would kill the process.
    const PIECE: u64 = 16 << 20;
    const WORTH_SEVERAL_THREADS: u64 = 1 << 20;
    let mut hasher = blake3::Hasher::new();
    if bytes < WORTH_SEVERAL_THREADS {
        hasher.update_reader(file).map_err(CacheError::io(path))?;
        return Ok(Digest::from(hasher.finalize()));
    }
    let mut piece = Vec::with_capacity(bytes.min(PIECE) as usize);
    while file.by_ref().take(PIECE).read_to_end(&mut piece).map_err(CacheError::io(path))? > 0 {
        hasher.update_rayon(&piece);
        piece.clear();
    }
    Ok(Digest::from(hasher.finalize()))
}

/// The artifact of a single file.
pub(crate) fn file_artifact(stat: &Stat, digest: Digest) -> Artifact {
    let kind = if stat.is_executable() { ArtifactKind::Executable } else { ArtifactKind::File };
    Artifact { kind, digest, bytes: stat.size, files: 1 }
}

/// The tree entry of a file at `path` in its folder.
pub(crate) fn file_entry(path: String, stat: &Stat, digest: Digest) -> TreeEntry {
    TreeEntry { path, digest: Some(digest), bytes: stat.size, executable: stat.is_executable() }
}

/// The tree entry of an empty folder.
pub(crate) fn empty_folder_entry(path: String) -> TreeEntry {
    TreeEntry { path, digest: None, bytes: 0, executable: false }
}

/// The tree entry of a file or empty folder on disk; `hash` returns a file's digest.
pub(crate) fn entry_of(found: &Found, hash: impl FnOnce(&Found) -> Result<Digest>) -> Result<TreeEntry> {
    let path = found.relative.clone();
    Ok(if found.stat.is_folder() { empty_folder_entry(path) } else { file_entry(path, &found.stat, hash(found)?) })
}
