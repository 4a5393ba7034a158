//! Verification of the whole store: everything is read again, and damaged content goes to quarantine.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use crate::fs::list;
use crate::fs::names::digest_in_name;
use crate::fs::stat::Stat;
use crate::store::damage::{self, unless_damaged};
use crate::store::integrity::{ContentStamp, Note, Stored};
use crate::{ActionRecord, Cache, CacheError, Digest, Presence, Result};

/// Damaged content in the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Damage {
    /// Its path.
    pub path: PathBuf,
    /// Its kind, e.g. `file`.
    pub what: &'static str,
    /// Whether it was repaired from stored files; if not, it is in quarantine.
    pub restored: bool,
    /// Digest of a stored file or folder, and the sequence number up to which it is known to have been intact.
    pub content: Option<(Digest, u64)>,
}

/// Report of a verification.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct VerifyReport {
    /// Number of files, folders, manifests and records read.
    pub checked: usize,
    /// Damaged content, sorted by path.
    pub damaged: Vec<Damage>,
    /// Fingerprints of results that lost an output and will be computed again.
    pub lost: Vec<Digest>,
}

/// Progress, reported to the caller.
struct Progress<'p> {
    done: AtomicUsize,
    total: usize,
    report: &'p (dyn Fn(usize, usize) + Sync),
}

impl Progress<'_> {
    fn advance(&self) {
        (self.report)(self.done.fetch_add(1, Ordering::Relaxed) + 1, self.total);
    }
}

impl Cache {
    /// Reads and hashes everything in the store, in parallel. `progress` is called with the numbers of finished and of
    /// all items.
    pub fn verify(&self, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<VerifyReport> {
        let list = |area| list::list_sharded(self.root(), area);
        let (objects, manifests, trees, actions) =
            (list("objects")?, list("manifests")?, list("trees")?, list("actions")?);
        let total = objects.len() + manifests.len() + trees.len() + actions.len();
        let progress = Progress { done: AtomicUsize::new(0), total, report: progress };
        let sequence = if self.is_read_only() { self.counter.peek() } else { self.next_sequence(0)? };
        let mut damaged = self.verify_files(&objects, sequence, &progress)?;
        damaged.extend(self.verify_manifests(manifests, &progress)?);
        damaged.extend(self.verify_trees(&trees, &progress)?);
        let items = self.verify_items()?;
        damaged.extend(items.into_iter().map(|path| Damage {
            path,
            what: "item records",
            restored: false,
            content: None,
        }));
        damaged.extend(self.verify_records(actions, &progress)?);
        let sound_records = self.records()?;
        damaged.sort();
        let lost = sound_records.iter().filter(|record| {
            let artifacts: Vec<_> = record.artifacts().collect();
            artifacts.par_iter().any(|artifact| self.presence(artifact) != Presence::Present)
        });
        let lost = lost.map(|record| record.fingerprint).collect();
        self.integrity.flush();
        Ok(VerifyReport { checked: total, damaged, lost })
    }

    /// Reads every stored file, and notes the intact ones as of `sequence`.
    fn verify_files(&self, objects: &[PathBuf], sequence: u64, progress: &Progress<'_>) -> Result<Vec<Damage>> {
        let check = |path: &PathBuf| -> Result<Option<Damage>> {
            let damage = self.verify_file(path, sequence)?;
            progress.advance();
            Ok(damage)
        };
        let found = objects.par_iter().map(check).collect::<Result<Vec<_>>>()?;
        Ok(found.into_iter().flatten().collect())
    }

    fn verify_file(&self, path: &Path, sequence: u64) -> Result<Option<Damage>> {
        let (Some(stored), Some(digest)) = (Stored::at(path), digest_in_name(path)) else { return Ok(None) };
        // Taken before it is read: every later change moves the time of change.
        let stat = rustix::fs::lstat(path).map(Stat::from).ok().filter(Stat::is_file);
        let executable = path.extension().is_some();
        let right = stat.map_or(Ok(false), |stat| damage::has_digest(path, stat.size, digest))?;
        match stat.filter(|stat| right && stat.is_executable() == executable) {
            Some(stat) => {
                let durable = self.integrity.is_noted_durable(&stored);
                let (stamp, changed) = (ContentStamp::of_file(&stat), stat.changed);
                self.integrity.note(stored, Note { stamp, changed, sequence, durable });
                Ok(None)
            }
            None => {
                let content = Some((digest, self.integrity.last_known_intact(&stored)));
                self.integrity.forget_note(&stored);
                self.quarantine(path)?;
                Ok(Some(Damage { path: path.to_owned(), what: "file", restored: false, content }))
            }
        }
    }

    /// Compares every stored folder with its manifest and the stored files, which were all read just before.
    fn verify_trees(&self, trees: &[PathBuf], progress: &Progress<'_>) -> Result<Vec<Damage>> {
        let check = |path: &PathBuf| -> Result<Option<Damage>> {
            let damage = digest_in_name(path).map(|digest| self.verify_tree(path, digest)).transpose()?.flatten();
            progress.advance();
            Ok(damage)
        };
        let found = trees.iter().map(check).collect::<Result<Vec<_>>>()?;
        Ok(found.into_iter().flatten().collect())
    }

    fn verify_tree(&self, path: &Path, digest: Digest) -> Result<Option<Damage>> {
        let last_intact = self.integrity.last_known_intact(&Stored::Tree(digest));
        let damage = |restored| {
            Some(Damage { path: path.to_owned(), what: "folder", restored, content: Some((digest, last_intact)) })
        };
        // Anything but a folder in its place is none of ours.
        let is_folder = rustix::fs::lstat(path).is_ok_and(|stat| Stat::from(stat).is_folder());
        let tree = if is_folder { unless_damaged(|| self.read_tree(&digest))? } else { None };
        let Some(tree) = tree else {
            self.quarantine(path)?;
            return Ok(damage(false));
        };
        let (deviation, lost) = self.repair_tree(&tree, &digest)?;
        Ok(if deviation.is_none() { None } else { damage(lost.is_empty()) })
    }

    fn verify_manifests(&self, manifests: Vec<PathBuf>, progress: &Progress<'_>) -> Result<Vec<Damage>> {
        self.set_aside(manifests, "manifest", progress, &|path| {
            let Some(digest) = digest_in_name(path) else { return Ok(false) };
            Ok(unless_damaged(|| self.read_tree(&digest))?.is_some())
        })
    }

    fn verify_records(&self, actions: Vec<PathBuf>, progress: &Progress<'_>) -> Result<Vec<Damage>> {
        let whole = |path: &PathBuf| if is_intact_record(path)? { Ok(None) } else { own_record(path) };
        let whole = actions.par_iter().map(whole).collect::<Result<Vec<Option<ActionRecord>>>>()?;
        let damaged = self.set_aside(actions, "record", progress, &is_intact_record)?;
        // An intact line is not lost with a damaged neighbour: it gets a file of its own.
        whole.iter().flatten().try_for_each(|record| self.record(record))?;
        Ok(damaged)
    }

    /// Moves everything to quarantine that is not intact.
    fn set_aside(
        &self,
        paths: Vec<PathBuf>,
        what: &'static str,
        progress: &Progress<'_>,
        is_intact_with_mode: &(dyn Fn(&Path) -> Result<bool> + Sync),
    ) -> Result<Vec<Damage>> {
        let check = |path: PathBuf| -> Result<Option<Damage>> {
            let sound = is_intact_with_mode(&path)?;
            progress.advance();
            Ok((!sound).then_some(Damage { path, what, restored: false, content: None }))
        };
        let damaged = paths.into_par_iter().map(check).collect::<Result<Vec<_>>>()?;
        let damaged: Vec<Damage> = damaged.into_iter().flatten().collect();
        damaged.iter().try_for_each(|damage| self.quarantine(&damage.path))?;
        Ok(damaged)
    }
}

/// Whether a file of records is intact and has the record that its name promises. The lines of other records in it,
/// which may be gone since, are read, too, so that no damage goes unseen.
fn is_intact_record(path: &Path) -> Result<bool> {
    let Some(bytes) = bytes_of(path)? else { return Ok(false) };
    let records = bytes.split(|byte| *byte == b'\n').map(ActionRecord::unsealed).collect::<Option<Vec<_>>>();
    Ok(records.is_some_and(|records| records.iter().any(|record| Some(record.fingerprint) == digest_in_name(path))))
}

/// The record that the name of a file promises, if that line is intact.
fn own_record(path: &Path) -> Result<Option<ActionRecord>> {
    let bytes = bytes_of(path)?.unwrap_or_default();
    let mut records = bytes.split(|byte| *byte == b'\n').filter_map(ActionRecord::unsealed);
    Ok(records.find(|record| Some(record.fingerprint) == digest_in_name(path)))
}

/// Content of a file; `None` if it is damaged.
fn bytes_of(path: &Path) -> Result<Option<Vec<u8>>> {
    unless_damaged(|| fs::read(path).map_err(CacheError::io(path)))
}
