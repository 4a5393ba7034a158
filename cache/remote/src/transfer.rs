//! Progress of a transfer, shared with whoever watches it, and the way to stop it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::RemoteError;

/// Progress of a transfer.
#[derive(Debug, Default)]
pub struct Transfer {
    total: AtomicU64,
    done: AtomicU64,
    stopped: AtomicBool,
}

impl Transfer {
    /// Bytes that are to be transferred, as far as known.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Bytes that were transferred.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Stops the transfer at the next opportunity; for good.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns an error if the transfer was stopped.
    pub(crate) fn check(&self) -> Result<(), RemoteError> {
        if self.stopped.load(Ordering::Relaxed) { Err(RemoteError::Stopped) } else { Ok(()) }
    }
}
