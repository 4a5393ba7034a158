//! Changes of files, one method each: the only place where the crate changes anything on disk, and thus the one seam
//! where tests observe, refuse or cut off operations.
//!
//! Reading goes straight to the operating system. Removal of a temporary file that is dropped does so too: it decides nothing.

use std::fmt;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use tempfile::NamedTempFile;

use crate::fs::fallback::{is_unsupported, remove_tree};
use crate::fs::names;
use crate::fs::sparse::copy_file;

/// An operation on files that is about to be performed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'a> {
    /// An empty file is made, or one that is there is opened for appending.
    Create(&'a Path),
    /// Bytes are added at the end of a file.
    Append {
        /// The file.
        path: &'a Path,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// The beginning of a file is replaced by bytes that fit into one sector.
    Overwrite {
        /// The file.
        path: &'a Path,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// A file is copied to a path where nothing is, or over an empty file.
    Copy {
        /// The source.
        from: &'a Path,
        /// The copy.
        to: &'a Path,
    },
    /// A file's content, or the entries of a folder, are brought to disk.
    Sync(&'a Path),
    /// Everything on the file system that this folder lies on is brought to disk.
    SyncAll(&'a Path),
    /// A folder is made.
    MakeFolder(&'a Path),
    /// A file or folder gets another name, in place of what has it.
    Rename {
        /// The old name.
        from: &'a Path,
        /// The new name.
        to: &'a Path,
    },
    /// Two files or folders, or one of each, swap their names.
    Exchange {
        /// One of them.
        one: &'a Path,
        /// The other one.
        other: &'a Path,
    },
    /// A file gets a further name.
    Link {
        /// A name it has.
        from: &'a Path,
        /// The further one.
        to: &'a Path,
    },
    /// A symbolic link is made.
    LinkSymbolic {
        /// The target.
        target: &'a Path,
        /// The link.
        at: &'a Path,
    },
    /// Permission bits are set.
    SetMode {
        /// The file or folder.
        path: &'a Path,
        /// The bits.
        mode: u32,
    },
    /// A name of a file is removed.
    Remove(&'a Path),
    /// A folder is removed with everything in it.
    RemoveFolder(&'a Path),
}

impl<'a> Operation<'a> {
    /// Paths whose files or folders it changes.
    fn changed(&self) -> [&'a Path; 2] {
        match *self {
            Operation::Create(path)
            | Operation::Append { path, .. }
            | Operation::Overwrite { path, .. }
            | Operation::Sync(path)
            | Operation::SyncAll(path)
            | Operation::MakeFolder(path)
            | Operation::SetMode { path, .. }
            | Operation::Remove(path)
            | Operation::RemoveFolder(path)
            | Operation::Copy { to: path, .. }
            | Operation::Link { to: path, .. }
            | Operation::LinkSymbolic { at: path, .. } => [path, path],
            Operation::Rename { from: one, to: other } | Operation::Exchange { one, other } => [one, other],
        }
    }
}

/// A hook between a cache and its disk, for tests.
pub trait DiskHook: Send + Sync {
    /// Performs an operation by calling `act`, or refuses it.
    fn intercept(&self, operation: Operation<'_>, act: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()>;
}

/// Access to the files of one cache.
#[derive(Clone)]
pub(crate) struct Disk {
    root: PathBuf,
    hook: Option<Arc<dyn DiskHook>>,
    /// Error number with which every change is refused; 0 if changes are possible.
    refusal: Arc<AtomicI32>,
    /// Whether a group shares the cache.
    is_shared_by_group: bool,
}

/// A temporary folder, removed when it is dropped.
pub(crate) struct TemporaryFolder {
    path: PathBuf,
}

impl TemporaryFolder {
    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // A folder that cannot be removed now is swept by the next collection.
        let _ = remove_tree(&self.path);
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Disk").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Disk {
    /// Access to the cache at `root`; `hook` is called for every operation.
    pub(crate) fn new(root: &Path, hook: Option<Arc<dyn DiskHook>>) -> Disk {
        let is_shared_by_group = fs::metadata(root).is_ok_and(|folder| folder.permissions().mode() & 0o2020 == 0o2020);
        Disk { root: root.to_owned(), hook, refusal: Arc::default(), is_shared_by_group }
    }

    /// Refuses every change of the cache from now on with this error number, before it is tried.
    pub(crate) fn refuse_changes(&self, errno: i32) {
        self.refusal.store(errno, Ordering::Relaxed);
    }

    /// The reason why nothing can be changed here; `None` if changes are possible.
    pub(crate) fn refusal(&self) -> Option<io::Error> {
        let errno = self.refusal.load(Ordering::Relaxed);
        (errno != 0).then(|| io::Error::from_raw_os_error(errno))
    }

    /// Permission bits of stored folders. In a shared cache every member of the group may collect them, and only a
    /// writable folder can be moved or removed.
    pub(crate) fn stored_folder_mode(&self) -> u32 {
        if self.is_shared_by_group { 0o575 } else { 0o555 }
    }

    /// The cache's folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn perform<T>(&self, operation: Operation<'_>, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        // Results can be put elsewhere from a cache that is only read.
        if let Some(refusal) = self.refusal()
            && operation.changed().iter().any(|path| path.starts_with(&self.root))
        {
            return Err(refusal);
        }
        let Some(hook) = &self.hook else { return act() };
        let (mut act, mut done) = (Some(act), None);
        hook.intercept(operation, &mut || match act.take() {
            Some(act) => act().map(|value| done = Some(value)),
            None => Ok(()),
        })?;
        done.ok_or_else(|| io::Error::other("the operation was not carried out"))
    }

    /// Creates a file that must not exist yet.
    pub(crate) fn create_new(&self, path: &Path) -> io::Result<File> {
        let mut options = File::options();
        self.perform(Operation::Create(path), || options.read(true).write(true).create_new(true).open(path))
    }

    /// Opens a file for appending; creates it if need be.
    pub(crate) fn open_to_append(&self, path: &Path) -> io::Result<File> {
        self.perform(Operation::Create(path), || File::options().append(true).create(true).open(path))
    }

    /// Opens a file for [`Disk::overwrite`]; creates it if need be.
    pub(crate) fn open_to_overwrite(&self, path: &Path) -> io::Result<File> {
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false);
        self.perform(Operation::Create(path), || options.open(path))
    }

    /// Creates a temporary file in `folder`, removed when it is dropped.
    pub(crate) fn temporary_in(&self, folder: &Path, suffix: &str) -> io::Result<NamedTempFile> {
        tempfile::Builder::new().prefix(names::TEMPORARY).suffix(suffix).make_in(folder, |path| self.create_new(path))
    }

    /// Creates a temporary folder in `parent`, removed when it is dropped.
    pub(crate) fn temporary_folder_in(&self, parent: &Path, prefix: &str) -> io::Result<TemporaryFolder> {
        let prefix = if prefix.is_empty() { names::TEMPORARY } else { prefix };
        let made = tempfile::Builder::new().prefix(prefix).make_in(parent, |path| self.make_folder(path))?;
        Ok(TemporaryFolder { path: made.into_temp_path().keep()? })
    }

    /// Adds `bytes` at the end of the file at `path`, open as `file`.
    pub(crate) fn append(&self, mut file: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.perform(Operation::Append { path, bytes }, || file.write_all(bytes))
    }

    /// Replaces the beginning of the file at `path`, open as `file`, by `bytes`, which are no more than a sector.
    pub(crate) fn overwrite(&self, file: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.perform(Operation::Overwrite { path, bytes }, || file.write_all_at(bytes, 0))
    }

    /// Copies a file, sharing its blocks where the file system can, else with its holes.
    pub(crate) fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        let copy = || reflink_copy::reflink(from, to).or_else(|_| copy_file(from, to));
        self.perform(Operation::Copy { from, to }, copy)
    }

    /// Copies a file by calling `act`, which returns what it found.
    pub(crate) fn copy_by<T>(&self, from: &Path, to: &Path, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.perform(Operation::Copy { from, to }, act)
    }

    /// Syncs the content of a file, or the entries of a folder, to disk.
    pub(crate) fn sync(&self, path: &Path) -> io::Result<()> {
        self.perform(Operation::Sync(path), || File::open(path)?.sync_all())
    }

    /// Syncs the content of a file to disk, without its times.
    pub(crate) fn sync_content(&self, path: &Path) -> io::Result<()> {
        self.perform(Operation::Sync(path), || File::open(path)?.sync_data())
    }

    /// As [`Disk::sync_content`], for an open file.
    pub(crate) fn sync_open(&self, file: &File, path: &Path) -> io::Result<()> {
        self.perform(Operation::Sync(path), || file.sync_data())
    }

    /// Syncs everything on the cache's file system to disk.
    pub(crate) fn sync_everything(&self) -> io::Result<()> {
        self.sync_file_system(&self.root)
    }

    /// Syncs everything on the file system of a folder to disk.
    pub(crate) fn sync_file_system(&self, folder: &Path) -> io::Result<()> {
        self.perform(Operation::SyncAll(folder), || Ok(nix::unistd::syncfs(File::open(folder)?)?))
    }

    /// Creates a folder in an existing one.
    pub(crate) fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.perform(Operation::MakeFolder(path), || fs::create_dir(path))
    }

    /// Creates a folder and its parents, unless they exist.
    pub(crate) fn make_folders(&self, path: &Path) -> io::Result<()> {
        if path.as_os_str().is_empty() || self.is_folder(path) {
            return Ok(());
        }
        path.parent().map_or(Ok(()), |parent| self.make_folders(parent))?;
        // Another process may be faster.
        self.make_folder(path).or_else(|error| match error.kind() {
            _ if self.is_folder(path) => Ok(()),
            io::ErrorKind::AlreadyExists if path.is_symlink() => Err(io::Error::other(
                "it is a symbolic link, which is never followed inside a cache; put what it points to in its place",
            )),
            _ => Err(error),
        })
    }

    /// Whether `path` is a folder; inside the cache a symbolic link to one does not count.
    pub(crate) fn is_folder(&self, path: &Path) -> bool {
        let is_inside = path.parent().is_some_and(|parent| parent.starts_with(&self.root));
        let found = if is_inside { fs::symlink_metadata(path) } else { fs::metadata(path) };
        found.is_ok_and(|metadata| metadata.is_dir())
    }

    /// Renames a file or folder, replacing what has the new name.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.perform(Operation::Rename { from, to }, || fs::rename(from, to))
    }

    /// Renames a temporary file to its final name.
    pub(crate) fn persist(&self, file: NamedTempFile, to: &Path) -> io::Result<()> {
        let from = file.path().to_owned();
        self.perform(Operation::Rename { from: &from, to }, || file.persist(to).map_err(|error| error.error))?;
        Ok(())
    }

    /// Renames a file, unless something has the new name already.
    pub(crate) fn rename_unless_there(&self, from: &Path, to: &Path) -> io::Result<()> {
        use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
        let flags = RenameFlags::RENAME_NOREPLACE;
        let renamed =
            self.perform(Operation::Rename { from, to }, || Ok(renameat2(AT_FDCWD, from, AT_FDCWD, to, flags)?));
        match renamed {
            Err(error) if is_unsupported(&error) => self.rename_in_steps(from, to),
            other => other,
        }
    }

    /// As [`Disk::rename_unless_there`], where the file system cannot do that in one step.
    fn rename_in_steps(&self, from: &Path, to: &Path) -> io::Result<()> {
        match self.link(from, to) {
            Ok(()) => return self.remove_file(from),
            Err(error) if !is_unsupported(&error) => return Err(error),
            Err(_) => {}
        }
        if fs::symlink_metadata(to).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // Another process may put the same content there just now, and promise it: what takes its place is on disk.
        self.sync(from)?;
        self.rename(from, to)
    }

    /// Exchanges the names of two files or folders atomically.
    pub(crate) fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
        let flags = RenameFlags::RENAME_EXCHANGE;
        self.perform(Operation::Exchange { one, other }, || Ok(renameat2(AT_FDCWD, one, AT_FDCWD, other, flags)?))
    }

    /// Creates a hard link.
    pub(crate) fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.perform(Operation::Link { from, to }, || fs::hard_link(from, to))
    }

    /// Creates a symbolic link.
    pub(crate) fn link_symbolic(&self, target: &Path, at: &Path) -> io::Result<()> {
        self.perform(Operation::LinkSymbolic { target, at }, || std::os::unix::fs::symlink(target, at))
    }

    /// Sets the permission bits.
    pub(crate) fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        let act = || fs::set_permissions(path, Permissions::from_mode(mode));
        self.perform(Operation::SetMode { path, mode }, act)
    }

    /// Removes a name of a file.
    pub(crate) fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.perform(Operation::Remove(path), || fs::remove_file(path))
    }

    /// Removes a folder with nothing in it.
    pub(crate) fn remove_empty_folder(&self, path: &Path) -> io::Result<()> {
        self.perform(Operation::RemoveFolder(path), || fs::remove_dir(path))
    }

    /// Removes a folder with everything in it, whatever its permission bits.
    pub(crate) fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.perform(Operation::RemoveFolder(path), || remove_tree(path))
    }
}
