//! Grammar of a pipeline file on the command line.

use std::path::PathBuf;

use clap::Args;

/// A pipeline file and what overrides it.
#[derive(Debug, Args)]
pub(super) struct PipelineFile {
    /// The pipeline file.
    pub file: PathBuf,
    /// Apply a profile of the file; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub profile: Vec<String>,
    /// Set `vars.NAME`; dots go deeper, the value is YAML.
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
}
