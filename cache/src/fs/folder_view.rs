//! Views of the user's folders for a stage: a symbolic link to the folder, or, where something in it is excluded, folders of
//! their own with links to everything else.

use std::ffi::{CStr, OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};

use crate::fs::exclusions::{Exclusions, WalkExclusions};
use crate::fs::fallback::symlink_or_copy;
use crate::fs::stat::Stat;
use crate::{CacheError, Result};

/// Bytes of directory entries that the kernel is asked for at once.
const LIST_BYTES: usize = 64 << 10;

/// View of a folder of the user without what is excluded, as it was when it was looked at.
#[derive(Debug)]
pub struct FolderView {
    root: PathBuf,
    /// All folders below the root and itself, with their metadata: the names in a folder cannot change without it.
    folders: Vec<(PathBuf, Stat)>,
    shown: Shown,
}

/// Way in which a folder or file is shown.
#[derive(Debug)]
enum Shown {
    /// By a link to it.
    Link,
    /// By a folder with these entries.
    Folder(Vec<(OsString, Shown)>),
}

impl FolderView {
    /// Looks through the names in the folder `root`, and in all folders below it.
    pub fn of(root: &Path, exclusions: &Exclusions) -> Result<FolderView> {
        let exclusions = exclusions.in_walk_of(root);
        let mut look = Look { exclusions, folders: Vec::new(), ancestors: Vec::new() };
        let shown = look.folder(root, "")?;
        Ok(FolderView { root: root.to_owned(), folders: look.folders, shown })
    }

    /// Whether no name was added or removed since.
    pub fn is_current(&self) -> bool {
        self.folders.iter().all(|(path, stat)| Stat::of(path).is_ok_and(|now| now == *stat))
    }

    /// Puts the view at `at`, which does not exist.
    pub fn put(&self, at: &Path) -> Result<()> {
        put(&self.shown, &self.root, at)
    }
}

fn put(shown: &Shown, path: &Path, at: &Path) -> Result<()> {
    match shown {
        Shown::Link => symlink_or_copy(path, at).map_err(CacheError::io(at)),
        Shown::Folder(entries) => {
            fs::create_dir(at).map_err(CacheError::io(at))?;
            entries.iter().try_for_each(|(name, shown)| put(shown, &path.join(name), &at.join(name)))
        }
    }
}

struct Look<'e> {
    exclusions: WalkExclusions<'e>,
    folders: Vec<(PathBuf, Stat)>,
    /// Identities of the folders on the way to the present one.
    ancestors: Vec<(u64, u64)>,
}

impl Look<'_> {
    /// Looks at a folder; `prefix` is its path relative to the root, with `/` at its end unless it is empty.
    fn folder(&mut self, path: &Path, prefix: &str) -> Result<Shown> {
        let refused = |errno: rustix::io::Errno| CacheError::io(path)(errno.into());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(refused)?;
        let stat = Stat::from(rustix::fs::fstat(&folder).map_err(refused)?);
        if self.ancestors.contains(&stat.identity()) {
            return Err(CacheError::Cycle { path: path.to_owned() });
        }
        let mut buffer = Vec::with_capacity(LIST_BYTES);
        let mut list = RawDir::new(&folder, buffer.spare_capacity_mut());
        let (mut entries, mut below, mut is_whole) = (Vec::new(), Vec::new(), true);
        while let Some(entry) = list.next() {
            let entry = entry.map_err(refused)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let (is_folder, leads_to_folder) = kind_of(&folder, name, entry.file_type());
            if self.exclusions.exclude(prefix, name, is_folder) {
                is_whole = false;
                continue;
            }
            if leads_to_folder {
                below.push(entries.len());
            }
            entries.push((OsStr::from_bytes(name.to_bytes()).to_owned(), Shown::Link));
        }
        self.folders.push((path.to_owned(), stat));
        self.ancestors.push(stat.identity());
        for number in below {
            let name = &entries[number].0;
            let prefix = format!("{prefix}{}/", name.to_string_lossy());
            let shown = self.folder(&path.join(name), &prefix)?;
            is_whole &= matches!(shown, Shown::Link);
            entries[number].1 = shown;
        }
        self.ancestors.pop();
        Ok(if is_whole { Shown::Link } else { Shown::Folder(entries) })
    }
}

/// Whether an entry is a folder, and whether it is one or a link to one.
fn kind_of(folder: &rustix::fd::OwnedFd, name: &CStr, listed: FileType) -> (bool, bool) {
    let is_folder = |flags: AtFlags| {
        let stat = rustix::fs::statat(folder, name, flags);
        stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
    };
    match listed {
        FileType::Directory => (true, true),
        FileType::Symlink => (false, is_folder(AtFlags::empty())),
        FileType::Unknown => (is_folder(AtFlags::SYMLINK_NOFOLLOW), is_folder(AtFlags::empty())),
        _ => (false, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn only_folders_with_something_excluded_are_made_and_all_else_is_linked() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        for path in ["a/x.py", "a/__pycache__/x.pyc", "b/deep/y", "b/deep/.DS_Store", "c/z", "top", "d/__pycache__/w"] {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), path).unwrap();
        }
        std::os::unix::fs::symlink(root.join("a"), root.join("linked")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join(".#lock")).unwrap();
        let exclusions = Exclusions::of_project(folder.path(), &[]).unwrap();
        let view = FolderView::of(&root, &exclusions).unwrap();
        let at = folder.path().join("at");
        view.put(&at).unwrap();
        assert_eq!(names_in(&at), ["a", "b", "c", "d", "linked", "top"]);
        assert_eq!((names_in(&at.join("a")), names_in(&at.join("linked"))), (vec!["x.py".into()], vec!["x.py".into()]));
        assert!(at.join("c").is_symlink() && !at.join("b/deep").is_symlink() && at.join("b/deep/y").is_symlink());
        assert!(names_in(&at.join("d")).is_empty());
        assert_eq!(fs::read_to_string(at.join("linked/x.py")).unwrap(), "a/x.py");
        assert!(view.is_current());
        fs::create_dir(root.join("c/__pycache__")).unwrap();
        assert!(!view.is_current());
    }

    #[test]
    fn a_folder_without_such_names_is_one_link() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("root/in/ner")).unwrap();
        let exclusions = Exclusions::of_project(folder.path(), &[]).unwrap();
        FolderView::of(&folder.path().join("root"), &exclusions).unwrap().put(&folder.path().join("at")).unwrap();
        assert!(folder.path().join("at").is_symlink());
    }
}
