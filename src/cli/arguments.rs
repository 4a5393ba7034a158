//! Grammar of the command line.

use std::path::PathBuf;
use std::time::Duration;

use athanor_stages::bench::Subject;
use athanor_stages::kinds::train_classifier::Loss;
use athanor_stages::learn::precision::Precision;
use athanor_stages::nn::models::Architecture;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(super) use crate::cli::cache_arguments::{CacheCommand, TransferCommand};
use crate::cli::cache_arguments::{at_least_one, parse_time, whole_number};
pub(super) use crate::cli::pipeline_file::PipelineFile;
pub(super) use crate::cli::report_arguments::{
    CompareCommand, ExportCommand, MetricsCommand, ReportCommand, RestoreCommand, TopCommand, WatchCommand,
};
use crate::language::{ByteSize, suggest};
use crate::run::executor::machine::gpus::{GpuChoice, GpuId};

/// Runs pipelines that train image models: declared in one YAML file, cached by content, scheduled over CPUs and GPUs.
#[derive(Debug, Parser)]
#[command(name = "athanor", version, disable_help_subcommand = true)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub settings: SettingOptions,
    #[command(subcommand)]
    pub command: Command,
}

/// Settings that the command line overrides.
#[derive(Debug, Default, Args)]
pub(super) struct SettingOptions {
    /// The cache's folder; several projects may share one [setting: cache] [env: ATHANOR_CACHE] [default: .athanor].
    #[arg(long = "cache", value_name = "DIR", global = true)]
    pub cache: Option<PathBuf>,
    /// Folder under which every pipeline's results are put [setting: results] [env: ATHANOR_RESULTS] [default: results].
    #[arg(long = "results", value_name = "DIR", global = true)]
    pub results: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Bring targets (default: everything) up to date.
    Run(RunCommand),
    /// Show what is fresh, stale or missing, and why.
    Status {
        #[command(flatten)]
        view: ViewCommand,
        /// End with exit code 3 if anything is not fresh.
        #[arg(long)]
        exit_code: bool,
        /// Ask the remote cache, too.
        #[arg(long)]
        remote: bool,
    },
    /// Show exactly what changed since a stage last ran.
    Explain {
        #[command(flatten)]
        select: SelectCommand,
        /// Ask the remote cache, too.
        #[arg(long)]
        remote: bool,
    },
    /// Check a pipeline file without running anything.
    Check(CheckCommand),
    /// Draw the graph of stages.
    Graph(GraphCommand),
    /// Write a report of a pipeline or of a run: one HTML file that opens offline.
    Report(ReportCommand),
    /// Serve a live page of a pipeline's run to this machine's browser.
    Watch(WatchCommand),
    /// Show on a terminal what a pipeline's run does: what runs and waits, GPUs, metrics, logs.
    Top(TopCommand),
    /// List the runs of a pipeline.
    Runs(ViewCommand),
    /// Show the metrics of the results that are up to date.
    Metrics(MetricsCommand),
    /// Compare the parameters, inputs and metrics of two runs.
    Compare(CompareCommand),
    /// Write results for other programs.
    #[command(subcommand)]
    Export(ExportCommand),
    /// Put the results of an earlier run in place again, from the cache.
    Restore(RestoreCommand),
    /// Print a stage's log, also while it runs.
    Logs(LogsCommand),
    /// Open a shell in a stage's prepared folder, with its variables and its sandbox.
    Shell(ShellCommand),
    /// List the stage kinds, or describe one.
    Kinds {
        /// A kind's name.
        kind: Option<String>,
    },
    /// Print the JSON Schema of the pipeline language, for editors.
    Schema {
        /// Print the schema of settings files (`athanor.config.yaml`) instead.
        #[arg(long)]
        config: bool,
    },
    /// Show the effective settings, and the origin of each.
    Config {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Inspect and maintain the cache.
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Show the CPUs and GPUs that a run would use.
    Devices(DevicesCommand),
    /// Measure the speed of training and prediction, on synthetic images.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Write a small pipeline to start from.
    Init {
        /// The file to write.
        #[arg(default_value = "pipeline.yaml")]
        file: PathBuf,
    },
    /// Print help: of the program, of a command, or of the pipeline language (`athanor help language`).
    Help {
        /// A command and those below it, or `language`.
        topic: Vec<String>,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Carry out one stage (used by runs).
    #[command(hide = true)]
    Worker,
    /// Look for CUDA, and print JSON (used by `run` and `devices`).
    #[command(hide = true)]
    FindCuda,
    /// Look for GPUs through Vulkan, and print JSON (used by `run` and `devices`).
    #[command(hide = true)]
    FindVulkan,
    /// Take attempts from a shared folder, on a node of a cluster (used by runs).
    #[command(hide = true)]
    Agent {
        /// The folder.
        folder: PathBuf,
        /// Token of the submission that the agent's job is of.
        token: String,
    },
    /// Kill a run's processes when the run itself is killed (used by runs).
    #[command(hide = true, alias = "guardian")]
    Reaper {
        /// Mark of the processes.
        mark: String,
        /// The folder in which they work.
        folder: PathBuf,
        /// The control group that they are in.
        group: Option<PathBuf>,
    },
}

/// Resources that a run may use.
#[derive(Debug, Args)]
pub(super) struct MachineUse {
    /// CPUs to use [default: all].
    #[arg(short = 'j', long = "cpus", value_name = "CPUS", value_parser = at_least_one)]
    pub cpus: Option<u32>,
    /// Main memory to use, e.g. 16GiB [default: all].
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<ByteSize>,
    /// GPUs to use, by index on the PCI bus, UUID or MIG name, or as vulkan0, each optionally with its memory: 0,1 or 0:24GiB; `none`
    /// for none [default: all that CUDA_VISIBLE_DEVICES shows, or ATHANOR_VULKAN_DEVICES].
    #[arg(long, value_name = "LIST", value_parser = parse_gpus)]
    pub gpus: Option<Gpus>,
}

/// A list of GPUs.
#[derive(Debug, Clone)]
pub(super) struct Gpus(pub Vec<GpuChoice>);

fn parse_gpus(text: &str) -> Result<Gpus, String> {
    if text == "none" || text.is_empty() {
        return Ok(Gpus(Vec::new()));
    }
    let mut choices: Vec<GpuChoice> = Vec::new();
    for item in text.split(',') {
        let (name, memory) = item.split_once(':').map_or((item, None), |(name, memory)| (name, Some(memory)));
        let id = GpuId::parse(name.trim());
        let id = id.ok_or_else(|| {
            format!("`{item}` is no GPU: write `0`, `0,1`, `0:24GiB`, `GPU-…`, `MIG-…`, `vulkan0` or `none`")
        })?;
        let memory = memory.map(str::parse::<ByteSize>).transpose().map_err(|error| error.to_string())?;
        if choices.iter().any(|choice| choice.id == id) {
            return Err(format!("GPU {id} is named twice"));
        }
        choices.push(GpuChoice { id, memory: memory.map(ByteSize::bytes) });
    }
    Ok(Gpus(choices))
}

#[derive(Debug, Args)]
pub(super) struct RunCommand {
    #[command(flatten)]
    pub pipeline: PipelineFile,
    /// Selectors of what to bring up to date, e.g. `model` or `model[fold=0]` [default: everything].
    pub targets: Vec<String>,
    /// Only show what would run.
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// After a failure, go on with stages that do not depend on it.
    #[arg(short = 'k', long)]
    pub keep_going: bool,
    /// Time that the run has, e.g. `8h30m`: nothing is started that is not expected to end in it, trainings are asked to save and stop
    /// ahead of its end, and what is there is put in place.
    #[arg(long, value_name = "DURATION", value_parser = parse_time)]
    pub stop_after: Option<Duration>,
    /// Keep the folders of attempts that fail, for a week, and say where they are.
    #[arg(long)]
    pub keep_scratch: bool,
    /// Run the selected instances even if the cache has their results; may be given several times.
    #[arg(long, value_name = "SELECTOR")]
    pub force: Vec<String>,
    /// Drop the state that is kept of unfinished work of the selected instances; may be given several times.
    #[arg(long, value_name = "SELECTOR")]
    pub fresh_state: Vec<String>,
    /// Executor that runs stages [setting: executor] [env: ATHANOR_EXECUTOR] [default: local].
    #[arg(long, value_enum)]
    pub executor: Option<ExecutorName>,
    /// Print events as JSON lines; with `-n` the states as one JSON list, as `status` does.
    #[arg(long)]
    pub json: bool,
    /// Write the outcome of every instance as JUnit XML, for CI.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write the curves of all results as event files for TensorBoard.
    #[arg(long, value_name = "DIR")]
    pub tensorboard: Option<PathBuf>,
    /// Serve a live page while the run goes on, and say its address.
    #[arg(long)]
    pub watch: bool,
    /// Print failures, warnings and the last line alone.
    #[arg(short, long)]
    pub quiet: bool,
    /// Begin each line with the time (UTC).
    #[arg(long)]
    pub timestamps: bool,
    #[command(flatten)]
    pub use_: MachineUse,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum ExecutorName {
    /// As processes of this machine.
    Local,
    /// As jobs of a Slurm cluster.
    Slurm,
    /// As jobs of another queue, by the commands of the setting `batch`.
    Batch,
}

#[derive(Debug, Args)]
pub(super) struct ViewCommand {
    #[command(flatten)]
    pub pipeline: PipelineFile,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(super) struct CheckCommand {
    #[command(flatten)]
    pub pipeline: PipelineFile,
    /// Print JSON, mistakes and warnings included.
    #[arg(long)]
    pub json: bool,
    /// Do not look for the files that the pipeline reads, to check it where its data is not there.
    #[arg(long)]
    pub no_files: bool,
}

#[derive(Debug, Args)]
pub(super) struct SelectCommand {
    #[command(flatten)]
    pub pipeline: PipelineFile,
    /// Selector of instances, e.g. `model` or `model[fold=0]`.
    pub selector: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(super) struct LogsCommand {
    #[command(flatten)]
    pub pipeline: PipelineFile,
    /// Selector of instances, e.g. `model` or `model[fold=0]`.
    pub selector: String,
    /// Go on as long as a run of the pipeline works on them, in whatever terminal.
    #[arg(short = 'f', long)]
    pub follow: bool,
}

#[derive(Debug, Args)]
pub(super) struct ShellCommand {
    #[command(flatten)]
    pub pipeline: PipelineFile,
    /// Selector of one instance, e.g. `model[fold=0]`.
    pub selector: String,
}

#[derive(Debug, Args)]
pub(super) struct GraphCommand {
    #[command(flatten)]
    pub pipeline: PipelineFile,
    /// Output format.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Format {
    Text,
    Dot,
    Mermaid,
    Svg,
}

#[derive(Debug, Subcommand)]
pub(super) enum BenchCommand {
    /// Train: steps of the stage `train_classifier`.
    Train(BenchOptions),
    /// Predict: batches of the stage `predict`.
    Predict(BenchOptions),
    /// Compare what a device computes with PyTorch's golden values and with the CPU.
    Check(CheckOptions),
    /// Make one measurement (used by `bench`).
    #[command(hide = true)]
    Measure {
        /// The measurement, as JSON.
        bench: String,
        /// See `--kernels` of the measurements.
        #[arg(long)]
        kernels: Option<PathBuf>,
    },
    /// Compile and tune the kernels of a measurement (used by `devices --warm`).
    #[command(hide = true)]
    Warm {
        /// The measurement, as JSON.
        bench: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct DevicesCommand {
    #[command(flatten)]
    pub use_: MachineUse,
    /// Compile and tune the kernels of these networks for the GPUs, so that no stage takes minutes for that.
    #[arg(long, value_name = "NETWORK", num_args = 1.., value_parser = parse_architecture)]
    pub warm: Vec<Architecture>,
    /// With `--warm`, side of the input images, in pixels.
    #[arg(long, value_name = "PIXELS", default_value_t = 512, value_parser = whole_number, requires = "warm")]
    pub size: usize,
    /// With `--warm`, batch size, in images.
    #[arg(long, value_name = "IMAGES", default_value_t = 12, value_parser = whole_number, requires = "warm")]
    pub batch: usize,
    /// With `--warm`, type that the networks compute in: f32, f32_ieee or bf16.
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = parse_precision, requires = "warm")]
    pub precision: Precision,
}

#[derive(Debug, Args)]
pub(super) struct BenchOptions {
    /// A network; may be given several times [default: all].
    #[arg(long, value_name = "NAME", value_parser = parse_architecture)]
    pub arch: Vec<Architecture>,
    /// Side of the input images, in pixels.
    #[arg(long, value_name = "PIXELS", default_value_t = 224, value_parser = whole_number)]
    pub size: usize,
    /// Batch size, in images.
    #[arg(long, value_name = "IMAGES", default_value_t = 8, value_parser = whole_number)]
    pub batch: usize,
    /// Type that the network computes in: f32, f32_ieee or bf16.
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = parse_precision)]
    pub precision: Precision,
    /// Loss function of training: classifier, bce or focal.
    #[arg(long, value_name = "NAME", default_value = "classifier", value_parser = parse_loss)]
    pub loss: Loss,
    /// Number of threads [default: all CPUs].
    #[arg(long, value_name = "THREADS", value_parser = at_least_one)]
    pub threads: Option<u32>,
    /// Number of batches to measure, after as many for warming up.
    #[arg(long, value_name = "BATCHES", default_value_t = 5, value_parser = whole_number)]
    pub steps: usize,
    /// Write time and name of each kernel that runs on a GPU to a file, in both rounds; slows the measurement.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub kernels: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(super) struct CheckOptions {
    /// Subject: losses, adam, golden (networks against PyTorch's golden values) or gradients (networks against the CPU).
    #[arg(value_name = "SUBJECT", value_parser = parse_subject)]
    pub subject: Subject,
    /// The network, of subjects that have one.
    #[arg(long, value_name = "NAME", default_value = "resnet18", value_parser = parse_architecture)]
    pub arch: Architecture,
    /// Side of the images, in pixels, for gradients.
    #[arg(long, value_name = "PIXELS", default_value_t = 96, value_parser = whole_number)]
    pub size: usize,
    /// Batch size, in images, for gradients.
    #[arg(long, value_name = "IMAGES", default_value_t = 8, value_parser = whole_number)]
    pub batch: usize,
    /// Type that the network computes in: f32, f32_ieee or bf16 (for gradients).
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = parse_precision)]
    pub precision: Precision,
    /// Folder of PyTorch's golden values.
    #[arg(long, value_name = "FOLDER", default_value = "tests/golden")]
    pub golden: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

fn parse_subject(text: &str) -> Result<Subject, String> {
    let value = serde_json::Value::String(text.to_owned());
    serde_json::from_value(value).map_err(|_| "a subject is `losses`, `adam`, `golden` or `gradients`".to_owned())
}

fn parse_loss(text: &str) -> Result<Loss, String> {
    let value = serde_json::Value::String(text.to_owned());
    serde_json::from_value(value).map_err(|_| "a loss is `classifier`, `bce` or `focal`".to_owned())
}

fn parse_architecture(text: &str) -> Result<Architecture, String> {
    let names = || Architecture::ALL.iter().map(|arch| arch.name());
    text.parse().map_err(|error| match suggest::help(text, names(), "architectures") {
        Some(help) => format!("{error}; {help}"),
        None => format!("{error}"),
    })
}

fn parse_precision(text: &str) -> Result<Precision, String> {
    let value = serde_json::Value::String(text.to_owned());
    serde_json::from_value(value).map_err(|_| "a precision is `f32`, `f32_ieee` or `bf16`".to_owned())
}
