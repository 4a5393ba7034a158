//! Leases: keys by which pushes and collections know of each other.
//!
//! A push relies on content that it finds there before any record names it; a collection removes content that no record names. So
//! neither works while the other does. Each puts a key first and looks for the other's then: of two that begin at the same time, one
//! at least sees the other. Pushes make way. A key is renewed while its holder works, and counts for nothing when it was not renewed
//! for a while, by the storage's own clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use athanor_cache::Digest;

use crate::error::{FailureKind, RemoteError, StorageError};
use crate::remote::Remote;
use crate::storage::{Occupied, Stat};
use crate::transfer::Transfer;

/// Area of leases.
pub(crate) const AREA: &str = "leases";
/// Name of a collection's.
const COLLECTION: &str = "collection";
/// Beginning of the names of pushes' leases.
const PUSH: &str = "push-";
/// Interval of renewals.
const RENEWAL: Duration = Duration::from_secs(120);
/// Time after its last renewal until which a holder relies on its lease …
const RELIED_ON: Duration = Duration::from_secs(600);
/// … and until which others respect it, in milliseconds: longer, since their looks take time, too.
pub(crate) const RESPECTED: i64 = 900_000;
/// Time for which the other side is waited for.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 30 });
/// Interval of looks meanwhile.
const LOOK: Duration = Duration::from_millis(500);

/// A lease that is held.
pub(crate) struct Lease<'r> {
    remote: &'r Remote,
    key: String,
    /// When it was put there or renewed last, by this machine's clocks: one of them stands still while the machine sleeps, the other
    /// may be set.
    renewed: Mutex<(Instant, SystemTime)>,
}

impl<'r> Lease<'r> {
    /// Puts a lease there; `None` if there is one of this name already, where it is not to be replaced.
    fn put(remote: &'r Remote, name: &str, occupied: Occupied) -> Result<Option<Lease<'r>>, RemoteError> {
        let key = format!("{AREA}/{name}");
        let now = (Instant::now(), SystemTime::now());
        let is_put = remote.act(|storage| storage.put(&key, Vec::new(), occupied))?;
        Ok(is_put.then_some(Lease { remote, key, renewed: Mutex::new(now) }))
    }

    /// A lease under a name that nobody else has.
    fn own(remote: &'r Remote, start: &str) -> Result<Lease<'r>, RemoteError> {
        let lease = Lease::put(remote, &format!("{start}{}", unique()), Occupied::Replace)?;
        lease.ok_or_else(|| busy(remote, "does not take what it is given"))
    }

    /// Facts about the lease, by the storage's clock.
    fn stat(&self) -> Result<Stat, RemoteError> {
        let stat = self.remote.ask(|storage| storage.stat(&self.key))?;
        stat.ok_or_else(|| busy(self.remote, "does not show what was put there"))
    }

    /// Returns an error if others may take the lease to be given up: the machine slept, or the storage was out of reach.
    pub(crate) fn check(&self) -> Result<(), RemoteError> {
        let (instant, time) = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        let age = instant.elapsed().max(time.elapsed().unwrap_or_default());
        if age < RELIED_ON { Ok(()) } else { Err(busy(self.remote, "was out of reach for too long meanwhile")) }
    }

    fn renew(&self) {
        let now = (Instant::now(), SystemTime::now());
        // One that cannot be renewed is no longer relied on after a while.
        if self.check().is_ok()
            && self.remote.act(|storage| storage.put(&self.key, Vec::new(), Occupied::Replace)).is_ok()
        {
            *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
    }

    fn release(self) {
        // One that stays counts for nothing after a while, and the next collection removes it.
        if let Ok(stat) = self.stat() {
            let _ = self.remote.act(|storage| storage.remove(&self.key, stat.put));
        }
    }

    /// Does `work`, renews the lease meanwhile, and gives it up then.
    fn hold<T>(self, work: impl FnOnce(&Lease<'r>) -> Result<T, RemoteError>) -> Result<T, RemoteError> {
        let (done, ended) = channel::<()>();
        let lease = &self;
        let outcome = thread::scope(|scope| {
            let renew = move || {
                while ended.recv_timeout(RENEWAL) == Err(RecvTimeoutError::Timeout) {
                    lease.renew();
                }
            };
            // Without a thread it is held for as long as it is relied on.
            let _ = thread::Builder::new().spawn_scoped(scope, renew);
            let outcome = work(lease);
            drop(done);
            outcome
        });
        self.release();
        outcome
    }
}

impl Remote {
    /// Does `work`, which pushes, while nobody collects.
    pub(crate) fn while_pushing<T>(
        &self,
        progress: &Transfer,
        work: impl FnOnce(&Lease<'_>) -> Result<T, RemoteError>,
    ) -> Result<T, RemoteError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let lease = Lease::own(self, PUSH)?;
            let Some(collection) = self.collection()? else { return lease.hold(work) };
            let now = lease.stat()?.put;
            if now - collection.put >= RESPECTED {
                return lease.hold(work);
            }
            lease.release();
            while self.collection()?.is_some() {
                progress.check()?;
                if Instant::now() >= until {
                    return Err(busy(
                        self,
                        "is being collected in (`athanor cache gc --remote`), so that nothing is put there",
                    ));
                }
                thread::sleep(LOOK);
            }
        }
    }

    /// Does `work`, which collects, while nobody pushes; it gets the time by the storage's clock, in milliseconds.
    pub(crate) fn while_collecting<T>(
        &self,
        work: impl FnOnce(&Lease<'_>, i64) -> Result<T, RemoteError>,
    ) -> Result<T, RemoteError> {
        let taken = "is being collected in by somebody else, so that nothing was removed";
        let lease = match Lease::put(self, COLLECTION, Occupied::Keep)? {
            Some(lease) => lease,
            None => {
                self.remove_given_up()?;
                Lease::put(self, COLLECTION, Occupied::Keep)?.ok_or_else(|| busy(self, taken))?
            }
        };
        lease.hold(|lease| {
            let until = Instant::now() + PATIENCE;
            loop {
                let now = lease.stat()?.put;
                let leases = self.act(|storage| storage.list(AREA))?;
                let is_push = |(name, stat): &&(String, Stat)| name.starts_with(PUSH) && now - stat.put < RESPECTED;
                if !leases.iter().any(|lease| is_push(&lease)) {
                    return work(lease, now);
                }
                if Instant::now() >= until {
                    return Err(busy(self, "is being pushed to, so that nothing was removed"));
                }
                thread::sleep(LOOK);
            }
        })
    }

    fn collection(&self) -> Result<Option<Stat>, RemoteError> {
        self.ask(|storage| storage.stat(&format!("{AREA}/{COLLECTION}")))
    }

    /// Removes the lease of a collection that was killed, once it counts for nothing.
    fn remove_given_up(&self) -> Result<(), RemoteError> {
        let clock = Lease::own(self, "clock-")?;
        let now = clock.stat()?.put;
        clock.release();
        if let Some(stat) = self.collection()?.filter(|stat| now - stat.put >= RESPECTED) {
            // Who finds it changed meanwhile finds it taken.
            self.act(|storage| storage.remove(&format!("{AREA}/{COLLECTION}"), stat.put))?;
        }
        Ok(())
    }
}

fn busy(remote: &Remote, what: &str) -> RemoteError {
    StorageError::new(FailureKind::Busy, format!("{what}. Try again later.")).at(&remote.address)
}

/// A name that no other process has, here or on another machine.
fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let host = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let parts = format!("{host} {} {} {}", std::process::id(), time.as_nanos(), NEXT.fetch_add(1, Ordering::Relaxed));
    Digest::of(parts.as_bytes()).to_string()[..16].to_owned()
}
