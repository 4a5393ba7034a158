//! Closures of earlier runs: they hold while the names in the folders that were looked at, and the contents of the files that
//! were found, are the same.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use athanor_cache::{Artifact, ArtifactKind, Digest};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::run::program::PROGRAM;
use crate::run::state::snapshot_file::SnapshotFiles;

use super::folders::Folder;
use super::model::{Contained, Files, Modules};
use super::parse::{Parsed, Script};
use super::walk::Roots;

/// Name of the file with closures.
const CLOSURES: &str = "imports";
/// Name of the file with the imports of single files.
const PARSED: &str = "imports-of-files";
/// Number of files above which imports of files that are not found any more are forgotten.
const MANY: usize = 50_000;

/// Closures of earlier runs, and new ones.
#[derive(Default)]
pub(super) struct Snapshot {
    stored: Stored,
    /// Numbers of the closures that are stored.
    by_roots: HashMap<Roots, usize>,
    /// Whether it is not what is on disk.
    is_changed: bool,
}

#[derive(Default, Serialize, Deserialize)]
struct Stored {
    folders: Vec<StoredFolder>,
    closures: Vec<StoredClosure>,
}

#[derive(Serialize, Deserialize)]
struct StoredFolder {
    path: Arc<str>,
    /// Digest of its names; `None` if it was not there.
    names: Option<Digest>,
    files: Vec<StoredFile>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoredFile {
    name: String,
    digest: Digest,
    bytes: u64,
    executable: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredClosure {
    roots: Roots,
    /// Folders that were looked at.
    folders: Vec<usize>,
    scripts: Vec<InFolder>,
    files: Vec<InFolder>,
    artifact: Artifact,
    broken: Vec<(String, usize)>,
}

/// A folder, and some of its files.
type InFolder = (usize, Vec<usize>);

/// Key of the format, and of what is found.
fn key() -> Digest {
    Digest::of(format!("athanor imports 2 {PROGRAM}").as_bytes())
}

impl Snapshot {
    /// Reads the closures of earlier runs that rest on nothing that has changed since.
    pub(super) fn read(modules: &Modules<'_>) -> Snapshot {
        let bytes = modules.snapshots.read(CLOSURES, &key());
        let stored: Option<Stored> = bytes.and_then(|bytes| rmp_serde::from_slice(&bytes).ok());
        let mut stored = stored.filter(Stored::is_whole).unwrap_or_default();
        let holds: Vec<Holds> = stored.folders.par_iter().map(|folder| folder.holds(modules)).collect();
        let before = stored.closures.len();
        stored.closures.retain(|closure| {
            let mut files = closure.scripts.iter().chain(&closure.files);
            closure.folders.iter().all(|number| holds[*number].names)
                && files.all(|(folder, files)| files.iter().all(|file| holds[*folder].files[*file]))
        });
        let is_changed = stored.closures.len() < before;
        let by_roots = stored.closures.iter().map(|closure| closure.roots.clone()).zip(0..).collect();
        Snapshot { stored, by_roots, is_changed }
    }

    /// Closure from these roots, if it still holds.
    pub(super) fn closure(&self, roots: &Roots) -> Option<Contained> {
        let closure = &self.stored.closures[*self.by_roots.get(roots)?];
        let files_of = |(number, files): &InFolder| {
            let folder = &self.stored.folders[*number];
            (Arc::clone(&folder.path), files.iter().map(|file| folder.files[*file].named()).collect())
        };
        let files = closure.files.iter().map(files_of).collect();
        Some(Contained { artifact: closure.artifact.clone(), broken: closure.broken.clone(), files })
    }

    /// Adds a closure that was found now.
    pub(super) fn add<'n>(
        &mut self,
        roots: &Roots,
        seen: impl Iterator<Item = (&'n str, Option<Digest>)>,
        scripts: &Files,
        Contained { artifact, broken, files }: &Contained,
    ) {
        self.is_changed = true;
        let mut wanted: HashMap<&str, Vec<StoredFile>> = HashMap::new();
        for (path, files) in scripts.iter().chain(files) {
            let wanted = wanted.entry(path).or_default();
            let new = files.iter().filter(|(name, _)| !wanted.iter().any(|known| known.name == *name));
            let new: Vec<StoredFile> = new.map(StoredFile::new).collect();
            wanted.extend(new);
        }
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        for (path, names) in seen {
            let files = wanted.remove(path).unwrap_or_default();
            numbers.insert(path, self.folder(path, names, files));
        }
        let in_folders = |list: &Files| -> Vec<InFolder> {
            let in_folder = |(path, files): &(Arc<str>, Vec<(String, Artifact)>)| {
                let number = *numbers.get(&**path)?;
                let known = self.stored.folders[number].files.iter().zip(0..);
                let known: HashMap<&str, usize> = known.map(|(file, number)| (file.name.as_str(), number)).collect();
                Some((number, files.iter().filter_map(|(name, _)| known.get(name.as_str()).copied()).collect()))
            };
            list.iter().filter_map(in_folder).collect()
        };
        self.stored.closures.push(StoredClosure {
            roots: roots.clone(),
            scripts: in_folders(scripts),
            files: in_folders(files),
            folders: numbers.into_values().collect(),
            artifact: artifact.clone(),
            broken: broken.clone(),
        });
    }

    /// Number of a folder with these names and files. Others may rest on what was found in it, which stays as it is.
    fn folder(&mut self, path: &str, names: Option<Digest>, files: Vec<StoredFile>) -> usize {
        let by_name = |folder: &StoredFolder| -> HashMap<String, StoredFile> {
            folder.files.iter().map(|file| (file.name.clone(), file.clone())).collect()
        };
        let same = self.stored.folders.iter().position(|folder| &*folder.path == path && folder.names == names);
        if let Some(number) = same {
            let known = by_name(&self.stored.folders[number]);
            if files.iter().all(|file| known.get(&file.name).is_none_or(|known| known == file)) {
                let new = files.into_iter().filter(|file| !known.contains_key(&file.name));
                self.stored.folders[number].files.extend(new);
                return number;
            }
        }
        self.stored.folders.push(StoredFolder { path: Arc::from(path), names, files });
        self.stored.folders.len() - 1
    }

    /// Writes everything that holds, if anything is new.
    pub(super) fn write(mut self, modules: &Modules<'_>, parsed: Option<ParsedFiles>) {
        if !self.is_changed {
            return;
        }
        self.stored.forget_unused();
        if let Ok(bytes) = rmp_serde::to_vec(&self.stored) {
            modules.snapshots.write(CLOSURES, &key(), &bytes);
        }
        if let Some(parsed) = parsed {
            parsed.write(modules.snapshots, &self.stored);
        }
    }
}

impl Stored {
    /// Whether every number is that of something there is.
    fn is_whole(&self) -> bool {
        let has = |(folder, files): &InFolder| {
            let folder = self.folders.get(*folder);
            folder.is_some_and(|folder| files.iter().all(|file| *file < folder.files.len()))
        };
        self.closures.iter().all(|closure| {
            closure.folders.iter().all(|folder| *folder < self.folders.len())
                && closure.scripts.iter().chain(&closure.files).all(has)
        })
    }

    /// Drops folders that no closure rests on any more.
    fn forget_unused(&mut self) {
        let used: BTreeSet<usize> = self.closures.iter().flat_map(|closure| &closure.folders).copied().collect();
        let moved: HashMap<usize, usize> = used.iter().copied().zip(0..).collect();
        for closure in &mut self.closures {
            let in_files = closure.scripts.iter_mut().chain(&mut closure.files).map(|(folder, _)| folder);
            closure.folders.iter_mut().chain(in_files).for_each(|folder| *folder = moved[folder]);
        }
        let mut number = 0..;
        self.folders.retain(|_| number.next().is_some_and(|number| used.contains(&number)));
    }
}

/// Part of a stored folder that is as it was.
struct Holds {
    names: bool,
    /// By file.
    files: Vec<bool>,
}

impl StoredFolder {
    fn holds(&self, modules: &Modules<'_>) -> Holds {
        let path = modules.project.join(&*self.path);
        let is_closed = modules.closed.iter().any(|closed| path.starts_with(closed));
        let folder = if is_closed { None } else { Folder::read(&path) };
        let holds = |files| Holds { names: folder.map(|folder| folder.digest()) == self.names, files };
        if self.files.is_empty() {
            return holds(Vec::new());
        }
        let names: Vec<&str> = self.files.iter().map(|file| file.name.as_str()).collect();
        let now = modules.cache.files_in(&path, &names);
        let same = |(file, now): (&StoredFile, Artifact)| file.artifact() == now;
        let files = now.map(|now| self.files.iter().zip(now).map(same).collect());
        holds(files.unwrap_or_else(|_| vec![false; self.files.len()]))
    }
}

impl StoredFile {
    fn new((name, artifact): &(String, Artifact)) -> StoredFile {
        let executable = artifact.kind == ArtifactKind::Executable;
        StoredFile { name: name.clone(), digest: artifact.digest, bytes: artifact.bytes, executable }
    }

    fn artifact(&self) -> Artifact {
        let kind = if self.executable { ArtifactKind::Executable } else { ArtifactKind::File };
        Artifact { kind, digest: self.digest, bytes: self.bytes, files: 1 }
    }

    fn named(&self) -> (String, Artifact) {
        (self.name.clone(), self.artifact())
    }
}

/// Imports of single files, by their contents.
#[derive(Default)]
pub(super) struct ParsedFiles {
    known: HashMap<Digest, Parsed>,
}

impl ParsedFiles {
    /// Reads what earlier runs found.
    pub(super) fn read(snapshots: &SnapshotFiles) -> ParsedFiles {
        let bytes = snapshots.read(PARSED, &key());
        let known: Option<Vec<(Digest, Parsed)>> = bytes.and_then(|bytes| rmp_serde::from_slice(&bytes).ok());
        ParsedFiles { known: known.unwrap_or_default().into_iter().collect() }
    }

    /// Imports of the file with this content.
    pub(super) fn get(&self, script: Script, content: &Digest) -> Option<&Parsed> {
        self.known.get(&in_language(script, content))
    }

    /// Remembers the imports of a content.
    pub(super) fn insert(&mut self, script: Script, content: &Digest, parsed: Parsed) {
        self.known.insert(in_language(script, content), parsed);
    }

    fn write(mut self, snapshots: &SnapshotFiles, stored: &Stored) {
        if self.known.len() > MANY {
            let files = stored.folders.iter().flat_map(|folder| &folder.files);
            let used: HashSet<Digest> = files.map(|file| file.digest).collect();
            self.known.retain(|content, _| used.contains(content));
        }
        let known: Vec<_> = self.known.iter().collect();
        if let Ok(bytes) = rmp_serde::to_vec(&known) {
            snapshots.write(PARSED, &key(), &bytes);
        }
    }
}

/// Key of a content in a language: the same text may be that of a module and of a shell script.
fn in_language(script: Script, content: &Digest) -> Digest {
    match script {
        Script::Python => *content,
        Script::Shell => Digest::keyed(content, b"shell"),
        Script::OfFirstLine => Digest::keyed(content, b"first line"),
    }
}
