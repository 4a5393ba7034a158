//! Verification on use: reading stored content before it is used although nothing suggests that it changed, since disks
//! lose data silently.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::Digest;
use crate::store::integrity::Stored;

/// Sampling rate: one in this many stored files and folders.
const SAMPLED: u8 = 16;

/// Amount of stored content that is read before it is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rehash {
    /// Content whose `stat` differs from its integrity note.
    #[default]
    Suspicious,
    /// One in sixteen besides, different ones in each process.
    Sample,
    /// All of it, once in each process.
    All,
}

/// Setting of this process, and the content that it has read already.
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
    /// Sets how much is read.
    pub(crate) fn set(&self, rehash: Rehash) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.rehash = rehash;
        state.salt = std::process::id().to_le_bytes()[0];
    }

    /// Whether content is to be read before it is used and was not yet read by this process; it counts as read from now
    /// on.
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
