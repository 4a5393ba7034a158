//! Roots of a pipeline for garbage collection.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use athanor_cache::{CacheError, Digest};
use jiff::Timestamp;

use crate::events::RunEvent;
use crate::run::state::history::instance_list::{self, InstanceList, StoredList};
use crate::run::state::history::location::Location;
use crate::run::state::history::log::LogEnd;
use crate::run::state::history::recovery::Recovered;
use crate::run::state::history::{EVER_RETAINED, History, Identity, RunId};

/// Roots: results and state in use.
#[derive(Debug, Default)]
pub struct Roots {
    /// Fingerprints of results.
    pub results: HashSet<Digest>,
    /// Fingerprints of work that was begun.
    pub unfinished: HashSet<Digest>,
    /// Sequence number from which on every record is in use: a run began that has not written how it ended.
    pub since: Option<u64>,
    /// Whether all unfinished work is to stay: nobody knows whose it is.
    pub all_resume_states: bool,
    /// Reason why the list was rebuilt from the logs, if it was.
    pub rebuilt: Option<String>,
}

/// Pipeline whose roots are unknown.
#[derive(Debug)]
pub struct UnknownUsage {
    /// Path of the list, or of the log that came after it.
    pub path: PathBuf,
    /// Problem, as the end of a sentence that begins with the path.
    pub why: String,
}

/// Presence of a pipeline file.
pub enum Presence {
    /// It is there, or cannot be looked for.
    There,
    /// It was removed.
    Gone,
    /// It may be there where this process cannot see it; why, as a clause.
    OutOfReach(String),
}

impl History {
    /// Roots of the pipeline.
    pub fn roots(&self) -> Result<Roots, UnknownUsage> {
        let path = self.folder.join(instance_list::FILE);
        let unknown =
            |error: CacheError| UnknownUsage { path: path.clone(), why: format!("cannot be relied on: {error}") };
        let is_folder = fs::symlink_metadata(&self.folder).is_ok_and(|metadata| metadata.is_dir());
        if !is_folder {
            return Err(UnknownUsage { path: self.folder.clone(), why: "is no folder".to_owned() });
        }
        let mut roots = Roots::default();
        let mut list = match self.recover() {
            Recovered::Known(list) => list,
            Recovered::Rebuilt(list, why) => {
                roots.rebuilt = Some(format!("`{}` {why}", path.display()));
                list
            }
            Recovered::Lost(why) => return Err(UnknownUsage { path, why }),
        };
        for run in self.unsettled(&list).map_err(unknown)? {
            let reading = self.reading(&run).map_err(unknown)?;
            let end = reading.as_ref().map_or(LogEnd::CutOff, |reading| reading.end);
            if let LogEnd::Damaged(line) = end {
                let why = format!("does not know how a run ended, and {}.", self.damage(&run, line));
                return Err(UnknownUsage { path, why });
            }
            reading.iter().flat_map(|reading| &reading.events).for_each(|stamped| list.apply(&stamped.event));
            if end == LogEnd::CutOff {
                roots.all_resume_states = true;
                roots.since = roots.since.into_iter().chain(run.sequence()).min();
            }
        }
        let unsettled = list.instances.iter().filter(|(_, work)| work.is_unsettled);
        let unsettled: HashSet<String> = unsettled.map(|(name, _)| name.clone()).collect();
        if roots.all_resume_states || !unsettled.is_empty() {
            let mut ever_named = InstanceList::default();
            self.add_all_ever_named(&mut ever_named).map_err(unknown)?;
            // A run that did not end may have used more results than its log says.
            let may_be_wanted = |name: &String| roots.all_resume_states || unsettled.contains(name);
            let wanted = ever_named.instances.iter().filter(|(name, _)| may_be_wanted(name));
            wanted.for_each(|(name, work)| list.add(name, work));
        }
        for work in list.instances.values() {
            roots.results.extend(work.results.iter().chain(&work.unfinished));
            roots.unfinished.extend(&work.unfinished);
        }
        Ok(roots)
    }

    /// Adds what the last runs used: `most` of them, and none that began before `since`. Results of earlier settings stay so.
    pub fn add_recent(&self, roots: &mut Roots, most: usize, since: Option<Timestamp>) -> Result<(), UnknownUsage> {
        let unknown = |error: CacheError| UnknownUsage {
            path: self.folder.clone(),
            why: format!("has runs that cannot be read: {error}"),
        };
        let runs = self.runs().map_err(unknown)?;
        // Of more runs than there are logs, nobody knows what the others used.
        if since.is_none() && most > runs.len() && runs.len() >= EVER_RETAINED {
            roots.since = Some(0);
        }
        let summaries = self.summaries().map_err(unknown)?;
        let summed: BTreeSet<&RunId> = summaries.iter().map(|summary| &summary.run).collect();
        let is_recent = |run: &&&RunId| since.is_none_or(|since| run.began().is_none_or(|began| began >= since));
        // The folder of a run may be gone, too.
        let all: BTreeSet<&RunId> = runs.iter().chain(summed.iter().copied()).collect();
        let mut are_whole = true;
        for run in all.iter().rev().take(most).filter(is_recent) {
            let reading = self.reading(run).map_err(unknown)?;
            for stamped in reading.iter().flat_map(|reading| &reading.events) {
                match &stamped.event {
                    RunEvent::Finished { fingerprint, .. } | RunEvent::Cached { fingerprint, .. } => {
                        roots.results.insert(*fingerprint);
                    }
                    // State of work that did not end; of work that did there is none.
                    RunEvent::Started { fingerprint, .. } => {
                        roots.unfinished.insert(*fingerprint);
                    }
                    _ => {}
                }
            }
            if reading.is_none_or(|reading| reading.end != LogEnd::Finished) {
                are_whole = false;
                if !summed.contains(run) {
                    roots.since = roots.since.into_iter().chain(run.sequence()).min();
                }
            }
        }
        if !are_whole {
            // One of these lines, or of those before it, says what the run used.
            let ever = summaries.iter().flat_map(|summary| summary.results.values());
            roots.results.extend(ever.map(|result| result.fingerprint));
        }
        Ok(())
    }

    /// Runs whose logs count in addition to the list.
    fn unsettled(&self, list: &InstanceList) -> Result<BTreeSet<RunId>, CacheError> {
        let is_later = |run: &RunId| list.newest.as_ref().is_none_or(|newest| newest < run);
        Ok(self.runs()?.into_iter().filter(is_later).chain(list.open.iter().cloned()).collect())
    }

    /// Whether the pipeline file is there, or moved together with the cache; else whether it is gone or out of reach.
    pub fn presence(&self, all: &[History]) -> Presence {
        let Some((identity, _, file)) = self.places() else { return Presence::There };
        if !is_absent(&file) {
            return Presence::There;
        }
        // Once the pipeline has run where it is now, that history takes over.
        match self.moved_to() {
            Some(moved) if all.iter().any(|other| other.is_of(&moved, &identity.profiles())) => return Presence::Gone,
            Some(_) => return Presence::There,
            None => {}
        }
        let place = match InstanceList::read(&self.folder) {
            StoredList::Sound(list) => list.place,
            _ => None,
        };
        let hidden = place.zip(Location::of(&file)).and_then(|(then, now)| then.out_of_reach(&now));
        hidden.map_or(Presence::Gone, Presence::OutOfReach)
    }

    pub(super) fn places(&self) -> Option<(&Identity, PathBuf, PathBuf)> {
        let identity = self.identity.as_ref()?;
        Some((identity, identity.project()?, identity.file()?))
    }

    fn is_of(&self, file: &Path, profiles: &[String]) -> bool {
        let Some((identity, _, own)) = self.places() else { return false };
        own == file && identity.profiles() == profiles && self.folder.join(instance_list::FILE).exists()
    }
}

/// Whether nothing lies at a path; what cannot be told counts as there.
pub(super) fn is_absent(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}
