//! How often the kernel has killed something for lack of memory: the one hint why a process was gone from one moment to the next.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The counter is not read again for jobs that start this soon after: to read it costs as much as a small stage's other
/// bookkeeping.
const FRESH: Duration = Duration::from_secs(1);

/// The kernel's counter, as it was a moment ago.
#[derive(Debug, Default)]
pub struct KernelKills {
    read: Mutex<Option<(Instant, Option<u64>)>>,
}

impl KernelKills {
    /// The counter before a job starts; `None` where the kernel does not tell.
    pub fn before(&self) -> Option<u64> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        match *read {
            Some((at, count)) if at.elapsed() < FRESH => count,
            _ => read.insert((Instant::now(), counter())).1,
        }
    }

    /// Whether there was a kill since the counter was as `before`. A job was killed: the next one's counter is read anew.
    pub fn happened_since(&self, before: Option<u64>) -> bool {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = None;
        before.is_some() && counter() > before
    }
}

fn counter() -> Option<u64> {
    let counters = std::fs::read_to_string("/proc/vmstat").ok()?;
    counters.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}
