//! Grammar of a pipeline file on the command line.

use std::path::{Path, PathBuf};

use clap::Args;

/// A pipeline file and what overrides it.
#[derive(Debug, Args)]
pub(super) struct PipelineFile {
    /// The pipeline file.
    pub file: PathBuf,
    #[command(flatten)]
    pub overrides: PipelineOverrides,
    /// The pipeline file as it was given, where `file` is where it lies for this process.
    #[arg(skip)]
    pub given: Option<PathBuf>,
}

/// A pipeline file that need not be named, and what overrides it.
#[derive(Debug, Args)]
pub(super) struct OptionalPipelineFile {
    /// The pipeline file [default: that of the project which runs, or ran last].
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub overrides: PipelineOverrides,
    /// As in [`PipelineFile`].
    #[arg(skip)]
    pub given: Option<PathBuf>,
}

/// Overrides of a pipeline file.
#[derive(Debug, Clone, Args)]
pub(super) struct PipelineOverrides {
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
}

/// Paths of a command line that are about its pipeline.
pub(super) struct PipelinePaths<'p> {
    /// The pipeline file, if one is named.
    pub file: Option<&'p mut PathBuf>,
    given: &'p mut Option<PathBuf>,
    vars: &'p mut [PathBuf],
}

impl PipelineFile {
    /// The pipeline file as messages call it.
    pub(super) fn shown(&self) -> &Path {
        self.given.as_deref().unwrap_or(&self.file)
    }

    /// Its paths.
    pub(super) fn paths(&mut self) -> PipelinePaths<'_> {
        let PipelineFile { file, overrides, given } = self;
        PipelinePaths { file: Some(file), given, vars: &mut overrides.vars }
    }
}

impl OptionalPipelineFile {
    /// Its paths.
    pub(super) fn paths(&mut self) -> PipelinePaths<'_> {
        let OptionalPipelineFile { file, overrides, given } = self;
        PipelinePaths { file: file.as_mut(), given, vars: &mut overrides.vars }
    }
}

impl PipelinePaths<'_> {
    /// Keeps the paths relative to the folder `here`, in which they were given.
    pub(super) fn stay_in(self, here: &Path) {
        if let Some(file) = self.file {
            *self.given = Some(file.clone());
            *file = here.join(&*file);
        }
        self.vars.iter_mut().for_each(|file| *file = here.join(&*file));
    }
}
