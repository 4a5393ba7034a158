//! Contents of the project's files that a run reads, as they were when it began.

use std::collections::{BTreeSet, HashMap};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use athanor_cache::{Artifact, Cache, CacheError, Exclusions};
use rayon::prelude::*;

use crate::plan::{InputSource, InstanceId, Plan};
use crate::run::inputs::imports::{Closure, Modules};
use crate::run::inputs::keys;
use crate::run::inputs::project_reads::{Mentions, ProjectRead};
use crate::run::state::snapshot_file::SnapshotFiles;

/// Contents of the project's files, by path as written.
#[derive(Debug, Default)]
pub struct Contents {
    known: HashMap<String, Artifact>,
    /// Why others could not be read.
    unreadable: HashMap<String, String>,
    imports: HashMap<InstanceId, Arc<Closure>>,
    exclusions: Arc<Exclusions>,
}

/// Project whose files are read.
pub struct Reading<'r> {
    /// The project folder.
    pub project: &'r Path,
    /// The cache, which knows digests.
    pub cache: &'r Cache,
    /// Entries of folders that are no content.
    pub exclusions: &'r Arc<Exclusions>,
    /// Folders that hold no modules of the project, absolute.
    pub closed: &'r [PathBuf],
    /// Where findings are kept from one run to the next.
    pub snapshots: &'r SnapshotFiles,
}

impl Contents {
    /// Hashes every source and mentioned file that `ids` read, in parallel. `progress` receives how many are done, and how many
    /// there are. Manifests of folders are stored, so that a later comparison can name files. A file that cannot be read concerns
    /// only those who read it.
    pub fn read(
        plan: &Plan,
        ids: &[InstanceId],
        mentions: &Mentions,
        reading: &Reading<'_>,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Contents, CacheError> {
        let Reading { project, cache, exclusions, closed, snapshots } = reading;
        let sources = ids.iter().flat_map(|id| &plan.instances[id.index()].inputs).flat_map(|input| &input.sources);
        let sources = sources.filter_map(|source| match source {
            InputSource::File(source) => Some(plan.sources[source.index()].path.as_str()),
            InputSource::Output { .. } => None,
        });
        let reads = || ids.iter().filter_map(|id| mentions.get(id)).flatten();
        let named = reads().filter(|read| read.is_named()).map(|read| read.path.as_str());
        let paths: BTreeSet<&str> = sources.chain(named).collect();
        let (total, done) = (paths.len(), AtomicUsize::new(0));
        let read_one = |path: &str| {
            let content = cache.artifact_with_manifest_of(&project.join(path), exclusions);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            (path.to_owned(), content)
        };
        let read: Vec<_> = paths.into_par_iter().map(read_one).collect();
        let mut contents = Contents { exclusions: Arc::clone(exclusions), ..Contents::default() };
        for (path, content) in read {
            contents.add(path, content.map_err(|error| unreadable(&error, project)));
        }
        for read in reads().collect::<BTreeSet<_>>() {
            if let Some(keys) = read.how.keys() {
                contents.add(read.port(), keys::content_of(project, &read.path, keys));
            }
        }
        let modules = Modules { project, closed, cache, snapshots };
        for (id, closure) in modules.closures(plan, ids, mentions) {
            contents.add_imports(id, closure);
        }
        cache.flush_stat_index()?;
        Ok(contents)
    }

    fn add(&mut self, key: String, content: Result<Artifact, String>) {
        match content {
            Ok(artifact) => drop(self.known.insert(key, artifact)),
            Err(cause) => drop(self.unreadable.insert(key, cause)),
        }
    }

    fn add_imports(&mut self, id: InstanceId, closure: Arc<Closure>) {
        let key = closure.read.port();
        match &closure.failure {
            Some(cause) => drop(self.unreadable.insert(key, cause.clone())),
            None if closure.is_empty() => {}
            None => drop(self.known.insert(key, closure.artifact.clone())),
        }
        self.imports.insert(id, closure);
    }

    /// Content of the file or folder at `path` (as written) when it was read.
    pub fn get(&self, path: &str) -> Option<&Artifact> {
        self.known.get(path)
    }

    /// Why the file or folder at `path` (as written) could not be read.
    pub fn failure(&self, path: &str) -> Option<&str> {
        self.unreadable.get(path).map(String::as_str)
    }

    /// Modules that a command imports.
    pub fn imports(&self, id: InstanceId) -> Option<&Closure> {
        self.imports.get(&id).map(|closure| &**closure)
    }

    /// Modules that a command imports, as something that is read; `None` if there are none.
    pub fn imports_read(&self, id: InstanceId) -> Option<&ProjectRead> {
        self.imports(id).filter(|closure| !closure.is_empty() || closure.failure.is_some()).map(|closure| &closure.read)
    }

    /// Entries of the project's folders that are no content.
    pub fn exclusions(&self) -> &Arc<Exclusions> {
        &self.exclusions
    }

    /// Paths that were read, with their contents.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Artifact)> {
        self.known.iter().map(|(path, artifact)| (path.as_str(), artifact))
    }
}

/// Sentences about a file or folder of the user's that cannot be read, and what to do.
fn unreadable(error: &CacheError, project: &Path) -> String {
    match error {
        CacheError::Io { path, source } if source.kind() == ErrorKind::PermissionDenied => {
            let shown = path.strip_prefix(project).unwrap_or(path).display();
            let flags = if path.is_dir() { "u+rx" } else { "u+r" };
            format!(
                "`{shown}` may not be read. Make it readable (`chmod {flags}`), or leave it out of what the stage reads."
            )
        }
        other => other.to_string(),
    }
}

impl FromIterator<(String, Artifact)> for Contents {
    /// Contents that are known already.
    fn from_iter<I: IntoIterator<Item = (String, Artifact)>>(known: I) -> Contents {
        Contents { known: known.into_iter().collect(), ..Contents::default() }
    }
}
