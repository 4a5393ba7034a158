//! Fetching: bytes of a result into a local cache, each file checked before it is stored.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::NamedTempFile;

use athanor_cache::{Artifact, ArtifactKind, Cache, CacheError, Presence, StoredResult, Tree};

use crate::action::{PackRange, RemoteResult};
use crate::error::{FailureKind, RemoteError, StorageError};
use crate::folder_index::{self, FolderIndex};
use crate::pack::{self, Content, Request};
use crate::parallel::{BODIES, REQUESTS, try_for_each, try_for_numbers, try_map};
use crate::remote::Remote;
use crate::storage::{PART, wrong_length};
use crate::transfer::Transfer;

/// Large files that are fetched at once, each in several parts.
const LARGE_AT_ONCE: usize = 2;

/// Bytes that a local cache lacks.
#[derive(Default)]
struct Lacking {
    /// Small files in packs.
    packed: BTreeMap<Content, PackRange>,
    /// Files that are objects of their own.
    objects: Vec<Content>,
    folders: Vec<(Artifact, Tree)>,
}

impl Remote {
    /// Fetches artifacts of a result into `cache`, as far as they are not there. Files that have arrived stay, also if others do not.
    pub fn fetch(
        &self,
        cache: &Cache,
        result: &RemoteResult,
        artifacts: &[&Artifact],
        progress: &Transfer,
    ) -> Result<(), RemoteError> {
        let mut lacking = Lacking::default();
        for artifact in artifacts {
            self.look(cache, result, artifact, &mut lacking)?;
        }
        lacking.objects.sort_unstable();
        lacking.objects.dedup();
        // Sizes that come from elsewhere may be absurd.
        let sizes = lacking.packed.keys().chain(&lacking.objects).map(|content| content.bytes);
        progress.expect(sizes.fold(0, u64::saturating_add));
        let place =
            |content: &Content, file: NamedTempFile| cache.place_file(file, &content.digest, content.executable);
        let requests = pack::requests(&lacking.packed);
        try_for_each(&requests, REQUESTS, |request| self.fetch_from_pack(cache, request, &place, progress))?;
        try_for_each(&lacking.objects, LARGE_AT_ONCE, |content| self.fetch_object(cache, content, &place, progress))?;
        for (artifact, tree) in &lacking.folders {
            progress.check()?;
            cache.place_folder(tree).map_err(|error| match error {
                CacheError::Damaged { .. } => {
                    let key = folder_index::key(&artifact.digest);
                    self.note(&key, StorageError::damaged(&key, "holds a list of files that are no folder"))
                }
                other => other.into(),
            })?;
        }
        Ok(())
    }

    /// Fetches all of a result and records it in `cache`. Returns whether it is recorded: an output may have been lost meanwhile.
    pub fn pull(&self, cache: &Cache, result: &RemoteResult, progress: &Transfer) -> Result<bool, RemoteError> {
        let mut record = result.record.clone();
        // Whatever its size, it is in a pack.
        let annex = record.annex.and_then(|digest| Some((digest, result.places.get(&digest)?.bytes)));
        let annex = annex.map(|(digest, bytes)| Artifact { kind: ArtifactKind::File, digest, bytes, files: 1 });
        record.annex = annex.as_ref().map(|annex| annex.digest);
        let artifacts: Vec<&Artifact> = result.artifacts().chain(&annex).collect();
        self.fetch(cache, result, &artifacts, progress)?;
        // Also those that were fetched before, for a stage that needed them.
        let unsynced = cache.unsynced(artifacts.iter().copied());
        // Numbers of one cache mean nothing in another one.
        record.sequence = cache.next_sequence(0)?;
        let sealed = record.seal().map_err(|error| self.unwritable(&error))?;
        let recorded = cache.record_all(&[StoredResult { record: &sealed, unsynced: &unsynced }])?;
        Ok(recorded == [true])
    }

    /// Fetches all of several results and records them in `cache`; returns the outcome of each.
    ///
    /// # Errors
    /// If the transfer was stopped, or the storage is out of reach: then there is no use in trying further.
    pub fn pull_all(
        &self,
        cache: &Cache,
        results: &[&RemoteResult],
        progress: &Transfer,
    ) -> Result<Vec<Result<(), RemoteError>>, RemoteError> {
        try_map(results, BODIES, |result| match self.pull(cache, result, progress) {
            Ok(true) => Ok(Ok(())),
            Ok(false) => {
                let path = cache.root().to_owned();
                let what = "what was just fetched into it was changed".to_owned();
                Ok(Err(CacheError::Damaged { path, what }.into()))
            }
            Err(error @ RemoteError::Storage { kind: FailureKind::Damaged, .. }) => Ok(Err(error)),
            Err(error) => Err(error),
        })
    }

    /// Notes what `cache` lacks of an artifact.
    fn look(
        &self,
        cache: &Cache,
        result: &RemoteResult,
        artifact: &Artifact,
        lacking: &mut Lacking,
    ) -> Result<(), RemoteError> {
        if cache.presence(artifact) == Presence::Present {
            return Ok(());
        }
        let Artifact { kind, digest, bytes, .. } = artifact;
        if *kind != ArtifactKind::Folder {
            let content = Content { digest: *digest, executable: *kind == ArtifactKind::Executable, bytes: *bytes };
            return self.lack(content, result.places.get(digest).copied(), lacking);
        }
        let key = folder_index::key(digest);
        let found = self.ask(|storage| storage.get(&key, folder_index::LARGEST))?;
        let found = found.ok_or_else(|| self.note_missing(&key))?;
        let index = FolderIndex::read(artifact, &found).map_err(|error| self.note(&key, error))?;
        let places = index.places();
        for entry in &index.tree.entries {
            let Some(digest) = entry.digest else { continue };
            let content = Content { digest, executable: entry.executable, bytes: entry.bytes };
            if !cache.has_stored_file(&digest, entry.executable, entry.bytes)? {
                self.lack(content, places.get(&digest).copied(), lacking)?;
            }
        }
        lacking.folders.push((artifact.clone(), index.tree));
        Ok(())
    }

    fn lack(&self, content: Content, place: Option<PackRange>, lacking: &mut Lacking) -> Result<(), RemoteError> {
        match place {
            Some(place) if place.bytes != content.bytes => {
                let key = pack::key(&place.pack);
                Err(self.note(&key, wrong_length(&key)))
            }
            Some(place) => {
                lacking.packed.insert(content, place);
                Ok(())
            }
            None => {
                lacking.objects.push(content);
                Ok(())
            }
        }
    }

    fn fetch_from_pack(
        &self,
        cache: &Cache,
        request: &Request,
        place: &(impl Fn(&Content, NamedTempFile) -> Result<(), CacheError> + Sync),
        progress: &Transfer,
    ) -> Result<(), RemoteError> {
        progress.check()?;
        let Request { pack, start, end, files } = request;
        let key = pack::key(pack);
        let content = self.act(|storage| storage.get_range(&key, *start..*end));
        let content = content.map_err(|error| self.noted(&key, error))?.ok_or_else(|| self.note_missing(&key))?;
        for (file, at) in files {
            let range = usize::try_from(at - start).ok().zip(usize::try_from(at - start + file.bytes).ok());
            let bytes = range.and_then(|(from, to)| content.get(from..to));
            let bytes = bytes.ok_or_else(|| self.note(&key, wrong_length(&key)))?;
            place(file, cache.bytes_to_place(bytes)?).map_err(|error| self.misplaced(&key, error))?;
            progress.add(file.bytes);
        }
        Ok(())
    }

    fn fetch_object(
        &self,
        cache: &Cache,
        content: &Content,
        place: &(impl Fn(&Content, NamedTempFile) -> Result<(), CacheError> + Sync),
        progress: &Transfer,
    ) -> Result<(), RemoteError> {
        progress.check()?;
        let file = cache.file_to_place()?;
        let key = pack::object_key(&content.digest);
        // An empty file needs no question.
        let is_there = content.bytes == 0
            || self.get_file(&key, file.as_file(), content.bytes, progress).map_err(|error| self.noted(&key, error))?;
        if !is_there {
            return Err(self.note_missing(&key));
        }
        place(content, file).map_err(|error| self.misplaced(&key, error))
    }

    /// Reads what `key` holds into a file, several parts at a time; returns whether it holds anything.
    pub(crate) fn get_file(
        &self,
        key: &str,
        file: &File,
        bytes: u64,
        progress: &Transfer,
    ) -> Result<bool, RemoteError> {
        let missing = AtomicBool::new(false);
        try_for_numbers(bytes.div_ceil(PART), BODIES, |part| {
            progress.check()?;
            let start = part * PART;
            let range = start..bytes.min(start.saturating_add(PART));
            let length = range.end - range.start;
            match self.act(|storage| storage.get_range(key, range))? {
                None => missing.store(true, Ordering::Relaxed),
                Some(part) if part.len() as u64 == length => {
                    let failed = |source| CacheError::Io { path: key.into(), source };
                    file.write_all_at(&part, start).map_err(failed)?;
                    progress.add(length);
                }
                Some(_) => return Err(wrong_length(key).at(&self.address)),
            }
            Ok(())
        })?;
        Ok(!missing.into_inner())
    }

    /// Notes that a key's content is damaged, if that is the error.
    fn noted(&self, key: &str, error: RemoteError) -> RemoteError {
        match error {
            RemoteError::Storage { kind: FailureKind::Damaged, what, .. } => {
                self.note(key, StorageError::new(FailureKind::Damaged, what))
            }
            other => other,
        }
    }

    /// The error of content that could not be stored.
    fn misplaced(&self, key: &str, error: CacheError) -> RemoteError {
        match error {
            CacheError::Damaged { .. } => self.note(key, StorageError::damaged(key, "holds a damaged file")),
            other => other.into(),
        }
    }
}
