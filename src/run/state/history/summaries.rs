//! Summaries of runs: one line a run in `summaries.jsonl`, kept for good when its logs are gone.
//!
//! A line names the results that are others than after the runs before it, so that the lines up to a run tell all of that run's
//! results, and a run that makes one result again writes one result down. A line that is damaged, or was cut off, is passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;

use athanor_cache::Digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::events::{Counts, Outcome};
use crate::run::state::history::files::{lock, read_if_there, refused};
use crate::run::state::history::{History, Result, RunId};

/// Name of the file.
const FILE: &str = "summaries.jsonl";

/// Metrics of a result that a summary has at most.
const MAX_METRICS: usize = 16;

/// Summary of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Run.
    pub run: RunId,
    /// Time at which it ended.
    pub ended: Timestamp,
    /// Duration.
    pub duration_ms: u64,
    /// Outcome.
    pub outcome: Outcome,
    /// Numbers of instances by outcome.
    pub counts: Counts,
    /// Variables that were set for this run, as they were given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
    /// Commit of the project, with `+` behind it where tracked files differed from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Metrics of the last stages that have any: instance, metric and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headline: Vec<(String, String, f64)>,
    /// Results that are others than before, by instance.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub results: BTreeMap<String, ResultSummary>,
    /// Instances that the pipeline has no longer.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub gone: BTreeSet<String>,
    /// Plan, unless it is that of the run before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanSummary>,
    /// Paths of results that it did not make.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unmade: BTreeSet<String>,
}

/// Summary of a run's plan: all that it takes to put the run's results in place again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanSummary {
    /// Name of the pipeline.
    pub name: String,
    /// Evaluated variables, by name.
    pub variables: Value,
    /// Files of `--vars`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Results.
    pub results: Vec<ResultPlace>,
}

/// Place of a result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResultPlace {
    /// Path below the pipeline's folder of results.
    pub path: String,
    /// Instance that makes it.
    pub instance: String,
    /// Its output.
    pub output: String,
}

/// Summary of a result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResultSummary {
    /// Fingerprint.
    pub fingerprint: Digest,
    /// Last values of its metrics.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metrics: Map<String, Value>,
}

/// Results by instance.
pub type Results = BTreeMap<String, ResultSummary>;

impl ResultSummary {
    /// Summary of a result with these metrics, of which the first ones are kept.
    pub fn new(fingerprint: Digest, metrics: &Map<String, Value>) -> ResultSummary {
        let metrics = metrics.iter().take(MAX_METRICS).map(|(name, value)| (name.clone(), value.clone())).collect();
        ResultSummary { fingerprint, metrics }
    }
}

impl History {
    /// Summaries of all runs in which anything happened, oldest first.
    pub fn summaries(&self) -> Result<Vec<RunSummary>> {
        let path = self.folder.join(FILE);
        let bytes = read_if_there(&path).map_err(refused(&path))?.unwrap_or_default();
        let lines = bytes.split(|byte| *byte == b'\n');
        Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }

    /// Adds the summary of a run: `fingerprints` are those of the results that it left, of which those that are new are written down, and
    /// `is_planned` tells whether the pipeline still has an instance. A plan that is that of the run before is not written down.
    pub fn add_summary(
        &self,
        mut summary: RunSummary,
        fingerprints: impl Iterator<Item = (String, Digest)>,
        metrics: impl Fn(&str, &Digest) -> Map<String, Value>,
        is_planned: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let lock_path = self.folder.join("ledger.lock");
        let _alone = lock(&lock_path).map_err(refused(&lock_path))?;
        let earlier = self.summaries()?;
        if plan_after(&earlier) == summary.plan.as_ref() {
            summary.plan = None;
        }
        let before = results_after(&earlier);
        for (name, fingerprint) in fingerprints {
            if before.get(&name).is_none_or(|known| known.fingerprint != fingerprint) {
                let result = ResultSummary::new(fingerprint, &metrics(&name, &fingerprint));
                summary.results.insert(name, result);
            }
        }
        summary.gone = before.into_keys().filter(|name| !is_planned(name)).collect();
        let path = self.folder.join(FILE);
        self.append_line(&summary).map_err(refused(&path))
    }

    fn append_line(&self, summary: &RunSummary) -> std::io::Result<()> {
        let path = self.folder.join(FILE);
        let cut_off = read_if_there(&path)?.is_some_and(|bytes| bytes.last().is_some_and(|last| *last != b'\n'));
        let mut line = if cut_off { b"\n".to_vec() } else { Vec::new() };
        serde_json::to_writer(&mut line, summary).map_err(std::io::Error::other)?;
        line.push(b'\n');
        File::options().create(true).append(true).open(path)?.write_all(&line)
    }
}

/// Results after these runs.
pub fn results_after(summaries: &[RunSummary]) -> Results {
    let mut results = Results::new();
    for summary in summaries {
        summary.gone.iter().for_each(|name| drop(results.remove(name)));
        results.extend(summary.results.iter().map(|(name, result)| (name.clone(), result.clone())));
    }
    results
}

/// Plan of the last of these runs, as far as it was noted.
pub fn plan_after(summaries: &[RunSummary]) -> Option<&PlanSummary> {
    summaries.iter().rev().find_map(|summary| summary.plan.as_ref())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn summary(number: u64) -> RunSummary {
        RunSummary {
            run: RunId::new(number, Timestamp::UNIX_EPOCH),
            ended: Timestamp::UNIX_EPOCH,
            duration_ms: 3,
            outcome: Outcome::UpToDate,
            counts: Counts::default(),
            set: Vec::new(),
            commit: None,
            headline: Vec::new(),
            results: BTreeMap::new(),
            gone: BTreeSet::new(),
            plan: None,
            unmade: BTreeSet::new(),
        }
    }

    fn add(history: &History, number: u64, results: &[(&str, &str)]) {
        let fingerprints = results.iter().map(|(name, content)| ((*name).to_owned(), Digest::of(content.as_bytes())));
        let planned = |name: &str| results.iter().any(|(known, _)| *known == name);
        let metrics = |name: &str, _: &Digest| [("m".to_owned(), Value::from(name.len()))].into_iter().collect();
        history.add_summary(summary(number), fingerprints, metrics, planned).unwrap();
    }

    #[test]
    fn lines_say_what_is_new_and_tell_all_results_together() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::at(folder.path().to_owned());
        assert_eq!(history.summaries().unwrap(), []);
        add(&history, 1, &[("a", "1"), ("b", "1")]);
        add(&history, 2, &[("a", "1"), ("b", "2")]);
        add(&history, 3, &[("b", "2"), ("c", "1")]);
        let summaries = history.summaries().unwrap();
        let new: Vec<Vec<&str>> =
            summaries.iter().map(|summary| summary.results.keys().map(String::as_str).collect()).collect();
        assert_eq!(new, [vec!["a", "b"], vec!["b"], vec!["c"]]);
        let names = |results: &Results| results.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&results_after(&summaries)), ["b", "c"]);
        let second = results_after(&summaries[..2]);
        assert_eq!(names(&second), ["a", "b"]);
        assert_eq!(second["b"].fingerprint, Digest::of(b"2"));
        assert_eq!(second["b"].metrics["m"], 1);
    }

    #[test]
    fn a_line_that_was_cut_off_costs_itself_alone() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::at(folder.path().to_owned());
        add(&history, 1, &[("a", "1")]);
        let path = folder.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], &whole[..whole.len() / 2]].concat()).unwrap();
        add(&history, 2, &[("a", "2")]);
        let summaries = history.summaries().unwrap();
        assert_eq!(summaries.len(), 2);
        assert_eq!(results_after(&summaries)["a"].fingerprint, Digest::of(b"2"));
    }
}
