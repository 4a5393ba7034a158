//! Entries of the user's folders that are no content: what editors, file managers and interpreters leave behind, what the user
//! lists, and the folders of the cache itself.

use std::ffi::CStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::{CacheError, Result};

/// Names of folders and files that programs leave behind for themselves, in sorted order.
const LEFT_BEHIND: [&[u8]; 11] = [
    b".DS_Store",
    b".Spotlight-V100",
    b".athanor",
    b".hypothesis",
    b".ipynb_checkpoints",
    b".mypy_cache",
    b".pytest_cache",
    b".ruff_cache",
    b"@eaDir",
    b"Thumbs.db",
    b"__pycache__",
];
/// Beginnings of the names that NFS and FUSE give to files that are deleted and still open, before a number in hexadecimal, and
/// the least digits of it.
const DELETED: [(&[u8], usize); 2] = [(b".nfs", 8), (b".fuse_hidden", 4)];
/// Beginnings of such names: AppleDouble files, locks of Emacs, of LibreOffice and of Microsoft's editors.
const BEGINNINGS: [&[u8]; 4] = [b"._", b".#", b".~lock.", b"~$"];
/// Ends of such names: backups, and files that JetBrains' editors and Kate write first.
const ENDS: [&[u8]; 4] = [b"~", b"___jb_tmp___", b"___jb_old___", b".kate-swp"];

/// Whether programs give this name to what they leave behind for themselves, and nobody to content.
pub fn is_left_behind(name: &[u8]) -> bool {
    // Most names are settled by their first and last byte.
    let (Some(first), Some(last)) = (name.first(), name.last()) else { return false };
    let is_ordinary = first.is_ascii_alphanumeric() && *first != b'T' && !matches!(last, b'~' | b'_');
    if is_ordinary {
        return false;
    }
    LEFT_BEHIND.binary_search(&name).is_ok()
        || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning) && name.len() > beginning.len())
        || ENDS.iter().any(|end| name.ends_with(end) && name.len() > end.len())
        || (name.len() > 2 && *first == b'#' && *last == b'#')
        || is_swap_file(name)
        || is_deleted(name)
}

/// Whether it is the name of a file that is deleted and still open.
fn is_deleted(name: &[u8]) -> bool {
    DELETED.iter().any(|(beginning, least)| {
        let number = name.strip_prefix(*beginning);
        number.is_some_and(|number| number.len() >= *least && number.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Whether it is a swap file of Vim: `.name.swp`, `.name.swo` and so on, or `.swp` of a text without a name.
fn is_swap_file(name: &[u8]) -> bool {
    let Some((stem, [b'.', b's', b'w', letter])) = name.split_last_chunk() else { return false };
    letter.is_ascii_lowercase() && (stem.is_empty() || (stem.len() > 1 && stem.starts_with(b".")))
}

/// Entries of the user's folders that are no content.
///
/// The root of a walk is content under any name: somebody has named it.
#[derive(Debug, Default)]
pub struct Exclusions {
    /// Whether names that [`is_left_behind`] are excluded.
    left_behind: bool,
    /// Folders that are no content, absolute and without symbolic links.
    folders: Vec<PathBuf>,
    listed: Option<Listed>,
}

/// Patterns of the user, for what is in one folder.
#[derive(Debug)]
struct Listed {
    /// The folder, absolute and without symbolic links.
    within: PathBuf,
    patterns: Gitignore,
}

impl Exclusions {
    /// Name of the file with the user's patterns.
    pub const FILE: &'static str = ".athanorignore";

    /// Exclusions in the inputs of a project: names that programs leave behind, these `folders`, and the patterns in the file
    /// [`Exclusions::FILE`] of the project's folder, with the meaning that git gives them in `.gitignore`.
    pub fn of_project(project: &Path, folders: &[PathBuf]) -> Result<Exclusions> {
        let folders = folders.iter().map(|folder| without_links(&project.join(folder))).collect();
        Ok(Exclusions { left_behind: true, folders, listed: Listed::read(project)? })
    }

    /// Exclusions in a walk from `root`.
    pub(crate) fn in_walk_of(&self, root: &Path) -> WalkExclusions<'_> {
        if !self.left_behind && self.folders.is_empty() && self.listed.is_none() {
            return WalkExclusions { left_behind: false, folders: Vec::new(), listed: None };
        }
        let root = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
        let below = self.folders.iter().filter_map(|folder| folder.strip_prefix(&root).ok());
        let folders = below.map(|folder| folder.as_os_str().as_bytes().to_vec()).filter(|folder| !folder.is_empty());
        let listed = self.listed.as_ref().and_then(|listed| {
            let within = root.strip_prefix(&listed.within).ok()?;
            Some((within.to_owned(), &listed.patterns))
        });
        WalkExclusions { left_behind: self.left_behind, folders: folders.collect(), listed }
    }
}

impl Listed {
    fn read(project: &Path) -> Result<Option<Listed>> {
        let path = project.join(Exclusions::FILE);
        let text = match read_patterns(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(CacheError::io(&path)(error)),
        };
        // Paths are given relative to the project's folder.
        let mut builder = GitignoreBuilder::new("");
        for (line, pattern) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let refused = |error: ignore::Error| CacheError::Pattern {
                path: path.clone(),
                line: line + 1,
                reason: reason(&error),
            };
            builder.add_line(None, pattern).map_err(refused)?;
        }
        let refused =
            |error: ignore::Error| CacheError::Pattern { path: path.clone(), line: 1, reason: reason(&error) };
        let patterns = builder.build().map_err(refused)?;
        let within = fs::canonicalize(project).map_err(CacheError::io(project))?;
        Ok((!patterns.is_empty()).then_some(Listed { within, patterns }))
    }
}

/// Content of the file with the user's patterns, which may be a link to `/dev/null` as in git.
fn read_patterns(path: &Path) -> io::Result<Vec<u8>> {
    let found = fs::metadata(path)?;
    if found.is_file() {
        return fs::read(path);
    }
    // Opening a pipe would wait for a writer, and some devices have no end.
    match fs::canonicalize(path)? == Path::new("/dev/null") {
        true => Ok(Vec::new()),
        false => Err(io::Error::other("it is not a file. Move it out of the way")),
    }
}

/// The path without symbolic links, also of a folder that is yet to be made.
fn without_links(path: &Path) -> PathBuf {
    let known = path.ancestors().find_map(|parent| Some((fs::canonicalize(parent).ok()?, parent)));
    let Some((known, parent)) = known else { return path.to_owned() };
    path.strip_prefix(parent).map_or_else(|_| path.to_owned(), |rest| known.join(rest))
}

/// Reason for which a pattern is refused, without the place, which is given beside it.
fn reason(error: &ignore::Error) -> String {
    match error {
        ignore::Error::WithLineNumber { err, .. } | ignore::Error::WithPath { err, .. } => reason(err),
        ignore::Error::Glob { err, .. } => err.clone(),
        other => other.to_string(),
    }
}

/// Exclusions as they apply to the entries below the root of one walk.
#[derive(Debug)]
pub(crate) struct WalkExclusions<'e> {
    left_behind: bool,
    /// Paths of folders relative to the root.
    folders: Vec<Vec<u8>>,
    /// Path of the root relative to the folder of the patterns, and these.
    listed: Option<(PathBuf, &'e Gitignore)>,
}

impl WalkExclusions<'_> {
    /// Whether the entry `name` of the folder `prefix` (relative to the root; empty, or with `/` at its end) is left out.
    pub(crate) fn exclude(&self, prefix: &str, name: &CStr, is_folder: bool) -> bool {
        let name = name.to_bytes();
        if let Some((within, patterns)) = &self.listed {
            let path = within.join(prefix).join(std::ffi::OsStr::from_bytes(name));
            let matched = patterns.matched(&path, is_folder);
            if !matched.is_none() {
                return matched.is_ignore();
            }
        }
        let is_excluded = |folder: &Vec<u8>| folder.strip_prefix(prefix.as_bytes()) == Some(name);
        (self.left_behind && is_left_behind(name)) || (is_folder && self.folders.iter().any(is_excluded))
    }

    /// Whether it has to be known of an entry if it is a folder.
    pub(crate) fn tell_folders(&self) -> bool {
        self.listed.is_some() || !self.folders.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_programs_leave_behind_are_told_from_content() {
        let left = [
            "__pycache__",
            ".DS_Store",
            "._a.png",
            "Thumbs.db",
            ".ipynb_checkpoints",
            ".a.txt.swp",
            ".a.swo",
            ".swp",
            ".#a.c",
            "#a.c#",
            "a.c~",
            ".~lock.a.odt#",
            "~$a.docx",
            "a.py___jb_tmp___",
            "a.py___jb_old___",
            ".athanor",
            ".a.txt.kate-swp",
            ".pytest_cache",
            ".mypy_cache",
            ".ruff_cache",
            ".hypothesis",
            ".nfs000000000234f1a800000001",
            ".fuse_hidden0000002a00000001",
            "@eaDir",
            ".Spotlight-V100",
        ];
        for name in left {
            assert!(is_left_behind(name.as_bytes()), "{name}");
        }
        let content = [
            "a.py",
            "__init__.py",
            "_",
            "~",
            "#",
            "##",
            ".",
            "._",
            ".#",
            ".gitignore",
            ".a.swf7",
            "a.swp",
            ".env",
            "T.db",
            "Thumbs.db.txt",
            "#a",
            "pycache",
            ".swap",
            "x__pycache__",
            "a#",
            "_a_",
            "athanor",
            ".nfs",
            ".nfsrc",
            ".nfs-options",
            ".fuse_hidden",
            "pytest_cache",
        ];
        for name in content {
            assert!(!is_left_behind(name.as_bytes()), "{name}");
        }
        assert!(LEFT_BEHIND.is_sorted());
    }

    #[test]
    fn patterns_mean_what_git_means_by_them() {
        let project = tempfile::tempdir().unwrap();
        let text = "# a comment\n*.log\n!keep.log\n/only-here\nbuild/\ndoc/**/x\n!.DS_Store\n";
        fs::write(project.path().join(Exclusions::FILE), text).unwrap();
        fs::create_dir_all(project.path().join("in/ner")).unwrap();
        fs::create_dir_all(project.path().join("cache")).unwrap();
        let exclusions = Exclusions::of_project(project.path(), &[project.path().join("cache")]).unwrap();
        let check = |root: &str, prefix: &str, name: &CStr, is_folder: bool| {
            exclusions.in_walk_of(&project.path().join(root)).exclude(prefix, name, is_folder)
        };
        assert!(check("", "", c"a.log", false) && check("in", "ner/", c"a.log", false));
        assert!(!check("", "x/", c"keep.log", false));
        assert!(check("", "", c"only-here", false) && !check("", "in/", c"only-here", false));
        assert!(!check("in", "", c"only-here", false), "patterns count from the project's folder");
        assert!(check("in", "", c"build", true) && !check("in", "", c"build", false));
        assert!(check("", "doc/a/b/", c"x", false) && !check("", "in/", c"x", false));
        assert!(!check("", "", c".DS_Store", false) && check("", "", c"._x", false));
        assert!(check("", "", c"cache", true) && !check("in", "", c"cache", true) && !check("", "in/", c"cache", true));
        assert!(check("./in/..", "", c"cache", true), "however the root is written");
        let outside = tempfile::tempdir().unwrap();
        let elsewhere = exclusions.in_walk_of(outside.path());
        assert!(!elsewhere.exclude("", c"a.log", false) && elsewhere.exclude("", c"__pycache__", true));
        let none = Exclusions::default();
        assert!(!none.in_walk_of(project.path()).exclude("", c"__pycache__", true));
    }

    #[test]
    fn a_pattern_that_makes_no_sense_is_refused_with_its_line() {
        let project = tempfile::tempdir().unwrap();
        fs::write(project.path().join(Exclusions::FILE), "*.log\n[z-a]\n").unwrap();
        let error = Exclusions::of_project(project.path(), &[]).unwrap_err().to_string();
        assert!(error.contains(".athanorignore:2: "), "{error}");
    }
}
