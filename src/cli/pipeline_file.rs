//! Grammar of a pipeline file on the command line.

use std::path::{Path, PathBuf};

use clap::Args;

/// A pipeline file and what overrides it.
#[derive(Debug, Args)]
pub(super) struct PipelineFile {
    /// The pipeline file.
    pub file: PathBuf,
    /// Apply a profile of the file, or several in their order, separated by commas; may be given several times.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub profile: Vec<String>,
    /// Merge the variables in a YAML file over those of the pipeline; may be given several times.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub vars: Vec<PathBuf>,
    /// Set `vars.NAME`; dots go deeper, the value is YAML. `+NAME=VALUE` adds a name that is not there, and `A.NAME=null` takes
    /// one away, with all that only it needed.
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// The pipeline file as it was given, where `file` is where it lies for this process.
    #[arg(skip)]
    pub given: Option<PathBuf>,
}

impl PipelineFile {
    /// The pipeline file as messages call it.
    pub(super) fn shown(&self) -> &Path {
        self.given.as_deref().unwrap_or(&self.file)
    }
}
