//! Locks between processes: claims on fingerprints, shared or exclusive use of the cache, and files with a single
//! writer.
//!
//! A claim is an open-file-description lock on one byte of the file `locks`, at an offset that the fingerprint gives: the kernel
//! drops it with the process, nothing is left to clean up, and network file systems carry it. Such locks do not exclude their
//! own process, which a set of claimed offsets makes up for. Everything else is a lock on a whole file. Where the file system
//! has no locks, leases take their place (`leases`), from the start or from the moment that a lock is refused.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::libc;

use crate::fs::capabilities::Capabilities;
use crate::fs::file_lock::{are_missing, lock_byte, open_to_lock, try_lock, unlock_byte};
use crate::locks::leases::{Lease, LeaseState, LeaseTimes, Leases};
use crate::{CacheError, Digest, Result};

/// Interval between two looks at a lease that somebody else holds.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const IN_USE: &str = "in-use";
/// Lease of a process with exclusive use, and prefix of the leases of those that share the cache.
const ALONE: &str = "in-use.alone";
const SHARED: &str = "in-use.shared-";

/// Locks of one process in one cache.
pub struct Locks {
    root: PathBuf,
    /// The file with a byte for every claim; `None` in a read-only cache.
    claims: Option<File>,
    claimed: Mutex<HashSet<i64>>,
    capabilities: Capabilities,
    uses_leases: AtomicBool,
    leases: Leases,
}

/// An exclusive lock, released when it is dropped or the process dies.
pub struct Lock {
    _file: Option<File>,
    lease: Option<Lease>,
}

/// A lock of an open file that belongs to somebody else.
pub(crate) struct HandleLock<'f> {
    file: Option<&'f File>,
    _lease: Option<Lease>,
}

/// The exclusive right, among all processes, to compute a fingerprint's result; released when it is dropped or the
/// process dies.
pub struct Claim {
    table: Arc<Locks>,
    offset: i64,
    lease: Option<Lease>,
}

/// Shared or exclusive use of a cache, released when it is dropped or the process dies: see
/// [`Cache::use_shared`](crate::Cache::use_shared) and [`Cache::try_use_exclusive`](crate::Cache::try_use_exclusive).
pub struct UseGuard {
    lock: Lock,
}

impl Lock {
    /// Whether another process has taken it over meanwhile, which is possible only with leases.
    pub fn is_lost(&self) -> bool {
        self.lease.as_ref().is_some_and(Lease::is_lost)
    }
}

impl Claim {
    /// Whether another process has taken the claim over meanwhile, because this one was too slow to keep it: a result made
    /// under it counts only if the other one's has the same digests. Never where the file system has locks.
    pub fn is_lost(&self) -> bool {
        self.lease.as_ref().is_some_and(Lease::is_lost)
    }
}

impl UseGuard {
    /// As [`Claim::is_lost`].
    pub fn is_lost(&self) -> bool {
        self.lock.is_lost()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(claims) = self.table.claims.as_ref().filter(|_| self.lease.is_none()) {
            // The kernel refuses an unlock only for arguments that locking has accepted before.
            let _ = unlock_byte(claims, self.offset);
        }
        self.table.claimed.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.offset);
    }
}

impl Drop for HandleLock<'_> {
    fn drop(&mut self) {
        // The kernel refuses an unlock only of what it has locked.
        let _ = self.file.map(File::unlock);
    }
}

impl Locks {
    /// Locks of the cache at `root`; `claims` is its open file of claims unless the cache is read-only.
    pub(crate) fn new(root: &Path, claims: Option<File>, capabilities: Capabilities, times: LeaseTimes) -> Arc<Locks> {
        let leases = Leases::new(root.join("leases"), times);
        Arc::new(Locks {
            root: root.to_owned(),
            claims,
            claimed: Mutex::default(),
            uses_leases: AtomicBool::new(!capabilities.locks),
            capabilities,
            leases,
        })
    }

    /// Locks of the cache at `root`, for callers that keep files in its folder without opening it.
    pub fn of(root: &Path) -> Arc<Locks> {
        Locks::new(root, None, Capabilities::of(root, false), LeaseTimes::default())
    }

    /// Capabilities of the file system, as far as they are known by now.
    pub(crate) fn capabilities(&self) -> Capabilities {
        Capabilities { locks: self.capabilities.locks && !self.uses_leases(), ..self.capabilities }
    }

    fn uses_leases(&self) -> bool {
        self.uses_leases.load(Ordering::Relaxed)
    }

    /// Uses leases from now on, in this process and in later ones.
    fn fall_back_to_leases(&self) {
        if !self.uses_leases.swap(true, Ordering::Relaxed) {
            self.capabilities.note_without_locks(&self.root);
        }
    }

    /// Outcome of locking; `None` if the file system has no locks, so that a lease has to be taken.
    fn locked<T>(&self, path: &Path, outcome: io::Result<T>) -> Option<Result<T>> {
        match outcome {
            Err(error) if are_missing(&error) => {
                self.fall_back_to_leases();
                None
            }
            other => Some(other.map_err(CacheError::io(path))),
        }
    }

    fn name_of(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().replace('/', "_")
    }

    /// Waits for the exclusive lock of the file at `path`, which is created if need be.
    pub fn lock(&self, path: &Path) -> Result<Lock> {
        if !self.uses_leases() {
            let file = open_to_lock(path).map_err(CacheError::io(path))?;
            if let Some(locked) = self.locked(path, file.lock()) {
                return locked.map(|()| Lock { _file: Some(file), lease: None });
            }
        }
        Ok(Lock { _file: None, lease: Some(self.wait_for(&self.name_of(path))?) })
    }

    /// As [`Locks::lock`], without waiting; `None` while somebody else has it.
    pub fn try_lock(&self, path: &Path) -> Result<Option<Lock>> {
        if !self.uses_leases() {
            let file = open_to_lock(path).map_err(CacheError::io(path))?;
            if let Some(locked) = self.locked(path, try_lock(&file)) {
                return locked.map(|is_ours| is_ours.then_some(Lock { _file: Some(file), lease: None }));
            }
        }
        let lease = self.leases.try_take(&self.name_of(path))?;
        Ok(lease.map(|lease| Lock { _file: None, lease: Some(lease) }))
    }

    /// Waits for the lock of a file that is open and lies at `path`.
    pub(crate) fn lock_handle<'f>(&self, file: &'f File, path: &Path) -> Result<HandleLock<'f>> {
        if !self.uses_leases()
            && let Some(locked) = self.locked(path, file.lock())
        {
            return locked.map(|()| HandleLock { file: Some(file), _lease: None });
        }
        Ok(HandleLock { file: None, _lease: Some(self.wait_for(&self.name_of(path))?) })
    }

    /// Locks a file of this process that lies, or will lie, at `path`, for as long as it is open and the returned lock
    /// is held.
    pub(crate) fn lock_own(&self, file: &File, path: &Path) -> Result<Option<Lock>> {
        if !self.uses_leases()
            && let Some(locked) = self.locked(path, file.lock())
        {
            return locked.map(|()| None);
        }
        let lease = self.wait_for(&self.name_of(path))?;
        Ok(Some(Lock { _file: None, lease: Some(lease) }))
    }

    /// Locks a file of another process unless it is being written; `None` if it is, or is gone.
    pub(crate) fn try_lock_existing(&self, path: &Path) -> Result<Option<Lock>> {
        let Ok(file) = File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(path) else { return Ok(None) };
        if !self.uses_leases()
            && let Some(locked) = self.locked(path, try_lock(&file))
        {
            return locked.map(|is_ours| is_ours.then_some(Lock { _file: Some(file), lease: None }));
        }
        let lease = self.leases.try_take(&self.name_of(path))?;
        Ok(lease.map(|lease| Lock { _file: Some(file), lease: Some(lease) }))
    }

    /// Removes leases of processes that are gone.
    pub(crate) fn sweep(&self) -> Result<()> {
        for name in self.leases.names("")? {
            if self.leases.observe(&name)? == LeaseState::Stale {
                self.leases.remove_stale(&name)?;
            }
        }
        Ok(())
    }

    /// Whether a process has the file at `path` locked.
    pub fn is_locked(&self, path: &Path) -> bool {
        self.try_lock_existing(path).is_ok_and(|lock| lock.is_none() && path.exists())
    }

    fn wait_for(&self, name: &str) -> Result<Lease> {
        loop {
            if let Some(lease) = self.leases.try_take(name)? {
                return Ok(lease);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    pub(crate) fn try_claim(self: &Arc<Locks>, fingerprint: &Digest) -> Result<Option<Claim>> {
        let head = fingerprint.bytes().first_chunk::<8>().copied().unwrap_or_default();
        let offset = (u64::from_le_bytes(head) >> 2).cast_signed();
        if !self.claimed.lock().unwrap_or_else(PoisonError::into_inner).insert(offset) {
            return Ok(None);
        }
        // The offset is released when the claim is dropped; dropping one without the byte would unlock nothing.
        let claimed = self.claim(fingerprint, offset);
        if !matches!(claimed, Ok(Some(_))) {
            self.claimed.lock().unwrap_or_else(PoisonError::into_inner).remove(&offset);
        }
        claimed
    }

    fn claim(self: &Arc<Locks>, fingerprint: &Digest, offset: i64) -> Result<Option<Claim>> {
        let claim = |lease| Claim { table: Arc::clone(self), offset, lease };
        if !self.uses_leases() {
            let path = self.root.join("locks");
            let file = self.claims.as_ref().ok_or_else(|| self.read_only())?;
            let outcome = match lock_byte(file, offset) {
                Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
                other => other.map(|()| true),
            };
            if let Some(locked) = self.locked(&path, outcome) {
                return locked.map(|is_ours| is_ours.then(|| claim(None)));
            }
        }
        let lease = self.leases.try_take(&format!("claim-{fingerprint}"))?;
        Ok(lease.map(|lease| claim(Some(lease))))
    }

    fn read_only(&self) -> CacheError {
        CacheError::io(&self.root)(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    pub(crate) fn use_shared(&self) -> Result<UseGuard> {
        let path = self.root.join(IN_USE);
        if !self.uses_leases() {
            let file = open_to_lock(&path).map_err(CacheError::io(&path))?;
            if let Some(locked) = self.locked(&path, file.lock_shared()) {
                return locked.map(|()| UseGuard { lock: Lock { _file: Some(file), lease: None } });
            }
        }
        loop {
            // First taking, then looking: of two processes that do so at once, at least one sees the other.
            let lease = self.wait_for(&format!("{SHARED}{}", crate::locks::process::random()))?;
            match self.leases.observe(ALONE)? {
                LeaseState::Free => return Ok(UseGuard { lock: Lock { _file: None, lease: Some(lease) } }),
                LeaseState::Stale => drop(self.leases.remove_stale(ALONE)?),
                LeaseState::Alive | LeaseState::Unknown => std::thread::sleep(POLL_INTERVAL),
            }
        }
    }

    pub(crate) fn try_use_exclusive(&self) -> Result<Option<UseGuard>> {
        let path = self.root.join(IN_USE);
        if !self.uses_leases() {
            let file = open_to_lock(&path).map_err(CacheError::io(&path))?;
            if let Some(locked) = self.locked(&path, try_lock(&file)) {
                let guard = || UseGuard { lock: Lock { _file: Some(file), lease: None } };
                return locked.map(|is_ours| is_ours.then(guard));
            }
        }
        let Some(alone) = self.leases.try_take(ALONE)? else { return Ok(None) };
        for name in self.leases.names(SHARED)? {
            loop {
                match self.leases.observe(&name)? {
                    LeaseState::Free => break,
                    LeaseState::Alive => return Ok(None),
                    LeaseState::Stale => drop(self.leases.remove_stale(&name)?),
                    LeaseState::Unknown => std::thread::sleep(POLL_INTERVAL),
                }
            }
        }
        Ok(Some(UseGuard { lock: Lock { _file: None, lease: Some(alone) } }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_leases(root: &Path, seconds: &Arc<std::sync::atomic::AtomicU64>) -> Arc<Locks> {
        let capabilities = Capabilities { links: true, symbolic_links: true, modes: true, locks: false };
        let seconds = Arc::clone(seconds);
        let clock = Arc::new(move || Duration::from_secs(seconds.load(Ordering::Relaxed)));
        let times = LeaseTimes { heartbeat: Duration::from_millis(1), stale_after: Duration::from_secs(60), clock };
        Locks::new(root, None, capabilities, times)
    }

    #[test]
    fn leases_do_what_locks_do() {
        let (folder, seconds) = (tempfile::tempdir().unwrap(), Arc::default());
        let (one, other) = (with_leases(folder.path(), &seconds), with_leases(folder.path(), &seconds));
        let fingerprint = Digest::of(b"work");
        let claim = one.try_claim(&fingerprint).unwrap().unwrap();
        assert!(one.try_claim(&fingerprint).unwrap().is_none() && other.try_claim(&fingerprint).unwrap().is_none());
        assert!(!claim.is_lost());
        drop(claim);
        assert!(other.try_claim(&fingerprint).unwrap().is_some());

        let path = folder.path().join("file");
        let lock = one.lock(&path).unwrap();
        assert!(other.try_lock(&path).unwrap().is_none());
        drop(lock);
        assert!(other.try_lock(&path).unwrap().is_some());
        let file = File::create(&path).unwrap();
        let own = one.lock_own(&file, &path).unwrap();
        assert!(other.is_locked(&path) && other.try_lock_existing(&path).unwrap().is_none());
        drop(own);
        assert!(!other.is_locked(&path));

        let (first, second) = (one.use_shared().unwrap(), other.use_shared().unwrap());
        drop(first);
        assert!(one.try_use_exclusive().unwrap().is_none(), "the heartbeat of the other one shows");
        drop(second);
        let alone = one.try_use_exclusive().unwrap().unwrap();
        assert!(other.try_use_exclusive().unwrap().is_none() && !alone.is_lost());
        drop(alone);
        assert!(other.use_shared().is_ok());
    }

    #[test]
    fn a_claim_that_was_taken_over_is_lost() {
        let (folder, seconds) = (tempfile::tempdir().unwrap(), Arc::<std::sync::atomic::AtomicU64>::default());
        let (one, other) = (with_leases(folder.path(), &seconds), with_leases(folder.path(), &seconds));
        let fingerprint = Digest::of(b"work");
        // Of a process on another machine that has stopped.
        let lease = folder.path().join("leases").join(format!("claim-{fingerprint}"));
        std::fs::create_dir(folder.path().join("leases")).unwrap();
        std::fs::write(&lease, "athanor lease 1 somebody elsewhere:1:1:1 00000000000000000000\n").unwrap();
        assert!(one.try_claim(&fingerprint).unwrap().is_none());
        seconds.store(60, Ordering::Relaxed);
        let claim = one.try_claim(&fingerprint).unwrap().unwrap();
        // And the other way round.
        std::fs::remove_file(&lease).unwrap();
        let taken = other.try_claim(&fingerprint).unwrap().unwrap();
        assert!(claim.is_lost() && !taken.is_lost());
    }
}
