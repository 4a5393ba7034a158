//! Data that the parts of the search share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use athanor_cache::{Artifact, Cache, Tree};

use crate::run::state::snapshot_file::SnapshotFiles;

/// Project whose modules are looked for.
pub(in crate::run::inputs) struct Modules<'m> {
    /// The project folder.
    pub project: &'m Path,
    /// Folders that hold no modules, absolute.
    pub closed: &'m [PathBuf],
    /// The cache, which knows digests.
    pub cache: &'m Cache,
    /// Where findings are kept from one run to the next.
    pub snapshots: &'m SnapshotFiles,
}

/// Contents of a closure.
pub(super) struct Contained {
    /// The modules as a folder.
    pub artifact: Artifact,
    /// Files that do not parse.
    pub broken: Vec<(String, usize)>,
    /// The modules.
    pub files: Files,
}

impl Default for Contained {
    /// No modules.
    fn default() -> Self {
        Contained { artifact: Tree::default().artifact(), broken: Vec::new(), files: Files::new() }
    }
}

/// Files by their folders.
pub(super) type Files = Vec<(Arc<str>, Vec<(String, Artifact)>)>;
