//! Suspects: the caller's list of results that may be wrong.

use std::fs;

use crate::{Cache, Result};

/// File that [`Cache::set_suspects`] writes.
const SUSPECTS: &str = "doubts";

impl Cache {
    /// List that was last saved by [`Cache::set_suspects`]; empty if there is none.
    pub fn suspects(&self) -> Vec<u8> {
        fs::read(self.root().join(SUSPECTS)).unwrap_or_default()
    }

    /// Saves the list of results that may be wrong, in the caller's format.
    pub fn set_suspects(&self, suspects: &[u8]) -> Result<()> {
        if self.is_read_only() {
            return Ok(());
        }
        let path = self.root().join(SUSPECTS);
        if suspects.is_empty() { self.disk.remove(&path) } else { self.disk.write_atomically(&path, suspects) }
    }
}
