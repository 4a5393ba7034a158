//! Where things lie in the cache's folder, by their digests: `area/a/<digest>`, in folders by the first digit.

use crate::Digest;

/// How a cache spreads things over folders.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// How many digits name a folder.
    digits: usize,
}

impl Layout {
    /// The text of the file `format` in new caches.
    pub const NEWEST: &str = "3\n";
    /// How the second line says that areas have 256 folders; without it they have 16.
    const MANY_FOLDERS: &str = "256 folders";

    /// That of caches whose file `format` has this text, and what the text is to be changed to; `None` for a format that is
    /// not known.
    ///
    /// Format 1 had 256 folders in each area. Each of them has to be made, and brought to disk with what is new in it, so that
    /// a few hundred small results cost more for folders than for all else; 16 hold a million things well. Since format 3
    /// records have sequence numbers, and lists of what runs are about are sealed: earlier programs, whose collections would
    /// not understand these lists, must not use the cache any more. All else stays as it is, so that caches of formats 1 and
    /// 2 become caches of format 3 where they lie.
    pub fn of_format(text: &str) -> Option<(Layout, Option<String>)> {
        let mut lines = text.lines().map(str::trim);
        let (format, folders) = (lines.next()?.parse::<u32>().ok()?, lines.next());
        let many = |upgraded| (Layout { digits: 2 }, upgraded);
        match (format, folders) {
            (1, None) => Some(many(Some(format!("3\n{}\n", Layout::MANY_FOLDERS)))),
            (3, Some(Layout::MANY_FOLDERS)) => Some(many(None)),
            (2, None) => Some((Layout { digits: 1 }, Some(Layout::NEWEST.to_owned()))),
            (3, None) => Some((Layout { digits: 1 }, None)),
            _ => None,
        }
    }

    /// A stored file.
    pub fn object(self, digest: &Digest, executable: bool) -> String {
        self.path_of("objects", digest, if executable { ".x" } else { "" })
    }

    /// A stored folder.
    pub fn tree(self, digest: &Digest) -> String {
        self.path_of("trees", digest, "")
    }

    /// The list of what is in a folder.
    pub fn manifest(self, digest: &Digest) -> String {
        self.path_of("manifests", digest, ".json")
    }

    /// The record of a result.
    pub fn action(self, fingerprint: &Digest) -> String {
        self.path_of("actions", fingerprint, ".json")
    }

    /// The results of items.
    pub fn items(self, scope: &Digest) -> String {
        self.path_of("items", scope, "")
    }

    /// The state of work that was cut off.
    pub fn resume_state(self, fingerprint: &Digest) -> String {
        self.path_of("unfinished", fingerprint, "")
    }

    fn path_of(self, area: &str, digest: &Digest, suffix: &str) -> String {
        let hex = digest.to_hex();
        [area, "/", &hex[..self.digits], "/", &hex, suffix].concat()
    }
}
