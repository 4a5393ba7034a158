//! Folders of the project as Python's import system sees them.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use athanor_cache::{Digest, is_left_behind};

/// A folder: the names in it that an import can lead to; or a file in the place of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Folder {
    is_file: bool,
    /// Names of modules with their endings.
    files: BTreeSet<String>,
    /// Names of the folders in it.
    folders: BTreeSet<String>,
}

/// Package's own module.
const INIT: &str = "__init__.py";

impl Folder {
    /// Lists the folder at `path`; `None` if there is none that can be read, and no file either.
    pub(super) fn read(path: &Path) -> Option<Folder> {
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(_) if path.is_file() => return Some(Folder { is_file: true, ..Folder::default() }),
            Err(_) => return None,
        };
        let mut folder = Folder::default();
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let is_module = name.ends_with(".py") || name.ends_with(".so");
            let kind = entry.file_type().ok();
            let is_plain = kind.is_some_and(|kind| kind.is_file());
            if is_left_behind(name.as_bytes()) || !is_importable(&name) || (is_plain && !is_module) {
                continue;
            }
            let is_folder = match kind {
                Some(kind) if !kind.is_symlink() => kind.is_dir(),
                _ => entry.path().is_dir(),
            };
            if is_folder {
                folder.folders.insert(name);
            } else if is_module {
                folder.files.insert(name);
            }
        }
        Some(folder)
    }

    /// Digest of the names.
    pub(super) fn digest(&self) -> Digest {
        if self.is_file {
            return Digest::of(b"a file");
        }
        let lines: Vec<u8> = [&self.files, &self.folders]
            .into_iter()
            .flat_map(|names| names.iter().flat_map(|name| [name.as_bytes(), b"/"].concat()).chain([0]))
            .collect();
        Digest::of(&lines)
    }
}

/// Whether an import can name a file or folder of this name.
fn is_importable(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    let starts = stem.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
    starts && stem.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// Folders that were looked at, by path relative to the project; the project's own is empty.
pub(super) struct Folders<'p> {
    project: &'p Path,
    /// Folders that hold no modules: the cache, and results.
    closed: &'p [PathBuf],
    seen: HashMap<String, Option<Folder>>,
}

impl<'p> Folders<'p> {
    /// Folders of `project`, of which none has been looked at; those that are `closed` are not entered.
    pub(super) fn new(project: &'p Path, closed: &'p [PathBuf]) -> Folders<'p> {
        Folders { project, closed, seen: HashMap::new() }
    }

    fn folder(&mut self, path: &str) -> Option<&Folder> {
        if !self.seen.contains_key(path) {
            let on_disk = self.project.join(path);
            let is_closed = self.closed.iter().any(|closed| on_disk.starts_with(closed));
            let folder = if is_closed { None } else { Folder::read(&on_disk) };
            self.seen.insert(path.to_owned(), folder);
        }
        self.seen[path].as_ref()
    }

    /// Looks at the folder `path`.
    pub(super) fn look_at(&mut self, path: &str) {
        self.folder(path);
    }

    /// Whether the folder `path` has a folder called `name`.
    pub(super) fn has_folder(&mut self, path: &str, name: &str) -> bool {
        self.folder(path).is_some_and(|folder| folder.folders.contains(name))
    }

    /// Whether there is a file at `path`.
    pub(super) fn has_file(&mut self, path: &str) -> bool {
        self.folder(path).is_some_and(|folder| folder.is_file)
    }

    /// Files in the folder `path` that are the module `name`: Python, or an extension.
    pub(super) fn modules(&mut self, path: &str, name: &str) -> Vec<String> {
        let dotted = format!("{name}.");
        let Some(folder) = self.folder(path) else { return Vec::new() };
        let files = folder.files.range(dotted.clone()..).take_while(|file| file.starts_with(&dotted));
        let is_module = |file: &&String| file.len() == dotted.len() + 2 || file.ends_with(".so");
        files.filter(is_module).map(|file| join(path, file)).collect()
    }

    /// The package's own module in the folder `path`, if it is one.
    pub(super) fn init(&mut self, path: &str) -> Option<String> {
        self.folder(path)?.files.contains(INIT).then(|| join(path, INIT))
    }

    /// Names of all modules and folders in the folder `path`.
    pub(super) fn names(&mut self, path: &str) -> Vec<String> {
        let Some(folder) = self.folder(path) else { return Vec::new() };
        let stem = |file: &String| file.split('.').next().unwrap_or_default().to_owned();
        folder.files.iter().map(stem).chain(folder.folders.iter().cloned()).collect()
    }

    /// Every folder that was looked at, with the digest of its names; `None` for one that is not there.
    pub(super) fn seen(&self) -> impl Iterator<Item = (&str, Option<Digest>)> {
        self.seen.iter().map(|(path, folder)| (path.as_str(), folder.as_ref().map(Folder::digest)))
    }
}

/// Path of `name` in the folder `path`.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

/// Folder that the file or folder at `path` lies in.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
