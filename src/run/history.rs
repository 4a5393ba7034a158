//! What is known of a pipeline's earlier runs: event logs, stage logs, and for each instance its last result.
//!
//! Under the cache, `pipelines/<key>/` belongs to one pipeline file with one choice of profiles. Every run has a folder in
//! `runs/` with its append-only `events.jsonl` and its stages' logs. `ledger.json` sums up the runs that have ended; a run
//! that was killed is read from its events. `pipelines/results-<key>.json` notes what was put into one folder of results.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use athanor_cache::{Digest, hash_value};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::events::{EventSink, RunEvent, Stamped};

/// Runs whose logs are kept.
const KEPT_RUNS: usize = 50;

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<Digest>,
    /// How long that took, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Why it failed, if that is the last thing that happened to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Its newest log: run and path inside the run's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<(String, String)>,
}

/// What is remembered of all instances.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// The newest run summed up here.
    pub last_run: Option<String>,
    /// Names of all instances of the plan of the last run.
    pub plan: Vec<String>,
    /// By instance name.
    pub instances: BTreeMap<String, Remembered>,
}

impl Ledger {
    fn apply(&mut self, run: &str, event: RunEvent) {
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
        // However the user spells the way to it, it is one file.
        let file = fs::canonicalize(project.join(file)).unwrap_or_else(|_| project.join(file));
        let identity = json!({ "project": project, "file": file, "profiles": profiles });
        let key = hash_value("athanor pipeline 1", &identity).short();
        let folder = cache.join("pipelines").join(key);
        fs::create_dir_all(folder.join("runs"))?;
        if !folder.join("pipeline.json").exists() {
            write_whole(&folder, "pipeline.json", identity.to_string().as_bytes())?;
        }
        Ok(History { folder })
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
        Ok(ledger)
    }

    fn summed_up(&self) -> std::io::Result<Ledger> {
        match fs::read(self.folder.join("ledger.json")) {
            // A ledger that cannot be read is made anew from the runs.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Ledger::default()),
            Err(error) => Err(error),
        }
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
        let file = match File::open(self.run_folder(run).join("events.jsonl")) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let lines = BufReader::new(file).split(b'\n');
        Ok(lines.map_while(Result::ok).filter_map(|line| serde_json::from_slice(&line).ok()).collect())
    }

    /// The folder of a run.
    pub fn run_folder(&self, run: &str) -> PathBuf {
        self.folder.join("runs").join(run)
    }

    /// Begins a run at `now`: makes its folder and its event log.
    pub fn begin(&self, now: Timestamp) -> std::io::Result<RunLog> {
        let runs = self.runs()?;
        for old in runs.iter().rev().skip(KEPT_RUNS) {
            // Another run may be removing it too, and an old log that stays harms nobody.
            let _ = fs::remove_dir_all(self.run_folder(old));
        }
        let run = format!("{}-{}", now.strftime("%Y%m%d-%H%M%S%.6f"), std::process::id());
        let folder = self.run_folder(&run);
        fs::create_dir_all(folder.join("logs"))?;
        let file = File::options().create(true).append(true).open(folder.join("events.jsonl"))?;
        Ok(RunLog { run, folder, file, lines: Vec::new() })
    }

    /// Sums up what a run that has ended did to the plan whose instances are `plan`.
    pub fn end(&self, run: &str, plan: Vec<String>) -> std::io::Result<()> {
        let _alone = lock(&self.folder.join("ledger.lock"))?;
        let mut ledger = self.summed_up()?;
        for earlier in self.runs()? {
            let unknown = ledger.last_run.as_ref().is_none_or(|last| *last < earlier);
            if unknown && earlier.as_str() < run || earlier == run {
                for stamped in self.events(&earlier)? {
                    ledger.apply(&earlier, stamped.event);
                }
            }
        }
        ledger.last_run = ledger.last_run.filter(|last| last.as_str() > run).or_else(|| Some(run.to_owned()));
        ledger.plan = plan;
        write_whole(&self.folder, "ledger.json", &serde_json::to_vec(&ledger)?)
    }

    /// The note about what was put into the folder `results` of `project`, whichever pipeline file and profiles it came from.
    pub fn results_note(&self, project: &Path, results: &str) -> ResultsNote {
        let identity = json!({ "project": project, "results": results });
        let key = hash_value("athanor results 1", &identity).short();
        let folder = self.folder.parent().unwrap_or(&self.folder).to_owned();
        ResultsNote { folder, name: format!("results-{key}.json") }
    }
}

/// A small file about what was put into one folder of results.
#[derive(Debug)]
pub struct ResultsNote {
    folder: PathBuf,
    name: String,
}

impl ResultsNote {
    /// Waits until no other run of any pipeline in this cache puts its results in place, and keeps others from it.
    pub fn lock(&self) -> std::io::Result<File> {
        lock(&self.folder.join("results.lock"))
    }

    /// What the note says, if it is there.
    pub fn read(&self) -> Option<Vec<u8>> {
        fs::read(self.folder.join(&self.name)).ok()
    }

    /// Writes the note, whole or not at all.
    pub fn write(&self, content: &[u8]) -> std::io::Result<()> {
        write_whole(&self.folder, &self.name, content)
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
    file: File,
    /// Whole lines that are still to be written.
    lines: Vec<u8>,
}

impl EventSink for RunLog {
    fn event(&mut self, event: &Stamped) {
        let before = self.lines.len();
        match serde_json::to_writer(&mut self.lines, event) {
            Ok(()) => self.lines.push(b'\n'),
            Err(_) => self.lines.truncate(before),
        }
    }

    fn flush(&mut self) {
        // One write of whole lines: a reader, or the next run after a kill, sees no halves. A full disk stops no run here; it
        // fails the stages that need space.
        let _ = self.file.write_all(&self.lines);
        self.lines.clear();
    }
}
