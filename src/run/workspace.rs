//! A stage's own folder: its inputs linked in before it runs, its outputs taken out afterwards.
//!
//! A folder is emptied and used again by a later stage: to make and to remove one costs more than a small stage does.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use athanor_cache::{Artifact, Cache, CacheError, OutputRecord, Placements, Unsynced};
use athanor_stages::ports::OutputPort;

/// Temporary files of the stage, which are nobody's outputs.
const TEMPORARY: &str = ".tmp";
/// Where most inputs are linked in.
const INPUTS: &str = "inputs";
/// The list of stored files that the stage has put among its outputs.
const PLACEMENTS: &str = ".tmp/placements";

/// One artifact to be linked in.
#[derive(Debug, Clone)]
pub struct Link {
    /// Where, relative to the folder.
    pub at: String,
    /// What.
    pub target: Target,
}

/// What is linked in.
#[derive(Debug, Clone)]
pub enum Target {
    /// Something in the cache.
    Stored(Artifact),
    /// A file or folder of the user's.
    OnDisk(PathBuf),
}

/// The folder of one try of one stage.
#[derive(Debug)]
pub struct Workspace {
    folder: PathBuf,
    links: BTreeSet<String>,
}

/// Why outputs could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// A declared output is not there.
    #[error("It ended without an error, but did not write its output `{name}` (`{file}`).")]
    NotWritten {
        /// The port.
        name: String,
        /// Where it should be.
        file: String,
    },
    /// The cache refused.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl Workspace {
    /// Links everything into the folder, which does not exist or was left by [`Workspace::clear`].
    pub fn prepare(cache: &Cache, folder: PathBuf, links: &[Link], outputs: &[OutputPort]) -> Result<Self, CacheError> {
        let inputs = folder.join(INPUTS);
        if !folder.exists() {
            make(&folder.join(TEMPORARY))?;
            make(&inputs)?;
        }
        let make_parent = |path: &Path| match path.parent() {
            Some(parent) if parent != folder && parent != inputs => make(parent),
            _ => Ok(()),
        };
        for link in links {
            let at = folder.join(&link.at);
            make_parent(&at)?;
            match &link.target {
                Target::Stored(artifact) => cache.link_into(artifact, &at)?,
                Target::OnDisk(path) => {
                    std::os::unix::fs::symlink(path, &at)
                        .map_err(|source| CacheError::Io { path: at.clone(), source })?;
                }
            }
        }
        for output in outputs {
            make_parent(&folder.join(&output.file))?;
        }
        Ok(Workspace { folder, links: links.iter().map(|link| link.at.clone()).collect() })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A folder inside for temporary files, relative to the folder.
    pub fn temporary(&self) -> &'static str {
        TEMPORARY
    }

    /// Where the stage notes which stored files it has put among its outputs, relative to the folder.
    pub fn placements(&self) -> PathBuf {
        PathBuf::from(PLACEMENTS)
    }

    /// Moves the declared outputs into the cache.
    pub fn take_outputs(
        &self,
        cache: &Cache,
        outputs: &[OutputPort],
        unsynced: &mut Unsynced,
    ) -> Result<Vec<OutputRecord>, TakeError> {
        let placed = Placements::read(&self.folder.join(PLACEMENTS), &self.folder);
        let mut records = Vec::with_capacity(outputs.len());
        for output in outputs {
            let path = self.folder.join(&output.file);
            if fs::symlink_metadata(&path).is_err() {
                if output.optional {
                    continue;
                }
                return Err(TakeError::NotWritten { name: output.name.clone(), file: output.file.clone() });
            }
            let artifact = cache.ingest_unsynced(&path, &placed, unsynced)?;
            records.push(OutputRecord { name: output.name.clone(), file: output.file.clone(), artifact });
        }
        Ok(records)
    }

    /// Files that are neither inputs nor (after [`Workspace::take_outputs`]) outputs, relative to the folder, sorted.
    pub fn undeclared(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.list(&self.folder, &mut found);
        found.sort();
        found
    }

    fn list(&self, folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let relative = path.strip_prefix(&self.folder).unwrap_or(&path).to_string_lossy().into_owned();
            if relative == TEMPORARY || self.links.contains(&relative) {
                continue;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.list(&path, found);
            } else {
                found.push(relative);
            }
        }
    }

    /// Empties the folder for another stage; where that does not succeed, the folder goes away and is not returned.
    pub fn clear(self) -> Option<PathBuf> {
        let kept = [TEMPORARY, INPUTS];
        let emptied = is_plain_folder(&self.folder)
            && kept.iter().all(|name| is_plain_folder(&self.folder.join(name)))
            && kept.iter().try_for_each(|name| empty(&self.folder.join(name), &[])).is_ok()
            && empty(&self.folder, &kept).is_ok();
        if emptied {
            return Some(self.folder);
        }
        // What cannot be removed now is swept by the next collection; the result does not depend on it.
        let _ = fs::remove_dir_all(&self.folder);
        None
    }
}

/// Whether `path` is a folder, no link to one, and as writable as it was made.
fn is_plain_folder(path: &Path) -> bool {
    let all = |metadata: &fs::Metadata| metadata.permissions().mode() & 0o700 == 0o700;
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir() && all(&metadata))
}

/// Removes everything in a folder but what has one of the names in `kept`.
fn empty(folder: &Path, kept: &[&str]) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if kept.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) }?;
    }
    Ok(())
}

fn make(folder: &Path) -> Result<(), CacheError> {
    fs::create_dir_all(folder).map_err(|source| CacheError::Io { path: folder.to_owned(), source })
}
