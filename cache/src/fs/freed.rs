//! Space that a removal frees.

use std::fs;
use std::iter::Sum;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Serialize;

/// Space that was freed, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Freed {
    /// Number of files and folders.
    pub items: usize,
    /// Their bytes, without those of files that have a further hard link elsewhere.
    pub bytes: u64,
}

impl Freed {
    /// Space that the removal of `path` frees.
    pub(crate) fn of(path: &Path) -> Freed {
        let there = fs::symlink_metadata(path).is_ok();
        Freed { items: usize::from(there), bytes: bytes_below(path) }
    }
}

impl Sum for Freed {
    fn sum<I: Iterator<Item = Freed>>(all: I) -> Freed {
        all.fold(Freed::default(), |sum, it| Freed { items: sum.items + it.items, bytes: sum.bytes + it.bytes })
    }
}

/// Bytes of files that have no further hard link, as far as they can be read.
fn bytes_below(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if metadata.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        return entries.map(|entry| bytes_below(&entry.path())).sum();
    }
    if metadata.is_file() && metadata.nlink() == 1 { metadata.len() } else { 0 }
}
