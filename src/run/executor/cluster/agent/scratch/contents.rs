//! The files of a copy on a node, as the system describes them, by which a change is seen without reading them again.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use athanor_cache::remove_tree;
use serde::{Deserialize, Serialize};

/// Files and links of a copy by their paths in it; a copy of a single file has the empty path.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Contents(BTreeMap<String, FileState>);

/// Size, inode, and times of content and change, in seconds and nanoseconds.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileState(u64, u64, [i64; 4]);

impl FileState {
    fn of(found: &Metadata) -> FileState {
        let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
        FileState(found.size(), found.ino(), times)
    }
}

impl Contents {
    /// Files and links at and below `path`.
    pub(super) fn of(path: &Path) -> io::Result<Contents> {
        let mut files = BTreeMap::new();
        walk(path, &mut |file, found| {
            let within = file.strip_prefix(path).unwrap_or(file);
            files.insert(within.display().to_string(), FileState::of(found));
        })?;
        Ok(Contents(files))
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.0.values().map(|FileState(bytes, ..)| bytes).sum()
    }

    /// Bytes of all files at `path`.
    pub(super) fn size(path: &Path) -> io::Result<u64> {
        let mut bytes = 0;
        walk(path, &mut |_, found| bytes += found.size())?;
        Ok(bytes)
    }

    /// Whether all these files are unchanged in `now`, the contents of `copy`. Those that were added are removed.
    pub(super) fn is_within(&self, now: &Contents, copy: &Path) -> bool {
        if self.0.iter().any(|(path, state)| now.0.get(path) != Some(state)) {
            return false;
        }
        let mut added = now.0.keys().filter(|path| !self.0.contains_key(*path));
        added.all(|path| remove_tree(&copy.join(path)).is_ok())
    }

    /// Reads what [`Contents::write`] wrote.
    pub(super) fn read(path: &Path) -> Option<Contents> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Writes them down, whole or not at all.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let unfinished = path.with_extension("unfinished");
        fs::write(&unfinished, serde_json::to_vec(self)?)?;
        fs::rename(unfinished, path)
    }
}

/// Calls `each` for every file and link at and below `path`.
fn walk(path: &Path, each: &mut dyn FnMut(&Path, &Metadata)) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() {
        each(path, &found);
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    entries.sort();
    entries.iter().try_for_each(|entry| walk(entry, each))
}
