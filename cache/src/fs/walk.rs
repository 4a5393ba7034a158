//! Everything below a folder, symbolic links followed.
//!
//! Several threads read the folders and look at the files, those of one large folder too: while one thread reads its list,
//! others look at the files in it. Files are looked at by their names in the open folder, which spares the kernel the way there.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rayon::Scope;
use rustix::fs::{FileType, Mode, OFlags, RawDir};

use crate::fs::stat::Stat;
use crate::{CacheError, Result};

/// Bytes of a folder's list that the kernel is asked for at once.
const LIST_BYTES: usize = 64 << 10;
/// Files that one thread looks at before another may take over: long enough to be worth handing over.
const BATCH: usize = 512;

/// A folder on the way.
#[derive(Debug)]
pub(crate) struct Place {
    /// Where it is.
    pub path: PathBuf,
    /// What stands before the names of its files in their paths below the root: nothing, or a path with `/` at its end.
    pub prefix: String,
    /// Whether it is reached by a symbolic link, so that what lies in it is somebody else's.
    pub behind_link: bool,
    stat: Stat,
    parent: Option<Arc<Place>>,
}

/// A file in a folder.
#[derive(Debug)]
pub(crate) struct FileIn<'n> {
    /// Its name.
    pub name: &'n str,
    /// What the name leads to.
    pub stat: Stat,
}

/// A folder and what was seen in it, batch by batch.
#[derive(Debug)]
pub(crate) struct Visited<S> {
    /// The folder.
    pub place: Arc<Place>,
    /// Whether nothing lies in it, not even a folder.
    pub is_empty: bool,
    /// What `see` made of its files, in the order of the folder's list; at least one batch.
    pub seen: Vec<S>,
}

/// Visits all folders from `root` on, itself included, and returns them in the order of their paths. `see` gets the files of a
/// folder in batches, each with the number of files before it.
pub(crate) fn walk<S, F>(root: &Path, see: F) -> Result<Vec<Visited<S>>>
where
    S: Send,
    F: Fn(&Place, usize, &[FileIn<'_>]) -> Result<S> + Sync,
{
    let walk = Walk { see, parts: Mutex::default(), failure: OnceLock::new() };
    let start = Way { path: root.to_owned(), prefix: String::new(), behind_link: false, parent: None };
    rayon::scope(|scope| walk.enter(scope, start));
    if let Some(failure) = walk.failure.into_inner() {
        return Err(failure);
    }
    let mut parts = walk.parts.into_inner().unwrap_or_else(PoisonError::into_inner);
    parts.sort_unstable_by(|left, right| (&left.place.prefix, left.first).cmp(&(&right.place.prefix, right.first)));
    let mut visited: Vec<Visited<S>> = Vec::new();
    for Part { place, is_empty, seen, .. } in parts {
        match visited.last_mut().filter(|last| Arc::ptr_eq(&last.place, &place)) {
            Some(last) => last.seen.push(seen),
            None => visited.push(Visited { place, is_empty, seen: vec![seen] }),
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
    /// Of what the path leads to.
    pub stat: Stat,
    /// Whether a folder on the way is reached by a symbolic link.
    pub behind_link: bool,
}

/// Every file and empty folder below the folder `root`.
pub(crate) fn find_all(root: &Path) -> Result<Vec<Found>> {
    let visited = walk(root, |place, _, files| Ok(files.iter().map(|file| place.found(file)).collect::<Vec<_>>()))?;
    let found = visited.into_iter().flat_map(|Visited { place, is_empty, mut seen }| {
        seen.extend((is_empty && place.parent.is_some()).then(|| vec![place.found_empty()]));
        seen.into_iter().flatten()
    });
    Ok(found.collect())
}

impl Place {
    /// The path of the folder itself below the root, unless it is the root.
    pub fn relative(&self) -> Option<&str> {
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

/// How to get to a folder.
struct Way {
    path: PathBuf,
    prefix: String,
    behind_link: bool,
    parent: Option<Arc<Place>>,
}

/// What became of one batch.
struct Part<S> {
    place: Arc<Place>,
    first: usize,
    is_empty: bool,
    seen: S,
}

struct Walk<S, F> {
    see: F,
    parts: Mutex<Vec<Part<S>>>,
    failure: OnceLock<CacheError>,
}

impl<S, F> Walk<S, F>
where
    S: Send,
    F: Fn(&Place, usize, &[FileIn<'_>]) -> Result<S> + Sync,
{
    fn enter<'s>(&'s self, scope: &Scope<'s>, way: Way) {
        self.attempt(|| self.read(scope, way));
    }

    /// After a failure all that is left is skipped.
    fn attempt(&self, step: impl FnOnce() -> Result<()>) {
        if self.failure.get().is_some() {
            return;
        }
        if let Err(failure) = step() {
            // The first one is as good as any.
            let _ = self.failure.set(failure);
        }
    }

    /// Reads the list of a folder. It is opened by its path, so that no more folders are open than are being read.
    fn read<'s>(&'s self, scope: &Scope<'s>, way: Way) -> Result<()> {
        let (place, folder) = way.open()?;
        let mut buffer = Vec::with_capacity(LIST_BYTES);
        let mut list = RawDir::new(folder.as_fd(), buffer.spare_capacity_mut());
        let (mut batch, mut first, mut is_empty) = (Batch::default(), 0, true);
        while let Some(entry) = list.next() {
            let entry = entry.map_err(|errno| CacheError::io(&place.path)(errno.into()))?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            is_empty = false;
            if entry.file_type() == FileType::Directory {
                self.enter_below(scope, &place, name, false)?;
                continue;
            }
            batch.push(name);
            if batch.len() == BATCH {
                let (place, folder, full) = (Arc::clone(&place), Arc::clone(&folder), std::mem::take(&mut batch));
                scope.spawn(move |scope| self.attempt(|| self.look(scope, &place, &folder, first, &full, false)));
                first += BATCH;
            }
        }
        self.look(scope, &place, &folder, first, &batch, is_empty)
    }

    fn enter_below<'s>(&'s self, scope: &Scope<'s>, place: &Arc<Place>, name: &CStr, by_link: bool) -> Result<()> {
        let way = Way {
            path: place.path_of(name),
            prefix: format!("{}{}/", place.prefix, place.text(name)?),
            behind_link: place.behind_link || by_link,
            parent: Some(Arc::clone(place)),
        };
        scope.spawn(move |scope| self.enter(scope, way));
        Ok(())
    }

    /// Looks at a batch of what is not known to be a folder.
    fn look<'s>(
        &'s self,
        scope: &Scope<'s>,
        place: &Arc<Place>,
        folder: &OwnedFd,
        first: usize,
        batch: &Batch,
        is_empty: bool,
    ) -> Result<()> {
        let mut files = Vec::with_capacity(batch.len());
        for name in batch.names() {
            let text = place.text(name)?;
            let stat = Stat::in_folder(folder, name).map_err(|trouble| trouble.at(&place.path_of(name)))?;
            if stat.is_folder() {
                self.enter_below(scope, place, name, place.path_of(name).is_symlink())?;
            } else {
                files.push(FileIn { name: text, stat });
            }
        }
        let seen = (self.see)(place, first, &files)?;
        let part = Part { place: Arc::clone(place), first, is_empty, seen };
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).push(part);
        Ok(())
    }
}

impl Way {
    fn open(self) -> Result<(Arc<Place>, Arc<OwnedFd>)> {
        let Way { path, prefix, behind_link, parent } = self;
        let refused = |errno: rustix::io::Errno| CacheError::io(&path)(errno.into());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&path, flags, Mode::empty()).map_err(refused)?;
        let stat = Stat::from(rustix::fs::fstat(&folder).map_err(refused)?);
        let ancestors = std::iter::successors(parent.as_deref(), |place| place.parent.as_deref());
        if ancestors.into_iter().any(|ancestor| ancestor.stat.identity() == stat.identity()) {
            return Err(CacheError::Cycle { path });
        }
        Ok((Arc::new(Place { path, prefix, behind_link, stat, parent }), Arc::new(folder)))
    }
}

/// Names, one after the other with their final zeros: one allocation for many.
#[derive(Default)]
struct Batch {
    names: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
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
