//! Views of the user's folders for a stage: a symbolic link to the folder, or, where something in it is excluded, folders of
//! their own with copies of the files, or links to them.
//!
//! A stage must not see by the view whether anything is excluded: programs that go through folders do not follow links (`os.walk`,
//! `find`), so that every folder is one, and every link of the user's stays a link. Files are copies, as far as they are few; of larger
//! folders they are links.

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
    /// By a copy of it.
    Copy,
    /// By a folder with these entries. If nothing below it is excluded, a link to it shows the same.
    Folder { entries: Vec<(OsString, Shown)>, is_whole: bool },
}

/// Entries above which folders in which nothing is excluded are links: to make each of them would take longer than most stages need.
const MOST: usize = 50_000;
/// Most files, and bytes of them together, that are copied for one view.
const COPIED: (usize, u64) = (1_000, 16 << 20);

impl FolderView {
    /// Looks through the names in the folder `root`, and in all folders below it.
    pub fn of(root: &Path, exclusions: &Exclusions) -> Result<FolderView> {
        let exclusions = exclusions.in_walk_of(root);
        let mut look = Look { exclusions, folders: Vec::new(), ancestors: Vec::new() };
        let shown = match look.folder(root, "")? {
            Shown::Folder { is_whole: true, .. } => Shown::Link,
            mut shown => {
                if entries_of(&shown) > MOST {
                    link_whole_folders(&mut shown);
                } else if amount(&shown, root).is_some() {
                    copy_files(&mut shown, root);
                }
                shown
            }
        };
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
        Shown::Copy => match fs::copy(path, at).and_then(|_| keep_time(path, at)) {
            Ok(()) => Ok(()),
            // A pipe in its place, say, or a file that may not be read: the stage learns of that itself.
            Err(_) => {
                let _ = fs::remove_file(at);
                put(&Shown::Link, path, at)
            }
        },
        Shown::Folder { entries, .. } => {
            fs::create_dir(at).map_err(CacheError::io(at))?;
            entries.iter().try_for_each(|(name, shown)| put(shown, &path.join(name), &at.join(name)))
        }
    }
}

fn keep_time(path: &Path, at: &Path) -> std::io::Result<()> {
    let modified = fs::metadata(path)?.modified()?;
    // The copy may be read-only, which its owner may change all the same.
    fs::File::open(at)?.set_modified(modified)
}

fn entries_of(shown: &Shown) -> usize {
    match shown {
        Shown::Folder { entries, .. } => entries.iter().map(|(_, shown)| 1 + entries_of(shown)).sum(),
        Shown::Link | Shown::Copy => 0,
    }
}

/// Has folders in which nothing is excluded be links.
fn link_whole_folders(shown: &mut Shown) {
    match shown {
        Shown::Folder { is_whole: true, .. } => *shown = Shown::Link,
        Shown::Folder { entries, .. } => entries.iter_mut().for_each(|(_, shown)| link_whole_folders(shown)),
        Shown::Link | Shown::Copy => {}
    }
}

/// Numbers of files and bytes below `path`; `None` if a file is gone, or there is more than is copied.
fn amount(shown: &Shown, path: &Path) -> Option<(usize, u64)> {
    match shown {
        Shown::Folder { entries, .. } => entries.iter().try_fold((0_usize, 0_u64), |(files, bytes), (name, shown)| {
            let below = amount(shown, &path.join(name))?;
            Some((files + below.0, bytes + below.1)).filter(|(files, bytes)| *files <= COPIED.0 && *bytes <= COPIED.1)
        }),
        _ => fs::symlink_metadata(path).ok().map(|found| (1, if found.is_file() { found.len() } else { 0 })),
    }
}

/// Has regular files be copied.
fn copy_files(shown: &mut Shown, path: &Path) {
    match shown {
        Shown::Folder { entries, .. } => {
            entries.iter_mut().for_each(|(name, shown)| copy_files(shown, &path.join(name)));
        }
        _ if fs::symlink_metadata(path).is_ok_and(|found| found.is_file()) => *shown = Shown::Copy,
        _ => {}
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
                below.push((entries.len(), entry.file_type() == FileType::Symlink));
            }
            entries.push((OsStr::from_bytes(name.to_bytes()).to_owned(), Shown::Link));
        }
        self.folders.push((path.to_owned(), stat));
        self.ancestors.push(stat.identity());
        for (number, is_link) in below {
            let name = &entries[number].0;
            let prefix = format!("{prefix}{}/", name.to_string_lossy());
            let shown = self.folder(&path.join(name), &prefix)?;
            let is_whole_below = matches!(shown, Shown::Folder { is_whole: true, .. });
            is_whole &= is_whole_below;
            if !(is_link && is_whole_below) {
                entries[number].1 = shown;
            }
        }
        self.ancestors.pop();
        Ok(Shown::Folder { entries, is_whole })
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
    fn a_view_is_made_of_folders_and_files_without_what_is_excluded() {
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
        assert!(["c", "b/deep", "b/deep/y"].iter().all(|path| !at.join(path).is_symlink()));
        let time = |path: PathBuf| fs::metadata(path).unwrap().modified().unwrap();
        assert_eq!(time(at.join("b/deep/y")), time(root.join("b/deep/y")));
        fs::write(at.join("top"), "changed").unwrap();
        assert_eq!(fs::read_to_string(root.join("top")).unwrap(), "top");
        assert!(names_in(&at.join("d")).is_empty());
        assert_eq!(fs::read_to_string(at.join("linked/x.py")).unwrap(), "a/x.py");
        assert!(view.is_current());
        fs::create_dir(root.join("c/__pycache__")).unwrap();
        assert!(!view.is_current());
    }

    #[test]
    fn files_of_a_large_folder_are_links_and_links_of_the_users_stay_links() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("a")).unwrap();
        fs::write(root.join("a/x"), "x").unwrap();
        fs::write(root.join(".DS_Store"), "").unwrap();
        fs::File::create(root.join("large")).unwrap().set_len(COPIED.1 + 1).unwrap();
        std::os::unix::fs::symlink("a", root.join("linked")).unwrap();
        let exclusions = Exclusions::of_project(folder.path(), &[]).unwrap();
        let at = folder.path().join("at");
        FolderView::of(&root, &exclusions).unwrap().put(&at).unwrap();
        assert_eq!(names_in(&at), ["a", "large", "linked"]);
        assert!(!at.join("a").is_symlink() && at.join("a/x").is_symlink());
        assert!(at.join("large").is_symlink() && at.join("linked").is_symlink());
    }

    #[test]
    fn where_there_are_very_many_entries_whole_folders_are_links() {
        let folder = |entries: Vec<(&str, Shown)>, is_whole| {
            let entries = entries.into_iter().map(|(name, shown)| (OsString::from(name), shown)).collect();
            Shown::Folder { entries, is_whole }
        };
        let whole = || folder(vec![("x", Shown::Link), ("y", Shown::Link)], true);
        let mut shown = folder(vec![("a", whole()), ("b", folder(vec![("c", whole())], false))], false);
        assert_eq!(entries_of(&shown), 7);
        link_whole_folders(&mut shown);
        assert_eq!(entries_of(&shown), 3);
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
