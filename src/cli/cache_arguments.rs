//! Grammar of the commands that look after the cache.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::cli::pipeline_file::PipelineFile;
use crate::language::ByteSize;
use crate::language::quantity::parse_duration;

#[derive(Debug, Subcommand)]
pub(super) enum CacheCommand {
    /// List results, pipelines and sizes.
    Ls {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove what the last runs of known pipelines did not use, and list it.
    Gc {
        /// Collect in the remote cache instead: what no recorded run of this cache uses, and was put there long ago.
        #[arg(long, conflicts_with_all = ["max_size", "forget"])]
        remote: bool,
        /// Number of each pipeline's last runs whose results stay, those of earlier `--set` among them; 1 for the last run's alone.
        #[arg(long, value_name = "RUNS", default_value_t = crate::run::state::history::RETAINED_RUNS, value_parser = whole_number)]
        keep_runs: usize,
        /// Let runs before the last one count only if they began less than this ago, such as 30d; with `--remote`, also let stay
        /// whatever was put there less than this ago [default there: 30d; at least 1d].
        #[arg(long, value_name = "AGE", value_parser = parse_time)]
        older_than: Option<Duration>,
        /// Drop results in use, too, the cheapest to recompute per byte first, until the cache is no larger than this.
        #[arg(long, value_name = "SIZE")]
        max_size: Option<ByteSize>,
        /// Only show what would be removed.
        #[arg(short = 'n', long)]
        dry_run: bool,
        /// Forget a pipeline (its file, or its name as `cache ls` shows it) and what only it uses; may be given several times.
        #[arg(long, value_name = "PIPELINE")]
        forget: Vec<PathBuf>,
    },
    /// Put results that are up to date into the remote cache, as far as they are not there.
    Push {
        #[command(flatten)]
        transfer: TransferCommand,
        /// Put the state of unfinished trainings and commands there, too, for another machine to go on from.
        #[arg(long)]
        unfinished: bool,
        /// Put results there again that seem to be there, which mends what is damaged.
        #[arg(long)]
        again: bool,
    },
    /// Fetch results from the remote cache, as far as they are there and not here.
    Pull {
        #[command(flatten)]
        transfer: TransferCommand,
        /// Fetch the state of unfinished trainings and commands, too.
        #[arg(long)]
        unfinished: bool,
    },
    /// Serve a folder of this machine as a remote cache (used by `ssh://` addresses).
    #[command(hide = true)]
    Serve {
        /// Serve over standard input and output.
        #[arg(long, required = true)]
        stdio: bool,
        /// The folder.
        folder: PathBuf,
    },
    /// Keep results whatever a collection removes: by the instance that first made them, as `cache ls` shows it, or by fingerprint.
    Pin {
        /// Selectors, e.g. `model[fold=0]`, or beginnings of fingerprints.
        #[arg(required = true)]
        selectors: Vec<String>,
    },
    /// Take pins away.
    Unpin {
        /// Selectors, or beginnings of fingerprints.
        #[arg(required = true)]
        selectors: Vec<String>,
    },
    /// Hash everything again, move damaged files to quarantine, and list results that may have been computed from them; the
    /// next run makes missing results again.
    Verify {
        /// Have the next run make the listed results again, too.
        #[arg(long)]
        repair: bool,
    },
}

/// A transfer between this machine and the remote cache.
#[derive(Debug, Args)]
pub(super) struct TransferCommand {
    #[command(flatten)]
    pub pipeline: PipelineFile,
    /// Selectors of instances, e.g. `model` or `model[fold=0]` [default: everything].
    pub targets: Vec<String>,
}

/// A whole number, or a message about the text that is none.
pub(super) fn whole_number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("it is a whole number, from 0 to {}", usize::MAX))
}

/// A whole number of at least 1, or a message about the text that is none.
pub(super) fn at_least_one(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| format!("it is a whole number, from 1 to {}", u32::MAX))
}

pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}
