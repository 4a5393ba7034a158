//! Changes of files with a fallback for operations that the file system lacks.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::libc;

use crate::fs::disk::Disk;
use crate::fs::fallback::{OPEN, absent_is_fine, copy_tree, is_unsupported};
use crate::fs::names;
use crate::{CacheError, Result};

/// Outcome of [`Disk::link_or_copy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linked {
    /// A hard link.
    Link,
    /// A copy, which the caller has to sync.
    Copy,
}

impl Disk {
    /// Creates a hard link; where that is impossible, a copy with these permission bits, atomically, which the caller has to
    /// sync. An existing `to` is an error, as it is for a link.
    pub(crate) fn link_or_copy(&self, from: &Path, to: &Path, mode: u32) -> io::Result<Linked> {
        match self.link(from, to) {
            Err(error) if is_unsupported(&error) => {}
            other => return other.map(|()| Linked::Link),
        }
        let copy = |staging: &Path| {
            let copy = self.temporary_in(staging, "")?;
            self.copy(from, copy.path())?;
            self.set_mode_if_possible(copy.path(), mode)?;
            self.rename_unless_there(copy.path(), to)
        };
        let copied = match copy(&self.root().join("tmp")) {
            // A folder of the cache lies on a file system of its own.
            Err(error) if error.raw_os_error() == Some(libc::EXDEV) => copy(to.parent().unwrap_or(self.root())),
            other => other,
        };
        copied.map(|()| Linked::Copy)
    }

    /// Creates a symbolic link; where that is impossible, a copy.
    pub(crate) fn link_symbolic_or_copy(&self, target: &Path, at: &Path) -> io::Result<()> {
        match self.link_symbolic(target, at) {
            Err(error) if is_unsupported(&error) => copy_tree(target, at),
            other => other,
        }
    }

    /// Creates a symbolic link and returns whether it is there: that the file system has none is no error.
    pub(crate) fn link_symbolic_if_possible(&self, target: &Path, at: &Path) -> io::Result<bool> {
        match self.link_symbolic(target, at) {
            Err(error) if is_unsupported(&error) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Sets the permission bits and returns whether they are set: that the file belongs to somebody else, or that the
    /// file system has no such bits, is no error.
    pub(crate) fn set_mode_if_possible(&self, path: &Path, mode: u32) -> io::Result<bool> {
        match self.set_mode(path, mode) {
            Err(error) if is_unsupported(&error) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Renames a file or folder; one that is read-only is unlocked meanwhile.
    pub(crate) fn rename_unlocked(&self, from: &Path, to: &Path) -> io::Result<()> {
        let before = fs::symlink_metadata(from)?;
        let mode = before.permissions().mode() & 0o7777;
        let unlocks = before.is_dir() && mode & OPEN != OPEN && self.set_mode_if_possible(from, mode | OPEN)?;
        let moved = self.rename(from, to);
        if unlocks {
            self.set_mode_if_possible(if moved.is_ok() { to } else { from }, mode)?;
        }
        moved
    }

    /// Removes a file or folder, if it exists. A folder of the store first gets a temporary name, so that a partly
    /// removed one never looks like a damaged one.
    pub(crate) fn remove(&self, path: &Path) -> Result<()> {
        let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
        if !metadata.is_dir() {
            return self.remove_file(path).or_else(absent_is_fine).map_err(CacheError::io(path));
        }
        let tmp = self.root().join("tmp");
        let is_stored = path.starts_with(self.root()) && !path.starts_with(&tmp);
        if !is_stored || path.starts_with(self.root().join("scratch")) {
            return self.remove_folder(path).map_err(CacheError::io(path));
        }
        let aside = tempfile::Builder::new().prefix(names::TEMPORARY).make_in(&tmp, |to| {
            // A name that is taken is tried again with another.
            if to.exists() { Err(io::ErrorKind::AlreadyExists.into()) } else { self.rename_unlocked(path, to) }
        });
        match aside.and_then(|aside| Ok(aside.into_temp_path().keep()?)) {
            Ok(aside) => self.remove_folder(&aside).map_err(CacheError::io(path)),
            Err(error) => absent_is_fine(error).map_err(CacheError::io(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn a_locked_folder_is_moved_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        fs::create_dir_all(from.join("inner")).unwrap();
        fs::set_permissions(&from, Permissions::from_mode(0o555)).unwrap();
        let disk = Disk::new(folder.path(), None);
        fs::create_dir(folder.path().join("tmp")).unwrap();
        disk.rename_unlocked(&from, &folder.path().join("again")).unwrap();
        assert_eq!(fs::metadata(folder.path().join("again")).unwrap().permissions().mode() & 0o7777, 0o555);
        disk.remove(&folder.path().join("again")).unwrap();
        assert!(!folder.path().join("again").exists());
        assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn a_rename_in_steps_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::new(folder.path(), None);
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a"), "1").unwrap();
        fs::write(at("b"), "2").unwrap();
        assert_eq!(disk.rename_unless_there(&at("a"), &at("b")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        disk.rename_unless_there(&at("a"), &at("c")).unwrap();
        assert_eq!((fs::read(at("b")).unwrap(), fs::read(at("c")).unwrap()), (b"2".to_vec(), b"1".to_vec()));
    }
}
