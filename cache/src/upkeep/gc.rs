//! Garbage collection of everything that is not in use.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::fs::freed::Freed;
use crate::fs::list;
use crate::fs::names::digest_in_name;
use crate::locks::exclusive::Exclusive;
use crate::store::integrity::Stored;
use crate::{ActionRecord, ArtifactKind, Cache, CacheError, Digest, Result, UseGuard};

/// Request of a collection: the roots to keep, and limits.
#[derive(Debug, Clone, Default)]
pub struct GcRequest {
    /// Fingerprints whose results are in use.
    pub keep: HashSet<Digest>,
    /// Fingerprints among them whose results stay whatever the size of the store is.
    pub pinned: HashSet<Digest>,
    /// Digests of manifests to keep beyond those of kept results.
    pub keep_manifests: HashSet<Digest>,
    /// Fingerprints whose resume states are to stay.
    pub keep_resume_states: HashSet<Digest>,
    /// Scopes of [`crate::ItemStore`] whose values are in use.
    pub keep_items: HashSet<String>,
    /// Maximum size of the store in bytes: beyond it results in use are removed too, those that are cheapest to
    /// recompute per byte first.
    pub max_size: Option<u64>,
    /// Whether to only report what would be removed.
    pub dry_run: bool,
}

/// A result that was removed, or would be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Dropped {
    /// Its fingerprint.
    pub fingerprint: Digest,
    /// Bytes of its outputs.
    pub bytes: u64,
    /// Milliseconds that it took to compute.
    pub duration_ms: u64,
    /// The work, as its record describes it.
    pub recipe: Value,
    /// Time when it was made, by the clock of the machine.
    pub finished_at: Timestamp,
    /// Whether it is in use and only gives way to the size limit.
    pub is_in_use: bool,
}

/// Report of a collection: what was removed, or would be.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct GcReport {
    /// Removed results.
    pub dropped: Vec<Dropped>,
    /// Number of results that were kept.
    pub kept: usize,
    /// Bytes of stored files before the collection.
    pub bytes_before: u64,
    /// Bytes of removed stored files.
    pub bytes_freed: u64,
    /// Removed content of the quarantine.
    pub quarantine: Freed,
    /// Removed resume states.
    #[serde(rename = "unfinished")]
    pub resume_states: Freed,
    /// Removed leftovers of killed processes in `tmp` and `scratch`.
    pub leftovers: Freed,
}

/// Stored files, with their sizes and the number of kept results that refer to them.
struct Objects {
    bytes: HashMap<PathBuf, u64>,
    users: HashMap<PathBuf, usize>,
}

/// A decision on what to remove.
#[derive(Clone, Copy)]
struct Sweep<'s> {
    kept: &'s [ActionRecord],
    dropped: &'s [ActionRecord],
    objects: &'s Objects,
    request: &'s GcRequest,
    exclusive: &'s Exclusive<'s>,
}

impl Cache {
    /// Removes everything that is not in use, unless it is a dry run. `guard` is that of [`Cache::try_use_exclusive`]: once it
    /// is lost, the collection stops with [`CacheError::TakenOver`] before it removes anything else. Without a guard, the
    /// caller has to make sure that nobody else uses the cache.
    pub fn collect(&self, request: &GcRequest, guard: Option<&UseGuard>) -> Result<GcReport> {
        let exclusive = Exclusive::new(self.root(), guard);
        let removal = (!request.dry_run).then_some(&exclusive);
        // First of all, so that a full disk has room for files that have to be rewritten.
        let quarantine = self.sweep_quarantine(removal)?;
        let leftovers = self.sweep_leftovers(removal)?;
        exclusive.check()?;
        let records = self.records()?;
        let (mut kept, mut dropped): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|record| request.keep.contains(&record.fingerprint));
        // Results in write-ahead logs may belong to any pipeline.
        kept.extend(self.wal_records()?);
        let mut objects = self.count_objects(&kept, &request.keep_resume_states)?;
        let bytes_before = objects.bytes.values().sum();
        if let Some(limit) = request.max_size {
            dropped.extend(self.shrink(&mut kept, &mut objects, limit, &request.pinned));
        }
        let live: u64 = objects.live_bytes();
        let resume_states = self.resume_states_except(&request.keep_resume_states)?;
        if let Some(exclusive) = removal {
            self.sweep(Sweep { kept: &kept, dropped: &dropped, objects: &objects, request, exclusive })?;
        }
        let dropped = dropped.iter().map(|record| Dropped {
            fingerprint: record.fingerprint,
            bytes: record.outputs.iter().map(|output| output.artifact.bytes).sum(),
            duration_ms: record.duration_ms,
            recipe: record.recipe.clone(),
            finished_at: record.finished_at,
            is_in_use: request.keep.contains(&record.fingerprint),
        });
        let dropped = dropped.collect();
        let (kept, bytes_freed) = (kept.len(), bytes_before - live);
        Ok(GcReport { dropped, kept, bytes_before, bytes_freed, quarantine, resume_states, leftovers })
    }

    fn count_objects(&self, kept: &[ActionRecord], resume_states: &HashSet<Digest>) -> Result<Objects> {
        let mut objects = Objects { bytes: HashMap::new(), users: HashMap::new() };
        for path in list::list_sharded(self.root(), "objects")? {
            let bytes = fs::symlink_metadata(&path).map_err(CacheError::io(&path))?.len();
            objects.bytes.insert(path, bytes);
        }
        let of_results = kept.iter().flat_map(|record| self.objects_of(record));
        for path in of_results.chain(self.files_of_resume_states(resume_states)) {
            *objects.users.entry(path).or_default() += 1;
        }
        Ok(objects)
    }

    /// Paths of the stored files of a result, each once.
    fn objects_of(&self, record: &ActionRecord) -> HashSet<PathBuf> {
        let annex = record.annex.iter().map(|annex| self.object_path(annex, false));
        record.artifacts().flat_map(|artifact| self.objects_of_artifact(artifact)).chain(annex).collect()
    }

    /// Removes results from `kept` until the rest fits into `limit` bytes; returns them.
    fn shrink(
        &self,
        kept: &mut Vec<ActionRecord>,
        objects: &mut Objects,
        limit: u64,
        pinned: &HashSet<Digest>,
    ) -> Vec<ActionRecord> {
        let cost_per_byte = |record: &ActionRecord| {
            let bytes: u64 = record.artifacts().map(|artifact| artifact.bytes).sum();
            record.duration_ms as f64 / bytes.max(1) as f64
        };
        kept.sort_by(|left, right| {
            cost_per_byte(right).total_cmp(&cost_per_byte(left)).then(left.fingerprint.cmp(&right.fingerprint))
        });
        let mut dropped = Vec::new();
        let mut live = objects.live_bytes();
        let mut pinned_records = Vec::new();
        while live > limit {
            let Some(record) = kept.pop() else { break };
            if pinned.contains(&record.fingerprint) {
                pinned_records.push(record);
                continue;
            }
            for path in self.objects_of(&record) {
                live -= objects.release(&path);
            }
            dropped.push(record);
        }
        kept.extend(pinned_records);
        dropped
    }

    fn sweep(&self, sweep: Sweep<'_>) -> Result<()> {
        let Sweep { dropped, objects, request, exclusive, .. } = sweep;
        let is_used = |object: &Path| objects.users.contains_key(object);
        let remove = |path: &Path| exclusive.check().and_then(|()| self.disk.remove(path));
        let sync = || self.disk.sync_everything().map_err(CacheError::io(self.root()));
        // Records and items are removed first: they refer to files. Their removal is synced: one that a power cut
        // brought back could find a new file under the same name that was not synced yet.
        dropped.iter().try_for_each(|record| remove(&self.action_path(&record.fingerprint)))?;
        self.sweep_items(&request.keep_items, is_used, exclusive)?;
        sync()?;
        let trees = sweep.trees();
        for path in list::list_sharded(self.root(), "trees")? {
            if digest_in_name(&path).is_some_and(|digest: Digest| !trees.contains(&digest)) {
                remove(&path)?;
            }
        }
        for path in list::list_sharded(self.root(), "manifests")? {
            let used = |digest: Digest| trees.contains(&digest) || request.keep_manifests.contains(&digest);
            if digest_in_name(&path).is_some_and(|digest| !used(digest)) {
                remove(&path)?;
            }
        }
        objects.bytes.keys().filter(|path| !is_used(path)).try_for_each(|path| remove(path))?;
        exclusive.check()?;
        self.integrity.sweep(|stored| self.stays(stored, objects, &trees))?;
        exclusive.check()?;
        self.sweep_incidents()?;
        self.sweep_tombstones(is_used, exclusive)?;
        self.sweep_resume_states(&request.keep_resume_states, exclusive)?;
        exclusive.check()?;
        self.locks.sweep()?;
        sync()
    }

    /// Whether stored content stays in a collection.
    fn stays(&self, stored: &Stored, objects: &Objects, trees: &HashSet<Digest>) -> bool {
        match stored {
            Stored::Tree(digest) => trees.contains(digest),
            Stored::File(digest) => objects.users.contains_key(&self.object_path(digest, false)),
            Stored::Executable(digest) => objects.users.contains_key(&self.object_path(digest, true)),
        }
    }
}

impl Sweep<'_> {
    /// Digests of the folders of kept results.
    fn trees(&self) -> HashSet<Digest> {
        let artifacts = self.kept.iter().flat_map(ActionRecord::artifacts);
        artifacts.filter(|artifact| artifact.kind == ArtifactKind::Folder).map(|artifact| artifact.digest).collect()
    }
}

impl Objects {
    fn live_bytes(&self) -> u64 {
        self.users.keys().filter_map(|path| self.bytes.get(path)).sum()
    }

    /// Drops one user of a file; returns the bytes that are unused then.
    fn release(&mut self, path: &Path) -> u64 {
        let Some(users) = self.users.get_mut(path) else { return 0 };
        *users -= 1;
        if *users > 0 {
            return 0;
        }
        self.users.remove(path);
        self.bytes.get(path).copied().unwrap_or(0)
    }
}
