//! Listings of a cache's areas: only names that the cache itself gives.

use std::fs::{self, FileType};
use std::path::{Path, PathBuf};

use crate::fs::names;
use crate::{CacheError, Result};

/// Lists the cache's own entries of a sharded area (`area/a/name`), sorted. Symbolic links are not followed; one that
/// has such a name itself is listed only in areas that are verified.
pub(crate) fn list_sharded(root: &Path, area: &str) -> Result<Vec<PathBuf>> {
    let is_verified = matches!(area, "objects" | "trees" | "manifests" | "actions");
    let mut found = Vec::new();
    for (shard, kind) in entries(&root.join(area))? {
        if !kind.is_dir() || !shard.file_name().is_some_and(names::is_shard) {
            continue;
        }
        let own = entries(&shard)?.into_iter().filter(|(path, kind)| {
            (is_verified || !kind.is_symlink()) && path.file_name().is_some_and(|name| names::is_own(area, name))
        });
        found.extend(own.map(|(path, _)| path));
    }
    found.sort();
    Ok(found)
}

/// Lists the cache's own entries of an area without shards, unsorted, without symbolic links.
pub(crate) fn list_own(root: &Path, area: &str) -> Result<Vec<PathBuf>> {
    let entries = entries(&root.join(area))?.into_iter();
    let own = entries
        .filter(|(path, kind)| !kind.is_symlink() && path.file_name().is_some_and(|name| names::is_own(area, name)));
    Ok(own.map(|(path, _)| path).collect())
}

/// Lists the item logs of a scope.
pub(crate) fn list_item_logs(folder: &Path) -> Result<Vec<PathBuf>> {
    let logs = entries(folder)?.into_iter();
    let logs = logs.filter(|(path, kind)| kind.is_file() && path.file_name().is_some_and(names::is_item_log));
    Ok(logs.map(|(path, _)| path).collect())
}

/// Lists a folder, unsorted.
pub(crate) fn read_folder(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(path).map_err(CacheError::io(path))?;
    entries.map(|entry| entry.map(|entry| entry.path()).map_err(CacheError::io(path))).collect()
}

/// Entries of a folder of the cache, links not followed; none if it does not exist, as in a read-only cache of an
/// earlier version.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, FileType)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(CacheError::io(folder)(error)),
    };
    let entry = |entry: std::io::Result<fs::DirEntry>| entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)));
    entries.map(|found| entry(found).map_err(CacheError::io(folder))).collect()
}
