//! Gathering of a report's data.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use athanor_cache::{ActionRecord, Cache};
use jiff::Timestamp;

use crate::events::{Outcome, Stamped};
use crate::metric_names::{is_small_better, rank, tells_quality};
use crate::plan::{Instance, InstanceId, Plan};
use crate::report::comparison;
use crate::report::curves::thinned;
use crate::report::data::{
    CurveData, FigureEntry, GraphLayouts, HeadlineMetric, InstanceState, MetricColumn, ReportData, RunData, StageData,
    WarningData,
};
use crate::report::earlier_plan;
use crate::report::figures::fitting;
use crate::report::parameters::{self, Parameters};
use crate::report::results::{KnownResults, fresh_results, results_of};
use crate::report::timeline::RunState;
use crate::run::attempts::annex::Annex;
use crate::run::attempts::facts::Facts;
use crate::run::inputs::fingerprint::recorded_recipe;
use crate::run::session::headline::Headline;
use crate::run::state::history::{History, RunId, RunSummary};
use crate::run::{PROGRAM, Reason, RunError, Session, Status, headline};
use crate::view::stage_graph::StageGraph;
use crate::view::stage_layout::Direction;
use crate::view::status;

/// Metrics at the head of a report.
const MAX_HEADLINE: usize = 6;
/// Reasons of one instance that are shown.
const MAX_REASONS: usize = 4;
/// Outcome of a run that ended without a word.
const KILLED: &str = "killed";

/// Request for a report.
pub(crate) struct ReportRequest<'r> {
    /// Session about the pipeline.
    pub session: &'r Session<'r>,
    /// The cache.
    pub cache: &'r Cache,
    /// Run to show; `None` for the pipeline as it is.
    pub run: Option<&'r RunId>,
    /// Run to compare it with.
    pub other: Option<&'r RunId>,
    /// Whether the report is about the comparison alone.
    pub comparison: bool,
    /// Pipeline file as given.
    pub file: String,
    /// Time of the report.
    pub now: Timestamp,
}

/// Gathers the data of a report.
pub(crate) fn gather(request: &ReportRequest<'_>) -> Result<ReportData, RunError> {
    gather_with_state(request).map(|(data, _)| data)
}

/// Gathers the data of a report, and what happened in the run that it shows.
pub(crate) fn gather_with_state(request: &ReportRequest<'_>) -> Result<(ReportData, RunState), RunError> {
    let ReportRequest { session, cache, .. } = *request;
    let (plan, history) = (session.plan, session.history());
    let summaries = history.summaries()?;
    // First of all, so that what is said to be finished is among the results.
    let shown = request.run.cloned().map_or_else(|| history.last_run(), |run| Ok(Some(run)))?;
    let events = shown.as_ref().map(|run| history.events(run)).transpose()?.unwrap_or_default();
    let (results, statuses) = match request.run {
        Some(run) => (results_of(history, &summaries, run)?, Vec::new()),
        None => {
            let statuses = session.statuses(None, &HashSet::new())?;
            (fresh_results(plan, &statuses), statuses.of)
        }
    };
    // An earlier run may have had instances that the pipeline file has lost.
    let whole = request.run.and_then(|_| earlier_plan::with_gone(plan, &results, &events, cache));
    let plan: &Plan = whole.as_ref().unwrap_or(plan);
    let mut run_state = RunState::of(plan, &events);
    let with_results = plan.instances.iter().filter(|instance| results.contains_key(&instance.name));
    run_state.add_unchanged(with_results.map(|instance| instance.id.index()), session.plan.instances.len());
    let run = shown.as_ref().map(|run| run_data(history, &summaries, run, &events, &run_state));
    if run.as_ref().is_some_and(|run| run.outcome == KILLED) {
        run_state.end_with_its_run();
    }
    let mut data = ReportData {
        pipeline: plan.name.clone(),
        file: request.file.clone(),
        comparison: request.comparison,
        program: PROGRAM.to_owned(),
        made: request.now.as_millisecond(),
        run,
        stages: stages(plan),
        graph: graph(plan),
        params: parameters::of_stages(plan, &parameters_at(request, plan, &results)),
        ..ReportData::default()
    };
    let (mut curves, figures) = fill_instances(&mut data, request, plan, &results, &statuses, &run_state);
    for ((i, metric), points) in &run_state.curves {
        let (x, y) = points.iter().copied().unzip();
        curves.push(CurveData { i: *i, metric: metric.clone(), x, y, other: false });
    }
    data.curves = thinned(curves);
    (data.figures, data.figures_left_out) = fitting(figures, &data.instances.stage);
    data.headline = headline_of(plan, &data.metrics);
    data.failures = run_state.failures.clone();
    data.timeline = Some(run_state.timeline.clone()).filter(|timeline| !timeline.is_empty());
    if let Some(other) = request.other {
        let before = results_of(history, &summaries, other)?;
        let events = history.events(other)?;
        data.other = Some(run_data(history, &summaries, other, &events, &RunState::of(plan, &events)));
        comparison::compare_into(&mut data, cache, plan, &before, &results);
    }
    if request.comparison {
        // Nothing of these is shown.
        (data.timeline, data.failures, data.figures) = (None, Vec::new(), Vec::new());
    }
    data.metric_order = metric_order(&data.metrics, &data.curves);
    data.first_curves = first_curves(&data.metric_order, &data.curves);
    data.telling = data.metric_order.iter().take_while(|name| tells_quality(name)).count();
    Ok((data, run_state))
}

fn run_data(
    history: &History,
    summaries: &[RunSummary],
    run: &RunId,
    events: &[Stamped],
    run_state: &RunState,
) -> RunData {
    let summary = summaries.iter().find(|summary| summary.run == *run);
    let begun = events.first().map(|first| first.time.as_millisecond());
    let so_far = events.last().zip(begun).map(|(last, begun)| (last.time.as_millisecond() - begun).cast_unsigned());
    let outcome = match run_state.outcome.or(summary.map(|summary| summary.outcome)) {
        Some(outcome) => outcome_name(outcome),
        None if history.is_running().unwrap_or(false) => "running",
        None => KILLED,
    };
    RunData {
        id: run.to_string(),
        begun: begun.or_else(|| Some(summary?.ended.as_millisecond() - summary?.duration_ms.cast_signed())),
        duration_ms: summary.map(|summary| summary.duration_ms).or(so_far),
        outcome: outcome.to_owned(),
        set: summary.map(|summary| summary.set.clone()).unwrap_or_default(),
        commit: summary.and_then(|summary| summary.commit.clone()),
    }
}

/// Name of an outcome, as events write it.
pub(crate) fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::UpToDate => "up_to_date",
        Outcome::Failed => "failed",
        Outcome::Interrupted => "interrupted",
    }
}

fn stages(plan: &Plan) -> Vec<StageData> {
    let mut stages: Vec<StageData> = plan
        .stages
        .iter()
        .map(|stage| StageData {
            name: stage.name.clone(),
            kind: stage.kind.clone(),
            description: stage.description.clone(),
            reads: Vec::new(),
        })
        .collect();
    for instance in &plan.instances {
        for producer in plan.producers(instance.id) {
            stages[instance.stage].reads.push(plan.instances[producer.index()].stage);
        }
    }
    for stage in &mut stages {
        stage.reads.sort_unstable();
        stage.reads.dedup();
    }
    stages
}

fn graph(plan: &Plan) -> GraphLayouts {
    let graph = StageGraph::of(plan);
    GraphLayouts { wide: graph.lay_out(Direction::Right), narrow: graph.lay_out(Direction::Down) }
}

/// Parameters by instance: those of the plan, or those that the results after a run were made with.
fn parameters_at(request: &ReportRequest<'_>, plan: &Plan, results: &KnownResults) -> Vec<Option<Parameters>> {
    let of_instance = |instance: &Instance| {
        if request.run.is_none() {
            return Some(parameters::of_instance(instance));
        }
        let fingerprint = &results.get(&instance.name)?.fingerprint;
        Some(parameters::of_recipe(instance, recorded_recipe(request.cache, fingerprint).ok()??))
    };
    plan.instances.iter().map(of_instance).collect()
}

/// Fills the columns of instances and metrics; returns curves and figures.
fn fill_instances(
    data: &mut ReportData,
    request: &ReportRequest<'_>,
    plan: &Plan,
    results: &KnownResults,
    statuses: &[Option<Status>],
    run_state: &RunState,
) -> (Vec<CurveData>, Vec<FigureEntry>) {
    let (mut curves, mut figures) = (Vec::new(), Vec::new());
    let (mut reasons, mut environments) = (Distinct::default(), Distinct::default());
    for instance in &plan.instances {
        let at = instance.id.index();
        let status = statuses.get(at).and_then(Option::as_ref);
        let result = results.get(&instance.name);
        let record = result.and_then(|result| result.record(request.cache));
        let facts = record.as_ref().map(Facts::of).unwrap_or_default();
        let columns = &mut data.instances;
        columns.name.push(instance.name.clone());
        columns.stage.push(instance.stage);
        columns.state.push(state_of(
            result.is_some(),
            status,
            run_state.state_for(at, result.map(|it| it.fingerprint)),
        ));
        columns.duration_ms.push(record.as_ref().map(|record| record.duration_ms));
        columns.cpu_ms.push(facts.used.map(|used| used.cpu_ms));
        columns.peak.push(facts.used.map(|used| used.peak_memory));
        columns.read.push(facts.used.and_then(|used| used.read));
        columns.written.push(facts.used.and_then(|used| used.written));
        if let Some(gpu) = facts.used.and_then(|used| used.gpu) {
            columns.gpu.i.push(at);
            columns.gpu.peak.push(gpu.peak_memory);
            columns.gpu.busy.push(gpu.utilisation);
        }
        if let Some(node) = facts.node {
            columns.node.i.push(at);
            columns.node.name.push(node);
        }
        let warning = |text| WarningData { instance: instance.name.clone(), text };
        data.warnings.extend(facts.warnings.into_iter().map(warning));
        columns.why.push(reasons.add(why(&facts.why, status)));
        columns.environment.push(facts.provenance.and_then(|provenance| environments.add(Some(provenance))));
        if let Some(result) = result {
            for (name, value) in result.numbers(record.as_ref()) {
                let column = data.metrics.entry(name).or_default();
                column.i.push(at);
                column.v.push(value);
            }
        }
        if let Some(record) = &record {
            annex_into(request.cache, record, at, &mut curves, &mut figures);
        }
    }
    data.reasons = reasons.list;
    data.environments = environments.list;
    (curves, figures)
}

fn annex_into(
    cache: &Cache,
    record: &ActionRecord,
    at: usize,
    curves: &mut Vec<CurveData>,
    figures: &mut Vec<FigureEntry>,
) {
    let annex = Annex::of(cache, record);
    for (metric, points) in annex.curves {
        let (x, y) = points.into_iter().unzip();
        curves.push(CurveData { i: at, metric, x, y, other: false });
    }
    figures.extend(annex.figures.into_values().map(|figure| FigureEntry { i: at, figure }));
}

fn state_of(is_current: bool, status: Option<&Status>, in_run: Option<InstanceState>) -> InstanceState {
    match (is_current, in_run) {
        (true, Some(InstanceState::Done)) => InstanceState::Done,
        (true, _) => InstanceState::Cached,
        // It was made, and what it is made from has changed since.
        (false, Some(InstanceState::Done | InstanceState::Cached)) => InstanceState::Waiting,
        (false, Some(state)) => state,
        (false, None) => match status {
            Some(Status::Stale { reasons })
                if reasons.iter().any(|why| matches!(why, Reason::Failed { of_other_work: false, .. })) =>
            {
                InstanceState::Failed
            }
            _ => InstanceState::Waiting,
        },
    }
}

/// Why an instance was made, or why it would be.
fn why(made: &[Reason], status: Option<&Status>) -> Option<String> {
    let reasons = match status {
        Some(Status::Stale { reasons }) => reasons,
        Some(Status::Waits { .. }) => return status.map(status::brief),
        _ => made,
    };
    let mut words: Vec<String> = reasons.iter().take(MAX_REASONS).map(status::reason).collect();
    if reasons.len() > MAX_REASONS {
        words.push(format!("and {} more", reasons.len() - MAX_REASONS));
    }
    (!words.is_empty()).then(|| words.join("; "))
}

/// Values, each once, in the order in which they came.
struct Distinct<T> {
    list: Vec<T>,
    places: BTreeMap<T, usize>,
}

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Distinct { list: Vec::new(), places: BTreeMap::new() }
    }
}

impl<T: Ord + Clone> Distinct<T> {
    fn add(&mut self, value: Option<T>) -> Option<usize> {
        let value = value?;
        let next = self.list.len();
        let place = *self.places.entry(value.clone()).or_insert(next);
        if place == next {
            self.list.push(value);
        }
        Some(place)
    }
}

/// Metrics that speak for the pipeline, of the instances that are up to date.
fn headline_of(plan: &Plan, metrics: &BTreeMap<String, MetricColumn>) -> Vec<HeadlineMetric> {
    let numbers = |id: InstanceId| -> Vec<(String, f64)> {
        let of_instance = |(name, column): (&String, &MetricColumn)| {
            // Columns are filled in the order of instances.
            let at = column.i.binary_search(&id.index()).ok()?;
            Some((name.clone(), column.v[at]))
        };
        metrics.iter().filter_map(of_instance).collect()
    };
    let shown = |entry: Headline| HeadlineMetric {
        instance: plan.instances[entry.instance.index()].name.clone(),
        metric: entry.metric,
        value: entry.value,
        before: None,
        best_of: entry.best_of,
    };
    headline(plan, MAX_HEADLINE, numbers).into_iter().map(shown).collect()
}

/// Names of metrics and curves, the most telling first.
fn metric_order(metrics: &BTreeMap<String, MetricColumn>, curves: &[CurveData]) -> Vec<String> {
    let names: BTreeSet<&String> = metrics.keys().chain(curves.iter().map(|curve| &curve.metric)).collect();
    let mut names: Vec<String> = names.into_iter().cloned().collect();
    names.sort_by_key(|name| rank(name));
    names
}

/// Metrics whose curves are shown at first: a score beside a loss.
fn first_curves(order: &[String], curves: &[CurveData]) -> Vec<String> {
    let drawn: BTreeSet<&String> = curves.iter().map(|curve| &curve.metric).collect();
    let mut metrics = order.iter().filter(|name| drawn.contains(name));
    let Some(first) = metrics.next() else { return Vec::new() };
    let rest: Vec<&String> = metrics.collect();
    let is_opposite = |name: &&&String| is_small_better(name) != is_small_better(first) && tells_quality(name);
    let second = rest.iter().find(is_opposite).or_else(|| rest.first());
    std::iter::once(first).chain(second.copied()).cloned().collect()
}
