//! Updates of the list of what a pipeline uses, when a run begins and when it ends.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use athanor_cache::{Digest, FileStamp, Lock};

use crate::run::state::history::files::{
    has_no_locks, lock, make_lasting_folders, open_lock, refused, tolerate_no_locks, write_whole,
};
use crate::run::state::history::instance_list::{InstanceList, InstanceWork, StoredList};
use crate::run::state::history::location::Location;
use crate::run::state::history::log::LogEnd;
use crate::run::state::history::recovery::Recovered;
use crate::run::state::history::{History, Identity, Pins, Result, RunId, identity};

/// Registration of a run before its first stage. Others see that it goes on as long as this is held.
#[derive(Debug)]
pub struct RegisteredRun {
    run: RunId,
    /// Locked by every run that goes on.
    running: File,
}

/// Outcome of an instance at the end of a run.
#[derive(Debug, Clone, Copy)]
pub struct InstanceOutcome<'n> {
    /// Its name.
    pub name: &'n str,
    /// Fingerprint of its work, as far as the run knows it.
    pub fingerprint: Option<Digest>,
    /// Whether the result of that is in the cache.
    pub is_done: bool,
}

impl History {
    /// Registers, to survive a kill and a power cut, that `run` is about to use the results of the instances of its plan.
    pub fn register_run<'p>(&self, run: &RunId, plan: impl Iterator<Item = &'p str>) -> Result<RegisteredRun> {
        self.make_folder()?;
        let _alone = self.lock_list()?;
        let path = self.folder.join("running");
        let running = open_lock(&path).map_err(refused(&path))?;
        tolerate_no_locks(running.lock_shared()).map_err(refused(&path))?;
        match self.recover() {
            Recovered::Known(mut list) | Recovered::Rebuilt(mut list, _) => {
                list.open.insert(run.clone());
                list.relative_path = self.relative_path();
                list.place = self.place();
                plan.for_each(|name| list.add(name, &InstanceWork::default()));
                list.write(&self.folder).map_err(refused(&self.folder.join(super::instance_list::FILE)))?;
            }
            // As long as it is damaged, collections remove nothing.
            Recovered::Lost(_) => {}
        }
        Ok(RegisteredRun { run: run.clone(), running })
    }

    /// Whether the list of what the pipeline uses is the file with this stamp. Lists are replaced as a whole, and one that rots where
    /// it lies stops the next collection.
    pub fn is_listed(&self, stamp: &FileStamp) -> bool {
        InstanceList::stamp(&self.folder).as_ref() == Some(stamp)
    }

    /// Records what `run` uses at its end: `instances` are all those of its plan. Returns the stamp of the list; `None` if too
    /// little is known to write it.
    pub fn record_usage(
        &self,
        run: &RunId,
        registered: Option<RegisteredRun>,
        instances: &[InstanceOutcome<'_>],
    ) -> Result<Option<FileStamp>> {
        self.make_folder()?;
        let _alone = self.lock_list()?;
        let is_only_run = self.is_only_run(registered.as_ref())?;
        let is_complete = instances.iter().all(|instance| instance.is_done);
        let before = match self.recover() {
            Recovered::Known(list) | Recovered::Rebuilt(list, _) => list,
            Recovered::Lost(_) if is_complete => InstanceList::default(),
            Recovered::Lost(_) => return Ok(None),
        };
        let list = if is_complete && is_only_run && before.newest.as_ref() <= Some(run) {
            exactly(instances)
        } else {
            self.merged(before, run, instances, is_only_run)?
        };
        self.write_if_changed(InstanceList {
            newest: list.newest.max(Some(run.clone())),
            relative_path: self.relative_path(),
            place: self.place(),
            ..list
        })?;
        Ok(InstanceList::stamp(&self.folder))
    }

    /// Merges earlier entries, where this run says nothing of an instance or is not the newest one.
    fn merged(
        &self,
        mut before: InstanceList,
        run: &RunId,
        instances: &[InstanceOutcome<'_>],
        is_only_run: bool,
    ) -> Result<InstanceList> {
        let was_overtaken = before.newest.as_ref() > Some(run);
        let later = self.runs()?.into_iter().filter(|later| before.newest.as_ref().is_none_or(|newest| newest < later));
        let unsettled: BTreeSet<RunId> =
            later.chain(before.open.iter().cloned()).filter(|other| other != run).collect();
        before.open.clear();
        for other in unsettled {
            let reading = self.reading(&other)?;
            let end = reading.as_ref().map_or(LogEnd::CutOff, |reading| reading.end);
            reading.iter().flat_map(|reading| &reading.events).for_each(|stamped| before.apply(&stamped.event));
            // A later run that has not ended is found by its log, too; that it is named here does no harm.
            if end != LogEnd::Finished {
                before.open.insert(other);
            }
        }
        let mut list = before.clone();
        if !was_overtaken && is_only_run {
            match instances.iter().all(|instance| instance.is_done) {
                true => list.instances.clear(),
                // An instance that it did not reach may be an earlier one under another name.
                false => list.instances.values_mut().for_each(|work| work.is_unsettled = true),
            }
        }
        for instance in instances {
            let earlier = before.instances.get(instance.name);
            let work = work_of(instance, earlier);
            if was_overtaken {
                list.add(instance.name, &work);
            } else {
                list.instances.insert(instance.name.to_owned(), work);
            }
        }
        Ok(list)
    }

    fn write_if_changed(&self, list: InstanceList) -> Result<()> {
        if matches!(InstanceList::read(&self.folder), StoredList::Sound(known) if known == list) {
            return Ok(());
        }
        list.write(&self.folder).map_err(refused(&self.folder.join(super::instance_list::FILE)))
    }

    /// Whether no other run of this pipeline goes on; to be asked with the list locked, so that none begins meanwhile.
    fn is_only_run(&self, registered: Option<&RegisteredRun>) -> Result<bool> {
        let path = self.folder.join("running");
        let opened;
        let running = match registered {
            Some(registered) => &registered.running,
            None => {
                opened = open_lock(&path).map_err(refused(&path))?;
                &opened
            }
        };
        tolerate_no_locks(running.unlock()).map_err(refused(&path))?;
        match running.try_lock() {
            Ok(()) => Ok(true),
            Err(fs::TryLockError::WouldBlock) => Ok(false),
            // Without locks another run must be assumed.
            Err(fs::TryLockError::Error(error)) if has_no_locks(&error) => Ok(false),
            Err(fs::TryLockError::Error(error)) => Err(refused(&path)(error)),
        }
    }

    /// Whether a run of this pipeline goes on, in whatever process. Nothing is made.
    pub fn is_running(&self) -> Result<bool> {
        let path = self.folder.join("running");
        let running = match File::open(&path) {
            Ok(running) => running,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(refused(&path)(error)),
        };
        match running.try_lock() {
            Ok(()) => Ok(false),
            Err(fs::TryLockError::WouldBlock) => Ok(true),
            // Without locks nobody knows.
            Err(fs::TryLockError::Error(error)) if has_no_locks(&error) => Ok(false),
            Err(fs::TryLockError::Error(error)) => Err(refused(&path)(error)),
        }
    }

    fn lock_list(&self) -> Result<Lock> {
        let path = self.folder.join("ledger.lock");
        lock(&path).map_err(refused(&path))
    }

    /// Makes the history's folder with its identity.
    pub(super) fn make_folder(&self) -> Result<()> {
        make_lasting_folders(&self.folder).map_err(refused(&self.folder))?;
        match &self.identity {
            Some(identity) if Identity::read(&self.folder).as_ref() != Some(identity) => {
                Pins::forget_released(self.cache())?;
                let path = self.folder.join(identity::FILE);
                write_whole(&self.folder, identity::FILE, &identity.to_bytes()).map_err(refused(&path))
            }
            _ => Ok(()),
        }
    }

    /// Location of the pipeline file.
    fn place(&self) -> Option<Location> {
        Location::of(&self.identity.as_ref()?.file()?)
    }

    /// Relative path from the cache's folder to the pipeline file.
    fn relative_path(&self) -> Option<String> {
        let file = self.identity.as_ref()?.file()?;
        let cache = self.cache();
        let common = cache.ancestors().find(|ancestor| file.starts_with(ancestor))?;
        let up = cache.strip_prefix(common).ok()?.components().map(|_| "..");
        let relative_path = up.map(Path::new).chain([file.strip_prefix(common).ok()?]).collect::<std::path::PathBuf>();
        relative_path.to_str().map(str::to_owned)
    }
}

impl RegisteredRun {
    /// The run.
    pub fn run(&self) -> &RunId {
        &self.run
    }
}

/// List after a run that settled every instance.
fn exactly(instances: &[InstanceOutcome<'_>]) -> InstanceList {
    let works = instances.iter().map(|instance| (instance.name.to_owned(), work_of(instance, None)));
    InstanceList { instances: works.collect(), ..InstanceList::default() }
}

fn work_of(instance: &InstanceOutcome<'_>, earlier: Option<&InstanceWork>) -> InstanceWork {
    let earlier = earlier.cloned().unwrap_or_default();
    match instance.fingerprint {
        Some(fingerprint) if instance.is_done => InstanceWork { results: vec![fingerprint], ..InstanceWork::default() },
        Some(fingerprint) => InstanceWork { unfinished: vec![fingerprint], is_unsettled: false, ..earlier },
        None => InstanceWork { is_unsettled: true, ..earlier },
    }
}
