//! The way round refusals: of file systems that lack an operation, of kernels that forbid it, and of permission bits that
//! stand in the way of moving or removing what is ours.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use nix::libc;

use crate::fs::disk::Disk;
use crate::{CacheError, Result};

/// What a folder's owner needs to look into it and to change its entries.
const OPEN: u32 = 0o700;

/// Whether a refusal says that this cannot be done here at all, rather than that it went wrong: the file system has no such
/// operation (`EOPNOTSUPP`, `ENOSYS`, `EINVAL`), the two places are on different ones (`EXDEV`), the file has as many names as
/// it can have (`EMLINK`), or it is somebody else's (`EPERM`).
pub fn is_unsupported(error: &io::Error) -> bool {
    const UNSUPPORTED: [i32; 6] =
        [libc::EPERM, libc::EXDEV, libc::EMLINK, libc::EOPNOTSUPP, libc::ENOSYS, libc::EINVAL];
    error.raw_os_error().is_some_and(|errno| UNSUPPORTED.contains(&errno) || errno == libc::ENOTSUP)
}

/// Whether a copy is safe from a power cut when it has its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It is.
    Now,
    /// It is once the caller has brought it to disk.
    Later,
}

/// Removes a file, or a folder with everything in it, whatever their permission bits as far as they are ours. Symbolic links
/// are removed and never followed. What cannot be removed stays, all else goes, and the first refusal is returned; something
/// that is not there is fine.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return absent_is_fine(error),
    };
    if !metadata.is_dir() {
        return fs::remove_file(path).or_else(absent_is_fine);
    }
    if fs::remove_dir_all(path).is_ok() {
        return Ok(());
    }
    unlock(path, &metadata);
    let mut first_refusal = None;
    let mut note = |outcome: io::Result<()>| first_refusal = first_refusal.take().or(outcome.err());
    match fs::read_dir(path) {
        Ok(entries) => entries.for_each(|entry| note(entry.and_then(|entry| remove_tree(&entry.path())))),
        Err(error) => note(absent_is_fine(error)),
    }
    match first_refusal {
        None => fs::remove_dir(path).or_else(absent_is_fine),
        Some(refusal) => Err(refusal),
    }
}

/// Gives a folder another name. One that is read-only is unlocked for that, and locked again under its new name: to move a
/// folder into another one, the right to write to it is needed.
pub fn move_folder(from: &Path, to: &Path) -> io::Result<()> {
    let before = fs::symlink_metadata(from)?;
    let unlocked = before.is_dir() && unlock(from, &before);
    let moved = fs::rename(from, to);
    if unlocked {
        let place = if moved.is_ok() { to } else { from };
        // The folder is where it should be all the same.
        let _ = fs::set_permissions(place, Permissions::from_mode(before.permissions().mode() & 0o7777));
    }
    moved
}

/// Makes a symbolic link; where there can be none, a copy of the file or folder that it would point to.
pub fn symlink_or_copy(target: &Path, at: &Path) -> io::Result<()> {
    match symlink(target, at) {
        Err(error) if is_unsupported(&error) => copy_tree(target, at),
        other => other,
    }
}

/// Lets the owner of a folder change its entries; says whether its permission bits were changed.
fn unlock(folder: &Path, metadata: &Metadata) -> bool {
    let mode = metadata.permissions().mode() & 0o7777;
    mode & OPEN != OPEN && fs::set_permissions(folder, Permissions::from_mode(mode | OPEN)).is_ok()
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    if !fs::metadata(from)?.is_dir() {
        return fs::copy(from, to).map(|_| ());
    }
    fs::create_dir(to)?;
    fs::read_dir(from)?.try_for_each(|entry| {
        let entry = entry?;
        copy_tree(&entry.path(), &to.join(entry.file_name()))
    })
}

pub(crate) fn absent_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

impl Disk {
    /// Gives a file a further name; where it can have none, `to` becomes a copy with these permission bits, whole or not at all.
    /// Something that has the name already is an error, as it is for a link.
    pub(crate) fn link_or_copy(&self, from: &Path, to: &Path, mode: u32, durability: Durability) -> io::Result<()> {
        match self.link(from, to) {
            Err(error) if is_unsupported(&error) => {}
            other => return other,
        }
        let copy = |staging: &Path| {
            let copy = self.temporary_in(staging, "")?;
            self.copy(from, copy.path())?;
            self.set_mode_if_possible(copy.path(), mode)?;
            if durability == Durability::Now {
                self.sync_content(copy.path())?;
            }
            self.rename_unless_there(copy.path(), to)
        };
        match copy(&self.root().join("tmp")) {
            // A folder of the cache lies on a file system of its own.
            Err(error) if error.raw_os_error() == Some(libc::EXDEV) => copy(to.parent().unwrap_or(self.root())),
            other => other,
        }
    }

    /// Makes a symbolic link; where there can be none, a copy.
    pub(crate) fn link_symbolic_or_copy(&self, target: &Path, at: &Path) -> io::Result<()> {
        match self.link_symbolic(target, at) {
            Err(error) if is_unsupported(&error) => copy_tree(target, at),
            other => other,
        }
    }

    /// Sets the permission bits. That nobody but a file's owner may do that, or that the file system has none, is no error:
    /// says whether they are set.
    pub(crate) fn set_mode_if_possible(&self, path: &Path, mode: u32) -> io::Result<bool> {
        match self.set_mode(path, mode) {
            Err(error) if is_unsupported(&error) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// As [`move_folder`], for files, too.
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

    /// Removes a file or folder; one that is not there is fine. A folder of the store first gets a temporary name, so that one
    /// that was removed by halves never looks like a damaged one.
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
        let aside = tempfile::Builder::new().prefix(crate::fs::names::TEMPORARY).make_in(&tmp, |to| {
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
    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn locked_folders_are_removed_and_links_in_them_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, mine) = (folder.path().join("tree"), folder.path().join("mine"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::create_dir(&mine).unwrap();
        fs::write(mine.join("thesis"), "x").unwrap();
        fs::write(tree.join("a/b/file"), "x").unwrap();
        symlink(&mine, tree.join("a/link")).unwrap();
        for locked in ["a/b", "a", ""] {
            fs::set_permissions(tree.join(locked), Permissions::from_mode(0o500)).unwrap();
        }
        fs::set_permissions(&mine, Permissions::from_mode(0o500)).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && mine.join("thesis").exists());
        assert_eq!(mode_of(&mine), 0o500, "what a link points to stays as it was");
        remove_tree(&tree).unwrap();
        symlink(&mine, &tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(mine.join("thesis").exists());
    }

    #[test]
    fn a_locked_folder_moves_and_stays_locked() {
        let folder = tempfile::tempdir().unwrap();
        let (from, other) = (folder.path().join("from"), folder.path().join("other"));
        fs::create_dir_all(from.join("inner")).unwrap();
        fs::create_dir(&other).unwrap();
        fs::set_permissions(&from, Permissions::from_mode(0o555)).unwrap();
        move_folder(&from, &other.join("to")).unwrap();
        assert_eq!(mode_of(&other.join("to")), 0o555);
        assert!(move_folder(&other.join("to"), &folder.path().join("no/where")).is_err());
        assert_eq!(mode_of(&other.join("to")), 0o555, "one that cannot be moved is locked again");
        let disk = Disk::new(folder.path(), None);
        fs::create_dir(folder.path().join("tmp")).unwrap();
        disk.rename_unlocked(&other.join("to"), &folder.path().join("again")).unwrap();
        assert_eq!(mode_of(&folder.path().join("again")), 0o555);
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
