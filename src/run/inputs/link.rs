//! Links to the inputs of an attempt.

use std::path::PathBuf;

use athanor_cache::Artifact;

/// Size up to which a file that a command names is copied into the stage's own folder, in bytes.
pub const LARGEST_COPY: u64 = 16 << 20;

/// Whether a file that a command names, of which this is known, is copied; others are linked.
pub fn is_copied(metadata: &std::fs::Metadata) -> bool {
    metadata.is_file() && metadata.len() <= LARGEST_COPY
}

/// Folder that a path lies in: the link of files that belong together, of whose first the path is.
pub fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(folder, _)| folder)
}

/// Link to one artifact of an attempt's inputs.
#[derive(Debug, Clone)]
pub struct Link {
    /// Path of the link, relative to the folder the stage runs in.
    pub at: String,
    /// Target.
    pub target: Target,
    /// Whether it is to be a copy that the stage may write to.
    pub copy: bool,
}

impl Link {
    /// The artifact, if it is in the cache.
    pub fn stored(&self) -> Option<&Artifact> {
        match &self.target {
            Target::Stored(artifact) => Some(artifact),
            Target::ProjectFile(_) | Target::NamedFile(_) => None,
        }
    }
}

/// Target of a link.
#[derive(Debug, Clone)]
pub enum Target {
    /// Artifact in the cache.
    Stored(Artifact),
    /// File or folder of the project.
    ProjectFile(PathBuf),
    /// File of the project that the stage finds among its own files, since its line or a script of its names it.
    NamedFile(PathBuf),
}
