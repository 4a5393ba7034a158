//! A stage's own folder: its inputs linked in before it runs, its outputs taken out afterwards.
//!
//! A folder is emptied and used again by a later stage: to make and to remove one costs more than a small stage does.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use athanor_cache::{Artifact, Cache, CacheError, OutputRecord, Placements, Unsynced, remove_tree, symlink_or_copy};
use athanor_stages::ports::OutputPort;

/// Temporary files of the stage, which are nobody's outputs.
const TEMPORARY: &str = ".tmp";
/// Where most inputs are linked in.
const INPUTS: &str = "inputs";
/// The folders that every try has.
const KEPT: [&str; 2] = [TEMPORARY, INPUTS];
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
                    symlink_or_copy(path, &at).map_err(|source| CacheError::Io { path: at.clone(), source })?;
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

    /// Empties the folder for another stage. To be called after [`Workspace::take_outputs`]: what is left that is no input is
    /// undeclared.
    pub fn clear(self) -> Cleared {
        let mut undeclared = Vec::new();
        let emptied =
            KEPT.iter().all(|name| is_plain_folder(&self.folder.join(name))) && self.sweep("", &mut undeclared);
        undeclared.sort();
        if emptied {
            return Cleared { folder: Some(self.folder), undeclared };
        }
        // What cannot be removed now is swept by the next collection; the result does not depend on it.
        let _ = remove_tree(&self.folder);
        Cleared { folder: None, undeclared }
    }

    /// Removes everything in the folder `within` (relative) but the folders that every try has; says whether that succeeded.
    fn sweep(&self, within: &str, undeclared: &mut Vec<String>) -> bool {
        let folder = self.folder.join(within);
        let Some(entries) = is_plain_folder(&folder).then(|| fs::read_dir(&folder)).and_then(Result::ok) else {
            return false;
        };
        let mut emptied = true;
        for entry in entries {
            emptied &= entry.is_ok_and(|entry| {
                let relative = relative(within, &entry);
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() && KEPT.contains(&relative.as_str()) => self.sweep(&relative, undeclared),
                    Ok(kind) if kind.is_dir() => {
                        self.list(&relative, undeclared);
                        remove_tree(&entry.path()).is_ok()
                    }
                    _ => {
                        self.note(relative, undeclared);
                        fs::remove_file(entry.path()).is_ok()
                    }
                }
            });
        }
        emptied
    }

    /// Notes all undeclared files in the folder `within` (relative).
    fn list(&self, within: &str, undeclared: &mut Vec<String>) {
        for entry in fs::read_dir(self.folder.join(within)).into_iter().flatten().flatten() {
            let relative = relative(within, &entry);
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.list(&relative, undeclared);
            } else {
                self.note(relative, undeclared);
            }
        }
    }

    fn note(&self, relative: String, undeclared: &mut Vec<String>) {
        let is_temporary = relative.split('/').next() == Some(TEMPORARY);
        if !is_temporary && !self.links.contains(&relative) {
            undeclared.push(relative);
        }
    }
}

/// What is left of a try's folder.
pub struct Cleared {
    /// The folder, if another try can use it.
    pub folder: Option<PathBuf>,
    /// Files that were neither inputs nor outputs, relative to the folder, sorted.
    pub undeclared: Vec<String>,
}

/// Whether `path` is a folder, no link to one, and as writable as it was made.
fn is_plain_folder(path: &Path) -> bool {
    let all = |metadata: &fs::Metadata| metadata.permissions().mode() & 0o700 == 0o700;
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir() && all(&metadata))
}

/// The path of an entry of the folder `within`.
fn relative(within: &str, entry: &fs::DirEntry) -> String {
    let name = entry.file_name();
    let name = name.to_string_lossy();
    if within.is_empty() { name.into_owned() } else { format!("{within}/{name}") }
}

fn make(folder: &Path) -> Result<(), CacheError> {
    fs::create_dir_all(folder).map_err(|source| CacheError::Io { path: folder.to_owned(), source })
}
