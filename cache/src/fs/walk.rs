//! Parallel walk of everything below a folder, symbolic links followed.
//!
//! Several threads list the folders and stat the files, those of one large folder too: while one thread lists it,
//! others stat the files in it. Files are looked up relative to the open folder, which spares the kernel the resolution
//! of the whole path.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rayon::Scope;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};

use crate::fs::exclusions::{Exclusions, WalkExclusions};
use crate::fs::stat::Stat;
use crate::{CacheError, Result};

/// Bytes of directory entries that the kernel is asked for at once.
const LIST_BYTES: usize = 64 << 10;
/// Files per batch: enough to be worth handing to another thread.
const BATCH_FILES: usize = 512;

/// A folder of the walk.
#[derive(Debug)]
pub(crate) struct Dir {
    /// Its path.
    pub path: PathBuf,
    /// Prefix of the paths of its files, relative to the root: empty, or a path with `/` at its end.
    pub prefix: String,
    /// Whether it is reached by a symbolic link, so that its content belongs to somebody else.
    pub behind_link: bool,
    stat: Stat,
    parent: Option<Arc<Dir>>,
}

/// A file in a folder.
#[derive(Debug)]
pub(crate) struct FileIn<'n> {
    /// Its name.
    pub name: &'n str,
    /// Metadata of what the name leads to.
    pub stat: Stat,
}

/// A visited folder, with the results of its batches.
#[derive(Debug)]
pub(crate) struct Visited<S> {
    /// The folder.
    pub dir: Arc<Dir>,
    /// Whether nothing lies in it, not even a folder; what is excluded does not count.
    pub is_empty: bool,
    /// Results of `see`, one per batch of files, in the order of the folder's listing; at least one.
    pub seen: Vec<S>,
}

/// Visits `root` and all folders below it, without what is excluded, and returns them sorted by path. `see` gets the files
/// of a folder in batches, each with the number of files before it.
pub(crate) fn walk<S, F>(root: &Path, exclusions: &Exclusions, see: F) -> Result<Vec<Visited<S>>>
where
    S: Send,
    F: Fn(&Dir, usize, &[FileIn<'_>]) -> Result<S> + Sync,
{
    let exclusions = exclusions.in_walk_of(root);
    let walk = Walk { see, exclusions, batches: Mutex::default(), failure: OnceLock::new() };
    let start = DirRef { path: root.to_owned(), prefix: String::new(), behind_link: false, parent: None };
    rayon::scope(|scope| walk.enter(scope, start));
    if let Some(failure) = walk.failure.into_inner() {
        return Err(failure);
    }
    let mut batches = walk.batches.into_inner().unwrap_or_else(PoisonError::into_inner);
    batches.sort_unstable_by(|left, right| (&left.dir.prefix, left.first).cmp(&(&right.dir.prefix, right.first)));
    let mut visited: Vec<Visited<S>> = Vec::new();
    for Batch { dir, is_empty, seen, .. } in batches {
        match visited.last_mut().filter(|last| Arc::ptr_eq(&last.dir, &dir)) {
            Some(last) => last.seen.push(seen),
            None => visited.push(Visited { dir, is_empty, seen: vec![seen] }),
        }
    }
    Ok(visited)
}

/// A file or empty folder below a root.
#[derive(Debug)]
pub(crate) struct Found {
    /// Path below the root.
    pub relative: String,
    /// Path on disk.
    pub path: PathBuf,
    /// Metadata of what the path leads to.
    pub stat: Stat,
    /// Whether a folder on the way to it is reached by a symbolic link.
    pub behind_link: bool,
}

/// Lists every file and empty folder below the folder `root`, without what is excluded.
pub(crate) fn find_all(root: &Path, exclusions: &Exclusions) -> Result<Vec<Found>> {
    let visited =
        walk(root, exclusions, |dir, _, files| Ok(files.iter().map(|file| dir.found(file)).collect::<Vec<_>>()))?;
    let found = visited.into_iter().flat_map(|Visited { dir, is_empty, mut seen }| {
        seen.extend((is_empty && dir.parent.is_some()).then(|| vec![dir.found_empty()]));
        seen.into_iter().flatten()
    });
    Ok(found.collect())
}

impl Dir {
    /// The folder's path relative to the root; `None` for the root itself.
    pub(crate) fn relative(&self) -> Option<&str> {
        self.prefix.strip_suffix('/')
    }

    fn found(&self, file: &FileIn<'_>) -> Found {
        let relative = format!("{}{}", self.prefix, file.name);
        Found { relative, path: self.path.join(file.name), stat: file.stat, behind_link: self.behind_link }
    }

    fn found_empty(&self) -> Found {
        let relative = self.relative().unwrap_or_default().to_owned();
        Found { relative, path: self.path.clone(), stat: self.stat, behind_link: self.behind_link }
    }

    fn path_of(&self, name: &CStr) -> PathBuf {
        self.path.join(OsStr::from_bytes(name.to_bytes()))
    }

    fn text<'n>(&self, name: &'n CStr) -> Result<&'n str> {
        name.to_str().map_err(|_| CacheError::Name { path: self.path_of(name) })
    }
}

/// A folder that is yet to be opened.
struct DirRef {
    path: PathBuf,
    prefix: String,
    behind_link: bool,
    parent: Option<Arc<Dir>>,
}

/// Result of one batch of files.
struct Batch<S> {
    dir: Arc<Dir>,
    first: usize,
    is_empty: bool,
    seen: S,
}

struct Walk<'e, S, F> {
    see: F,
    exclusions: WalkExclusions<'e>,
    batches: Mutex<Vec<Batch<S>>>,
    failure: OnceLock<CacheError>,
}

impl<S, F> Walk<'_, S, F>
where
    S: Send,
    F: Fn(&Dir, usize, &[FileIn<'_>]) -> Result<S> + Sync,
{
    fn enter<'s>(&'s self, scope: &Scope<'s>, dir_ref: DirRef) {
        self.attempt(|| self.read(scope, dir_ref));
    }

    /// Runs one step of the walk; after a failure the rest is skipped.
    fn attempt(&self, step: impl FnOnce() -> Result<()>) {
        if self.failure.get().is_some() {
            return;
        }
        if let Err(failure) = step() {
            // The first one is as good as any.
            let _ = self.failure.set(failure);
        }
    }

    /// Lists a folder. It is opened by its path, so that no more folders are open than are being listed.
    fn read<'s>(&'s self, scope: &Scope<'s>, dir_ref: DirRef) -> Result<()> {
        let (dir, folder) = dir_ref.open()?;
        let mut buffer = Vec::with_capacity(LIST_BYTES);
        let mut list = RawDir::new(folder.as_fd(), buffer.spare_capacity_mut());
        let (mut names, mut first, mut is_empty) = (Names::default(), 0, true);
        while let Some(entry) = list.next() {
            let entry = entry.map_err(|errno| CacheError::io(&dir.path)(errno.into()))?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let is_folder = self.is_folder(&folder, name, entry.file_type());
            if self.exclusions.exclude(&dir.prefix, name, is_folder) {
                continue;
            }
            is_empty = false;
            if is_folder {
                self.enter_below(scope, &dir, name, false)?;
                continue;
            }
            names.push(name);
            if names.len() == BATCH_FILES {
                let (dir, folder, full) = (Arc::clone(&dir), Arc::clone(&folder), std::mem::take(&mut names));
                scope.spawn(move |scope| self.attempt(|| self.look(scope, &dir, &folder, first, &full, false)));
                first += BATCH_FILES;
            }
        }
        self.look(scope, &dir, &folder, first, &names, is_empty)
    }

    /// Whether an entry is a folder, no link to one; where that has to be asked for, it is asked only if it matters here.
    fn is_folder(&self, folder: &OwnedFd, name: &CStr, listed: FileType) -> bool {
        match listed {
            FileType::Unknown if self.exclusions.tell_folders() => {
                let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
                stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
            }
            listed => listed == FileType::Directory,
        }
    }

    fn enter_below<'s>(&'s self, scope: &Scope<'s>, dir: &Arc<Dir>, name: &CStr, by_link: bool) -> Result<()> {
        let dir_ref = DirRef {
            path: dir.path_of(name),
            prefix: format!("{}{}/", dir.prefix, dir.text(name)?),
            behind_link: dir.behind_link || by_link,
            parent: Some(Arc::clone(dir)),
        };
        scope.spawn(move |scope| self.enter(scope, dir_ref));
        Ok(())
    }

    /// Stats a batch of entries that are not known to be folders.
    fn look<'s>(
        &'s self,
        scope: &Scope<'s>,
        dir: &Arc<Dir>,
        folder: &OwnedFd,
        first: usize,
        names: &Names,
        is_empty: bool,
    ) -> Result<()> {
        let mut files = Vec::with_capacity(names.len());
        for name in names.names() {
            let text = dir.text(name)?;
            let stat = Stat::in_folder(folder, name).map_err(|error| error.at(&dir.path_of(name)))?;
            if stat.is_folder() {
                self.enter_below(scope, dir, name, dir.path_of(name).is_symlink())?;
            } else {
                files.push(FileIn { name: text, stat });
            }
        }
        let seen = (self.see)(dir, first, &files)?;
        let batch = Batch { dir: Arc::clone(dir), first, is_empty, seen };
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
        Ok(())
    }
}

impl DirRef {
    fn open(self) -> Result<(Arc<Dir>, Arc<OwnedFd>)> {
        let DirRef { path, prefix, behind_link, parent } = self;
        let refused = |errno: rustix::io::Errno| CacheError::io(&path)(errno.into());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&path, flags, Mode::empty()).map_err(refused)?;
        let stat = Stat::from(rustix::fs::fstat(&folder).map_err(refused)?);
        let ancestors = std::iter::successors(parent.as_deref(), |dir| dir.parent.as_deref());
        if ancestors.into_iter().any(|ancestor| ancestor.stat.identity() == stat.identity()) {
            return Err(CacheError::Cycle { path });
        }
        Ok((Arc::new(Dir { path, prefix, behind_link, stat, parent }), Arc::new(folder)))
    }
}

/// Names with their terminating zeros, one after the other: one allocation for many.
#[derive(Default)]
struct Names {
    names: Vec<u8>,
    ends: Vec<usize>,
}

impl Names {
    fn push(&mut self, name: &CStr) {
        self.names.extend(name.to_bytes_with_nul());
        self.ends.push(self.names.len());
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn names(&self) -> impl Iterator<Item = &CStr> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let names = starts.zip(&self.ends).map(|(start, end)| &self.names[start..*end]);
        names.map(|name| CStr::from_bytes_with_nul(name).expect("it was one when it was pushed"))
    }
}
