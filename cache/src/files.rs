//! Small file operations that keep the cache's promises: whole or not at all, and safely on disk.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::{CacheError, Result};

/// A temporary file of the cache's own.
pub fn temporary(root: &Path) -> Result<NamedTempFile> {
    let folder = root.join("tmp");
    NamedTempFile::new_in(&folder).map_err(CacheError::io(&folder))
}

/// Writes `content` to `path` whole or not at all, and makes sure that it survives a power cut.
pub fn write_atomically(root: &Path, path: &Path, content: &[u8]) -> Result<()> {
    let mut file = temporary(root)?;
    file.write_all(content).map_err(CacheError::io(path))?;
    file.as_file().sync_data().map_err(CacheError::io(path))?;
    make_parent(path)?;
    file.persist(path).map_err(|error| CacheError::io(path)(error.error))?;
    sync_parent(path)
}

/// As [`write_atomically`], but what is written survives a power cut only when the caller has brought it to disk. A file that
/// is there already is safe from the first moment, so that nothing is lost that was promised before.
pub fn write_unsynced(root: &Path, path: &Path, content: &[u8]) -> Result<()> {
    if path.exists() {
        return write_atomically(root, path, content);
    }
    ensure_parent(path)?;
    let mut file = temporary(root)?;
    file.write_all(content).map_err(CacheError::io(path))?;
    file.persist(path).map(|_| ()).map_err(|error| CacheError::io(path)(error.error))
}

/// Writes a small file that never changes, unless it is there.
pub fn write_if_absent(root: &Path, name: &str, content: &str) -> Result<()> {
    let path = root.join(name);
    if path.exists() { Ok(()) } else { write_atomically(root, &path, content.as_bytes()) }
}

/// Makes the folder that `path` lies in, and makes sure that it survives a power cut.
pub fn make_parent(path: &Path) -> Result<()> {
    match (ensure_parent(path)?, path.parent()) {
        (true, Some(parent)) => sync_parent(parent),
        _ => Ok(()),
    }
}

/// Makes the folder that `path` lies in; says whether it was not there.
pub fn ensure_parent(path: &Path) -> Result<bool> {
    let Some(parent) = path.parent().filter(|parent| !parent.is_dir()) else { return Ok(false) };
    fs::create_dir_all(parent).map(|()| true).map_err(CacheError::io(parent))
}

/// Makes sure that the entry of `path` in its folder survives a power cut.
pub fn sync_parent(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    File::open(parent).and_then(|folder| folder.sync_all()).map_err(CacheError::io(parent))
}

/// Renames a file, unless something has the new name already.
pub fn rename_unless_there(from: &Path, to: &Path) -> std::io::Result<()> {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    Ok(renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE)?)
}

/// Sets the permission bits.
pub fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(CacheError::io(path))
}

/// Removes a file or a folder with read-only folders in it; one that is not there is fine.
pub fn remove(path: &Path) -> Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.is_dir() {
        return fs::remove_file(path).or_else(absent_is_fine).map_err(CacheError::io(path));
    }
    unlock_folders(path)?;
    fs::remove_dir_all(path).or_else(absent_is_fine).map_err(CacheError::io(path))
}

fn unlock_folders(path: &Path) -> Result<()> {
    set_mode(path, 0o755)?;
    for entry in fs::read_dir(path).map_err(CacheError::io(path))? {
        let entry = entry.map_err(CacheError::io(path))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            unlock_folders(&entry.path())?;
        }
    }
    Ok(())
}

fn absent_is_fine(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// The files two levels below `root/area` (`area/ab/name`), sorted.
pub fn list_sharded(root: &Path, area: &str) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for shard in read_folder(&root.join(area))? {
        if shard.is_dir() {
            found.extend(read_folder(&shard)?);
        }
    }
    found.sort();
    Ok(found)
}

/// What lies in a folder, in no particular order.
pub fn read_folder(path: &Path) -> Result<Vec<std::path::PathBuf>> {
    let entries = fs::read_dir(path).map_err(CacheError::io(path))?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(CacheError::io(path))).collect()
}
