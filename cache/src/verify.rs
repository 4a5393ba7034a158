//! Reading everything again: what is not what its name says goes to quarantine.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use crate::gc::artifacts_of;
use crate::store::digest_in_name;
use crate::{ActionRecord, Cache, CacheError, Digest, Presence, Result, files, stat, tree};

/// Something in the store that is not what its name says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Damage {
    /// Where it was.
    pub path: PathBuf,
    /// What it is, e.g. `file`.
    pub what: &'static str,
}

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct VerifyReport {
    /// Files, folders, manifests and records read.
    pub checked: usize,
    /// What was damaged, by path; now in quarantine.
    pub damaged: Vec<Damage>,
    /// Fingerprints whose result lost an output and will be made again.
    pub lost: Vec<Digest>,
}

impl Cache {
    /// Rehashes everything in the store, in parallel. `progress` hears how many of how many items are done.
    pub fn verify(&self, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<VerifyReport> {
        let list = |area| files::list_sharded(self.root(), area);
        let (objects, manifests, trees, actions) =
            (list("objects")?, list("manifests")?, list("trees")?, list("actions")?);
        let total = objects.len() + manifests.len() + trees.len() + actions.len();
        let done = AtomicUsize::new(0);
        let check = |paths: Vec<PathBuf>, what, is_sound: &(dyn Fn(&Path) -> bool + Sync)| -> Result<Vec<Damage>> {
            let unsound = paths.into_par_iter().filter(|path| {
                let sound = is_sound(path);
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
                !sound
            });
            let damaged: Vec<Damage> = unsound.map(|path| Damage { path, what }).collect();
            damaged.iter().try_for_each(|damage| self.quarantine(&damage.path))?;
            Ok(damaged)
        };
        // Folders share their files with the objects, so they are judged by the manifests before objects go away.
        let mut damaged = check(trees, "folder", &|path| self.tree_is_sound(path))?;
        damaged.extend(check(objects, "file", &object_is_sound)?);
        damaged.extend(check(manifests, "manifest", &|path| {
            digest_in_name(path).is_some_and(|digest| self.read_tree(&digest).is_ok())
        })?);
        damaged.extend(self.verify_items()?.into_iter().map(|path| Damage { path, what: "item records" }));
        let unsound = actions.par_iter().filter(|path| !record_is_sound(path));
        let whole: Vec<ActionRecord> = unsound.filter_map(|path| own_record(path)).collect();
        damaged.extend(check(actions, "record", &record_is_sound)?);
        // A line that is whole does not go with its neighbour: it goes on in a file of its own.
        whole.iter().try_for_each(|record| self.record(record))?;
        let sound_records = self.all_records()?;
        damaged.sort();
        let lost = sound_records.iter().filter(|record| {
            let artifacts: Vec<_> = artifacts_of(record).collect();
            artifacts.par_iter().any(|artifact| self.presence(artifact) != Presence::Present)
        });
        let lost = lost.map(|record| record.fingerprint).collect();
        Ok(VerifyReport { checked: total, damaged, lost })
    }

    /// Whether a materialised folder has exactly the entries of its manifest, each with the right content.
    fn tree_is_sound(&self, path: &Path) -> bool {
        let Some(digest) = digest_in_name(path) else { return false };
        tree::Tree::of_folder(path).is_ok_and(|tree| tree.artifact().digest == digest)
    }
}

/// Whether a file of records has the one that its name promises. Others are written into the same file, and may be gone since:
/// their lines are read, too, so that no damage goes unseen.
fn record_is_sound(path: &Path) -> bool {
    let Ok(bytes) = fs::read(path) else { return false };
    let records = bytes.split(|byte| *byte == b'\n').map(ActionRecord::unsealed).collect::<Option<Vec<_>>>();
    records.is_some_and(|records| records.iter().any(|record| Some(record.fingerprint) == digest_in_name(path)))
}

/// The record that the name of a file promises, if that line of the file is whole.
fn own_record(path: &Path) -> Option<ActionRecord> {
    let bytes = fs::read(path).ok()?;
    let mut records = bytes.split(|byte| *byte == b'\n').filter_map(ActionRecord::unsealed);
    records.find(|record| Some(record.fingerprint) == digest_in_name(path))
}

fn object_is_sound(path: &Path) -> bool {
    let executable = path.extension().is_some();
    let read = || -> Result<bool> {
        let metadata = fs::symlink_metadata(path).map_err(CacheError::io(path))?;
        let right_mode = stat::is_executable(metadata.mode()) == executable;
        Ok(right_mode && Some(tree::hash_file(path, metadata.len())?) == digest_in_name(path))
    };
    read().unwrap_or(false)
}
