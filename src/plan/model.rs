//! The plan: every instance of every stage, with its inputs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use athanor_stages::artifact::ArtifactType;
use athanor_stages::kind::Kind;
use athanor_stages::ports::OutputPort;
use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use serde::{Deserialize, Serialize};

use crate::language::{
    ByteSize, ContainerEngine, Diagnostic, Diagnostics, GpuShare, SandboxMode, Shell, SourceText, Span, VariablePattern,
};

/// Number of an instance: its place in [`Plan::instances`], and its node in [`Plan::graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct InstanceId(pub u32);

impl InstanceId {
    /// As an index into [`Plan::instances`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Number of a source: its place in [`Plan::sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceId(pub u32);

impl SourceId {
    /// As an index into [`Plan::sources`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Plan: a pipeline with everything evaluated and checked.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Name of the pipeline.
    pub name: String,
    /// Every instance, stage by stage in the order written, matrix points with the first axis slowest.
    pub instances: Vec<Instance>,
    /// Graph from producers to consumers; node `i` is instance `i`, and no edge is there twice.
    pub graph: DiGraph<InstanceId, ()>,
    /// The files and folders of the project that instances read, each once.
    pub sources: Vec<Source>,
    /// Results, as the user gets them.
    pub results: Vec<ResultEntry>,
    /// The stages, in the order written.
    pub stages: Vec<StageInfo>,
    /// Evaluated variables, by name.
    pub vars: serde_json::Value,
    /// Warnings about its texts.
    pub warnings: Vec<Diagnostic>,
    /// Number of files of `--vars` among the texts.
    pub variable_files: usize,
    /// Texts that spans point into: the pipeline file, then the `--set` and the `--profile` arguments, the files of `--vars`, and the
    /// included files.
    pub texts: Arc<[SourceText]>,
}

/// Stage as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageInfo {
    /// Its name.
    pub name: String,
    /// Its kind's name.
    pub kind: String,
    /// Description, in the user's words.
    pub description: Option<String>,
}

/// Instance: one stage at one point of its matrix.
#[derive(Clone, Serialize, Deserialize)]
pub struct Instance {
    /// Its number.
    pub id: InstanceId,
    /// Its stage, as an index into [`Plan::stages`].
    pub stage: usize,
    /// `stage`, or `stage[axis=value,…]`.
    pub name: String,
    /// Its matrix point, in the order of the name.
    pub point: Vec<AxisLabel>,
    /// Kind.
    #[serde(with = "super::kind_name")]
    pub kind: &'static dyn Kind,
    /// Work.
    pub work: Work,
    /// Seed of its random numbers.
    pub seed: u64,
    /// Inputs, in the order of the kind's ports, or as written.
    pub inputs: Vec<Input>,
    /// Output ports; the first is the primary one.
    pub outputs: Vec<OutputPort>,
    /// Resources that it needs to run.
    pub resources: Resources,
    /// Span of these; of the stage's name where there are none.
    pub resources_span: Span,
    /// Time limit of an attempt.
    pub timeout: Option<Duration>,
    /// Number of retries after a failure.
    pub retries: u32,
    /// Access of a command to files besides its own folder.
    pub access: StageAccess,
    /// Options of its jobs on a cluster.
    pub cluster: ClusterOptions,
    /// Whether a command keeps state from one attempt to the next. No part of its fingerprint.
    pub state: bool,
    /// The stage's name in the pipeline file.
    pub span: Span,
}

impl Instance {
    /// Whether its work, when it is stopped, goes on at the next attempt from where it was.
    pub fn resumes(&self) -> bool {
        self.state || self.kind.resumes()
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("kind", &self.kind.name())
            .field("work", &self.work)
            .field("seed", &self.seed)
            .field("inputs", &self.inputs)
            .field("outputs", &self.outputs)
            .field("resources", &self.resources)
            .field("timeout", &self.timeout)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}

/// Label on one axis of a matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AxisLabel {
    /// Axis.
    pub axis: String,
    /// Label.
    pub label: String,
}

/// Resources that a running instance takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resources {
    /// CPUs, at least 1; `None` for all that the run has.
    pub cpus: Option<u32>,
    /// GPUs.
    pub gpus: GpuShare,
    /// Main memory, where stated.
    pub memory: Option<ByteSize>,
    /// Memory on each GPU, where stated.
    pub gpu_memory: Option<ByteSize>,
}

impl Default for Resources {
    fn default() -> Self {
        Resources { cpus: Some(1), gpus: GpuShare::default(), memory: None, gpu_memory: None }
    }
}

/// Options of a stage's jobs on a cluster. No part of its fingerprint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClusterOptions {
    /// Time limit that a job asks for.
    pub time: Option<Duration>,
    /// Partition.
    pub partition: Option<String>,
    /// Account that is charged.
    pub account: Option<String>,
    /// Quality of service.
    pub qos: Option<String>,
    /// Further options of the command that submits it.
    pub extra: Option<Vec<String>>,
}

/// Access of a command to files besides its own folder. No part of its fingerprint: it changes nothing of what is computed
/// from what is declared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageAccess {
    /// Whether it runs in a sandbox; `None` for as the settings say.
    pub sandbox: Option<SandboxMode>,
    /// Paths that it may write to: relative to the project folder, absolute, or with `~`.
    pub writes: Vec<String>,
}

/// Work of an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Work {
    /// A kind of this program.
    BuiltIn {
        /// Canonical parameters, with defaults filled in.
        params: serde_json::Value,
    },
    /// A script.
    Command(Box<CommandLine>),
}

/// The script of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandLine {
    /// The script, with all values filled in.
    pub line: String,
    /// Line as it enters the fingerprint, where that is not the line itself: with expressions that mention `resources` left as text,
    /// followed by the values they use, so that other resources alone rerun nothing.
    pub identity: Option<String>,
    /// Words that may be paths of project files: neither options nor inputs nor outputs.
    pub mentions: Vec<String>,
    /// Paths that may be of project files which are read where they lie: absolute, with `~` for the home folder, or relative to the
    /// project.
    pub in_place: Vec<String>,
    /// Names that may be those of Python modules of the project which are run.
    pub modules: Vec<String>,
    /// Paths that are declared to be read in place.
    pub reads: Vec<DeclaredRead>,
    /// Shell that runs it.
    pub shell: Shell,
    /// Values that it reads from the file that `ATHANOR_CONTEXT` names; `None` where it does not ask for them. They are part of
    /// the fingerprint.
    pub context: Option<serde_json::Value>,
    /// Variables that it sets, by name.
    pub env: Vec<EnvVariable>,
    /// Further variables of the user's that it gets.
    pub env_passthrough: Vec<VariablePattern>,
    /// Commands whose output is part of the fingerprint.
    pub versions: Vec<String>,
    /// Container that it runs in.
    pub container: Option<Container>,
}

impl CommandLine {
    /// Line as it enters the fingerprint.
    pub fn identity(&self) -> &str {
        self.identity.as_deref().unwrap_or(&self.line)
    }
}

/// Container of a command, as its stage asks for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Container {
    /// Image: a name or id, or the path of a file.
    pub image: String,
    /// Engine, where one is named.
    pub engine: Option<ContainerEngine>,
}

/// Something of the project that a command declares to read where it lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredRead {
    /// Path relative to the project folder; `.` for that itself.
    pub path: String,
    /// Keys whose values are read, sorted, with dots into mappings; `None` for everything.
    pub keys: Option<Vec<String>>,
}

/// Variable that a command sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVariable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The value as it enters the fingerprint, as [`CommandLine::identity`].
    pub identity: String,
}

/// Bound input of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The port.
    pub port: String,
    /// Whether it takes several artifacts.
    pub list: bool,
    /// Sources, in order.
    pub sources: Vec<InputSource>,
    /// Path of each source in the stage's folder. Commands find files by their names (`inputs/table/train.csv`,
    /// `inputs/models/fold=0/model.pt`), other kinds by their order (`inputs/images`, `inputs/tables/0.csv`).
    pub files: Vec<String>,
    /// For a list that a command reads: the gathered axes, in order.
    pub axes: Option<Vec<String>>,
    /// The label of each source on each of these; none for others.
    pub labels: Vec<Vec<String>>,
    /// Whether the stage gets a copy of its own that it may write to.
    pub writable: bool,
    /// Span of its value.
    pub span: Span,
}

/// Source of one artifact of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum InputSource {
    /// An output of another instance.
    Output {
        /// The producer.
        instance: InstanceId,
        /// Index into the producer's outputs.
        output: usize,
    },
    /// A file or folder of the project.
    #[serde(rename = "Source")]
    File(SourceId),
}

/// A file or folder of the project that is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Relative to the project folder, or absolute.
    pub path: String,
    /// Type that the port that reads it expects.
    pub artifact: ArtifactType,
    /// Span of its first mention.
    pub span: Span,
    /// Names of stages that may be meant instead, best first.
    pub suggestions: Vec<String>,
}

/// Entry of `results`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultEntry {
    /// Path under the pipeline's folder of results.
    pub path: String,
    /// Outputs that are put there.
    pub sources: Vec<ResultSource>,
    /// Span of its value.
    pub span: Span,
}

/// Output that goes into the results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultSource {
    /// Name from its matrix point, where an entry has several outputs.
    pub label: Option<String>,
    /// Producer.
    pub instance: InstanceId,
    /// Index into the producer's outputs.
    pub output: usize,
}

impl Plan {
    /// An empty list of mistakes about this plan's texts: for checks that need more than the texts.
    pub fn diagnostics(&self) -> Diagnostics {
        Diagnostics::new(Arc::clone(&self.texts))
    }

    /// Texts of the files of `--vars`.
    pub fn variable_files(&self) -> impl Iterator<Item = &SourceText> {
        let first = 1 + self.texts.iter().skip(1).take_while(|text| text.name.starts_with("--")).count();
        self.texts.iter().skip(first).take(self.variable_files)
    }

    /// Topological order of all instances, else by number.
    pub fn order(&self) -> Vec<InstanceId> {
        let mut missing: Vec<usize> = self
            .graph
            .node_indices()
            .map(|node| self.graph.neighbors_directed(node, Direction::Incoming).count())
            .collect();
        let free = |(index, count): (usize, &usize)| (*count == 0).then_some(Reverse(index));
        let mut ready: BinaryHeap<Reverse<usize>> = missing.iter().enumerate().filter_map(free).collect();
        let mut order = Vec::with_capacity(missing.len());
        while let Some(Reverse(index)) = ready.pop() {
            order.push(InstanceId(index as u32));
            for consumer in self.graph.neighbors(NodeIndex::new(index)) {
                missing[consumer.index()] -= 1;
                if missing[consumer.index()] == 0 {
                    ready.push(Reverse(consumer.index()));
                }
            }
        }
        order
    }

    /// The instances that `id` reads from.
    pub fn producers(&self, id: InstanceId) -> impl Iterator<Item = InstanceId> + '_ {
        self.neighbours(id, Direction::Incoming)
    }

    /// The instances that read from `id`.
    pub fn consumers(&self, id: InstanceId) -> impl Iterator<Item = InstanceId> + '_ {
        self.neighbours(id, Direction::Outgoing)
    }

    fn neighbours(&self, id: InstanceId, direction: Direction) -> impl Iterator<Item = InstanceId> + '_ {
        let neighbours = self.graph.neighbors_directed(NodeIndex::new(id.index()), direction);
        neighbours.map(|node| InstanceId(node.index() as u32))
    }
}
