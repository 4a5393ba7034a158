//! Layout of a cache's folder: `area/a/<digest>`, sharded by the first digit of the digest (by the first two in caches
//! that began with format 1).

use crate::Digest;

/// Sharding of a cache's areas.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Number of digits in the name of a shard.
    digits: usize,
}

impl Layout {
    /// The text of the file `format` in new caches.
    pub(crate) const NEWEST: &str = "3\n";
    /// Second line of the file `format` where areas have 256 shards; without it they have 16.
    const MANY_FOLDERS: &str = "256 folders";

    /// Layout of a cache whose file `format` has this text, and the text to upgrade it to; `None` for an unknown
    /// format.
    ///
    /// Format 1 had 256 shards in each area. Each of them has to be created and synced to disk, so that a few hundred
    /// small results spend more time on folders than on all else; 16 shards serve a million entries well. Since format
    /// 3 records have sequence numbers, and the lists of what pipelines use are sealed: earlier programs, whose
    /// collections would not understand these lists, must not use the cache any more. All else is unchanged, so that
    /// caches of formats 1 and 2 are upgraded in place.
    pub(crate) fn of_format(text: &str) -> Option<(Layout, Option<String>)> {
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

    /// Path of a stored file.
    pub(crate) fn object(self, digest: &Digest, executable: bool) -> String {
        self.path_of("objects", digest, if executable { ".x" } else { "" })
    }

    /// Path of a stored folder.
    pub(crate) fn tree(self, digest: &Digest) -> String {
        self.path_of("trees", digest, "")
    }

    /// Path of a folder's manifest.
    pub(crate) fn manifest(self, digest: &Digest) -> String {
        self.path_of("manifests", digest, ".json")
    }

    /// Path of the record of a result.
    pub(crate) fn action(self, fingerprint: &Digest) -> String {
        self.path_of("actions", fingerprint, ".json")
    }

    /// Paths of the folders that hold all records.
    pub(crate) fn action_folders(self) -> impl Iterator<Item = String> {
        (0..1 << (4 * self.digits)).map(move |shard: u32| format!("actions/{shard:0width$x}", width = self.digits))
    }

    /// Path of the items of a scope.
    pub(crate) fn items(self, scope: &Digest) -> String {
        self.path_of("items", scope, "")
    }

    /// Path of the resume state of interrupted work.
    pub(crate) fn resume_state(self, fingerprint: &Digest) -> String {
        self.path_of("unfinished", fingerprint, "")
    }

    fn path_of(self, area: &str, digest: &Digest, suffix: &str) -> String {
        let hex = digest.to_hex();
        let hex = &*hex;
        [area, "/", &hex[..self.digits], "/", hex, suffix].concat()
    }
}
