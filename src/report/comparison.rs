//! Comparison of the results of two runs.

use std::collections::{BTreeMap, BTreeSet};

use athanor_cache::Cache;
use serde::Serialize;
use serde_json::Value;

use crate::escape::escape;
use crate::metric_names::{is_aside, rank};
use crate::plan::Plan;
use crate::report::curves::thinned;
use crate::report::data::{CurveData, InstanceChange, MetricChange, ParameterChange, ReportData};
use crate::report::metric_table::csv_cell;
use crate::report::results::{KnownResult, KnownResults, results_of};
use crate::run::attempts::annex::Annex;
use crate::run::inputs::fingerprint::recorded_recipe;
use crate::run::state::history::RunId;
use crate::run::status::compare;
use crate::run::{Reason, RunError, Session};
use crate::view::metrics::shortened;
use crate::view::status::reason;
use crate::view::text::{count, table};

/// Instances whose differences are told.
const MAX_CHANGES: usize = 300;
/// Bytes of a value, written as JSON, that fit into a table.
const MAX_CELL: usize = 200;

/// Differences between the results of two runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Comparison {
    /// Differences of parameters and inputs, by instance.
    pub changes: Vec<InstanceChange>,
    /// Metrics that either has.
    pub metrics: Vec<MetricChange>,
}

/// Compares the results after two runs.
pub(crate) fn compare_runs(
    session: &Session<'_>,
    cache: &Cache,
    one: &RunId,
    other: &RunId,
) -> Result<Comparison, RunError> {
    let summaries = session.history().summaries()?;
    let of = |run: &RunId| results_of(session.history(), &summaries, run);
    let names: Vec<&str> = session.plan.instances.iter().map(|instance| instance.name.as_str()).collect();
    Ok(compare_results(cache, &names, &of(one)?, &of(other)?))
}

impl Comparison {
    /// The comparison as text.
    pub(crate) fn text(&self, one: &RunId, other: &RunId) -> String {
        let mut out = format!("from {one} to {other}\n");
        if self.changes.is_empty() {
            out += "nothing that was declared differs\n";
        }
        for InstanceChange { instance, what, .. } in &self.changes {
            out += &format!("{}:\n", escape(instance));
            out.extend(what.iter().map(|text| format!("  - {text}\n")));
        }
        if self.metrics.is_empty() {
            return out;
        }
        let show = |value: Option<f64>| value.map(shortened).unwrap_or_default();
        let (changed, same): (Vec<&MetricChange>, Vec<&MetricChange>) =
            self.metrics.iter().partition(|change| change.before != change.now);
        let rows: Vec<Vec<String>> = changed
            .iter()
            .map(|change| {
                let difference = change.before.zip(change.now).map(|(before, now)| now - before);
                let difference =
                    difference.map(|by| if by > 0.0 { format!("+{}", shortened(by)) } else { shortened(by) });
                let (instance, metric) = (escape(&change.instance).into_owned(), escape(&change.metric).into_owned());
                vec![instance, metric, show(change.before), show(change.now), difference.unwrap_or_default()]
            })
            .collect();
        if !rows.is_empty() {
            out += &format!("\n{}", table(&["INSTANCE", "METRIC", "BEFORE", "NOW", "DIFFERENCE"], &rows));
        }
        if !same.is_empty() {
            out += &format!("\n{} the same in both: --csv and --json have them\n", count(same.len(), "value"));
        }
        out
    }

    /// The metrics as CSV.
    pub(crate) fn csv(&self) -> String {
        let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        let line = |change: &MetricChange| {
            let (instance, metric) = (csv_cell(&change.instance), csv_cell(&change.metric));
            format!("{instance},{metric},{},{}\n", number(change.before), number(change.now))
        };
        let lines: String = self.metrics.iter().map(line).collect();
        format!("instance,metric,before,now\n{lines}")
    }
}

/// Compares two lists of results; instances in the order of `names` come first.
pub(crate) fn compare_results(cache: &Cache, names: &[&str], before: &KnownResults, now: &KnownResults) -> Comparison {
    let known: BTreeSet<&str> = names.iter().copied().collect();
    let gone = before.keys().map(String::as_str).filter(|name| !known.contains(name));
    let mut comparison = Comparison::default();
    for name in names.iter().copied().chain(gone) {
        let (one, two) = (before.get(name), now.get(name));
        let (what, parameters) = differences(cache, one, two);
        if !what.is_empty() && comparison.changes.len() < MAX_CHANGES {
            comparison.changes.push(InstanceChange { instance: name.to_owned(), what, parameters });
        }
        comparison.metrics.extend(metrics(cache, name, one, two));
    }
    // How the work was done differs from run to run, and says nothing of what came out.
    comparison.metrics.sort_by_key(|change| is_aside(&change.metric));
    comparison
}

/// Differences between two results of an instance: all in words, and those of parameters.
fn differences(
    cache: &Cache,
    before: Option<&KnownResult>,
    now: Option<&KnownResult>,
) -> (Vec<String>, Vec<ParameterChange>) {
    let alone = |text: &str| (vec![text.to_owned()], Vec::new());
    match (before, now) {
        (None, None) => (Vec::new(), Vec::new()),
        (None, Some(_)) => alone("it is new"),
        (Some(_), None) => alone("it is gone, or was not made"),
        (Some(before), Some(now)) if before.fingerprint == now.fingerprint => (Vec::new(), Vec::new()),
        (Some(before), Some(now)) => {
            let recipe = |result: &KnownResult| recorded_recipe(cache, &result.fingerprint).ok().flatten();
            match (recipe(before), recipe(now)) {
                (Some(one), Some(two)) => {
                    let reasons = compare(cache, &one, &two);
                    let reasons = if reasons.is_empty() { vec![Reason::Secret] } else { reasons };
                    let parameters = reasons.iter().enumerate().filter_map(|(what, reason)| parameter(what, reason));
                    (reasons.iter().map(reason).collect(), parameters.collect())
                }
                _ => alone("it was made from something else, whose record is no longer in the cache"),
            }
        }
    }
}

/// Difference number `what` as one of a parameter, if it is one whose values fit into a table.
fn parameter(what: usize, reason: &Reason) -> Option<ParameterChange> {
    let (name, before, now) = match reason {
        Reason::Parameter { name, from, to } => (name.clone(), from.clone(), to.clone()),
        Reason::Seed { from, to } => ("seed".to_owned(), Some(Value::from(*from)), Some(Value::from(*to))),
        _ => return None,
    };
    let fits = |value: &Option<Value>| {
        let text = value.as_ref().map(Value::to_string).unwrap_or_default();
        text.len() <= MAX_CELL && !text.contains("\\n")
    };
    (fits(&before) && fits(&now)).then_some(ParameterChange { name, before, now, what })
}

fn metrics(cache: &Cache, name: &str, before: Option<&KnownResult>, now: Option<&KnownResult>) -> Vec<MetricChange> {
    let of = |result: Option<&KnownResult>| -> BTreeMap<String, f64> {
        result.map(|result| result.numbers(result.record(cache).as_ref())).unwrap_or_default().into_iter().collect()
    };
    let (before, now) = (of(before), of(now));
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let mut names: Vec<&String> = names.into_iter().collect();
    names.sort_by_key(|name| rank(name));
    let change = |metric: &String| MetricChange {
        instance: name.to_owned(),
        metric: metric.clone(),
        before: before.get(metric).copied(),
        now: now.get(metric).copied(),
    };
    names.into_iter().map(change).collect()
}

/// Adds a comparison with the results `before` to a report.
pub(crate) fn compare_into(
    data: &mut ReportData,
    cache: &Cache,
    plan: &Plan,
    before: &KnownResults,
    now: &KnownResults,
) {
    let names: Vec<&str> = plan.instances.iter().map(|instance| instance.name.as_str()).collect();
    let Comparison { changes, metrics } = compare_results(cache, &names, before, now);
    data.changes = changes;
    let differs = |change: &MetricChange| change.before != change.now;
    for headline in &mut data.headline {
        let is_same = |change: &&MetricChange| change.instance == headline.instance && change.metric == headline.metric;
        headline.before = metrics.iter().find(is_same).and_then(|change| change.before);
    }
    data.metric_changes = metrics.into_iter().filter(differs).collect();
    let mut earlier = Vec::new();
    for instance in &plan.instances {
        let (Some(before), Some(now)) = (before.get(&instance.name), now.get(&instance.name)) else { continue };
        let record = (before.fingerprint != now.fingerprint).then(|| before.record(cache)).flatten();
        for (metric, points) in record.map(|record| Annex::of(cache, &record).curves).unwrap_or_default() {
            let (x, y) = points.into_iter().unzip();
            earlier.push(CurveData { i: instance.id.index(), metric, x, y, other: true });
        }
    }
    data.curves.extend(thinned(earlier));
}
