//! Leases: the replacement for locks where the file system has none.
//!
//! `leases/<name>` is there while somebody holds the lease. It names its owner and holds a counter that the owner's
//! heartbeat increases every few seconds. A lease is stale when an observer saw no increase for a minute of the
//! observer's own monotonic clock, or, where owner and observer are processes of one machine, when the owner is gone. A
//! process that takes a stale lease renames it away first, which only one can, and checks what it has taken. An owner
//! that was only slow finds out that it has lost its lease ([`Lease::is_lost`]).

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::libc;

use crate::locks::process::{is_gone, random, this_process};
use crate::{CacheError, Result};

/// Timing of leases.
#[derive(Clone)]
pub(crate) struct LeaseTimes {
    /// How often an owner increases its counter.
    pub heartbeat: Duration,
    /// How long a counter stands still before its lease is stale.
    pub stale_after: Duration,
    /// The observer's monotonic clock.
    pub clock: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl Default for LeaseTimes {
    fn default() -> LeaseTimes {
        let start = Instant::now();
        let clock = Arc::new(move || start.elapsed());
        LeaseTimes { heartbeat: Duration::from_secs(5), stale_after: Duration::from_secs(60), clock }
    }
}

/// Leases of one process in one cache.
pub(crate) struct Leases {
    folder: PathBuf,
    times: LeaseTimes,
    mine: Arc<OwnLeases>,
    /// Last seen content of other owners' leases, and the time of the last change.
    observed: Mutex<HashMap<String, (Vec<u8>, Duration)>>,
}

/// Leases that this process holds.
#[derive(Default)]
struct OwnLeases {
    held: Mutex<Held>,
    wake: Condvar,
}

#[derive(Default)]
struct Held {
    by_name: HashMap<String, Arc<OwnLease>>,
    /// Whether a thread increases the counters.
    is_beating: bool,
}

/// A lease as its owner knows it.
struct OwnLease {
    path: PathBuf,
    owner: String,
    counter: AtomicU64,
    is_lost: AtomicBool,
}

/// A lease that this process holds. Ends when it is dropped; a process that dies leaves it to become stale.
pub(crate) struct Lease {
    name: String,
    own: Arc<OwnLease>,
    mine: Arc<OwnLeases>,
}

/// State of a lease as others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaseState {
    /// Nobody holds it.
    Free,
    /// Its counter was increased while it was observed.
    Alive,
    /// Nothing is known yet.
    Unknown,
    /// Its owner is gone.
    Stale,
}

impl Leases {
    /// Leases in `folder`, which is created when the first one is taken.
    pub(crate) fn new(folder: PathBuf, times: LeaseTimes) -> Leases {
        Leases { folder, times, mine: Arc::default(), observed: Mutex::default() }
    }

    /// Takes the lease called `name`; `None` while somebody else, or another thread, has it.
    pub(crate) fn try_take(&self, name: &str) -> Result<Option<Lease>> {
        let path = self.folder.join(name);
        loop {
            let own = OwnLease::new(path.clone());
            match own.write_new() {
                Ok(()) => return self.hold(name, own).map(Some),
                Err(error) if error.kind() == io::ErrorKind::NotFound && !self.folder.is_dir() => {
                    fs::create_dir_all(&self.folder).map_err(CacheError::io(&self.folder))?;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match self.observe(name)? {
                    LeaseState::Free => {}
                    LeaseState::Stale if self.remove_stale(name)? => {}
                    _ => return Ok(None),
                },
                Err(error) => return Err(CacheError::io(&path)(error)),
            }
        }
    }

    /// State of the lease called `name`, judged by earlier observations of this process.
    pub(crate) fn observe(&self, name: &str) -> Result<LeaseState> {
        let path = self.folder.join(name);
        let now = (self.times.clock)();
        let Some(content) = read(&path).map_err(CacheError::io(&path))? else {
            self.observed().remove(name);
            return Ok(LeaseState::Free);
        };
        if self.mine.held().by_name.get(name).is_some_and(|own| own.wrote(&content)) {
            return Ok(LeaseState::Alive);
        }
        if process_of(&content).is_some_and(is_gone) {
            return Ok(LeaseState::Stale);
        }
        let mut observed = self.observed();
        let Some((before, since)) = observed.get(name).filter(|(before, _)| owner_of(before) == owner_of(&content))
        else {
            observed.insert(name.to_owned(), (content, now));
            return Ok(LeaseState::Unknown);
        };
        if *before != content {
            observed.insert(name.to_owned(), (content, now));
            return Ok(LeaseState::Alive);
        }
        let is_stale = now.saturating_sub(*since) >= self.times.stale_after;
        Ok(if is_stale { LeaseState::Stale } else { LeaseState::Unknown })
    }

    /// Names of the leases that start with `prefix`.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(CacheError::io(&self.folder)(error)),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter(|name| name.starts_with(prefix)).collect())
    }

    /// Renames a stale lease away; returns whether it is gone, whichever process did it.
    pub(crate) fn remove_stale(&self, name: &str) -> Result<bool> {
        let path = self.folder.join(name);
        let Some(stale) = read(&path).map_err(CacheError::io(&path))? else { return Ok(true) };
        if self.observe(name)? != LeaseState::Stale {
            return Ok(false);
        }
        let away = self.folder.join(format!("stolen-{}", random()));
        match fs::rename(&path, &away) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(CacheError::io(&path)(error)),
        }
        let taken = read(&away).map_err(CacheError::io(&away))?;
        if taken.as_deref().is_some_and(|taken| owner_of(taken) != owner_of(&stale)) {
            // Another process was faster and had taken the lease already: it gets it back, unless a third one has taken
            // it by now, in which case the second finds out that it is lost.
            if fs::hard_link(&away, &path).is_err() && !path.exists() {
                fs::rename(&away, &path).map_err(CacheError::io(&path))?;
            }
            let _ = fs::remove_file(&away);
            return Ok(false);
        }
        self.observed().remove(name);
        // A file that stays does no harm.
        let _ = fs::remove_file(&away);
        Ok(true)
    }

    fn hold(&self, name: &str, own: OwnLease) -> Result<Lease> {
        let own = Arc::new(own);
        let lease = Lease { name: name.to_owned(), own: Arc::clone(&own), mine: Arc::clone(&self.mine) };
        let mut held = self.mine.held();
        held.by_name.insert(name.to_owned(), own);
        if !held.is_beating {
            held.is_beating = true;
            drop(held);
            let (mine, every) = (Arc::clone(&self.mine), self.times.heartbeat);
            let beat = std::thread::Builder::new().name("leases".to_owned()).spawn(move || mine.keep_beating(every));
            beat.map_err(|error| {
                self.mine.held().is_beating = false;
                CacheError::io(&lease.own.path)(error)
            })?;
        }
        Ok(lease)
    }

    fn observed(&self) -> MutexGuard<'_, HashMap<String, (Vec<u8>, Duration)>> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.mine.wake.notify_all();
    }
}

impl OwnLeases {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Increases the counters until no lease is left.
    fn keep_beating(&self, every: Duration) {
        let mut held = self.held();
        while !held.by_name.is_empty() {
            let waited = self.wake.wait_timeout(held, every);
            held = waited.unwrap_or_else(PoisonError::into_inner).0;
            let all: Vec<Arc<OwnLease>> = held.by_name.values().cloned().collect();
            drop(held);
            all.iter().for_each(|own| own.beat());
            held = self.held();
        }
        held.is_beating = false;
    }
}

impl OwnLease {
    fn new(path: PathBuf) -> OwnLease {
        OwnLease { path, owner: random(), counter: AtomicU64::new(0), is_lost: AtomicBool::new(false) }
    }

    fn line(&self) -> String {
        format!("athanor lease 1 {} {} {:020}\n", self.owner, this_process(), self.counter.load(Ordering::Relaxed))
    }

    fn write_new(&self) -> io::Result<()> {
        let mut file = File::options().write(true).create_new(true).open(&self.path)?;
        file.write_all(self.line().as_bytes()).inspect_err(|_| drop(fs::remove_file(&self.path)))
    }

    fn wrote(&self, content: &[u8]) -> bool {
        owner_of(content) == Some(self.owner.as_bytes())
    }

    /// Increases the counter, or finds that the lease is lost.
    fn beat(&self) {
        if self.look() {
            self.counter.fetch_add(1, Ordering::Relaxed);
            // A beat that fails is missed; several in a row and the lease goes.
            let file = File::options().write(true).custom_flags(libc::O_NOFOLLOW).open(&self.path);
            let _ = file.and_then(|file| file.write_all_at(self.line().as_bytes(), 0));
        }
    }

    /// Whether this process still holds the lease. An error in reading it, other than that it is gone, does not count
    /// as a loss.
    fn look(&self) -> bool {
        if !self.is_lost.load(Ordering::Relaxed)
            && read(&self.path).is_ok_and(|found| !found.is_some_and(|found| self.wrote(&found)))
        {
            self.is_lost.store(true, Ordering::Relaxed);
        }
        !self.is_lost.load(Ordering::Relaxed)
    }
}

impl Lease {
    /// Whether another process has taken the lease over, because this one was too slow to renew it.
    pub(crate) fn is_lost(&self) -> bool {
        !self.own.look()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let is_ours = self.own.look();
        let mut held = self.mine.held();
        if held.by_name.get(&self.name).is_some_and(|own| Arc::ptr_eq(own, &self.own)) {
            held.by_name.remove(&self.name);
        }
        let is_last = held.by_name.is_empty();
        drop(held);
        if is_ours {
            // One that stays becomes stale.
            let _ = fs::remove_file(&self.own.path);
        }
        if is_last {
            self.mine.wake.notify_all();
        }
    }
}

/// Content of a lease; `None` if there is none.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    match file.take(1 << 10).read_to_end(&mut content) {
        // Network file systems say so of a file that was removed while it was open.
        Err(error) if error.raw_os_error() == Some(libc::ESTALE) => Ok(None),
        Err(error) => Err(error),
        Ok(_) => Ok(Some(content)),
    }
}

fn word(content: &[u8], number: usize) -> Option<&[u8]> {
    content.strip_prefix(b"athanor lease 1 ")?.split(u8::is_ascii_whitespace).nth(number)
}

fn owner_of(content: &[u8]) -> Option<&[u8]> {
    word(content, 0)
}

/// The process that holds a lease.
fn process_of(content: &[u8]) -> Option<&str> {
    std::str::from_utf8(word(content, 1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locks::process::host;

    /// Two processes, as far as leases tell, and the clock of the second.
    struct Two {
        folder: tempfile::TempDir,
        one: Leases,
        other: Leases,
        clock: Arc<AtomicU64>,
    }

    fn two() -> Two {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicU64::new(0));
        let seconds = Arc::clone(&clock);
        let times = LeaseTimes {
            heartbeat: Duration::from_secs(3_600),
            stale_after: Duration::from_secs(60),
            clock: Arc::new(move || Duration::from_secs(seconds.load(Ordering::Relaxed))),
        };
        let open = || Leases::new(folder.path().join("leases"), times.clone());
        let (one, other) = (open(), open());
        Two { folder, one, other, clock }
    }

    impl Two {
        fn later(&self, seconds: u64) {
            self.clock.fetch_add(seconds, Ordering::Relaxed);
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join("leases").join(name)
        }
    }

    #[test]
    fn a_lease_is_held_by_one_until_it_is_dropped() {
        let two = two();
        let lease = two.one.try_take("a").unwrap().unwrap();
        assert!(two.one.try_take("a").unwrap().is_none() && two.other.try_take("a").unwrap().is_none());
        assert!(two.other.try_take("b").unwrap().is_some());
        assert!(!lease.is_lost());
        drop(lease);
        assert!(two.other.try_take("a").unwrap().is_some());
        assert!(two.one.names("").unwrap().is_empty(), "nothing is left behind");
    }

    #[test]
    fn a_lease_whose_counter_stands_still_for_a_minute_is_taken_over_once_and_its_owner_learns_of_it() {
        let two = two();
        let lease = two.one.try_take("a").unwrap().unwrap();
        assert!(two.other.try_take("a").unwrap().is_none());
        two.later(59);
        assert!(two.other.try_take("a").unwrap().is_none());
        lease.own.beat();
        two.later(59);
        assert!(two.other.try_take("a").unwrap().is_none(), "the counter went on");
        two.later(59);
        assert!(two.other.try_take("a").unwrap().is_none());
        two.later(1);
        let taken = two.other.try_take("a").unwrap().unwrap();
        assert!(lease.is_lost() && !taken.is_lost());
        lease.own.beat();
        drop(lease);
        assert!(!taken.is_lost(), "a lost lease takes nothing with it");
        assert!(two.path("a").exists());
    }

    #[test]
    fn a_lease_of_a_process_that_is_gone_is_stale_at_once() {
        let two = two();
        fs::create_dir(two.folder.path().join("leases")).unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let gone = format!("athanor lease 1 somebody {}:{}:1 {:020}\n", host(), child.id(), 3);
        fs::write(two.path("a"), &gone).unwrap();
        assert!(two.one.try_take("a").unwrap().is_some());
        // The same of another machine may be alive.
        fs::write(two.path("b"), gone.replace(&host(), "elsewhere:1")).unwrap();
        assert!(two.one.try_take("b").unwrap().is_none());
        // So may one that is just being written.
        fs::write(two.path("c"), "").unwrap();
        assert!(two.one.try_take("c").unwrap().is_none());
        two.later(60);
        assert!(two.one.try_take("b").unwrap().is_some() && two.one.try_take("c").unwrap().is_some());
    }

    #[test]
    fn of_many_that_take_over_a_stale_lease_one_gets_it() {
        for _ in 0..20 {
            let two = two();
            drop(two.one.try_take("x").unwrap());
            fs::write(two.path("a"), "athanor lease 1 somebody elsewhere:1:1:1 00000000000000000000\n").unwrap();
            let all: Vec<Leases> =
                (0..8).map(|_| Leases::new(two.folder.path().join("leases"), two.one.times.clone())).collect();
            all.iter().for_each(|leases| assert!(leases.try_take("a").unwrap().is_none()));
            two.later(60);
            let taken: Vec<Option<Lease>> = std::thread::scope(|scope| {
                let threads: Vec<_> = all.iter().map(|leases| scope.spawn(|| leases.try_take("a").unwrap())).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let held = taken.iter().flatten().filter(|lease| !lease.is_lost()).count();
            assert!(held <= 1, "{held} have it");
        }
    }

    #[test]
    fn the_heartbeat_increases_counters_and_ends_with_the_last_lease() {
        let folder = tempfile::tempdir().unwrap();
        let times = LeaseTimes { heartbeat: Duration::from_millis(1), ..LeaseTimes::default() };
        let leases = Leases::new(folder.path().to_owned(), times);
        let lease = leases.try_take("a").unwrap().unwrap();
        let first = fs::read(&lease.own.path).unwrap();
        while fs::read(&lease.own.path).unwrap() == first {
            std::thread::yield_now();
        }
        drop(lease);
        while leases.mine.held().is_beating {
            std::thread::yield_now();
        }
        assert!(leases.try_take("a").unwrap().is_some());
    }
}
