//! One process at a time puts results into a folder, whichever cache it takes them from.

use std::fs::File;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::Cache;

/// Keeps other processes from putting results into a folder for as long as it is held.
#[derive(Debug)]
pub struct ResultsLock {
    _file: Option<File>,
}

impl Cache {
    /// Waits until nobody else puts results into `folder`. It is the folder itself that is locked, so that nothing is left in it
    /// and other caches see it. Where folders cannot be locked (NFS), a file of this cache is; where nothing can be locked,
    /// everybody goes on: copies are put in place in one step each.
    pub fn lock_results(&self, folder: &Path) -> ResultsLock {
        let itself = || lock(File::open(folder)?);
        let instead = || lock(File::create(self.root().join("pipelines/results.lock"))?);
        ResultsLock { _file: itself().or_else(|_| instead()).ok() }
    }
}

fn lock(file: File) -> std::io::Result<File> {
    loop {
        match rustix::fs::flock(&file, FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            other => return other.map(|()| file).map_err(Into::into),
        }
    }
}
