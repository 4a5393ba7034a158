//! Results whose name has become that of a folder of results, or the other way round: a stage got a matrix, or lost it. Our own
//! results of before give way; files of the user's stay, and are dealt with as everywhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use athanor_cache::{Cache, remove_tree};

use super::note::{Entry, Note};

/// Removes results of before that are in the way of one at `path`, as far as they are as we have put them there; returns whether
/// the note has changed.
pub(super) fn remove_obsolete(cache: &Cache, folder: &Path, path: &str, note: &mut Note) -> bool {
    let before = note.results.len();
    let above = Path::new(path).ancestors().skip(1).filter_map(Path::to_str).filter(|above| !above.is_empty());
    for above in above {
        let is_ours = note.results.get(above).is_some_and(|entry| is_as_noted(cache, &folder.join(above), entry));
        if is_ours && remove_tree(&folder.join(above)).is_ok() {
            note.results.remove(above);
        }
    }
    // In the order of paths all of them lie together, so that thousands of results do not look at each other.
    let from = format!("{path}/");
    let below = note.results.range(from.clone()..).map(|(other, _)| other).take_while(|other| other.starts_with(&from));
    let below: BTreeSet<String> = below.cloned().collect();
    let place = folder.join(path);
    if !below.is_empty() && place.is_dir() && !place.is_symlink() && is_all_ours(cache, folder, path, &below, note) {
        // A folder that cannot be removed now is in the way, and is said to be.
        let _ = remove_tree(&place);
    }
    for other in below.iter().filter(|other| fs::symlink_metadata(folder.join(other)).is_err()) {
        note.results.remove(other);
    }
    note.results.len() != before
}

fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether a place holds what the note says that we have put there.
fn is_as_noted(cache: &Cache, place: &Path, entry: &Entry) -> bool {
    let is_plain = fs::symlink_metadata(place).is_ok_and(|found| !found.is_symlink());
    let Ok(scan) = cache.scan(place) else { return false };
    // A link of the user's is an edit, whatever it leads to.
    let is_plain = is_plain && !(place.is_dir() && cache.has_links_below(place));
    is_plain && (scan.artifact.digest == entry.digest || scan.into_tree().digest_without_modes() == entry.bare_digest())
}

/// Whether the folder at `path` holds nothing but the results `below`, as we have put them there.
fn is_all_ours(cache: &Cache, folder: &Path, path: &str, below: &BTreeSet<String>, note: &Note) -> bool {
    let Ok(entries) = fs::read_dir(folder.join(path)) else { return false };
    entries.into_iter().all(|entry| {
        let Ok(name) = entry.map_err(drop).and_then(|entry| entry.file_name().into_string().map_err(drop)) else {
            return false;
        };
        let inner = format!("{path}/{name}");
        match note.results.get(&inner).filter(|_| below.contains(&inner)) {
            Some(noted) => is_as_noted(cache, &folder.join(&inner), noted),
            None => {
                below.iter().any(|other| is_below(other, &inner))
                    && folder.join(&inner).is_dir()
                    && is_all_ours(cache, folder, &inner, below, note)
            }
        }
    })
}
