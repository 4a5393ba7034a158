//! Mutual exclusion of this process's threads in the store.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Digest;

/// Number of locks that stored files share when they are linked to.
const STRIPES: usize = 64;

/// Locks for work that one thread at a time may do in one open cache. Other processes, and other open caches of this
/// one, are not excluded: they see only the results of atomic renames and links.
pub(crate) struct Serial {
    quarantine: Mutex<()>,
    repair: Mutex<()>,
    links: [Mutex<()>; STRIPES],
    /// Stored files that had to be copied, since they can have no further hard link.
    full: Mutex<HashSet<Digest>>,
}

impl Default for Serial {
    fn default() -> Serial {
        let links = [const { Mutex::new(()) }; STRIPES];
        Serial { quarantine: Mutex::default(), repair: Mutex::default(), links, full: Mutex::default() }
    }
}

impl Serial {
    /// Waits for the right to move a damaged stored file to quarantine.
    pub(crate) fn quarantine(&self) -> MutexGuard<'_, ()> {
        self.quarantine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the right to repair stored content.
    pub(crate) fn repair(&self) -> MutexGuard<'_, ()> {
        self.repair.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the right to link to a stored file.
    pub(crate) fn link(&self, digest: &Digest) -> MutexGuard<'_, ()> {
        self.links[usize::from(digest.bytes()[31]) % STRIPES].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a stored file can have no further hard link.
    pub(crate) fn note_full(&self, digest: Digest) {
        self.full.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
    }

    /// Whether a stored file is known to have as many hard links as it can have.
    pub(crate) fn is_full(&self, digest: &Digest) -> bool {
        self.full.lock().unwrap_or_else(PoisonError::into_inner).contains(digest)
    }
}
