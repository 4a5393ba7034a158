//! Grammar of the commands that report on results.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::pipeline_file::{OptionalPipelineFile, PipelineFile};

#[derive(Debug, Args)]
pub(super) struct ReportCommand {
    #[command(flatten)]
    pub pipeline: PipelineFile,
    /// File to write [default: PIPELINE-report.html; with --md, standard output].
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Run to report on, by name or number, or `last`, or `last~1` for the one before [default: the pipeline as it is].
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,
    /// Run to compare with, named in the same way.
    #[arg(long, value_name = "RUN")]
    pub diff: Option<String>,
    /// Write a summary in Markdown, for a pull request or for a job of CI.
    #[arg(long)]
    pub md: bool,
    /// Folder in which the command was given, if that is not the project.
    #[arg(skip)]
    pub folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct MetricsCommand {
    #[command(flatten)]
    pub pipeline: PipelineFile,
    /// Selectors of instances, e.g. `model` or `model[fold=0]` [default: all].
    pub selector: Vec<String>,
    /// Show all results of one stage that the cache still has, under whatever parameters.
    #[arg(long, value_name = "STAGE", conflicts_with = "selector")]
    pub sweep: Option<String>,
    /// Sort by a metric, the best first.
    #[arg(long, value_name = "METRIC")]
    pub sort: Option<String>,
    /// Print JSON, with curves.
    #[arg(long)]
    pub json: bool,
    /// Print CSV.
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
}

#[derive(Debug, Args)]
pub(super) struct CompareCommand {
    #[command(flatten)]
    pub pipeline: PipelineFile,
    /// Earlier run, by name or number, or e.g. `last~1` for the last but one.
    #[arg(value_name = "RUN")]
    pub one: String,
    /// Later run, by name or number, or `last`.
    #[arg(value_name = "OTHER")]
    pub other: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Print the metrics as CSV.
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Write an HTML file instead: parameters and metrics side by side, and the curves of both runs in one chart.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath, conflicts_with_all = ["json", "csv"])]
    pub html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct TopCommand {
    #[command(flatten)]
    pub pipeline: OptionalPipelineFile,
}

/// Programs whose files are written.
#[derive(Debug, Subcommand)]
pub(super) enum ExportCommand {
    /// Write results and their curves as runs of MLflow, into a folder that `mlflow ui` lists.
    Mlflow {
        /// The folder, such as `mlruns`; what is in it stays.
        folder: PathBuf,
        #[command(flatten)]
        pipeline: PipelineFile,
    },
}

#[derive(Debug, Args)]
pub(super) struct RestoreCommand {
    /// The pipeline file; what it says now does not matter.
    pub file: PathBuf,
    /// Run, by name or number, or `last~1` for the last but one: its results by their names then, under its variables.
    #[arg(long, value_name = "RUN")]
    pub run: String,
    /// Folder to put them into [default: the pipeline's folder of results].
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Profile that the run applied, or several in their order.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub profile: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct WatchCommand {
    #[command(flatten)]
    pub pipeline: OptionalPipelineFile,
    /// Address to listen on; whoever reaches another one than loopback and knows the token sees the page.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0", value_parser = parse_address)]
    pub listen: SocketAddr,
    /// Show buttons that stop the run or let it go on after failures.
    #[arg(long)]
    pub control: bool,
}

/// An address and a port, or a message about the text that is none.
fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "it is an address and a port, such as `127.0.0.1:8080`, or `[::1]:8080`".to_owned())
}
