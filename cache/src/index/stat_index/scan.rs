//! Scan of a folder: unchanged files by the index, changed ones hashed, and the digest of the whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::hashed::{Hashed, hash};
use super::listing::{KnownFile, Listing};
use crate::fs::exclusions::Exclusions;
use crate::fs::walk::{self, Dir, FileIn, Visited};
use crate::index::clock::FileSystemClock;
use crate::tree::{self, Tree, TreeEntry};
use crate::{Artifact, Digest, Result};

/// A file or folder that was scanned.
#[derive(Debug)]
pub struct Scan {
    /// The artifact.
    pub artifact: Artifact,
    pub(super) folders: Vec<ScannedFolder>,
    /// The tree, if it had to be built.
    pub(super) tree: Option<Tree>,
}

impl Scan {
    /// The folder's tree; empty for a file.
    pub fn into_tree(self) -> Tree {
        self.tree.unwrap_or_else(|| tree_of(&self.folders))
    }
}

/// A folder, with the digests of all its files.
#[derive(Debug)]
pub(super) struct ScannedFolder {
    pub dir: Arc<Dir>,
    is_empty: bool,
    /// Its settled files: a change of them since would show.
    pub listing: Arc<Listing>,
    /// The others.
    unsettled: Vec<Hashed>,
    /// Whether the listing differs from the one in the index.
    pub is_changed: bool,
}

/// Scans `root` and all folders below it, without what is excluded. `known` returns the indexed listing of a folder.
pub(super) fn scan(
    root: &Path,
    exclusions: &Exclusions,
    clock: &FileSystemClock,
    known: impl Fn(&Path) -> Option<Arc<Listing>> + Sync,
) -> Result<Vec<ScannedFolder>> {
    let visited =
        walk::walk(root, exclusions, |dir, first, files| scan_batch(known(&dir.path), dir, first, files, clock))?;
    Ok(visited.into_par_iter().map(ScannedFolder::new).collect())
}

/// A scanned batch of files of one folder.
struct ScannedBatch {
    known: Option<Arc<Listing>>,
    /// For every file its number in the known listing, if it is unchanged.
    numbers: Vec<Option<usize>>,
    /// The others.
    hashed: Vec<Hashed>,
}

fn scan_batch(
    known: Option<Arc<Listing>>,
    dir: &Dir,
    first: usize,
    files: &[FileIn<'_>],
    clock: &FileSystemClock,
) -> Result<ScannedBatch> {
    let mut next = first;
    let mut number_of = |file: &FileIn<'_>| {
        let known = known.as_ref()?;
        let number = known.find(file.name.as_bytes(), next)?;
        next = number + 1;
        known.file(number).filter(|known| known.stat == file.stat).map(|_| number)
    };
    let numbers: Vec<Option<usize>> = files.iter().map(&mut number_of).collect();
    let mut ticks = clock.ticks();
    let others = files.iter().zip(&numbers).filter(|(_, number)| number.is_none());
    let others: Vec<_> = others.map(|(file, _)| (file, dir.path.join(file.name))).collect();
    let others: Vec<_> =
        others.into_iter().map(|(file, path)| (ticks.is_settled(&path, &file.stat), file, path)).collect();
    let hash_one = |(is_settled, file, path): (bool, &FileIn<'_>, PathBuf)| {
        hash(&path, file.name.as_bytes(), file.stat, is_settled)
    };
    // Spawning tasks for nothing would cost an unchanged folder more than all else here.
    let hashed = match others.is_empty() {
        true => Vec::new(),
        false => others.into_par_iter().map(hash_one).collect::<Result<_>>()?,
    };
    Ok(ScannedBatch { known, numbers, hashed })
}

impl ScannedBatch {
    /// Its files in the order of the folder's listing, each with whether it is settled.
    fn files(&self) -> impl Iterator<Item = (KnownFile<'_>, bool)> {
        let mut hashed = self.hashed.iter();
        self.numbers.iter().filter_map(move |number| match (number, &self.known) {
            (Some(number), Some(known)) => Some((known.file(*number)?, true)),
            _ => hashed.next().map(|hashed| (hashed.file(), hashed.is_settled)),
        })
    }
}

impl ScannedFolder {
    fn new(visited: Visited<ScannedBatch>) -> ScannedFolder {
        let Visited { dir, is_empty, seen } = visited;
        if let Some(known) = unchanged(&seen) {
            return ScannedFolder { dir, is_empty, listing: known, unsettled: Vec::new(), is_changed: false };
        }
        let settled: Vec<KnownFile<'_>> =
            seen.iter().flat_map(ScannedBatch::files).filter(|(_, settled)| *settled).map(|(file, _)| file).collect();
        let listing = Arc::new(Listing::new(&settled));
        let known = seen.first().and_then(|seen| seen.known.as_ref());
        let is_changed = known.map_or(listing.len() > 0, |known| known.digest() != listing.digest());
        let unsettled = seen.into_iter().flat_map(|seen| seen.hashed).filter(|hashed| !hashed.is_settled).collect();
        ScannedFolder { dir, is_empty, listing, unsettled, is_changed }
    }

    fn entries(&self) -> impl Iterator<Item = TreeEntry> {
        let files = self.listing.files().chain(self.unsettled.iter().map(Hashed::file));
        // Names below a folder are valid UTF-8, or they would have been refused.
        let path = |name: &[u8]| format!("{}{}", self.dir.prefix, String::from_utf8_lossy(name));
        let files = files.map(move |file| tree::file_entry(path(file.name), &file.stat, file.digest));
        let itself = self.dir.relative().filter(|_| self.is_empty);
        files.chain(itself.map(|path| tree::empty_folder_entry(path.to_owned())))
    }
}

/// The known listing, if the folder has exactly these files, all unchanged.
fn unchanged(seen: &[ScannedBatch]) -> Option<Arc<Listing>> {
    let known = seen.first()?.known.as_ref()?;
    let same = |seen: &ScannedBatch| seen.known.as_ref().is_some_and(|other| Arc::ptr_eq(other, known));
    let files: usize = seen.iter().map(|seen| seen.numbers.len()).sum();
    let all = seen.iter().all(|seen| same(seen) && seen.hashed.is_empty());
    (all && files == known.len()).then(|| Arc::clone(known))
}

/// Digest over the listings of all these folders, which determines their tree; `None` if a file is not settled.
pub(super) fn digest_of_listings(folders: &[ScannedFolder]) -> Option<Digest> {
    let mut hasher = blake3::Hasher::new();
    for folder in folders {
        if !folder.unsettled.is_empty() {
            return None;
        }
        hasher.update(&(folder.dir.prefix.len() as u64).to_le_bytes());
        hasher.update(folder.dir.prefix.as_bytes());
        hasher.update(folder.listing.digest().bytes());
    }
    Some(Digest::from(hasher.finalize()))
}

/// Builds the tree of these folders.
pub(super) fn tree_of(folders: &[ScannedFolder]) -> Tree {
    Tree::new(folders.iter().flat_map(ScannedFolder::entries).collect())
}
