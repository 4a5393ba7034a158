//! Files that were hashed.

use std::fs::File;
use std::path::Path;

use super::listing::KnownFile;
use crate::fs::stat::Stat;
use crate::fs::writers::is_open_for_writing;
use crate::{CacheError, Digest, Result, tree};

/// A file that was hashed.
#[derive(Debug)]
pub(super) struct Hashed {
    pub name: Box<[u8]>,
    pub stat: Stat,
    pub digest: Digest,
    /// Whether it was settled before it was read, so that a change since would show.
    pub is_settled: bool,
}

impl Hashed {
    pub(super) fn file(&self) -> KnownFile<'_> {
        KnownFile { name: &self.name, stat: self.stat, digest: self.digest }
    }
}

/// Hashes a file. Whether its time is settled has to be found out before. A file that somebody may write to is not: while it is
/// mapped, a store into a page that waits to be written moves no time.
pub(super) fn hash(path: &Path, name: &[u8], stat: Stat, is_settled: bool) -> Result<Hashed> {
    let file = File::open(path).map_err(CacheError::io(path))?;
    let is_settled = is_settled && !is_open_for_writing(&file);
    Ok(Hashed { name: name.into(), stat, digest: tree::hash_open(file, path, stat.size)?, is_settled })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_somebody_may_write_to_is_not_settled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "x").unwrap();
        let is_settled = || hash(&path, b"x", Stat::of(&path).unwrap(), true).unwrap().is_settled;
        let writer = File::options().append(true).open(&path).unwrap();
        assert!(!is_settled(), "or this file system has no leases");
        drop(writer);
        assert!(is_settled());
    }
}
