//! Reading stored content before it is used, although nothing suggests that it changed: disks forget, too.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::Digest;
use crate::store::integrity::Stored;

/// One in this many stored files and folders is read where a sample is.
const SAMPLED: u8 = 16;

/// How much of the stored content is read before it is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rehash {
    /// Content that does not look as it did when it was last known to be right.
    #[default]
    Suspicious,
    /// One in sixteen besides, other ones in each process.
    Sample,
    /// All of it, once in each process.
    All,
}

/// What this process reads before it is used, and has read.
#[derive(Debug, Default)]
pub(crate) struct VerifyOnUse {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rehash: Rehash,
    salt: u8,
    read: HashSet<Stored>,
}

impl VerifyOnUse {
    /// Says how much is to be read.
    pub(crate) fn set(&self, rehash: Rehash) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.rehash = rehash;
        state.salt = std::process::id().to_le_bytes()[0];
    }

    /// Whether content is to be read before it is used and was not read by this process yet; from now on it counts as read.
    pub(crate) fn take_due(&self, stored: Stored, digest: &Digest) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = match state.rehash {
            Rehash::Suspicious => return false,
            Rehash::Sample => digest.bytes()[1].wrapping_add(state.salt).is_multiple_of(SAMPLED),
            Rehash::All => true,
        };
        is_due && state.read.insert(stored)
    }
}
