//! Politeness: how many requests a host gets at once, and when it asked to be left alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is known of every host.
pub(super) struct Hosts {
    per_host: usize,
    known: Mutex<HashMap<String, Arc<Host>>>,
}

/// One host and port.
pub(super) struct Host {
    slots: Arc<Semaphore>,
    alone_until: Mutex<Option<Instant>>,
}

/// Leave to have one request under way.
pub(super) struct Leave {
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
            Arc::new(Host { slots, alone_until: Mutex::default() })
        });
        Arc::clone(host)
    }
}

impl Host {
    /// Waits until the host may be asked.
    pub(super) async fn enter(&self) -> Leave {
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
        while let Some(pause) = self.pause() {
            tokio::time::sleep(pause).await;
        }
        Leave { _slot: slot }
    }

    /// Leaves the host alone for `pause`.
    pub(super) fn leave_alone(&self, pause: Duration) {
        let until = Instant::now().checked_add(pause);
        let mut alone = self.alone_until.lock().unwrap_or_else(PoisonError::into_inner);
        *alone = (*alone).max(until);
    }

    fn pause(&self) -> Option<Duration> {
        let until = *self.alone_until.lock().unwrap_or_else(PoisonError::into_inner);
        until?.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }
}
