//! Fallbacks for refused operations: of file systems that lack them, of kernels that forbid them, and of permission
//! bits that keep the cache's own files from being moved or removed.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use nix::libc;

use crate::fs::sparse::copy_file;

/// Permission bits that a folder's owner needs to list it and to change its entries.
pub(crate) const OPEN: u32 = 0o700;

/// Whether an error says that an operation is impossible here, rather than that it failed: the file system lacks it
/// (`EOPNOTSUPP`, `ENOSYS`, `EINVAL`), the two paths are on different file systems (`EXDEV`), the file has as many hard
/// links as it can have (`EMLINK`), or it belongs to somebody else (`EPERM`).
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    const UNSUPPORTED: [i32; 6] =
        [libc::EPERM, libc::EXDEV, libc::EMLINK, libc::EOPNOTSUPP, libc::ENOSYS, libc::EINVAL];
    error.raw_os_error().is_some_and(|errno| UNSUPPORTED.contains(&errno) || errno == libc::ENOTSUP)
}

/// Removes a file, or a folder with everything in it, if it exists; read-only folders of this user are unlocked for
/// that. Symbolic links are removed and never followed. After a failure the rest is removed all the same, and the first
/// error is returned.
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

/// Renames a folder. A read-only one is unlocked for that, and locked again under its new name: moving a folder into
/// another one takes the right to write to it.
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

/// Creates a symbolic link; where that is impossible, a copy of the target.
pub fn symlink_or_copy(target: &Path, at: &Path) -> io::Result<()> {
    match symlink(target, at) {
        Err(error) if is_unsupported(&error) => copy_tree(target, at),
        other => other,
    }
}

/// Lets the owner of a folder change its entries; returns whether its permission bits were changed.
fn unlock(folder: &Path, metadata: &Metadata) -> bool {
    let mode = metadata.permissions().mode() & 0o7777;
    mode & OPEN != OPEN && fs::set_permissions(folder, Permissions::from_mode(mode | OPEN)).is_ok()
}

pub(crate) fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    if !fs::metadata(from)?.is_dir() {
        return copy_file(from, to);
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
    }
}
