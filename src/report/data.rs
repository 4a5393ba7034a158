//! Data of a report, as its page reads them. Lists that are as long as the pipeline's instances are kept by column, so that
//! ten thousand instances stay small.

use std::collections::BTreeMap;

use athanor_stages::artifact::figure::Figure;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::run::provenance::Provenance;
use crate::view::stage_layout::StageLayout;

/// Data of a report.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct ReportData {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Pipeline file as given.
    pub file: String,
    /// Name and version of the program that made the report.
    pub program: String,
    /// Time at which it was made, in milliseconds since 1970.
    pub made: i64,
    /// Run that is shown; `None` if there was none.
    pub run: Option<RunData>,
    /// Run that it is compared with.
    pub other: Option<RunData>,
    /// Whether the page is about the comparison alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub comparison: bool,
    /// Metrics of the last stages.
    pub headline: Vec<HeadlineMetric>,
    /// Stages, in the order written.
    pub stages: Vec<StageData>,
    /// Graph of the stages.
    pub graph: GraphLayouts,
    /// Instances.
    pub instances: InstanceColumns,
    /// Reasons why instances were made, each once.
    pub reasons: Vec<String>,
    /// Environments in which they were made, each once.
    pub environments: Vec<Provenance>,
    /// Timeline of the run, if its log is there.
    pub timeline: Option<Timeline>,
    /// Learning curves.
    pub curves: Vec<CurveData>,
    /// Metrics by name.
    pub metrics: BTreeMap<String, MetricColumn>,
    /// Names of metrics and of curves, the most telling first.
    pub metric_order: Vec<String>,
    /// Number of these that tell how good something is.
    pub telling: usize,
    /// Metrics whose curves are shown at first: the most telling one, and the one that tells most of those that are good in the
    /// other direction.
    pub first_curves: Vec<String>,
    /// Figures.
    pub figures: Vec<FigureEntry>,
    /// Number of figures that were left out.
    pub figures_left_out: usize,
    /// Parameters by stage.
    pub params: Vec<StageParams>,
    /// Differences of parameters and inputs from the other run.
    pub changes: Vec<InstanceChange>,
    /// Differences of metrics from the other run.
    pub metric_changes: Vec<MetricChange>,
    /// Warnings of stages, of the results that are shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<WarningData>,
    /// Failures of the run.
    pub failures: Vec<FailureData>,
}

/// Run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct RunData {
    /// Name.
    pub id: String,
    /// Time of its first event, in milliseconds since 1970.
    pub begun: Option<i64>,
    /// Duration so far.
    pub duration_ms: Option<u64>,
    /// Outcome: that of an event, or `running` or `killed`.
    pub outcome: String,
    /// Variables that were set.
    pub set: Vec<String>,
    /// Commit of the project.
    pub commit: Option<String>,
}

/// Metric of one of the last stages.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct HeadlineMetric {
    /// Instance.
    pub instance: String,
    /// Metric.
    pub metric: String,
    /// Value.
    pub value: f64,
    /// Value in the other run.
    pub before: Option<f64>,
    /// Number of instances of which this one is the best; 1 if its stage has no other one.
    pub best_of: usize,
}

/// Stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct StageData {
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: String,
    /// Description.
    pub description: Option<String>,
    /// Stages that it reads from.
    pub reads: Vec<usize>,
}

/// Layouts of the graph of stages.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct GraphLayouts {
    /// For wide screens.
    pub wide: StageLayout,
    /// For narrow ones.
    pub narrow: StageLayout,
}

/// State of an instance in a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum InstanceState {
    /// Made in the run that is shown.
    Done,
    /// Found in the cache.
    Cached,
    /// Failed.
    Failed,
    /// Running.
    Running,
    /// Not made yet.
    #[default]
    Waiting,
    /// Skipped, as one that it needs failed.
    Skipped,
    /// Stopped by an interrupt.
    Interrupted,
}

/// Instances by column.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct InstanceColumns {
    /// Name.
    pub name: Vec<String>,
    /// Stage.
    pub stage: Vec<usize>,
    /// State.
    pub state: Vec<InstanceState>,
    /// Duration of the work.
    pub duration_ms: Vec<Option<u64>>,
    /// CPU time.
    pub cpu_ms: Vec<Option<u64>>,
    /// Peak memory, in bytes.
    pub peak: Vec<Option<u64>>,
    /// Bytes read.
    pub read: Vec<Option<u64>>,
    /// Bytes written.
    pub written: Vec<Option<u64>>,
    /// Use of GPUs, of those of which it is known.
    pub gpu: GpuColumns,
    /// Nodes of a cluster, of those that were made on one.
    pub node: NodeColumns,
    /// Index into the reasons.
    pub why: Vec<Option<usize>>,
    /// Index into the environments.
    pub environment: Vec<Option<usize>>,
}

/// Use of GPUs by column.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct GpuColumns {
    /// Instance.
    pub i: Vec<usize>,
    /// Peak memory, in bytes.
    pub peak: Vec<u64>,
    /// Utilisation, in percent.
    pub busy: Vec<Option<u32>>,
}

/// Nodes by column.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct NodeColumns {
    /// Instance.
    pub i: Vec<usize>,
    /// Name of the node.
    pub name: Vec<String>,
}

/// Timeline of a run. Times are in milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Timeline {
    /// Beginning.
    pub begin: i64,
    /// End, or the last event so far.
    pub end: i64,
    /// Attempts.
    pub spans: Spans,
    /// Results that were found in the cache.
    pub cached: CacheHits,
    /// Instances on the critical path, producers first.
    pub critical: Vec<usize>,
}

/// Results that were found in the cache, by column.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct CacheHits {
    /// Instance.
    pub i: Vec<usize>,
    /// Time from the beginning of the run, in milliseconds.
    pub at: Vec<i64>,
}

impl Timeline {
    /// Whether nothing happened to any instance.
    pub(crate) fn is_empty(&self) -> bool {
        self.spans.i.is_empty() && self.cached.i.is_empty()
    }
}

/// Attempts by column.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Spans {
    /// Instance.
    pub i: Vec<usize>,
    /// Start.
    pub start: Vec<i64>,
    /// End of the work, or of the run so far.
    pub end: Vec<i64>,
    /// Time at which all that it reads was there.
    pub ready: Vec<Option<i64>>,
    /// CPUs.
    pub cpus: Vec<u32>,
    /// GPUs.
    pub gpus: Vec<Vec<String>>,
    /// Number of the attempt.
    pub attempt: Vec<u32>,
    /// Node of a cluster.
    pub node: Vec<Option<String>>,
    /// State; one that waits is in a queue still.
    pub state: Vec<InstanceState>,
}

/// Learning curve.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct CurveData {
    /// Instance.
    pub i: usize,
    /// Metric.
    pub metric: String,
    /// Steps.
    pub x: Vec<u64>,
    /// Values.
    pub y: Vec<f64>,
    /// Whether it is of the other run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub other: bool,
}

/// Values of a metric.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct MetricColumn {
    /// Instances.
    pub i: Vec<usize>,
    /// Values.
    pub v: Vec<f64>,
}

/// Figure of an instance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct FigureEntry {
    /// Instance.
    pub i: usize,
    /// Figure.
    pub figure: Figure,
}

/// Parameters of a stage's instances.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct StageParams {
    /// Stage.
    pub stage: usize,
    /// Those that all instances have alike.
    pub common: Map<String, Value>,
    /// Those in which they differ.
    pub varying: VaryingParams,
}

/// Parameters in which the instances of a stage differ.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct VaryingParams {
    /// Names.
    pub names: Vec<String>,
    /// Instance, then its values.
    pub rows: Vec<Vec<Value>>,
}

/// Differences of one instance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct InstanceChange {
    /// Instance.
    pub instance: String,
    /// Differences in words.
    pub what: Vec<String>,
    /// Those of parameters whose values fit into a table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<ParameterChange>,
}

/// Difference of a parameter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ParameterChange {
    /// Name, with dots into mappings.
    pub name: String,
    /// Value in the other run.
    pub before: Option<Value>,
    /// Value in this one.
    pub now: Option<Value>,
    /// Index of the same difference in words.
    pub what: usize,
}

/// Difference of a metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct MetricChange {
    /// Instance.
    pub instance: String,
    /// Metric.
    pub metric: String,
    /// Value in the other run.
    pub before: Option<f64>,
    /// Value in this one.
    pub now: Option<f64>,
}

/// Warning of an instance about what it was given.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct WarningData {
    /// Instance.
    pub instance: String,
    /// Warning.
    pub text: String,
}

/// Failure of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct FailureData {
    /// Instance.
    pub instance: String,
    /// Number of the attempt.
    pub attempt: u32,
    /// Cause.
    pub cause: String,
    /// Remedy.
    pub help: Option<String>,
    /// End of its log.
    pub log: Vec<String>,
    /// Whether it was tried again.
    pub retrying: bool,
}
