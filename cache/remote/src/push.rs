//! Pushing: results of a local cache into a remote one, the record last.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use athanor_cache::{ActionRecord, Artifact, ArtifactKind, Cache, CacheError, Digest, Presence};

use crate::action::{self, PackRange, RemoteResult};
use crate::error::{FailureKind, RemoteError};
use crate::folder_index::{self, FolderIndex, PackOfFolder};
use crate::lease::Lease;
use crate::pack::{self, Content, LARGE};
use crate::parallel::{BODIES, REQUESTS, try_for_each, try_map};
use crate::remote::Remote;
use crate::storage::{Body, Occupied};
use crate::transfer::Transfer;

/// Bytes after which records are written before more is pushed, so that an interrupt loses no more.
const BATCH: u64 = 256 << 20;
/// Records after which that happens.
const RECORDS: usize = 500;
/// Large files that are sent at once, each in several parts.
const LARGE_AT_ONCE: usize = 2;

/// Parts of results that are pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushOptions {
    /// Whether logs are.
    pub logs: bool,
    /// Whether what seems to be there is put there again, which mends what is damaged. A result of other bytes stays all the same.
    pub again: bool,
}

/// Outcome of a push.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushReport {
    /// Number of results that were pushed.
    pub pushed: usize,
    /// Number of results that were there.
    pub there: usize,
    /// Fingerprints of results of which there is another one, which stays.
    pub differing: Vec<Digest>,
    /// Bytes that were sent.
    pub bytes: u64,
}

/// A result to be pushed.
struct Job {
    record: ActionRecord,
    /// Files of the result itself, its annex included.
    files: Vec<Content>,
    folders: Vec<Artifact>,
    /// Digest of the annex, which is always in a pack.
    annex: Option<Digest>,
    occupied: Occupied,
    bytes: u64,
}

impl Remote {
    /// Puts results there, as far as they are not there. Those that were put there stay, also if others fail.
    pub fn push(
        &self,
        cache: &Cache,
        records: Vec<ActionRecord>,
        options: PushOptions,
        progress: &Transfer,
    ) -> Result<PushReport, RemoteError> {
        let mut report = PushReport::default();
        self.begin()?;
        let found = try_map(&records, REQUESTS, |record| {
            progress.check()?;
            match self.find(&record.fingerprint) {
                // What nobody can believe is replaced.
                Err(RemoteError::Storage { kind: FailureKind::Damaged, .. }) => Ok(Err(())),
                other => other.map(Ok),
            }
        })?;
        let mut jobs = Vec::new();
        for (record, found) in records.into_iter().zip(found) {
            let is_doubted = self.is_doubted(&record);
            let names = || record.outputs.iter().map(|output| &*output.name);
            match found {
                // Nobody can use it, as far as is known: some work has outputs that it need not write.
                Ok(Some(theirs)) if theirs.misstates(&record.outputs) || (options.again && theirs.lacks(names())) => {
                    jobs.push(job(cache, record, options, Occupied::Replace)?);
                }
                Ok(Some(theirs)) if theirs.record.outputs != record.outputs && !is_doubted => {
                    report.differing.push(record.fingerprint);
                }
                Ok(Some(_)) if !is_doubted && !self.has_damaged_packs() && !options.again => report.there += 1,
                Ok(None) => jobs.push(job(cache, record, options, Occupied::Keep)?),
                _ => jobs.push(job(cache, record, options, Occupied::Replace)?),
            }
        }
        let mut rest = jobs.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = |job: &&Job| {
                bytes += job.bytes;
                bytes <= BATCH
            };
            let batch = rest.iter().take(RECORDS).take_while(fits).count().max(1);
            let (now, later) = rest.split_at(batch);
            // What is found to be there is relied on until the records name it.
            self.while_pushing(progress, |lease| self.push_batch(cache, now, options, lease, progress, &mut report))?;
            rest = later;
        }
        Ok(report)
    }

    /// Whether something of a result was found to be missing or damaged there.
    fn is_doubted(&self, record: &ActionRecord) -> bool {
        self.is_damaged(&action::key(&record.fingerprint))
            || record.outputs.iter().any(|output| {
                let Artifact { kind, digest, .. } = &output.artifact;
                let key =
                    if *kind == ArtifactKind::Folder { folder_index::key(digest) } else { pack::object_key(digest) };
                self.is_damaged(&key)
            })
    }

    fn push_batch(
        &self,
        cache: &Cache,
        jobs: &[Job],
        PushOptions { again, .. }: PushOptions,
        lease: &Lease<'_>,
        progress: &Transfer,
        report: &mut PushReport,
    ) -> Result<(), RemoteError> {
        let before = progress.done();
        let folders: BTreeMap<Digest, &Artifact> =
            jobs.iter().flat_map(|job| &job.folders).map(|folder| (folder.digest, folder)).collect();
        let mut large: BTreeSet<Content> = BTreeSet::new();
        for folder in folders.values() {
            self.push_folder(cache, folder, again, progress)?;
        }
        let mut small: BTreeSet<Content> = BTreeSet::new();
        for job in jobs {
            for content in &job.files {
                let is_small = content.bytes < LARGE || job.annex == Some(content.digest);
                if is_small {
                    small.insert(*content)
                } else {
                    large.insert(*content)
                };
            }
        }
        self.push_objects(cache, &large.into_iter().collect::<Vec<_>>(), again, progress)?;
        let small: Vec<Content> = small.into_iter().filter(|content| content.bytes > 0).collect();
        let mut places: BTreeMap<Digest, PackRange> = BTreeMap::new();
        for (pack, files) in self.push_packs(cache, &small, again, progress)? {
            let mut at = 0;
            for content in files {
                places.insert(content.digest, PackRange { pack, at, bytes: content.bytes });
                at += content.bytes;
            }
        }
        let stored = try_map(jobs, REQUESTS, |job| {
            progress.check()?;
            lease.check()?;
            let ours = job.files.iter().filter_map(|file| Some((file.digest, *places.get(&file.digest)?)));
            let result = RemoteResult { record: job.record.clone(), places: ours.collect() };
            let content = result.seal(self.team_key.as_ref()).map_err(|error| self.unwritable(&error))?;
            let key = action::key(&job.record.fingerprint);
            let stored = self.act(|storage| storage.put(&key, content, job.occupied))?;
            self.is_mended(&key);
            Ok::<_, RemoteError>(stored)
        })?;
        let pushed = stored.iter().filter(|stored| **stored).count();
        report.pushed += pushed;
        // Somebody else has put them there meanwhile.
        report.there += stored.len() - pushed;
        report.bytes += progress.done() - before;
        Ok(())
    }

    /// Puts a folder there: first its files, then its index.
    fn push_folder(
        &self,
        cache: &Cache,
        folder: &Artifact,
        again: bool,
        progress: &Transfer,
    ) -> Result<(), RemoteError> {
        let key = folder_index::key(&folder.digest);
        let is_damaged = again || self.is_damaged(&key) || self.has_damaged_packs();
        if !is_damaged && self.ask(|storage| storage.size(&key))?.is_some() {
            return Ok(());
        }
        let tree = cache.read_tree(&folder.digest)?;
        let mut numbers: BTreeMap<Digest, u32> = BTreeMap::new();
        let (mut small, mut large) = (Vec::new(), Vec::new());
        for (number, entry) in (0..).zip(&tree.entries) {
            let Some(digest) = entry.digest.filter(|_| entry.bytes > 0) else { continue };
            if numbers.insert(digest, number).is_none() {
                let content = Content { digest, executable: entry.executable, bytes: entry.bytes };
                if entry.bytes < LARGE { small.push(content) } else { large.push(content) }
            }
        }
        self.push_objects(cache, &large, again, progress)?;
        let packs = self.push_packs(cache, &small, again, progress)?;
        let packs = packs.into_iter().map(|(pack, files)| PackOfFolder {
            pack,
            entries: files.iter().map(|file| numbers[&file.digest]).collect(),
        });
        let index = FolderIndex { packs: packs.collect(), tree };
        let content = serde_json::to_vec(&index).map_err(|error| self.unwritable(&error))?;
        let occupied = if is_damaged { Occupied::Replace } else { Occupied::Keep };
        self.act(|storage| storage.put(&key, content, occupied))?;
        self.is_mended(&key);
        Ok(())
    }

    /// Puts small files there, in packs; returns these.
    fn push_packs<'f>(
        &self,
        cache: &Cache,
        files: &'f [Content],
        again: bool,
        progress: &Transfer,
    ) -> Result<Vec<(Digest, &'f [Content])>, RemoteError> {
        progress.expect(files.iter().map(|file| file.bytes).sum());
        try_map(&pack::divide(files), BODIES, |files| {
            progress.check()?;
            let content = pack::read(cache, files)?;
            let (pack, bytes) = (Digest::of(&content), content.len() as u64);
            let key = pack::key(&pack);
            // An interrupted push has left it there.
            let is_there = !again && !self.is_damaged(&key) && self.ask(|storage| storage.size(&key))? == Some(bytes);
            if !is_there {
                self.act(|storage| storage.put(&key, content, Occupied::Replace))?;
                self.is_mended(&key);
            }
            progress.add(bytes);
            Ok((pack, *files))
        })
    }

    /// Puts large files there, each alone.
    fn push_objects(
        &self,
        cache: &Cache,
        files: &[Content],
        again: bool,
        progress: &Transfer,
    ) -> Result<(), RemoteError> {
        progress.expect(files.iter().map(|file| file.bytes).sum());
        let missing = try_map(files, REQUESTS, |file| {
            let key = pack::object_key(&file.digest);
            let is_there =
                !again && !self.is_damaged(&key) && self.ask(|storage| storage.size(&key))? == Some(file.bytes);
            if is_there {
                progress.add(file.bytes);
            }
            Ok::<_, RemoteError>((!is_there).then_some(*file))
        })?;
        let missing: Vec<Content> = missing.into_iter().flatten().collect();
        try_for_each(&missing, LARGE_AT_ONCE, |file| {
            progress.check()?;
            let kind = if file.executable { ArtifactKind::Executable } else { ArtifactKind::File };
            let path = cache.path_of(&Artifact { kind, digest: file.digest, bytes: file.bytes, files: 1 });
            let open = File::open(&path).map_err(|source| CacheError::Io { path, source })?;
            let key = pack::object_key(&file.digest);
            let mut body = Body::new(&open, file.bytes, file.digest, progress);
            self.put_file(&key, &mut body, progress)?;
            self.is_mended(&key);
            Ok(())
        })
    }
}

fn job(cache: &Cache, mut record: ActionRecord, options: PushOptions, occupied: Occupied) -> Result<Job, RemoteError> {
    // A log is no reason to do without the result.
    record.log = record.log.filter(|log| options.logs && cache.presence(log) == Presence::Present);
    // A number of this cache.
    record.sequence = 0;
    let artifacts = record.outputs.iter().map(|output| &output.artifact).chain(&record.log);
    let (folders, files): (Vec<&Artifact>, Vec<&Artifact>) =
        artifacts.partition(|artifact| artifact.kind == ArtifactKind::Folder);
    let folders: Vec<Artifact> = folders.into_iter().cloned().collect();
    let content = |file: &Artifact| Content {
        digest: file.digest,
        executable: file.kind == ArtifactKind::Executable,
        bytes: file.bytes,
    };
    let mut files: Vec<Content> = files.into_iter().map(content).collect();
    if let Some(digest) = record.annex {
        let annex = Artifact { kind: ArtifactKind::File, digest, bytes: 0, files: 1 };
        let path = cache.path_of(&annex);
        match std::fs::metadata(&path) {
            Ok(metadata) => files.push(Content { digest, executable: false, bytes: metadata.len() }),
            // Curves are no reason to do without the result.
            Err(_) => record.annex = None,
        }
    }
    let annex = record.annex;
    let bytes = files.iter().map(|file| file.bytes).chain(folders.iter().map(|folder| folder.bytes)).sum();
    Ok(Job { record, files, folders, annex, occupied, bytes })
}
