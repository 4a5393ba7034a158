//! The steps of publishing: look, note, copy, put in place, note.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use athanor_cache::{Artifact, ArtifactKind, Cache, CacheError, Checkout, ResultsLock, Staged, Swap, Tree};

use super::note::{self, Entry, Note, Pending};
use super::obsolete::remove_obsolete;
use super::occupant::{Occupant, Slot, occupant};
use super::{Origin, Publication, Published, Refused, Wanted};
use crate::events::ResultAction;

/// Numbers of files and bytes that swapping single files must spare to be worth that it is not one step.
const WORTH_SWAPPING: (usize, u64) = (64, 4 << 20);
/// Number of times that another process may occupy a result's place between our look and our step.
const RACES: usize = 8;

/// Publisher of results into one folder.
pub(super) struct Publisher<'a> {
    cache: &'a Cache,
    checkout: Checkout<'a>,
    /// The pipeline's folder of results.
    folder: PathBuf,
    /// The same, as the user knows it.
    shown: String,
    origin: Origin<'a>,
    note: Note,
    /// Whether the note says more, or less, than the file.
    note_is_news: bool,
    publication: Publication,
}

/// Work to put a result in place.
struct Work {
    wanted: Wanted,
    entry: Entry,
    target: PathBuf,
    /// Folder that is there, swaps, and the wanted folder, if it is replaced file by file.
    swaps: Option<(Tree, Vec<Swap>, Tree)>,
}

impl<'a> Publisher<'a> {
    pub(super) fn new(cache: &'a Cache, folder: PathBuf, shown: String, origin: Origin<'a>) -> Publisher<'a> {
        Publisher {
            cache,
            checkout: cache.checkout(),
            folder,
            shown,
            origin,
            note: Note::default(),
            note_is_news: false,
            publication: Publication::default(),
        }
    }

    /// Puts all of `wanted` in place, as far as possible. `earlier` is the note of an earlier version.
    pub(super) fn publish(mut self, wanted: Vec<Wanted>, earlier: impl FnOnce() -> Option<Vec<u8>>) -> Publication {
        let entered = self.enter().and_then(|lock| Ok((lock, Note::read(&self.folder, &self.shown, earlier)?)));
        let (_alone, note) = match entered {
            Ok(entered) => entered,
            Err(error) => {
                self.refuse_all(wanted.into_iter().map(|wanted| (self.target(&wanted), wanted)).collect(), error);
                return self.publication;
            }
        };
        self.note = note;
        if !self.note.is_reliable {
            // Results that are not wanted now stay unknown.
            let paths: BTreeSet<&str> = wanted.iter().map(|wanted| wanted.path.as_str()).collect();
            self.note.results.retain(|path, _| paths.contains(path.as_str()));
        }
        self.look_who_else();
        for wanted in &wanted {
            self.note_is_news |= remove_obsolete(self.cache, &self.folder, &wanted.path, &mut self.note);
        }
        let now: BTreeSet<String> = wanted.iter().map(|wanted| wanted.path.clone()).collect();
        let left: Vec<PathBuf> = self.note.pending.keys().map(|path| self.folder.join(path)).collect();
        let mut works: Vec<Work> = wanted.into_iter().filter_map(|wanted| self.look(wanted)).collect();
        if !works.is_empty() || !left.is_empty() {
            self.sweep(works.iter().map(|work| &work.target).chain(&left));
        }
        if !works.is_empty() {
            match self.note_ahead(&works) {
                Ok(()) => self.put_all(&mut works),
                Err(error) => {
                    self.refuse_all(works.into_iter().map(|work| (work.target, work.wanted)).collect(), error);
                }
            }
        }
        self.checkout.clear();
        self.look_what_is_older(&now);
        if self.note_is_news {
            let origin = &self.origin;
            self.note.pipeline = Some(origin.pipeline.clone());
            let runs: BTreeSet<&str> = self.note.results.values().map(|entry| entry.run.as_str()).collect();
            self.note.runs.retain(|run, _| runs.contains(run.as_str()));
            if runs.contains(origin.run) {
                self.note.runs.insert(origin.run.to_owned(), origin.note.clone());
            }
            // Everything is in its place. The next run finds out what could not be noted.
            let _ = self.write_note();
        }
        self.publication
    }

    /// Says if another pipeline puts its results into the same folder.
    fn look_who_else(&mut self) {
        let Some(other) = self.note.pipeline.as_ref().filter(|other| **other != self.origin.pipeline) else { return };
        if self.origin.project.join(other).exists() {
            let help = "give one of the two another `name`, or its own `--results`";
            self.publication.notices.push(format!("`{other}` puts its results into `{}`, too: {help}", self.shown));
        }
        self.note_is_news = true;
    }

    /// Says which results are of earlier runs: of stages that this run has not made, if there are new ones beside them or it has
    /// failed, and of what the pipeline does not make any more. `now` are the results of this run.
    fn look_what_is_older(&mut self, now: &BTreeSet<String>) {
        let is_there = |path: &&String| self.note.results.contains_key(*path) && self.folder.join(path).exists();
        let tells_unmade = self.origin.has_failed || self.publication.is_news();
        let unmade: Vec<&String> = self.origin.unmade.iter().filter(|_| tells_unmade).filter(is_there).collect();
        let came_short: BTreeSet<&String> = self.origin.unmade.iter().collect();
        let is_left_over =
            |path: &&String| self.origin.tells_left_over && !now.contains(*path) && !came_short.contains(*path);
        let left_over: Vec<&String> = self.note.results.keys().filter(is_left_over).filter(is_there).collect();
        for (older, why) in
            [(unmade, "this one has not made"), (left_over, "the pipeline, as it was run, no longer makes")]
        {
            let Some(first) = older.first() else { continue };
            let (more, are, them) = match older.len() {
                1 => (String::new(), "is", "it"),
                count => (format!(" and {} more", count - 1), "are", "them"),
            };
            let notice = format!("`{}/{first}`{more} {are} of earlier runs: {why} {them}", self.shown);
            self.publication.notices.push(notice);
        }
    }

    /// Makes the folder and locks it.
    fn enter(&self) -> Result<ResultsLock, CacheError> {
        if !self.folder.is_dir() {
            self.cache.make_results_folder(&self.folder)?;
        }
        // Nothing depends on it.
        let _ = self.checkout.sweep_draft(&self.folder);
        Ok(self.cache.lock_results(&self.folder))
    }

    fn target(&self, wanted: &Wanted) -> PathBuf {
        self.folder.join(&wanted.path)
    }

    /// Looks at the place of one result; returns the work that has to be done, if any.
    fn look(&mut self, wanted: Wanted) -> Option<Work> {
        let target = self.target(&wanted);
        let entry = self.entry(&wanted);
        let swaps = match occupant(self.cache, Slot { target: &target, path: &wanted.path, wanted: &entry }, &self.note)
        {
            Err(error) => {
                self.refuse(wanted, target, error);
                return None;
            }
            Ok(Occupant::Same) => {
                self.is_in_place(&wanted, entry);
                self.done(&wanted, ResultAction::Unchanged, None);
                return None;
            }
            Ok(Occupant::Users) if self.is_as_last_time(&wanted) => {
                self.note_is_news |= self.note.pending.remove(&wanted.path).is_some();
                self.done(&wanted, ResultAction::KeptEdited, None);
                return None;
            }
            Ok(Occupant::Users | Occupant::Absent) => None,
            Ok(Occupant::Ours(current, tree)) => {
                self.note_current(&wanted, &current, &tree);
                self.worth_swapping(tree, &wanted)
            }
        };
        Some(Work { wanted, entry, target, swaps })
    }

    /// Notes our own artifact in a result's place, where the note lacks it: because it was damaged, say, or because a run was
    /// killed in the middle of its swaps.
    fn note_current(&mut self, wanted: &Wanted, current: &Artifact, tree: &Tree) {
        if self.note.results.get(&wanted.path).is_some_and(|known| known.digest == current.digest) {
            return;
        }
        let (kind, digest) = current.content();
        let bare = (kind == ArtifactKind::Folder).then(|| tree.digest_without_modes()).filter(|bare| *bare != digest);
        let before = self.note.results.get(&wanted.path).cloned();
        let (instance, run) = before.map(|entry| (entry.instance, entry.run)).unwrap_or_default();
        self.note.results.insert(wanted.path.clone(), Entry { kind, digest, bare, instance, run, fingerprint: None });
    }

    fn is_as_last_time(&self, wanted: &Wanted) -> bool {
        self.note.results.get(&wanted.path).is_some_and(|entry| entry.digest == wanted.artifact.digest)
    }

    fn entry(&self, wanted: &Wanted) -> Entry {
        let (kind, digest) = wanted.artifact.content();
        let (instance, run, fingerprint) = (wanted.made_by.clone(), self.origin.run.to_owned(), wanted.fingerprint);
        Entry { kind, digest, bare: None, instance, run, fingerprint }
    }

    /// Swaps that turn the folder that is there into the wanted one file by file, if that spares enough.
    fn worth_swapping(&self, current: Tree, wanted: &Wanted) -> Option<(Tree, Vec<Swap>, Tree)> {
        if wanted.artifact.kind != ArtifactKind::Folder {
            return None;
        }
        let new = self.cache.read_tree(&wanted.artifact.digest).ok()?;
        let swaps = current.swaps(&new)?;
        let changed = swaps.iter().filter_map(|swap| swap.after.as_ref());
        let (files, bytes) = changed.fold((0, 0), |(files, bytes), entry| (files + 1, bytes + entry.bytes));
        let spares = (new.entries.len() - files, wanted.artifact.bytes.saturating_sub(bytes));
        let worth = spares.0 >= WORTH_SWAPPING.0 || spares.1 >= WORTH_SWAPPING.1;
        (worth && swaps.len() <= new.entries.len() / 2 + 1).then_some((current, swaps, new))
    }

    /// Removes temporary files of killed runs from the folders of results.
    fn sweep<'p>(&self, targets: impl Iterator<Item = &'p PathBuf>) {
        let parents = targets.filter_map(|target| target.parent().map(Path::to_owned));
        let folders: BTreeSet<PathBuf> = parents.chain([self.folder.clone()]).collect();
        for folder in folders.iter().filter(|folder| folder.is_dir()) {
            // Files that stay are swept another time.
            let _ = self.checkout.sweep(folder);
        }
    }

    /// Notes results that are about to be put in place.
    fn note_ahead(&mut self, works: &[Work]) -> Result<(), CacheError> {
        let before = self.note.pending.clone();
        for work in works {
            let swaps = work.swaps.as_ref().map(|(_, swaps, _)| swaps.clone()).unwrap_or_default();
            let pending = Pending { entry: self.with_bare_digest(&work.entry), swaps };
            self.note.pending.insert(work.wanted.path.clone(), pending);
        }
        self.write_note().inspect_err(|_| {
            self.note.pending = before;
            self.note_is_news = false;
        })
    }

    /// The digest without executable bits is needed only where there are some.
    fn with_bare_digest(&self, entry: &Entry) -> Entry {
        let bare = match entry.kind {
            ArtifactKind::Folder => self.cache.read_tree(&entry.digest).ok().map(|tree| tree.digest_without_modes()),
            _ => None,
        };
        Entry { bare: bare.filter(|bare| *bare != entry.digest), ..entry.clone() }
    }

    fn write_note(&mut self) -> Result<(), CacheError> {
        let path = self.folder.join(note::NAME);
        let bytes = self.note.to_bytes();
        let bytes = bytes.map_err(|error| CacheError::Io { path: path.clone(), source: error.into() })?;
        if std::mem::take(&mut self.note.place_is_users) {
            let aside = Some(self.set_aside(&path, note::NAME)?);
            let path = format!("{}/{}", self.shown, note::NAME);
            self.publication.published.push(Published { path, action: ResultAction::ReplacedEdited, aside });
        }
        self.checkout.write(&path, &bytes)?;
        self.note.is_reliable = true;
        Ok(())
    }

    fn put_all(&mut self, works: &mut Vec<Work>) {
        self.note_is_news = true;
        let mut staged = Vec::new();
        for work in works.drain(..) {
            match self.stage(&work) {
                Ok(copy) => staged.push((work, copy)),
                Err(error) => {
                    self.note.pending.remove(&work.wanted.path);
                    self.refuse(work.wanted, work.target, error);
                }
            }
        }
        if let Err(error) = self.checkout.sync() {
            staged.iter().for_each(|(work, _)| drop(self.note.pending.remove(&work.wanted.path)));
            self.refuse_all(staged.into_iter().map(|(work, _)| (work.target, work.wanted)).collect(), error);
            return;
        }
        let mut put = Vec::new();
        for (work, copy) in staged {
            match self.put(&work, copy) {
                Ok((action, aside)) => put.push((work, action, aside)),
                // It stays pending: some of its files may be in place.
                Err(error) => self.refuse(work.wanted, work.target, error),
            }
        }
        if let Err(error) = self.checkout.sync_folders() {
            self.refuse_all(put.into_iter().map(|(work, ..)| (work.target, work.wanted)).collect(), error);
            return;
        }
        for (work, action, aside) in put {
            self.is_in_place(&work.wanted, work.entry);
            self.done(&work.wanted, action, aside);
        }
    }

    fn stage(&mut self, work: &Work) -> Result<Staged, CacheError> {
        match &work.swaps {
            Some((_, swaps, new)) => self.checkout.stage_swaps(swaps.clone(), new.clone(), &work.target),
            None => self.checkout.stage(&work.wanted.artifact, &work.target),
        }
    }

    /// Puts a copy in place, and moves aside what the user has put there meanwhile.
    fn put(&mut self, work: &Work, copy: Staged) -> Result<(ResultAction, Option<String>), CacheError> {
        let mut copy = copy;
        let mut aside = None;
        let mut swaps = work.swaps.as_ref().map(|(current, ..)| current);
        let slot = Slot { target: &work.target, path: &work.wanted.path, wanted: &work.entry };
        for _ in 0..RACES {
            let now = occupant(self.cache, slot, &self.note)?;
            let is_as_it_was = matches!(&now, Occupant::Ours(_, tree) if swaps == Some(tree));
            if swaps.is_some() && !is_as_it_was {
                copy = self.checkout.stage(&work.wanted.artifact, &work.target)?;
                self.checkout.sync()?;
                swaps = None;
            }
            match now {
                Occupant::Same => break,
                Occupant::Users => aside = Some(self.set_aside(&work.target, &work.wanted.path)?),
                Occupant::Absent | Occupant::Ours(..) => {}
            }
            match self.checkout.put(&copy) {
                Err(CacheError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
                other => {
                    other?;
                    break;
                }
            }
        }
        let action = if aside.is_some() { ResultAction::ReplacedEdited } else { ResultAction::Written };
        Ok((action, aside))
    }

    /// Moves what occupies the place of a result, or of the note, to a free name beside it; returns that name.
    fn set_aside(&mut self, target: &Path, path: &str) -> Result<String, CacheError> {
        let names =
            std::iter::once(format!("{path}.edited")).chain((2..).map(|number: u64| format!("{path}.edited-{number}")));
        let folder = self.folder.clone();
        let to = self.checkout.set_aside(target, names.map(|name| folder.join(name)))?;
        let below = to.strip_prefix(&self.folder).unwrap_or(&to);
        Ok(format!("{}/{}", self.shown, below.display()))
    }

    /// Notes that a result is in its place.
    fn is_in_place(&mut self, wanted: &Wanted, entry: Entry) {
        self.note_is_news |= self.note.pending.remove(&wanted.path).is_some();
        let known = self.note.results.get(&wanted.path);
        if known.is_none_or(|known| (known.kind, known.digest) != (entry.kind, entry.digest)) {
            let entry = self.with_bare_digest(&entry);
            self.note.results.insert(wanted.path.clone(), entry);
            self.note_is_news = true;
        }
    }

    fn done(&mut self, wanted: &Wanted, action: ResultAction, aside: Option<String>) {
        let path = format!("{}/{}", self.shown, wanted.path);
        self.publication.published.push(Published { path, action, aside });
    }

    fn refuse(&mut self, wanted: Wanted, target: PathBuf, error: CacheError) {
        let path = format!("{}/{}", self.shown, wanted.path);
        let lost = matches!(error, CacheError::Damaged { .. });
        self.publication.refused.push(Refused { path, error, lost, made_by: wanted.made_by, target });
    }

    fn refuse_all(&mut self, wanted: Vec<(PathBuf, Wanted)>, error: CacheError) {
        for (target, wanted) in wanted {
            self.refuse(wanted, target, copy_of(&error));
        }
    }
}

/// Copies a refusal: one can affect many results.
fn copy_of(error: &CacheError) -> CacheError {
    let (path, source) = match error {
        CacheError::Io { path, source } => {
            let again = source.raw_os_error().map(io::Error::from_raw_os_error);
            (path.clone(), again.unwrap_or_else(|| io::Error::new(source.kind(), source.to_string())))
        }
        other => (PathBuf::new(), io::Error::other(other.to_string())),
    };
    CacheError::Io { path, source }
}
