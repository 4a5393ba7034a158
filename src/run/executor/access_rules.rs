//! Access rules: the files that a job's process may read and write.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Access to a file, or to a folder with everything below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileAccess {
    /// Reading and executing.
    Read,
    /// Reading, executing, writing, and making and removing what is below it.
    Write,
}

/// Rule that gives access to a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRule {
    /// Absolute path. Links on the way are followed; a rule whose path is not there gives nothing.
    #[serde(with = "athanor_cache::any_path")]
    pub path: PathBuf,
    /// Access to it.
    pub access: FileAccess,
}

impl AccessRule {
    /// A rule that lets `path` be read.
    pub fn read(path: PathBuf) -> AccessRule {
        AccessRule { path, access: FileAccess::Read }
    }

    /// A rule that lets `path` be written.
    pub fn write(path: PathBuf) -> AccessRule {
        AccessRule { path, access: FileAccess::Write }
    }
}

/// All that a job may read and write. Names, and what `stat` says, are open to it everywhere.
#[derive(Debug, Clone)]
pub struct AccessRules {
    /// Rules of all jobs of the run.
    pub shared: Arc<[AccessRule]>,
    /// Rules of this job.
    pub own: Vec<AccessRule>,
}

impl AccessRules {
    /// All rules.
    pub fn all(&self) -> impl Iterator<Item = &AccessRule> {
        self.shared.iter().chain(&self.own)
    }

    /// Whether a rule gives this access to `path`, which is absolute and free of links.
    pub fn allow(&self, path: &Path, access: FileAccess) -> bool {
        self.all().any(|rule| rule.access >= access && path.starts_with(&rule.path))
    }
}
