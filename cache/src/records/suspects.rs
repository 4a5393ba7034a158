//! A list of results that may be wrong, in the caller's own terms.

use std::fs;

use crate::{Cache, Result};

/// The file that [`Cache::keep_doubts`] writes.
const DOUBTS: &str = "doubts";

impl Cache {
    /// What was last kept with [`Cache::keep_doubts`]; nothing if that is not there.
    pub fn doubts(&self) -> Vec<u8> {
        fs::read(self.root().join(DOUBTS)).unwrap_or_default()
    }

    /// Keeps what the caller knows of results that may be wrong, in the caller's own terms, until it is replaced.
    pub fn keep_doubts(&self, doubts: &[u8]) -> Result<()> {
        if self.is_read_only() {
            return Ok(());
        }
        let path = self.root().join(DOUBTS);
        if doubts.is_empty() { self.disk.remove(&path) } else { self.disk.write_atomically(&path, doubts) }
    }
}
