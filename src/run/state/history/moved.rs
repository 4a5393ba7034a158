//! The history of a project that was moved together with its cache: it goes on under the pipeline's new path.

use std::fs::{self, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::run::state::history::files::{has_no_locks, open_lock, refused};
use crate::run::state::history::instance_list::{self, InstanceList, StoredList};
use crate::run::state::history::roots::is_absent;
use crate::run::state::history::{History, Result};

/// All that is taken along besides the list: logs of runs, their summaries, and what is known of each instance. The rest is made anew.
const TAKEN_ALONG: [&str; 3] = ["runs", "summaries.jsonl", "ledger"];

impl History {
    /// Takes over what the pipeline did before its project was moved together with the cache, unless it has run here already.
    pub(crate) fn take_over_moved(&self) -> Result<()> {
        if self.folder.join(instance_list::FILE).exists() {
            return Ok(());
        }
        let Some((identity, _, file)) = self.places() else { return Ok(()) };
        let profiles = identity.profiles();
        let is_this = |other: &History| {
            let same = other.identity().is_some_and(|identity| identity.profiles() == profiles);
            same && other.folder != self.folder && other.moved_to().as_deref() == Some(file.as_path())
        };
        let found = History::all(self.cache())?.into_iter().flatten().filter(is_this);
        let newest = found.max_by_key(|other| other.last_run().ok().flatten());
        newest.map_or(Ok(()), |moved| self.take_over(&moved))
    }

    fn take_over(&self, moved: &History) -> Result<()> {
        let lock_path = moved.folder.join("running");
        let running = open_lock(&lock_path).map_err(refused(&lock_path))?;
        match running.try_lock() {
            Ok(()) => {}
            // A run goes on there: the same disk is mounted in two places.
            Err(TryLockError::WouldBlock) => return Ok(()),
            Err(TryLockError::Error(error)) if has_no_locks(&error) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(refused(&lock_path)(error)),
        }
        let StoredList::Sound(list) = InstanceList::read(&moved.folder) else { return Ok(()) };
        self.make_folder()?;
        // The list comes first: from then on this history says what is in use, whatever becomes of the rest.
        list.write(&self.folder).map_err(refused(&self.folder))?;
        for name in TAKEN_ALONG {
            rename_if_there(&moved.folder.join(name), &self.folder.join(name))?;
        }
        fs::remove_dir_all(&moved.folder).map_err(refused(&moved.folder))
    }

    /// Path of the pipeline file, if it is no longer where it was, and moved together with the cache.
    pub(super) fn moved_to(&self) -> Option<PathBuf> {
        let (_, project, file) = self.places()?;
        if !is_absent(&file) {
            return None;
        }
        let along = |relative_path: &Path| fs::canonicalize(self.cache().join(relative_path)).ok();
        let by_list = match InstanceList::read(&self.folder) {
            StoredList::Sound(list) => list.relative_path.and_then(|path| along(Path::new(&path))),
            _ => None,
        };
        by_list.or_else(|| along(&Path::new("..").join(file.strip_prefix(&project).ok()?)))
    }
}

fn rename_if_there(from: &Path, to: &Path) -> Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(refused(from)(error)),
        _ => Ok(()),
    }
}
