//! Digest hints: stored files that a stage has linked into its outputs, which need not be hashed again.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::{CacheError, Digest, Result};

/// List of stored files that a stage has linked into its outputs, which need not be hashed again.
///
/// It is only a hint: [`Cache::ingest_unsynced`](crate::Cache::ingest_unsynced) trusts an entry only if the file at its
/// path is the very stored file.
pub struct DigestHints {
    file: Mutex<BufWriter<File>>,
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Hint {
    #[serde(with = "crate::any_path")]
    path: PathBuf,
    digest: Digest,
}

impl DigestHints {
    /// Creates a list in the file `path`, or opens it for appending.
    pub fn create(path: &Path) -> Result<DigestHints> {
        let file = File::options().create(true).append(true).open(path).map_err(CacheError::io(path))?;
        Ok(DigestHints { file: Mutex::new(BufWriter::new(file)), path: path.to_owned() })
    }

    /// Reads the list in the file `list`: digests by path, relative to `base`. A missing list is empty.
    pub fn read(list: &Path, base: &Path) -> HashMap<PathBuf, Digest> {
        let lines = fs::read(list).unwrap_or_default();
        let hints = lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        hints.map(|Hint { path, digest }| (base.join(path), digest)).collect()
    }

    /// Notes that the file at `path` is the stored file with this digest.
    pub(crate) fn add(&self, path: &Path, digest: Digest) -> Result<()> {
        let hint = Hint { path: path.to_owned(), digest };
        let mut line = serde_json::to_vec(&hint).map_err(|error| CacheError::io(&self.path)(error.into()))?;
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&line).map_err(CacheError::io(&self.path))
    }
}
