//! Claims between processes, which no process outlives.
//!
//! A claim on a fingerprint is an open-file-description lock on one byte of the file `locks`, at an offset that the
//! fingerprint gives: the kernel drops it with the process, nothing is left to clean up, and network file systems carry it.
//! Such locks do not exclude their own process, which a set of claimed offsets makes up for.

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::{Cache, CacheError, Digest, Result};

/// The claims of one process.
pub struct ClaimTable {
    path: PathBuf,
    file: File,
    held: Mutex<HashSet<i64>>,
}

impl ClaimTable {
    /// The claims on the cache at `root`.
    pub fn open(root: &Path) -> Result<Arc<ClaimTable>> {
        let path = root.join("locks");
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(CacheError::io(&path))?;
        Ok(Arc::new(ClaimTable { path, file, held: Mutex::default() }))
    }

    fn set(&self, offset: i64, kind: libc::c_int) -> nix::Result<()> {
        let kind = libc::c_short::try_from(kind).map_err(|_| Errno::EINVAL)?;
        let whence = libc::c_short::try_from(libc::SEEK_SET).map_err(|_| Errno::EINVAL)?;
        let lock = libc::flock { l_type: kind, l_whence: whence, l_start: offset, l_len: 1, l_pid: 0 };
        fcntl(self.file.as_fd(), FcntlArg::F_OFD_SETLK(&lock)).map(|_| ())
    }
}

/// The sole right, among all processes, to make a fingerprint's result. Ends when it is dropped or the process dies.
pub struct Claim {
    table: Arc<ClaimTable>,
    offset: i64,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // The kernel refuses an unlock only for arguments that locking has accepted before.
        let _ = self.table.set(self.offset, libc::F_UNLCK);
        self.table.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.offset);
    }
}

/// Keeps [`Cache::try_use_alone`] from succeeding elsewhere, or is its success.
pub struct UseGuard {
    _file: File,
}

impl Cache {
    /// Claims the right to make a fingerprint's result; `None` while somebody else has it.
    pub fn try_claim(&self, fingerprint: &Digest) -> Result<Option<Claim>> {
        let head = fingerprint.bytes().first_chunk::<8>().copied().unwrap_or_default();
        let offset = (u64::from_le_bytes(head) >> 2).cast_signed();
        if !self.claims.held.lock().unwrap_or_else(PoisonError::into_inner).insert(offset) {
            return Ok(None);
        }
        match self.claims.set(offset, libc::F_WRLCK) {
            Ok(()) => Ok(Some(Claim { table: Arc::clone(&self.claims), offset })),
            Err(error) => {
                self.claims.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&offset);
                match error {
                    Errno::EAGAIN | Errno::EACCES => Ok(None),
                    other => Err(CacheError::io(&self.claims.path)(other.into())),
                }
            }
        }
    }

    /// Says that this process works with the cache; waits while somebody has it alone.
    pub fn use_shared(&self) -> Result<UseGuard> {
        let (path, file) = self.use_file()?;
        file.lock_shared().map_err(CacheError::io(&path))?;
        Ok(UseGuard { _file: file })
    }

    /// The cache alone, to remove things from it; `None` while somebody works with it.
    pub fn try_use_alone(&self) -> Result<Option<UseGuard>> {
        let (path, file) = self.use_file()?;
        match file.try_lock() {
            Ok(()) => Ok(Some(UseGuard { _file: file })),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(CacheError::io(&path)(error)),
        }
    }

    fn use_file(&self) -> Result<(PathBuf, File)> {
        let path = self.root().join("in-use");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(CacheError::io(&path))?;
        Ok((path, file))
    }
}
