//! Incidents: a list of stored content that was found changed, for stages that may have read it meanwhile, in any
//! process.
//!
//! `incidents` is append-only; a line holds the digests of files and folders that were repaired or quarantined
//! together. A reader notes the length of the list before it starts, and looks at the lines that were added once it is
//! done.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use crate::{Cache, CacheError, Digest, Result};

const NAME: &str = "incidents";

impl Cache {
    fn incidents_path(&self) -> PathBuf {
        self.root().join(NAME)
    }

    /// Current length of the list, for [`Cache::incidents_since`].
    pub fn incident_mark(&self) -> u64 {
        std::fs::metadata(self.incidents_path()).map_or(0, |list| list.len())
    }

    /// Digests of stored files and folders that were found changed since [`Cache::incident_mark`] returned `mark`.
    pub fn incidents_since(&self, mark: u64) -> Result<Vec<Digest>> {
        let path = self.incidents_path();
        if self.incident_mark() == mark {
            return Ok(Vec::new());
        }
        let mut text = String::new();
        let mut file = File::open(&path).map_err(CacheError::io(&path))?;
        file.seek(SeekFrom::Start(mark)).map_err(CacheError::io(&path))?;
        file.read_to_string(&mut text).map_err(CacheError::io(&path))?;
        Ok(text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect())
    }

    /// Empties the list. To be called under exclusive use: nobody reads anything then.
    pub(crate) fn sweep_incidents(&self) -> Result<()> {
        self.disk.remove(&self.incidents_path())
    }

    pub(crate) fn note_incident(&self, digests: &[Digest]) -> Result<()> {
        let path = self.incidents_path();
        let line: Vec<String> = digests.iter().map(Digest::to_string).collect();
        let file = self.disk.open_to_append(&path).map_err(CacheError::io(&path))?;
        self.disk.append(&file, &path, (line.join(" ") + "\n").as_bytes()).map_err(CacheError::io(&path))
    }
}
