//! Full paths in lines of commands that lead into the project: as it is called, by a link that leads to it, or from the home folder.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Paths of the project, relative to it, by the words that name them.
#[derive(Debug)]
pub(super) struct FullPaths<'p>(HashMap<&'p str, String>);

impl<'p> FullPaths<'p> {
    /// Looks where those of `words` lead that are absolute, begin in the home folder, or have `..` in them.
    pub(super) fn of(words: impl Iterator<Item = &'p str>, project: &Path) -> FullPaths<'p> {
        let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let mut folders = Folders { project, identity: None, known: HashMap::new() };
        let mut paths = HashMap::new();
        for word in words.filter(|word| is_looked_up(word)) {
            if !paths.contains_key(word)
                && let Some(path) = folders.in_project(word, home.as_deref())
            {
                paths.insert(word, path);
            }
        }
        FullPaths(paths)
    }

    /// The path of a word in the project: the word itself if it is relative and plain.
    pub(super) fn within<'s>(&'s self, word: &'s str) -> Option<&'s str> {
        if is_looked_up(word) { self.0.get(word).map(String::as_str) } else { Some(word) }
    }
}

fn is_looked_up(word: &str) -> bool {
    word.starts_with('/') || word.starts_with("~/") || word.split('/').any(|part| part == "..")
}

fn is_plain(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// Folders that words lie in, each of which is looked up once.
struct Folders<'a> {
    project: &'a Path,
    /// Device and number of the project folder, once they were asked for.
    identity: Option<Option<(u64, u64)>>,
    /// Paths in the project, of folders that are in it.
    known: HashMap<PathBuf, Option<PathBuf>>,
}

impl Folders<'_> {
    fn in_project(&mut self, word: &str, home: Option<&Path>) -> Option<String> {
        // A link with a slash behind it is the folder that it leads to.
        let word = word.trim_end_matches('/');
        let path = match word.strip_prefix("~/") {
            Some(rest) => {
                let home = home?;
                // Hidden files of a home folder that is the project are caches and settings.
                if rest.starts_with('.') && identity(home).is_some_and(|home| self.identity() == Some(home)) {
                    return None;
                }
                home.join(rest)
            }
            None => self.project.join(word),
        };
        let inner = match path.strip_prefix(self.project) {
            Ok(inner) if is_plain(inner) => inner.to_owned(),
            // There they lead to what this process has open, and not to what a stage has.
            Err(_) if path.starts_with("/dev") || path.starts_with("/proc") => return None,
            _ => match self.folder(path.parent()?) {
                Some(folder) => folder.join(path.file_name()?),
                None if path.is_symlink() => self.folder(&path)?,
                None => return None,
            },
        };
        inner.to_str().filter(|inner| !inner.is_empty()).map(str::to_owned)
    }

    /// Device and number of the project folder.
    fn identity(&mut self) -> Option<(u64, u64)> {
        *self.identity.get_or_insert_with(|| identity(self.project))
    }

    fn folder(&mut self, folder: &Path) -> Option<PathBuf> {
        if let Some(known) = self.known.get(folder) {
            return known.clone();
        }
        let project = self.identity();
        let is_project = |above: &&Path| project.is_some() && identity(above) == project;
        // By what it is, and not by what it is called, so that a link in the project counts as the link that it is.
        let above = folder.ancestors().find(is_project).and_then(|above| folder.strip_prefix(above).ok());
        let inner = above.filter(|inner| is_plain(inner)).map(Path::to_owned).or_else(|| {
            let place = folder.canonicalize().ok()?;
            place.strip_prefix(self.project).ok().map(Path::to_owned)
        });
        self.known.insert(folder.to_owned(), inner.clone());
        inner
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}
