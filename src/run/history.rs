//! What is known of a pipeline's earlier runs: event logs, stage logs, and for each instance its last result.
//!
//! Under the cache, `pipelines/<key>/` belongs to one pipeline file with one choice of profiles. Every run has a folder in
//! `runs/` with its append-only `events.jsonl` and its stages' logs; a run in which nothing new happened leaves none. `ledger`
//! sums up earlier runs; later ones, and those that were killed, are read from their events. `instances.json` lists the
//! instances of the last plan. `pipelines/results-<key>.json` is what earlier versions noted about one folder of results.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use athanor_cache::{Digest, hash_value};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::events::{EventSink, RunEvent, Stamped};
use crate::run::keep::Keep;

/// Runs whose logs are kept.
const KEPT_RUNS: usize = 50;
/// Runs are summed up when there are this many, or this many bytes of events: the ledger is written anew each time.
const SUMMED_UP_RUNS: usize = 16;
const SUMMED_UP_BYTES: u64 = 256 * 1024;

const LEDGER: &str = "ledger";
const PLAN: &str = "instances.json";

/// The history of one pipeline file with one choice of profiles.
#[derive(Debug, Clone)]
pub struct History {
    folder: PathBuf,
}

/// What is remembered of one instance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// What it last computed, or was served from the cache.
    pub fingerprint: Option<Digest>,
    /// What it began to compute and did not finish.
    pub unfinished: Option<Digest>,
    /// How long that took, where it is known.
    pub duration_ms: Option<u64>,
    /// Why it failed, if that is the last thing that happened to it.
    pub failure: Option<String>,
    /// Its newest log: run and path inside the run's folder.
    pub log: Option<(String, String)>,
}

/// What is remembered of all instances.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// The newest run summed up here.
    pub last_run: Option<String>,
    /// Names of all instances of the plan of the last run.
    #[serde(skip)]
    pub plan: Vec<String>,
    /// By instance name.
    pub instances: BTreeMap<String, Remembered>,
}

impl Ledger {
    /// Takes in an event of the run `run`.
    pub fn apply(&mut self, run: &str, event: RunEvent) {
        let Some(instance) = event.instance() else { return };
        let entry = self.instances.entry(instance.to_owned()).or_default();
        match event {
            RunEvent::Started { fingerprint, log, .. } => {
                entry.unfinished = Some(fingerprint);
                entry.log = Some((run.to_owned(), log));
            }
            RunEvent::Finished { fingerprint, duration_ms, .. } => {
                entry.fingerprint = Some(fingerprint);
                entry.unfinished = None;
                entry.duration_ms = Some(duration_ms);
                entry.failure = None;
            }
            RunEvent::Cached { fingerprint, .. } => {
                if entry.fingerprint != Some(fingerprint) {
                    entry.log = None;
                }
                entry.unfinished = None;
                entry.fingerprint = Some(fingerprint);
                entry.failure = None;
            }
            RunEvent::Failed { cause, retrying: false, .. } => entry.failure = Some(cause),
            _ => {}
        }
    }
}

impl History {
    /// The history of the pipeline `file` of `project` under `profiles`, in the cache at `cache`.
    pub fn open(cache: &Path, project: &Path, file: &Path, profiles: &[String]) -> std::io::Result<History> {
        let (folder, identity) = place(cache, project, file, profiles);
        fs::create_dir_all(folder.join("runs"))?;
        if !folder.join("pipeline.json").exists() {
            write_whole(&folder, "pipeline.json", identity.to_string().as_bytes())?;
        }
        Ok(History { folder })
    }

    /// What is kept of the pipeline to be quick, whether or not there is a history.
    pub fn keep(cache: &Path, project: &Path, file: &Path, profiles: &[String]) -> Keep {
        Keep::new(&place(cache, project, file, profiles).0)
    }

    /// The histories of all pipelines that use the cache.
    pub fn all(cache: &Path) -> std::io::Result<Vec<History>> {
        let Ok(entries) = fs::read_dir(cache.join("pipelines")) else { return Ok(Vec::new()) };
        let folders = entries.map(|entry| entry.map(|entry| entry.path()));
        folders
            .filter(|folder| folder.as_ref().map_or(true, |folder| folder.is_dir()))
            .map(|folder| Ok(History { folder: folder? }))
            .collect()
    }

    /// What is remembered, runs that were killed or still go on included.
    pub fn ledger(&self) -> std::io::Result<Ledger> {
        let mut ledger = self.summed_up()?;
        for run in self.runs()? {
            if ledger.last_run.as_ref().is_none_or(|last| *last < run) {
                for stamped in self.events(&run)? {
                    ledger.apply(&run, stamped.event);
                }
            }
        }
        ledger.plan = read_if_there(&self.folder.join(PLAN))?
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        Ok(ledger)
    }

    fn summed_up(&self) -> std::io::Result<Ledger> {
        let bytes = read_if_there(&self.folder.join(LEDGER))?;
        // A ledger that cannot be read is made anew from the runs.
        let body =
            bytes.as_ref().and_then(|bytes| bytes.iter().position(|byte| *byte == b'\n').map(|at| &bytes[at + 1..]));
        Ok(body.and_then(|body| rmp_serde::from_slice(body).ok()).unwrap_or_default())
    }

    /// The newest run that is summed up in the ledger: its first line.
    fn last_summed_up(&self) -> std::io::Result<Option<String>> {
        let file = match File::open(self.folder.join(LEDGER)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut line = Vec::new();
        BufReader::with_capacity(256, file).take(256).read_until(b'\n', &mut line)?;
        Ok(String::from_utf8(line).ok().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()))
    }

    /// Whether a run left a log.
    pub fn has_log(&self, run: &str) -> bool {
        self.events_path(run).exists()
    }

    /// The newest run that left a log.
    pub fn last_run(&self) -> std::io::Result<Option<String>> {
        Ok(self.runs()?.pop())
    }

    /// Identifiers of the runs, oldest first.
    pub fn runs(&self) -> std::io::Result<Vec<String>> {
        let entries = fs::read_dir(self.folder.join("runs"))?;
        let mut runs = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect::<Vec<_>>();
        runs.sort();
        Ok(runs)
    }

    /// The events of a run, as far as they were written whole.
    pub fn events(&self, run: &str) -> std::io::Result<Vec<Stamped>> {
        let file = match File::open(self.events_path(run)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        Ok(read_events(BufReader::new(file)))
    }

    fn events_path(&self, run: &str) -> PathBuf {
        self.run_folder(run).join("events.jsonl")
    }

    /// The folder of a run.
    pub fn run_folder(&self, run: &str) -> PathBuf {
        self.folder.join("runs").join(run)
    }

    /// A run that begins at `now`. Its folder and its event log are made when something happens in it.
    pub fn begin(&self, now: Timestamp) -> RunLog {
        let run = format!("{}-{}", now.strftime("%Y%m%d-%H%M%S%.6f"), std::process::id());
        let folder = self.run_folder(&run);
        RunLog { run, folder, history: self.clone(), file: None, lines: Vec::new(), matters: false }
    }

    /// Removes the logs of old runs that are summed up.
    fn forget_old_runs(&self) -> std::io::Result<()> {
        let last = self.last_summed_up()?;
        for old in self.runs()?.iter().rev().skip(KEPT_RUNS).filter(|run| last.as_ref() >= Some(run)) {
            // Another run may be removing it too, and an old log that stays harms nobody.
            let _ = fs::remove_dir_all(self.run_folder(old));
        }
        Ok(())
    }

    /// Notes the instances of the last plan.
    pub fn note_plan(&self, plan: &[&str]) -> std::io::Result<()> {
        let text = serde_json::to_vec(plan)?;
        let known = read_if_there(&self.folder.join(PLAN))?;
        if known.is_some_and(|known| known == text) { Ok(()) } else { write_whole(&self.folder, PLAN, &text) }
    }

    /// A run that left a log has ended: sums it up with others, if it is time to.
    pub fn end(&self, run: &str) -> std::io::Result<()> {
        let _alone = lock(&self.folder.join("ledger.lock"))?;
        let last = self.last_summed_up()?;
        let waiting: Vec<String> =
            self.runs()?.into_iter().filter(|run| last.as_ref().is_none_or(|last| last < run)).collect();
        let bytes = |run: &String| fs::metadata(self.events_path(run)).map_or(0, |events| events.len());
        let overtaken = last.as_deref().is_some_and(|last| run < last);
        if !overtaken && waiting.len() < SUMMED_UP_RUNS && waiting.iter().map(bytes).sum::<u64>() < SUMMED_UP_BYTES {
            return Ok(());
        }
        let mut ledger = self.summed_up()?;
        for earlier in self.runs()? {
            let unknown = ledger.last_run.as_ref().is_none_or(|last| *last < earlier);
            if unknown && earlier.as_str() < run || earlier == run {
                for stamped in self.events(&earlier)? {
                    ledger.apply(&earlier, stamped.event);
                }
            }
        }
        let last_run = ledger.last_run.filter(|last| last.as_str() > run).unwrap_or_else(|| run.to_owned());
        ledger.last_run = Some(last_run.clone());
        let mut text = last_run.into_bytes();
        text.push(b'\n');
        text.extend(rmp_serde::to_vec(&ledger).map_err(std::io::Error::other)?);
        write_whole(&self.folder, LEDGER, &text)
    }

    /// What an earlier version noted in the cache about what it put into the folder `results` of `project`, if it did.
    pub fn earlier_results_note(&self, project: &Path, results: &str) -> Option<Vec<u8>> {
        let identity = json!({ "project": project, "results": results });
        let key = hash_value("athanor results 1", &identity).short();
        let folder = self.folder.parent().unwrap_or(&self.folder);
        fs::read(folder.join(format!("results-{key}.json"))).ok()
    }
}

/// The events of a log; lines that are none, such as one that was cut off, are passed over.
pub fn read_events(log: impl BufRead) -> Vec<Stamped> {
    let lines = log.split(b'\n').map_while(Result::ok);
    lines.filter_map(|line| serde_json::from_slice(&line).ok()).collect()
}

/// Where the history of a pipeline is, and what its name was made of.
fn place(cache: &Path, project: &Path, file: &Path, profiles: &[String]) -> (PathBuf, serde_json::Value) {
    // However the user spells the way to it, it is one file.
    let file = fs::canonicalize(project.join(file)).unwrap_or_else(|_| project.join(file));
    let identity = json!({ "project": project, "file": file, "profiles": profiles });
    let key = hash_value("athanor pipeline 1", &identity).short();
    (cache.join("pipelines").join(key), identity)
}

fn read_if_there(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// An exclusive lock for as long as the file is held.
fn lock(path: &Path) -> std::io::Result<File> {
    let file = File::create(path)?;
    file.lock()?;
    Ok(file)
}

fn write_whole(folder: &Path, name: &str, content: &[u8]) -> std::io::Result<()> {
    let temporary = folder.join(format!("{name}.{}", std::process::id()));
    let mut file = File::create(&temporary)?;
    file.write_all(content)?;
    file.sync_data()?;
    fs::rename(temporary, folder.join(name))
}

/// The event log of a run that goes on.
#[derive(Debug)]
pub struct RunLog {
    /// The run's identifier.
    pub run: String,
    /// The run's folder.
    pub folder: PathBuf,
    history: History,
    /// The log, once it is made.
    file: Option<File>,
    /// Whole lines that are still to be written.
    lines: Vec<u8>,
    /// Whether anything has happened that is to be remembered.
    matters: bool,
}

impl RunLog {
    /// Makes the run's folder and log, if that was not done before.
    fn make(&mut self) -> std::io::Result<&mut File> {
        if self.file.is_none() {
            self.history.forget_old_runs()?;
            fs::create_dir_all(self.folder.join("logs"))?;
        }
        match &mut self.file {
            Some(file) => Ok(file),
            none => {
                let events = self.history.events_path(&self.run);
                Ok(none.insert(File::options().create(true).append(true).open(events)?))
            }
        }
    }
}

impl EventSink for RunLog {
    fn event(&mut self, event: &Stamped) {
        let frame = matches!(event.event, RunEvent::RunStarted { .. } | RunEvent::RunFinished { .. });
        self.matters |= !frame;
        let before = self.lines.len();
        match serde_json::to_writer(&mut self.lines, event) {
            Ok(()) => self.lines.push(b'\n'),
            Err(_) => self.lines.truncate(before),
        }
    }

    fn flush(&mut self) {
        // One write of whole lines: a reader, or the next run after a kill, sees no halves. A full disk stops no run here; it
        // fails the stages that need space.
        if self.matters {
            let lines = std::mem::take(&mut self.lines);
            let _ = self.make().and_then(|file| file.write_all(&lines));
        }
    }
}
