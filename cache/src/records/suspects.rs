//! A list of results that may be wrong, in the caller's own terms.

use std::fs;

use crate::{Cache, Result};

/// The file that [`Cache::set_suspects`] writes.
const SUSPECTS: &str = "doubts";

impl Cache {
    /// What was last kept with [`Cache::set_suspects`]; nothing if that is not there.
    pub fn suspects(&self) -> Vec<u8> {
        fs::read(self.root().join(SUSPECTS)).unwrap_or_default()
    }

    /// Keeps what the caller knows of results that may be wrong, in the caller's own terms, until it is replaced.
    pub fn set_suspects(&self, suspects: &[u8]) -> Result<()> {
        if self.is_read_only() {
            return Ok(());
        }
        let path = self.root().join(SUSPECTS);
        if suspects.is_empty() { self.disk.remove(&path) } else { self.disk.write_atomically(&path, suspects) }
    }
}
