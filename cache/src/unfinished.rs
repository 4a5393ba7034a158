//! State of work that was cut off, for the same work to go on from.
//!
//! `unfinished/ab/<fingerprint>/` belongs to the holder of the claim on that fingerprint, and goes away when the result is
//! recorded. Since its name is the fingerprint, changed work never finds it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::{Cache, CacheError, Digest, ItemFile, Result, files};

/// The file in such a folder that lists digests of items' files, which are in use as long as the folder is there.
const FILES: &str = "item-files";

impl Cache {
    /// Where work on `fingerprint` keeps its state. The folder need not exist.
    pub fn unfinished(&self, fingerprint: &Digest) -> PathBuf {
        self.sharded("unfinished", fingerprint, "")
    }

    /// Throws away the state of work that is finished.
    pub fn forget_unfinished(&self, fingerprint: &Digest) -> Result<()> {
        files::remove(&self.unfinished(fingerprint))
    }

    /// Files of items that cut-off work has computed, for every fingerprint in `kept`.
    pub(crate) fn files_of_unfinished(&self, kept: &HashSet<Digest>) -> Vec<PathBuf> {
        let lists = kept.iter().map(|fingerprint| self.unfinished(fingerprint).join(FILES));
        let text: String = lists.filter_map(|list| fs::read_to_string(list).ok()).collect();
        text.lines().filter_map(|line| Some(self.object_path(&line.parse().ok()?, false))).collect()
    }

    /// Throws away the state of all work but that on the fingerprints in `kept`.
    pub(crate) fn sweep_unfinished(&self, kept: &HashSet<Digest>) -> Result<()> {
        let kept: HashSet<PathBuf> = kept.iter().map(|fingerprint| self.unfinished(fingerprint)).collect();
        let folders = files::list_sharded(&self.root, "unfinished")?;
        folders.iter().filter(|folder| !kept.contains(*folder)).try_for_each(|folder| files::remove(folder))
    }
}

/// The list, in the folder of some work, of items' files that are in use as long as that folder is there.
pub(crate) struct FilesInUse {
    list: File,
    folder: PathBuf,
}

impl FilesInUse {
    /// The list in `folder`, which is made if need be.
    pub fn open(folder: &Path) -> Result<FilesInUse> {
        fs::create_dir_all(folder).map_err(CacheError::io(folder))?;
        let list = File::options().append(true).create(true).open(folder.join(FILES));
        Ok(FilesInUse { list: list.map_err(CacheError::io(folder))?, folder: folder.to_owned() })
    }

    /// Adds files.
    pub fn add(&mut self, used: &[ItemFile]) -> Result<()> {
        let lines: String = used.iter().map(|file| format!("{}\n", file.digest)).collect();
        self.list.write_all(lines.as_bytes()).map_err(CacheError::io(&self.folder))
    }
}
