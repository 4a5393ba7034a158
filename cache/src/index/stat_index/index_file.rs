//! File format of the stat index.
//!
//! The file starts with a table of the offset and digest of every folder's listing; a listing is read when it is first
//! asked for. The entries of a huge folder thus cost nothing while only other files are scanned, and several threads
//! read and check the listings of several folders.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::listing::{Listing, take};
use crate::{Artifact, ArtifactKind, Digest};

/// To be changed whenever the format of a listing, or the digest of a tree, changes.
const MAGIC: &[u8; 16] = b"athanor stats 2\n";
/// Magic, digest of the table, length of the table.
const HEAD: usize = 16 + 32 + 8;

/// Digest of a whole folder, valid as long as all listings below it are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TreeDigest {
    /// Digest over the listings of all folders in it.
    pub listings: Digest,
    /// The folder as an artifact.
    pub artifact: Artifact,
}

/// An open index file. It is only ever replaced as a whole, so that an open one stays readable.
#[derive(Debug, Default)]
pub(super) struct IndexFile {
    file: Option<File>,
    slots: HashMap<PathBuf, Slot>,
    tree_digests: HashMap<PathBuf, TreeDigest>,
}

#[derive(Debug)]
struct Slot {
    at: u64,
    length: usize,
    digest: Digest,
    listing: OnceLock<Option<Arc<Listing>>>,
}

impl IndexFile {
    /// Opens the file at `path`; one that is absent, damaged or of another version counts as empty, since everything in
    /// it can be found out again.
    pub(super) fn open(path: &Path) -> IndexFile {
        let Ok(file) = File::open(path) else { return IndexFile::default() };
        let Some(table) = read_table(&file) else { return IndexFile::default() };
        let start = (HEAD + table.len()) as u64;
        let Some((slots, tree_digests)) = decode_table(&table, start) else { return IndexFile::default() };
        IndexFile { file: Some(file), slots, tree_digests }
    }

    /// Listing of a folder.
    pub(super) fn listing(&self, folder: &Path) -> Option<Arc<Listing>> {
        let slot = self.slots.get(folder)?;
        // No rayon call may run inside: the waiting thread would take up another task, which may wait for this very
        // cell.
        slot.listing.get_or_init(|| self.read(slot).map(Arc::new)).clone()
    }

    /// Digest of [`IndexFile::listing`].
    pub(super) fn digest(&self, folder: &Path) -> Option<Digest> {
        self.slots.get(folder).map(|slot| slot.digest)
    }

    /// Listings of all folders.
    pub(super) fn listings(&self) -> HashMap<PathBuf, Arc<Listing>> {
        self.slots.keys().filter_map(|folder| Some((folder.clone(), self.listing(folder)?))).collect()
    }

    /// Digests of whole folders.
    pub(super) fn tree_digests(&self) -> &HashMap<PathBuf, TreeDigest> {
        &self.tree_digests
    }

    fn read(&self, slot: &Slot) -> Option<Listing> {
        let mut bytes = vec![0; slot.length];
        self.file.as_ref()?.read_exact_at(&mut bytes, slot.at).ok()?;
        Listing::decode(bytes, slot.digest)
    }
}

fn read_table(file: &File) -> Option<Vec<u8>> {
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, 0).ok()?;
    let mut head = head.strip_prefix(MAGIC.as_slice())?;
    let digest = Digest::from_bytes(take(&mut head)?);
    let length = u64::from_le_bytes(take(&mut head)?);
    // A damaged length must not ask for more memory than there is.
    if length > file.metadata().ok()?.len() {
        return None;
    }
    let mut table = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut table, HEAD as u64).ok()?;
    (Digest::of(&table) == digest).then_some(table)
}

/// Encodes an index file.
pub(super) fn encode(
    listings: &HashMap<PathBuf, Arc<Listing>>,
    tree_digests: &HashMap<PathBuf, TreeDigest>,
) -> Vec<u8> {
    let (listings, tree_digests) = (sorted(listings), sorted(tree_digests));
    let mut table = Vec::new();
    table.extend((listings.len() as u64).to_le_bytes());
    for (folder, listing) in &listings {
        push_path(&mut table, folder);
        table.extend((listing.bytes().len() as u64).to_le_bytes());
        table.extend(listing.digest().bytes());
    }
    for (folder, tree_digest) in tree_digests {
        push_path(&mut table, folder);
        table.extend(tree_digest.listings.bytes());
        table.extend(tree_digest.artifact.digest.bytes());
        table.extend(tree_digest.artifact.bytes.to_le_bytes());
        table.extend(tree_digest.artifact.files.to_le_bytes());
    }
    let length: usize = listings.iter().map(|(_, listing)| listing.bytes().len()).sum();
    let mut bytes = Vec::with_capacity(HEAD + table.len() + length);
    bytes.extend(MAGIC);
    bytes.extend(Digest::of(&table).bytes());
    bytes.extend((table.len() as u64).to_le_bytes());
    bytes.extend(table);
    listings.iter().for_each(|(_, listing)| bytes.extend(listing.bytes()));
    bytes
}

fn sorted<T>(by_folder: &HashMap<PathBuf, T>) -> Vec<(&PathBuf, &T)> {
    let mut sorted: Vec<_> = by_folder.iter().collect();
    sorted.sort_unstable_by_key(|(folder, _)| *folder);
    sorted
}

type Table = (HashMap<PathBuf, Slot>, HashMap<PathBuf, TreeDigest>);

fn decode_table(mut table: &[u8], mut at: u64) -> Option<Table> {
    let table = &mut table;
    let (mut slots, mut tree_digests) = Table::default();
    for _ in 0..u64::from_le_bytes(take(table)?) {
        let folder = take_path(table)?;
        let length = u64::from_le_bytes(take(table)?);
        let digest = Digest::from_bytes(take(table)?);
        slots.insert(folder, Slot { at, length: usize::try_from(length).ok()?, digest, listing: OnceLock::new() });
        at = at.checked_add(length)?;
    }
    while !table.is_empty() {
        let folder = take_path(table)?;
        let listings = Digest::from_bytes(take(table)?);
        let digest = Digest::from_bytes(take(table)?);
        let (bytes, files) = (u64::from_le_bytes(take(table)?), u64::from_le_bytes(take(table)?));
        let artifact = Artifact { kind: ArtifactKind::Folder, digest, bytes, files };
        tree_digests.insert(folder, TreeDigest { listings, artifact });
    }
    Some((slots, tree_digests))
}

fn push_path(bytes: &mut Vec<u8>, path: &Path) {
    let path = path.as_os_str().as_bytes();
    bytes.extend((path.len() as u64).to_le_bytes());
    bytes.extend(path);
}

fn take_path(bytes: &mut &[u8]) -> Option<PathBuf> {
    let length = usize::try_from(u64::from_le_bytes(take(bytes)?)).ok()?;
    Some(PathBuf::from(OsString::from_vec(bytes.split_off(..length)?.to_vec())))
}
