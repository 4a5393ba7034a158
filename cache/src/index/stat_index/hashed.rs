//! Files that were hashed.

use std::path::Path;

use super::listing::KnownFile;
use crate::fs::stat::Stat;
use crate::{Digest, Result, tree};

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

/// Hashes a file. Whether it is settled has to be found out before.
pub(super) fn hash(path: &Path, name: &[u8], stat: Stat, is_settled: bool) -> Result<Hashed> {
    Ok(Hashed { name: name.into(), stat, digest: tree::hash_file(path, stat.size)?, is_settled })
}
