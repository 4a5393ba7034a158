//! Where things lie in the cache's folder, by their digests: `area/a/<digest>`, in folders by the first digit.

use crate::Digest;

/// How a cache spreads things over folders.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// How many digits name a folder.
    digits: usize,
}

impl Layout {
    /// The newest format of caches, which new ones have.
    pub const NEWEST: u32 = 2;

    /// That of caches of this format; `None` for one that is not known.
    ///
    /// Format 1 had 256 folders in each area. Each of them has to be made, and brought to disk with what is new in it, so that
    /// a few hundred small results cost more for folders than for all else; 16 hold a million things well.
    pub fn of_format(format: u32) -> Option<Layout> {
        match format {
            1 => Some(Layout { digits: 2 }),
            2 => Some(Layout { digits: 1 }),
            _ => None,
        }
    }

    /// A stored file.
    pub fn object(self, digest: &Digest, executable: bool) -> String {
        self.place("objects", digest, if executable { ".x" } else { "" })
    }

    /// A stored folder.
    pub fn tree(self, digest: &Digest) -> String {
        self.place("trees", digest, "")
    }

    /// The list of what is in a folder.
    pub fn manifest(self, digest: &Digest) -> String {
        self.place("manifests", digest, ".json")
    }

    /// The record of a result.
    pub fn action(self, fingerprint: &Digest) -> String {
        self.place("actions", fingerprint, ".json")
    }

    /// The results of items.
    pub fn items(self, scope: &Digest) -> String {
        self.place("items", scope, "")
    }

    /// The state of work that was cut off.
    pub fn unfinished(self, fingerprint: &Digest) -> String {
        self.place("unfinished", fingerprint, "")
    }

    fn place(self, area: &str, digest: &Digest, suffix: &str) -> String {
        let hex = digest.to_hex();
        [area, "/", &hex[..self.digits], "/", &hex, suffix].concat()
    }
}
