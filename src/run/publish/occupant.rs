//! Occupants of the places of results: the pipeline's own files, or the user's.

use std::fs;
use std::io;
use std::path::Path;

use athanor_cache::{Artifact, ArtifactKind, Cache, CacheError, Presence, Scan, Tree, TreeEntry};

use super::note::{Entry, Note};

/// Occupant of a result's place.
#[derive(Debug)]
pub(super) enum Occupant {
    /// Nothing.
    Absent,
    /// The wanted result.
    Same,
    /// Artifact that Athanor has put there, and may replace; with the tree of a folder.
    Ours(Artifact, Tree),
    /// Files of the user's.
    Users,
}

/// Place of one result.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot<'s> {
    /// Path of the place.
    pub(super) target: &'s Path,
    /// Its path in the note.
    pub(super) path: &'s str,
    /// Result that belongs there.
    pub(super) wanted: &'s Entry,
}

/// Finds out what occupies the place of a result.
pub(super) fn occupant(cache: &Cache, slot: Slot<'_>, note: &Note) -> Result<Occupant, CacheError> {
    let Slot { target, path, wanted } = slot;
    let metadata = match fs::symlink_metadata(target) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Occupant::Absent),
        Err(source) => return Err(CacheError::Io { path: target.to_owned(), source }),
    };
    let kind = metadata.file_type();
    // A pipe or a device is not even opened, and an unreadable file is not known to be ours.
    if !(kind.is_file() || kind.is_dir() || kind.is_symlink()) {
        return Ok(Occupant::Users);
    }
    let Ok(scan) = cache.scan(target) else { return Ok(Occupant::Users) };
    if scan.artifact.digest == wanted.digest {
        return Ok(Occupant::Same);
    }
    if scan.artifact.kind != ArtifactKind::Folder {
        let ours = !kind.is_symlink() && is_our_file(cache, &scan.artifact, path, note);
        return Ok(if ours { Occupant::Ours(scan.artifact, Tree::default()) } else { Occupant::Users });
    }
    Ok(of_folder(cache, scan, slot, note, kind.is_symlink()))
}

fn is_our_file(cache: &Cache, current: &Artifact, path: &str, note: &Note) -> bool {
    let entry = note.results.get(path);
    let noted = [entry, note.pending.get(path).map(|pending| &pending.entry)];
    if noted.into_iter().flatten().any(|entry| entry.digest == current.digest) {
        return true;
    }
    let stored = |kind| cache.presence(&Artifact { kind, ..current.clone() }) == Presence::Present;
    !is_certain(entry, note) && (stored(ArtifactKind::File) || stored(ArtifactKind::Executable))
}

/// Whether the note is to be believed when it says what we have put there. Otherwise what equals something stored is ours.
fn is_certain(entry: Option<&Entry>, note: &Note) -> bool {
    note.is_reliable && entry.is_some()
}

fn of_folder(cache: &Cache, scan: Scan, slot: Slot<'_>, note: &Note, is_link: bool) -> Occupant {
    let Slot { target, path, wanted } = slot;
    let (entry, pending) = (note.results.get(path), note.pending.get(path));
    let artifact = scan.artifact.clone();
    let tree = scan.into_tree();
    let bare = tree.digest_without_modes();
    // Files that we have put there need only have their content: executable bits are the user's to set.
    let is_same = |entry: &Entry| entry.digest == wanted.digest && entry.bare_digest() == bare;
    if entry.is_some_and(is_same) {
        return Occupant::Same;
    }
    let is = |entry: &Entry| entry.digest == artifact.digest || entry.bare_digest() == bare;
    let was_cut_off = || {
        pending.is_some_and(|pending| {
            is(&pending.entry)
                || tree.is_between(&pending.swaps, &pending.entry.bare_digest())
                || is_mixed(cache, &tree, &[entry, Some(&pending.entry)])
        })
    };
    let is_stored = || !is_certain(entry, note) && cache.presence(&artifact) == Presence::Present;
    let ours = !is_link && (entry.is_some_and(is) || was_cut_off() || is_stored());
    if ours && !cache.has_links_below(target) { Occupant::Ours(artifact, tree) } else { Occupant::Users }
}

/// Whether every file of a folder is one of what we have put there, or were about to, and every empty folder one that may be left of
/// these.
fn is_mixed(cache: &Cache, tree: &Tree, parts: &[Option<&Entry>]) -> bool {
    let parts: Vec<Tree> = parts.iter().flatten().filter_map(|entry| cache.read_tree(&entry.digest).ok()).collect();
    let is_in = |part: &Tree, entry: &TreeEntry| {
        let is_left = || entry.digest.is_none() && part.has_below(&entry.path);
        part.entry(&entry.path).is_some_and(|other| other.digest == entry.digest) || is_left()
    };
    tree.entries.iter().all(|entry| parts.iter().any(|part| is_in(part, entry)))
}
