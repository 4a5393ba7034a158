//! What is put among an attempt's inputs, and where.

use std::path::PathBuf;

use athanor_cache::Artifact;

/// One artifact to be put among the inputs.
#[derive(Debug, Clone)]
pub struct Link {
    /// Where, relative to the folder the stage runs in.
    pub at: String,
    /// What.
    pub target: Target,
    /// Whether it is to be a copy that the stage may write to.
    pub copy: bool,
}

impl Link {
    /// The artifact, if it is in the cache.
    pub fn stored(&self) -> Option<&Artifact> {
        match &self.target {
            Target::Stored(artifact) => Some(artifact),
            Target::ProjectFile(_) => None,
        }
    }
}

/// What an input is.
#[derive(Debug, Clone)]
pub enum Target {
    /// Something in the cache.
    Stored(Artifact),
    /// A file or folder of the user's.
    ProjectFile(PathBuf),
}
