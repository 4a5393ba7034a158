//! History of a pipeline: event logs, stage logs, and the last result of each instance.
//!
//! Under the cache, `pipelines/<key>/` belongs to one pipeline file with one choice of profiles (`identity`). Every run has a
//! folder in `runs/` with its append-only `events.jsonl` (`log`) and its stages' logs, and with `requests` if somebody asked it for
//! something while it went on (`run/control`); a run in which nothing new happened leaves none. Runs are ordered by the numbers in their names (`run_id`), never by clocks. `ledger` sums up earlier runs; later
//! ones, and those that were killed, are read from their events. `instances.json` (`instance_list`) says what the pipeline
//! uses: `usage` updates it, `roots` reads it for collections. `pipelines/results-<key>.json` notes what was put into one folder of
//! results. `summaries.jsonl` (`summaries`) has a line for each run, for good. Nothing is written here before a run has something to say.

mod earlier_results_note;
mod files;
mod identity;
mod instance_list;
mod ledger;
mod location;
mod log;
mod moved;
mod pins;
mod recovery;
mod roots;
mod run_id;
mod summaries;
mod usage;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use athanor_cache::{Cache, CacheError};
use jiff::Timestamp;

use crate::events::Stamped;
use crate::run::state::snapshot_file::SnapshotFiles;
use files::{lock, refused};
use instance_list::{InstanceList, StoredList};
use ledger::StoredLedger;

pub use files::is_half_written;
pub use identity::Identity;
pub use ledger::{Ledger, LedgerEntry};
pub use log::{RunLog, read_events};
pub use pins::Pins;
pub use roots::{Presence, Roots, UnknownUsage};
pub use run_id::RunId;
pub use summaries::{PlanSummary, ResultPlace, ResultSummary, Results, RunSummary, plan_after, results_after};
pub use usage::{InstanceOutcome, RegisteredRun};

/// Number of runs whose logs are retained: a collection spares what they used.
pub const RETAINED_RUNS: usize = 100;
/// Least number of runs whose logs any version has retained.
const EVER_RETAINED: usize = 50;
/// Number of runs, or bytes of events, above which runs are summed up: the ledger is rewritten each time.
const LEDGER_RUNS: usize = 16;
const LEDGER_BYTES: u64 = 256 * 1024;

/// Name of the folder of all histories in a cache.
const AREA: &str = "pipelines";
/// Number of digits in a history's name.
pub const KEY_DIGITS: usize = 12;

/// Folder of all histories in the cache at `cache`.
pub fn folder(cache: &Path) -> PathBuf {
    cache.join(AREA)
}

type Result<T> = std::result::Result<T, CacheError>;

/// History of one pipeline file with one choice of profiles.
#[derive(Debug, Clone)]
pub struct History {
    folder: PathBuf,
    /// Identity of the pipeline, where it is known.
    identity: Option<Identity>,
}

impl History {
    /// Opens the history of the pipeline `file` of `project` under `profiles`, in the cache at `cache`. Nothing is made or read.
    pub fn open(cache: &Path, project: &Path, file: &Path, profiles: &[String]) -> History {
        let identity = Identity::new(project, file, profiles);
        History { folder: cache.join(AREA).join(identity.key()), identity: Some(identity) }
    }

    /// The history in a folder.
    pub(crate) fn at(folder: PathBuf) -> History {
        let identity = Identity::read(&folder);
        History { folder, identity }
    }

    /// Snapshot files of the pipeline, whether or not there is a history.
    pub fn snapshots(cache: &Path, project: &Path, file: &Path, profiles: &[String]) -> SnapshotFiles {
        SnapshotFiles::new(&History::open(cache, project, file, profiles).folder)
    }

    /// Histories of all pipelines that use the cache, by name; `None` where there is no folder of histories.
    pub fn all(cache: &Path) -> Result<Option<Vec<History>>> {
        let area = cache.join(AREA);
        let entries = match fs::read_dir(&area) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refused(&area)(error)),
        };
        let mut histories = Vec::new();
        for entry in entries {
            let entry = entry.map_err(refused(&area))?;
            let is_key = |name: &str| name.len() == KEY_DIGITS && name.bytes().all(|c| c.is_ascii_hexdigit());
            if entry.file_name().to_str().is_some_and(is_key) {
                histories.push(History::at(entry.path()));
            }
        }
        histories.sort_by(|left, right| left.folder.cmp(&right.folder));
        Ok(Some(histories))
    }

    /// Name of the history's folder.
    pub fn key(&self) -> &str {
        self.folder.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// The history's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Identity of the pipeline; `None` where it cannot be read.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Whether a user means this history: by its name, or by the pipeline file as seen from `folder`.
    pub fn is_called(&self, pipeline: &Path, folder: &Path) -> bool {
        let here = Identity::new(folder, pipeline, &[]);
        let is_file = self.identity.as_ref().is_some_and(|own| own.file().is_some() && own.file() == here.file());
        pipeline.as_os_str() == self.key() || is_file || here.key() == self.key()
    }

    /// Folder of the cache.
    fn cache(&self) -> &Path {
        self.folder.parent().and_then(Path::parent).unwrap_or(&self.folder)
    }

    /// Ledger, with runs that were killed or still go on. Files that cannot be read count as absent.
    pub fn ledger(&self) -> Result<Ledger> {
        let mut ledger = self.stored_ledger()?;
        for run in self.runs()? {
            if ledger.last_run.as_ref().is_none_or(|last| *last < run) {
                for stamped in self.events(&run)? {
                    ledger.apply(run.as_str(), stamped.event);
                }
            }
        }
        Ok(ledger)
    }

    /// Ledger on disk. One that cannot be read is rebuilt from the runs.
    fn stored_ledger(&self) -> Result<Ledger> {
        match Ledger::read(&self.folder).map_err(refused(&self.folder.join(ledger::FILE)))? {
            StoredLedger::Sound(ledger) => Ok(ledger),
            StoredLedger::None | StoredLedger::Damaged => Ok(Ledger::default()),
        }
    }

    /// Whether a run left a log.
    pub fn has_log(&self, run: &RunId) -> bool {
        self.events_path(run).exists()
    }

    /// Newest run that left a log.
    pub fn last_run(&self) -> Result<Option<RunId>> {
        Ok(self.runs()?.pop())
    }

    /// Runs that left something, oldest first.
    pub fn runs(&self) -> Result<Vec<RunId>> {
        let folder = self.folder.join("runs");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(refused(&folder)(error)),
        };
        let mut runs = Vec::new();
        for entry in entries {
            runs.extend(entry.map_err(refused(&folder))?.file_name().to_str().and_then(RunId::parse));
        }
        runs.sort();
        Ok(runs)
    }

    /// Events of a run, as far as they were written whole.
    pub fn events(&self, run: &RunId) -> Result<Vec<Stamped>> {
        let path = self.events_path(run);
        match File::open(&path) {
            Ok(file) => Ok(read_events(BufReader::new(file))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(refused(&path)(error)),
        }
    }

    fn events_path(&self, run: &RunId) -> PathBuf {
        self.run_folder(run).join("events.jsonl")
    }

    /// Folder of a run.
    pub fn run_folder(&self, run: &RunId) -> PathBuf {
        self.run_folder_called(run.as_str())
    }

    /// Folder of the run with this name.
    pub fn run_folder_called(&self, run: &str) -> PathBuf {
        self.folder.join("runs").join(run)
    }

    /// Begins a run at `now`, later than `last`, the newest one here. Its folder and its event log are made when
    /// something happens in it.
    pub fn begin(&self, cache: &Cache, last: Option<&RunId>, now: Timestamp) -> Result<RunLog> {
        let number = cache.next_sequence(last.and_then(RunId::sequence).unwrap_or(0))?;
        Ok(RunLog::new(self, RunId::new(number, now)))
    }

    /// Removes the logs of old runs that are summed up and taken into account.
    fn forget_old_runs(&self) -> Result<()> {
        let runs = self.runs()?;
        if runs.len() <= RETAINED_RUNS {
            return Ok(());
        }
        let (stored_ledger, newest, open) = match InstanceList::read(&self.folder) {
            StoredList::Sound(list) => (self.stored_ledger()?.last_run, list.newest, list.open),
            // The list can only be rebuilt from the logs.
            _ => (None, None, BTreeSet::new()),
        };
        let old = runs.iter().rev().skip(RETAINED_RUNS);
        for old in
            old.filter(|run| stored_ledger.as_ref() >= Some(run) && newest.as_ref() >= Some(run) && !open.contains(run))
        {
            // Another run may be removing it, too, and an old log that stays does no harm.
            let _ = fs::remove_dir_all(self.run_folder(old));
        }
        Ok(())
    }

    /// Sums up a run that left a log and has ended, with others, if there are enough.
    pub fn update_ledger(&self, run: &RunId) -> Result<()> {
        let lock_path = self.folder.join("ledger.lock");
        let _alone = lock(&lock_path).map_err(refused(&lock_path))?;
        let last = Ledger::newest_run(&self.folder);
        let runs = self.runs()?;
        let is_after = |run: &RunId, last: &Option<RunId>| last.as_ref().is_none_or(|last| last < run);
        let waiting: Vec<&RunId> = runs.iter().filter(|run| is_after(run, &last)).collect();
        let bytes = |run: &RunId| fs::metadata(self.events_path(run)).map_or(0, |events| events.len());
        let many = waiting.len() >= LEDGER_RUNS || waiting.iter().map(|run| bytes(run)).sum::<u64>() >= LEDGER_BYTES;
        if is_after(run, &last) && !many {
            return Ok(());
        }
        let mut ledger = self.stored_ledger()?;
        let last = ledger.last_run.clone();
        for earlier in runs.iter().filter(|earlier| is_after(earlier, &last) && *earlier < run || *earlier == run) {
            for stamped in self.events(earlier)? {
                ledger.apply(earlier.as_str(), stamped.event);
            }
        }
        ledger.last_run = last.filter(|last| last > run).or_else(|| Some(run.clone()));
        ledger.write(&self.folder).map_err(refused(&self.folder.join(ledger::FILE)))
    }
}
