//! The summary of a run, for the list of runs.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use athanor_cache::{CacheError, Digest};
use athanor_stages::ports::OutputPort;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::events::{Counts, Outcome};
use crate::plan::{InstanceId, Plan};
use crate::run::engine::dispatcher::PassResult;
use crate::run::provenance::Provenance;
use crate::run::publish::{facts_of_run, places};
use crate::run::state::history::{PlanSummary, ResultPlace, RunId, RunSummary};

use super::Session;
use super::headline::headline;

/// Metrics that a run shows in the list of runs.
const MAX_HEADLINE: usize = 4;
/// Digits of a commit that are kept.
const COMMIT_DIGITS: usize = 12;

/// End of a run.
pub(super) struct RunEnd {
    /// Run.
    pub(super) run: RunId,
    /// Outcome.
    pub(super) outcome: Outcome,
    /// Numbers of instances by outcome.
    pub(super) counts: Counts,
    /// Duration.
    pub(super) duration_ms: u64,
    /// Provenance of its results.
    pub(super) provenance: Option<Provenance>,
}

/// Adds the summary of a run in which anything happened to its history.
pub(super) fn add_summary(session: &Session<'_>, pass: &PassResult, end: RunEnd) -> Result<(), CacheError> {
    let plan = session.plan;
    let done =
        |id: &InstanceId| Some((*id, pass.fingerprints[id.index()]?)).filter(|_| pass.outputs[id.index()].is_some());
    let done: Vec<(InstanceId, Digest)> = session.wanted.iter().filter_map(done).collect();
    let numbers: BTreeMap<&str, InstanceId> =
        done.iter().map(|(id, _)| (plan.instances[id.index()].name.as_str(), *id)).collect();
    let metrics_of = |id: InstanceId, fingerprint: &Digest| match pass.metrics.get(&id) {
        Some(metrics) => metrics.clone(),
        // One that was made now reports none.
        None if pass.finished.contains(&id) => Map::new(),
        None => {
            let record = session.project.cache.read_record(fingerprint).ok().flatten();
            record.map(|record| record.metrics).unwrap_or_default()
        }
    };
    let commit = end.provenance.and_then(|provenance| provenance.commit).map(|commit| {
        let id = commit.id.get(..COMMIT_DIGITS).unwrap_or(&commit.id);
        format!("{id}{}", if commit.dirty { "+" } else { "" })
    });
    let (places, unmade) = result_places(plan, pass);
    let facts = facts_of_run(plan, &session.history, Timestamp::now());
    let summary = RunSummary {
        run: end.run,
        ended: facts.time,
        duration_ms: end.duration_ms,
        outcome: end.outcome,
        counts: end.counts,
        set: facts.set,
        commit,
        headline: headline_of(plan, &done, &metrics_of),
        results: BTreeMap::new(),
        gone: BTreeSet::new(),
        plan: Some(PlanSummary {
            name: plan.name.clone(),
            variables: facts.variables,
            files: facts.vars,
            results: places,
        }),
        unmade,
    };
    let planned: HashSet<&str> = session.names().collect();
    let fingerprints = done.iter().map(|(id, fingerprint)| (plan.instances[id.index()].name.clone(), *fingerprint));
    session.history.add_summary(
        summary,
        fingerprints,
        |name, fingerprint| numbers.get(name).map(|id| metrics_of(*id, fingerprint)).unwrap_or_default(),
        |name| planned.contains(name),
    )
}

/// Places of the results, and the paths of those that the run did not make.
fn result_places(plan: &Plan, pass: &PassResult) -> (Vec<ResultPlace>, BTreeSet<String>) {
    let record = |id: InstanceId, port: &OutputPort| {
        pass.outputs[id.index()].as_ref()?.iter().find(|output| output.name == port.name)
    };
    let file = |id, port: &OutputPort| record(id, port).map_or_else(|| port.file.clone(), |made| made.file.clone());
    let (mut results, mut unmade) = (Vec::new(), BTreeSet::new());
    for (path, source) in places(plan, file) {
        let made_by = &plan.instances[source.instance.index()];
        let port = &made_by.outputs[source.output];
        if record(source.instance, port).is_none() {
            unmade.insert(path.clone());
        }
        results.push(ResultPlace { path, instance: made_by.name.clone(), output: port.name.clone() });
    }
    (results, unmade)
}

/// Headline metrics of what is done.
fn headline_of(
    plan: &Plan,
    done: &[(InstanceId, Digest)],
    metrics_of: &impl Fn(InstanceId, &Digest) -> Map<String, Value>,
) -> Vec<(String, String, f64)> {
    let fingerprints: HashMap<InstanceId, Digest> = done.iter().copied().collect();
    let numbers = |id: InstanceId| -> Vec<(String, f64)> {
        let metrics = fingerprints.get(&id).map(|fingerprint| metrics_of(id, fingerprint)).unwrap_or_default();
        metrics.into_iter().filter_map(|(metric, value)| Some((metric, value.as_f64()?))).collect()
    };
    let name = |id: InstanceId| plan.instances[id.index()].name.clone();
    let headline = headline(plan, MAX_HEADLINE, numbers).into_iter();
    headline.map(|entry| (name(entry.instance), entry.metric, entry.value)).collect()
}
