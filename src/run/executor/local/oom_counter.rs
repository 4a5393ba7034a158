//! Counters of out-of-memory kills: the one hint why a process was gone from one moment to the next.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::run::executor::machine::control_group::{MemoryGroup, read_counter};

/// Time for which counters are reused by jobs that start: reading them costs as much as a small stage's other bookkeeping.
const FRESH: Duration = Duration::from_secs(1);

/// Cached counters of the kernel.
#[derive(Debug)]
pub(super) struct OomCounter {
    /// Control groups whose kills are counted.
    groups: Vec<MemoryGroup>,
    read: Mutex<Option<(Instant, Counts)>>,
}

/// Number of kills on the machine and in each group, as far as the kernel tells.
pub(super) type Counts = Vec<Option<u64>>;

impl OomCounter {
    /// Counters of the machine and of this process's control groups.
    pub(super) fn new() -> OomCounter {
        OomCounter { groups: MemoryGroup::find_all(Path::new("/")), read: Mutex::default() }
    }

    /// Counters before a job starts.
    pub(super) fn before(&self) -> Counts {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        match &*read {
            Some((at, counts)) if at.elapsed() < FRESH => counts.clone(),
            _ => read.insert((Instant::now(), self.counts())).1.clone(),
        }
    }

    /// Whether there was a kill since the counters were as `before`. A job was killed: the next one's counters are read
    /// again.
    pub(super) fn happened_since(&self, before: &Counts) -> bool {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.counts().iter().zip(before).any(|(now, before)| before.is_some() && now > before)
    }

    fn counts(&self) -> Counts {
        let machine = read_counter(Path::new("/proc/vmstat"), "oom_kill");
        std::iter::once(machine).chain(self.groups.iter().map(MemoryGroup::kills)).collect()
    }
}
