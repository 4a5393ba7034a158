//! Data of the live page: those of a report, and what goes on at this moment.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use athanor_cache::{Cache, Digest};
use jiff::Timestamp;
use serde::Serialize;

use crate::plan::InstanceId;
use crate::report::data::{InstanceState, ReportData};
use crate::report::gather::{ReportRequest, gather_with_state};
use crate::report::live::LiveSource;
use crate::report::page;
use crate::report::timeline::RunState;
use crate::run::control::ControlRequest;
use crate::run::state::history::Ledger;
use crate::run::{RunError, Session};

/// Lines at the end of a log that are shown.
const LOG_LINES: usize = 12;
/// Bytes at the end of a log that are read for them.
const LOG_BYTES: u64 = 8 << 10;
/// Messages that are shown.
const MESSAGES: usize = 8;
/// Waiting instances that are shown.
const WAITING: usize = 100;

/// Source of the live page of one pipeline.
pub(crate) struct Feed<'f> {
    /// Session about the pipeline.
    pub session: &'f Session<'f>,
    /// The cache.
    pub cache: &'f Cache,
    /// Pipeline file as given.
    pub file: String,
    /// Whether the page may do something to the run.
    pub controls: bool,
}

/// State of a run at a moment.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Now {
    /// Instances that run.
    pub running: Vec<RunningInstance>,
    /// First instances that wait.
    pub waiting: Vec<WaitingInstance>,
    /// Instances that are up to date.
    pub done: usize,
    /// Instances in all.
    pub total: usize,
    /// Time that is left, in milliseconds, as far as it can be told.
    pub eta: Option<i64>,
    /// Latest messages of instances.
    pub messages: Vec<String>,
    /// Whether the run was asked to stop.
    pub stopping: bool,
    /// Whether the page may do something to the run.
    pub controls: bool,
}

/// Instance that waits.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct WaitingInstance {
    /// Name.
    pub instance: String,
    /// Reason, in words.
    pub why: String,
}

/// Instance that runs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RunningInstance {
    /// Name.
    pub instance: String,
    /// Time of its start, in milliseconds since 1970.
    pub since: i64,
    /// Units finished.
    pub done: u64,
    /// Units in all; 0 when unknown.
    pub total: u64,
    /// Noun for the units.
    pub unit: String,
    /// Time that it still needs, in milliseconds, by its progress, or else by its last result.
    pub left: Option<i64>,
    /// Node of a cluster on which it runs.
    pub node: Option<String>,
    /// Last values of its metrics.
    pub metrics: BTreeMap<String, f64>,
    /// End of its log.
    pub log: Vec<String>,
}

/// Data of the page.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LiveData {
    /// Data of the report.
    #[serde(flatten)]
    pub report: ReportData,
    /// Changes if what is drawn changes.
    pub version: String,
    /// Mark of the moment that the data are of: the page asks again until it has those of the latest one that it was told of.
    pub mark: String,
    /// State of the run.
    pub live: Now,
}

impl LiveSource for Feed<'_> {
    fn data(&self) -> Result<String, String> {
        let data = self.gather().map_err(|error| error.to_string())?;
        page::visible_json(&data).map_err(|error| error.to_string())
    }

    fn mark(&self) -> u64 {
        let history = self.session.history();
        let Ok(Some(run)) = history.last_run() else { return 0 };
        let length = fs::metadata(history.run_folder(&run).join("events.jsonl")).map_or(0, |events| events.len());
        // Runs are numbered, and logs grow.
        run.sequence().unwrap_or(0).wrapping_mul(1 << 40).wrapping_add(length)
    }

    fn controls(&self) -> bool {
        self.controls
    }

    fn control(&self, request: ControlRequest) -> Result<(), String> {
        let history = self.session.history();
        let run = history.last_run().map_err(|error| error.to_string())?;
        match run.filter(|_| history.is_running().unwrap_or(false)) {
            Some(run) => request.leave(&history.run_folder(&run)).map_err(|error| error.to_string()),
            None => Err("No run is going on.".to_owned()),
        }
    }
}

impl Feed<'_> {
    /// Gathers the data as they are now.
    pub(crate) fn gather(&self) -> Result<LiveData, RunError> {
        let (mark, now) = (self.mark().to_string(), Timestamp::now());
        let request = ReportRequest {
            session: self.session,
            cache: self.cache,
            run: None,
            other: None,
            comparison: false,
            file: self.file.clone(),
            now,
        };
        let (mut report, run_state) = gather_with_state(&request)?;
        report.made = 0;
        let version = serde_json::to_vec(&report).map_or_else(|_| String::new(), |json| Digest::of(&json).to_string());
        report.made = now.as_millisecond();
        let ledger = self.session.history().ledger()?;
        let live = self.now(&report, &run_state, &ledger);
        Ok(LiveData { report, version, mark, live })
    }

    fn now(&self, report: &ReportData, run_state: &RunState, ledger: &Ledger) -> Now {
        let names = &report.instances.name;
        let is_running = report.run.as_ref().is_some_and(|run| run.outcome == "running");
        let expected = |name: &str| ledger.instances.get(name).and_then(|entry| entry.duration_ms);
        let running = run_state.running_instances().filter(|_| is_running).map(|(number, since, log)| {
            let expected = expected(&names[number]);
            let progress = run_state.progress.get(&number);
            let (done, total) = progress.map(|(pace, _)| (pace.done, pace.total)).unwrap_or_default();
            let by_pace = progress.and_then(|(pace, _)| pace.seconds_left(|since| (report.made - since) as f64 / 1e3));
            let by_last = || expected.map(|expected| (expected.cast_signed() - (report.made - since).max(0)).max(0));
            let of_it = run_state.metrics.iter().filter(|((of, _), _)| *of == number);
            RunningInstance {
                instance: names[number].clone(),
                since,
                done,
                total,
                unit: progress.map(|(_, unit)| unit.clone()).unwrap_or_default(),
                left: by_pace.map(|seconds| (seconds * 1e3) as i64).or_else(by_last),
                node: run_state.nodes.get(&number).cloned(),
                metrics: of_it.map(|((_, name), value)| (name.clone(), *value)).collect(),
                log: report.run.as_ref().map(|run| self.log_end(&run.id, log)).unwrap_or_default(),
            }
        });
        let states = &report.instances.state;
        let is_done = |state: &&InstanceState| matches!(state, InstanceState::Done | InstanceState::Cached);
        let done = states.iter().filter(is_done).count();
        let left = states.iter().zip(names).filter(|(state, _)| **state == InstanceState::Waiting);
        let left: Option<u64> = left.map(|(_, name)| expected(name)).sum();
        let running: Vec<RunningInstance> = running.collect();
        let of_running: Option<Vec<i64>> = running.iter().map(|each| each.left).collect();
        // As many at once as there are now: a guess, and the best that is known without asking the scheduler.
        let width = running.len().max(1) as i64;
        let eta = left.zip(of_running).map(|(left, running)| {
            let longest = running.iter().copied().max().unwrap_or(0);
            longest.max((left.cast_signed() + running.iter().sum::<i64>()) / width)
        });
        Now {
            running,
            waiting: if is_running { self.waiting(report, run_state) } else { Vec::new() },
            done,
            total: states.len(),
            eta: eta.filter(|_| is_running),
            messages: run_state.messages.iter().rev().take(MESSAGES).rev().cloned().collect(),
            stopping: run_state.is_stopping,
            controls: self.controls,
        }
    }

    /// First instances that wait, those first that wait for no other one.
    fn waiting(&self, report: &ReportData, run_state: &RunState) -> Vec<WaitingInstance> {
        let (names, states) = (&report.instances.name, &report.instances.state);
        let plan = self.session.plan;
        let mut waiting: Vec<(usize, WaitingInstance)> = Vec::new();
        for (number, _) in states.iter().enumerate().filter(|(_, state)| **state == InstanceState::Waiting) {
            let producers = plan.producers(InstanceId(number as u32)).map(InstanceId::index);
            let is_missing = |at: &usize| !matches!(states[*at], InstanceState::Done | InstanceState::Cached);
            let mut missing: Vec<usize> = producers.filter(is_missing).collect();
            missing.sort_unstable();
            let why = match (missing.as_slice(), run_state.queued.get(&number)) {
                ([], Some(why)) => why.clone(),
                ([], None) => "for free CPUs, memory or GPUs".to_owned(),
                ([one], _) => format!("for {}", names[*one]),
                ([one, rest @ ..], _) => format!("for {} and {} more", names[*one], rest.len()),
            };
            waiting.push((missing.len(), WaitingInstance { instance: names[number].clone(), why }));
        }
        waiting.sort_by_key(|(missing, _)| *missing);
        waiting.into_iter().take(WAITING).map(|(_, waiting)| waiting).collect()
    }

    fn log_end(&self, run: &str, log: &str) -> Vec<String> {
        let path: PathBuf = self.session.history().run_folder_called(run).join(log);
        end_of(&path).unwrap_or_default()
    }
}

fn end_of(path: &std::path::Path) -> std::io::Result<Vec<String>> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(LOG_LINES)..].iter().map(|line| (*line).to_owned()).collect())
}
