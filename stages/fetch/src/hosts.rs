//! Politeness: how many requests a host gets at once, when it asked to be left alone, and when there is no point in
//! asking it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{FetchErrorKind, Wait};

/// So many files in a row, each with all its attempts, for which a host could not be reached: it is down, and the rest
/// of a long list need not wait for it.
const GIVE_UP: u32 = 20;

/// What is known of every host.
pub(super) struct Hosts {
    per_host: usize,
    known: Mutex<HashMap<String, Arc<Host>>>,
}

/// One host and port.
pub(super) struct Host {
    slots: Arc<Semaphore>,
    paused_until: Mutex<Option<Instant>>,
    /// For how long it asked to be left alone, if that is longer than anyone waits.
    closed: OnceLock<Duration>,
    /// Files in a row for which it could not be reached.
    unreached: AtomicU32,
}

/// Leave to have one request under way.
pub(super) struct HostPermit {
    _slot: Option<OwnedSemaphorePermit>,
}

/// Host and port, as one name.
pub(super) fn name(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}

impl Hosts {
    pub(super) fn new(per_host: usize) -> Hosts {
        Hosts { per_host: per_host.max(1), known: Mutex::default() }
    }

    pub(super) fn of(&self, url: &Url) -> Arc<Host> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let host = known.entry(name(url)).or_insert_with(|| {
            let slots = Arc::new(Semaphore::new(self.per_host));
            let (paused_until, closed, unreached) = (Mutex::default(), OnceLock::new(), AtomicU32::new(0));
            Arc::new(Host { slots, paused_until, closed, unreached })
        });
        Arc::clone(host)
    }
}

impl Host {
    /// Waits until the host may be asked.
    pub(super) async fn acquire(&self) -> HostPermit {
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
        while let Some(pause) = self.pause() {
            tokio::time::sleep(pause).await;
        }
        HostPermit { _slot: slot }
    }

    /// Why the host need not be asked, if so.
    pub(super) fn refusal_reason(&self) -> Option<FetchErrorKind> {
        let closed = self.closed.get().map(|pause| FetchErrorKind::RateLimited(*pause));
        let unreached = self.unreached.load(Ordering::Relaxed);
        closed.or_else(|| (unreached >= GIVE_UP).then_some(FetchErrorKind::HostGivenUp(unreached)))
    }

    /// Learns from what became of a file.
    pub(super) fn record(&self, outcome: Result<(), &FetchErrorKind>) {
        match outcome {
            Err(FetchErrorKind::Unreachable(_) | FetchErrorKind::NoAnswer(_))
            | Err(FetchErrorKind::TimedOut { wait: Wait::Connection | Wait::Answer, .. }) => {
                self.unreached.fetch_add(1, Ordering::Relaxed);
            }
            // Nothing was learnt about the host.
            Err(
                FetchErrorKind::Interrupted
                | FetchErrorKind::HostGivenUp(_)
                | FetchErrorKind::RateLimited(_)
                | FetchErrorKind::Write { .. },
            ) => {}
            _ => self.unreached.store(0, Ordering::Relaxed),
        }
    }

    /// Leaves the host alone for longer than anyone waits.
    pub(super) fn close(&self, pause: Duration) {
        let _ = self.closed.set(pause);
    }

    /// Leaves the host alone for `pause`.
    pub(super) fn back_off_for(&self, pause: Duration) {
        let until = Instant::now().checked_add(pause);
        let mut alone = self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        *alone = (*alone).max(until);
    }

    fn pause(&self) -> Option<Duration> {
        let until = *self.paused_until.lock().unwrap_or_else(PoisonError::into_inner);
        until?.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }
}
