//! Limits for each host: requests in flight, pauses that it asked for, and unreachable hosts, which are not asked
//! any more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{FetchErrorKind, Wait};

/// Number of consecutive files, each with all its attempts, after which an unreachable host counts as down: the rest
/// of a long list need not wait for it.
const GIVE_UP: u32 = 20;

/// State of every host.
pub(super) struct Hosts {
    per_host: usize,
    known: Mutex<HashMap<String, Arc<Host>>>,
}

/// One host and port.
pub(super) struct Host {
    slots: Arc<Semaphore>,
    paused_until: Mutex<Option<Instant>>,
    /// The pause that it asked for, if that is longer than the limit.
    closed: OnceLock<Duration>,
    /// Number of consecutive files for which it could not be reached.
    unreached: AtomicU32,
}

/// Permit for one request in flight.
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
    /// Waits for a permit to ask the host.
    pub(super) async fn acquire(&self) -> HostPermit {
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
        while let Some(pause) = self.pause() {
            tokio::time::sleep(pause).await;
        }
        HostPermit { _slot: slot }
    }

    /// The failure with which requests to the host end at once, if so.
    pub(super) fn refusal_reason(&self) -> Option<FetchErrorKind> {
        let closed = self.closed.get().map(|pause| FetchErrorKind::RateLimited(*pause));
        let unreached = self.unreached.load(Ordering::Relaxed);
        closed.or_else(|| (unreached >= GIVE_UP).then_some(FetchErrorKind::HostGivenUp(unreached)))
    }

    /// Records the result of a file.
    pub(super) fn record(&self, outcome: Result<(), &FetchErrorKind>) {
        match outcome {
            Err(FetchErrorKind::Unreachable(_) | FetchErrorKind::NoAnswer(_))
            | Err(FetchErrorKind::TimedOut { wait: Wait::Connection | Wait::Answer, .. }) => {
                self.unreached.fetch_add(1, Ordering::Relaxed);
            }
            // These say nothing about the host.
            Err(
                FetchErrorKind::Interrupted
                | FetchErrorKind::HostGivenUp(_)
                | FetchErrorKind::RateLimited(_)
                | FetchErrorKind::Write { .. },
            ) => {}
            _ => self.unreached.store(0, Ordering::Relaxed),
        }
    }

    /// Ends all further requests to the host, which asked for a pause longer than the limit.
    pub(super) fn close(&self, pause: Duration) {
        let _ = self.closed.set(pause);
    }

    /// Holds requests to the host back for `pause`.
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
