//! Lock of a results folder, for one process at a time, whichever cache it uses.

use std::fs::File;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::Cache;

/// Lock of a results folder, released when it is dropped.
#[derive(Debug)]
pub struct ResultsLock {
    _file: Option<File>,
}

impl Cache {
    /// Waits for the lock of the results folder `folder`. The folder itself is locked, so that no lock file is left in
    /// it and processes with other caches see the lock. Where folders cannot be locked (NFS), a file of this cache is;
    /// where nothing can be locked, processes go on without: each copy is put in place atomically.
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
