//! Quarantine of damaged content.

use std::fs;
use std::path::Path;

use crate::fs::names::digest_in_name;
use crate::{Cache, CacheError, Result};

impl Cache {
    /// Moves something damaged to `quarantine`, for the user to look at; a power cut does not bring it back. In a
    /// read-only cache it stays, and is skipped each time.
    pub(crate) fn quarantine(&self, path: &Path) -> Result<()> {
        if self.is_read_only() {
            return Ok(());
        }
        // A stage that reads it at this moment learns of it once it is done, whatever has taken its place by then.
        digest_in_name(path).map_or(Ok(()), |digest| self.note_incident(&[digest]))?;
        self.add_tombstone(path)?;
        let name = path.strip_prefix(self.root()).unwrap_or(path).to_string_lossy().replace('/', "_");
        let folder = self.root().join("quarantine");
        let mut free = (0..).map(|number| folder.join(format!("{name}.{number}")));
        let target = free.find(|path| fs::symlink_metadata(path).is_err());
        let target = target.expect("numbers do not end before free names do");
        match self.disk.rename_unlocked(path, &target) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(CacheError::io(path)),
        }?;
        self.disk.sync_parent(path)
    }
}
