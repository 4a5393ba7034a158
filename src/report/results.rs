//! Results that a report shows: those of the pipeline as it is, or those after a run.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use athanor_cache::{ActionRecord, Cache, Digest};
use serde_json::{Map, Value};

use crate::events::RunEvent;
use crate::plan::{Instance, InstanceId, Plan};
use crate::run::state::history::{History, RunId, RunSummary, results_after};
use crate::run::status::Statuses;
use crate::run::{RunError, Session};

/// Result of one instance.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KnownResult {
    /// Fingerprint.
    pub fingerprint: Digest,
    /// Metrics, as far as they were summed up: the record may be gone.
    pub metrics: Map<String, Value>,
}

/// Results by instance.
pub(crate) type KnownResults = BTreeMap<String, KnownResult>;

/// Error of a choice of a run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunChoice {
    /// No such run.
    #[error("there is no run `{given}` of this pipeline{help}")]
    Unknown {
        /// As it was given.
        given: String,
        /// Runs that there are.
        help: String,
    },
    /// The history cannot be read.
    #[error(transparent)]
    History(#[from] athanor_cache::CacheError),
}

/// The run that a user means: by its name, by its number, `last`, or `last~2` for the second one before that.
pub(crate) fn choose_run(history: &History, given: &str) -> Result<RunId, RunChoice> {
    let mut runs = history.runs()?;
    runs.extend(history.summaries()?.into_iter().map(|summary| summary.run));
    runs.sort();
    runs.dedup();
    let number: Option<u64> = given.parse().ok();
    let is_meant = |run: &&RunId| run.as_str() == given || (number.is_some() && run.sequence() == number);
    let before_last = match given.strip_prefix("last") {
        Some("") => Some(0),
        Some(rest) => rest.strip_prefix('~').and_then(|count| count.parse::<usize>().ok()),
        None => None,
    };
    let found = match before_last {
        Some(count) => runs.iter().rev().nth(count),
        None => runs.iter().find(is_meant),
    };
    found.cloned().ok_or_else(|| {
        let last = runs.last().map(|last| format!("; the last one is `{last}`"));
        RunChoice::Unknown { given: given.to_owned(), help: last.unwrap_or_else(|| ": it has none".to_owned()) }
    })
}

/// Results after `run`, by its summary or else by its log.
pub(crate) fn results_of(history: &History, summaries: &[RunSummary], run: &RunId) -> Result<KnownResults, RunError> {
    let up_to = summaries.iter().take_while(|summary| summary.run <= *run).count();
    let mut results: KnownResults = results_after(&summaries[..up_to])
        .into_iter()
        .map(|(name, result)| (name, KnownResult { fingerprint: result.fingerprint, metrics: result.metrics }))
        .collect();
    if summaries[..up_to].last().is_none_or(|last| last.run != *run) {
        for (instance, fingerprint) in results_in_log(history, run)? {
            results.insert(instance, KnownResult { fingerprint, metrics: Map::new() });
        }
    }
    Ok(results)
}

/// Instances and fingerprints of the results that a run made or found, by its log.
fn results_in_log(history: &History, run: &RunId) -> Result<impl Iterator<Item = (String, Digest)>, RunError> {
    let events = history.events(run)?.into_iter();
    Ok(events.filter_map(|stamped| match stamped.event {
        RunEvent::Finished { instance, fingerprint, .. } | RunEvent::Cached { instance, fingerprint } => {
            Some((instance, fingerprint))
        }
        _ => None,
    }))
}

/// Fingerprints of all results that runs of the pipeline file of `history` made or found, under whatever profiles and variables, with
/// the names of their instances.
pub(crate) fn results_ever(history: &History, cache: &Cache) -> Result<BTreeMap<Digest, BTreeSet<String>>, RunError> {
    let place = |history: &History| history.identity().map(|identity| (identity.project(), identity.file()));
    let mut results: BTreeMap<Digest, BTreeSet<String>> = BTreeMap::new();
    let mut add = |name: String, fingerprint: Digest| {
        results.entry(fingerprint).or_default().insert(name);
    };
    let all = History::all(cache.root())?.unwrap_or_default();
    for history in all.iter().filter(|other| place(other) == place(history)) {
        let summaries = history.summaries()?;
        let summed_up: HashSet<&RunId> = summaries.iter().map(|summary| &summary.run).collect();
        for run in history.runs()?.iter().filter(|run| !summed_up.contains(run)) {
            results_in_log(history, run)?.for_each(|(name, fingerprint)| add(name, fingerprint));
        }
        for (name, result) in summaries.into_iter().flat_map(|summary| summary.results) {
            add(name, result.fingerprint);
        }
    }
    Ok(results)
}

/// Results of the pipeline as it is now: of the instances that are up to date, whichever run made them. The last result of one that
/// is not belongs to other parameters or inputs.
pub(crate) fn results_now(session: &Session<'_>) -> Result<KnownResults, RunError> {
    Ok(fresh_results(session.plan, &session.statuses(None, &HashSet::new())?))
}

/// Results of the instances that are up to date.
pub(crate) fn fresh_results(plan: &Plan, statuses: &Statuses) -> KnownResults {
    let of = |(instance, fingerprint): (&Instance, &Option<Digest>)| {
        let result = KnownResult { fingerprint: (*fingerprint)?, metrics: Map::new() };
        Some((instance.name.clone(), result))
    };
    plan.instances.iter().zip(&statuses.results).filter_map(of).collect()
}

impl KnownResult {
    /// Its record; `None` if it is gone.
    pub(crate) fn record(&self, cache: &Cache) -> Option<ActionRecord> {
        cache.read_record(&self.fingerprint).ok().flatten()
    }

    /// Its metrics that are numbers: those of the record, or else those that were summed up.
    pub(crate) fn numbers(&self, record: Option<&ActionRecord>) -> Vec<(String, f64)> {
        let metrics = record.map_or(&self.metrics, |record| &record.metrics);
        metrics.iter().filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect()
    }
}

/// Instances and results of a plan by the selected numbers, for lists.
pub(crate) fn selected<'r>(
    plan: &'r Plan,
    ids: &[InstanceId],
    results: &'r KnownResults,
) -> Vec<(&'r str, &'r KnownResult)> {
    let wanted: HashSet<InstanceId> = ids.iter().copied().collect();
    let is_wanted = |id: &InstanceId| ids.is_empty() || wanted.contains(id);
    let instances = plan.instances.iter().filter(|instance| is_wanted(&instance.id));
    instances.filter_map(|instance| Some((instance.name.as_str(), results.get(&instance.name)?))).collect()
}
