//! Digests of files on disk, remembered by what `stat` says, as git's index does.
//!
//! An entry is believed while size, modification and change time, inode and device are as they were, and only if the file was
//! last touched clearly before it was hashed: a file touched in the same tick could change once more without its times
//! showing it (git calls such an entry racily clean).

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rayon::prelude::*;

use crate::disk::Disk;
use crate::tree::{self, Found};
use crate::{Artifact, CacheError, Digest, Result, Tree};

/// How long before its hashing a file must have rested to be believed: coarse clocks of network file systems included.
const MARGIN_NS: i128 = 2_000_000_000;
/// New entries beyond one in this many of the index are an occasion to clear it of files that are gone.
const GROWTH: usize = 8;
const MAGIC: &[u8; 16] = b"athanor stats 1\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    size: u64,
    modified_ns: i128,
    changed_ns: i128,
    inode: u64,
    device: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    stat: Stat,
    hashed_ns: i128,
    digest: Digest,
}

impl Entry {
    fn is_believed_for(&self, stat: &Stat) -> bool {
        self.stat == *stat && stat.modified_ns.max(stat.changed_ns) + MARGIN_NS < self.hashed_ns
    }
}

impl From<&Metadata> for Stat {
    fn from(metadata: &Metadata) -> Stat {
        let ns = |seconds: i64, nanoseconds: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        Stat {
            size: metadata.len(),
            modified_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            device: metadata.dev(),
        }
    }
}

type Entries = HashMap<PathBuf, Entry>;

/// The remembered digests of one cache.
pub struct StatIndex {
    disk: Disk,
    known: OnceLock<Entries>,
    learned: Mutex<Entries>,
}

impl StatIndex {
    /// The index kept in the cache on `disk`; read when it is first needed.
    pub fn new(disk: Disk) -> StatIndex {
        StatIndex { disk, known: OnceLock::new(), learned: Mutex::default() }
    }

    /// See [`crate::Cache::artifact_of`].
    pub fn artifact_of(&self, path: &Path) -> Result<(Artifact, Option<Tree>)> {
        let path = std::path::absolute(path).map_err(CacheError::io(path))?;
        let metadata = tree::metadata(&path)?;
        if metadata.is_file() {
            let digest = self.digest_of(&path, &metadata)?;
            return Ok((tree::file_artifact(&metadata, digest), None));
        }
        let found = tree::walk(&path)?;
        let entry = |found: &Found| tree::entry_of(found, |found| self.digest_of(&found.path, &found.metadata));
        let tree = Tree::new(found.par_iter().map(entry).collect::<Result<_>>()?);
        Ok((tree.artifact(), Some(tree)))
    }

    fn digest_of(&self, path: &Path, metadata: &Metadata) -> Result<Digest> {
        let stat = Stat::from(metadata);
        let learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner).get(path).copied();
        let entry = learned.or_else(|| self.known().get(path).copied());
        if let Some(entry) = entry.filter(|entry| entry.is_believed_for(&stat)) {
            return Ok(entry.digest);
        }
        let hashed_ns = now_ns();
        let digest = tree::hash_file(path, stat.size)?;
        let entry = Entry { stat, hashed_ns, digest };
        self.learned.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), entry);
        Ok(digest)
    }

    fn known(&self) -> &Entries {
        self.known.get_or_init(|| load(self.disk.root()))
    }

    /// See [`crate::Cache::flush_stat_index`]. What other processes have learned meanwhile is kept.
    pub fn flush(&self) -> Result<()> {
        let learned = std::mem::take(&mut *self.learned.lock().unwrap_or_else(PoisonError::into_inner));
        if learned.is_empty() {
            return Ok(());
        }
        let lock_path = self.disk.root().join("stat-index.lock");
        let lock = File::create(&lock_path).map_err(CacheError::io(&lock_path))?;
        lock.lock().map_err(CacheError::io(&lock_path))?;
        let mut entries = load(self.disk.root());
        // Looking for entries of files that are gone costs a call each, so that is done when the index grows much.
        if learned.len() * GROWTH >= entries.len() {
            entries.retain(|path, _| learned.contains_key(path) || fs::symlink_metadata(path).is_ok());
        }
        entries.extend(learned);
        self.disk.write_atomically(&self.disk.root().join("stat-index"), &encode(&entries))
    }
}

fn now_ns() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or(i128::MAX)
}

/// What the file holds; nothing when it is absent or damaged, since everything in it can be found out again.
fn load(root: &Path) -> Entries {
    fs::read(root.join("stat-index")).ok().and_then(|bytes| decode(&bytes)).unwrap_or_default()
}

/// Magic, digest of the rest, then for each entry the length of its path, the path, and fixed-size little-endian fields.
fn encode(entries: &Entries) -> Vec<u8> {
    let mut body = Vec::with_capacity(entries.len() * 192);
    for (path, entry) in entries {
        let path = path.as_os_str().as_bytes();
        body.extend((path.len() as u64).to_le_bytes());
        body.extend(path);
        body.extend(entry.stat.size.to_le_bytes());
        body.extend(entry.stat.modified_ns.to_le_bytes());
        body.extend(entry.stat.changed_ns.to_le_bytes());
        body.extend(entry.stat.inode.to_le_bytes());
        body.extend(entry.stat.device.to_le_bytes());
        body.extend(entry.hashed_ns.to_le_bytes());
        body.extend(entry.digest.bytes());
    }
    [MAGIC.as_slice(), Digest::of(&body).bytes().as_slice(), &body].concat()
}

fn decode(bytes: &[u8]) -> Option<Entries> {
    let rest = bytes.strip_prefix(MAGIC.as_slice())?;
    let (digest, mut body) = rest.split_first_chunk::<32>()?;
    if Digest::of(body) != Digest::from_bytes(*digest) {
        return None;
    }
    let mut entries = Entries::new();
    while !body.is_empty() {
        let length = usize::try_from(u64::from_le_bytes(take(&mut body)?)).ok()?;
        let path = body.split_off(..length)?;
        let path = PathBuf::from(std::ffi::OsString::from_vec(path.to_vec()));
        let stat = Stat {
            size: u64::from_le_bytes(take(&mut body)?),
            modified_ns: i128::from_le_bytes(take(&mut body)?),
            changed_ns: i128::from_le_bytes(take(&mut body)?),
            inode: u64::from_le_bytes(take(&mut body)?),
            device: u64::from_le_bytes(take(&mut body)?),
        };
        let hashed_ns = i128::from_le_bytes(take(&mut body)?);
        entries.insert(path, Entry { stat, hashed_ns, digest: Digest::from_bytes(take(&mut body)?) });
    }
    Some(entries)
}

fn take<const N: usize>(body: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = body.split_first_chunk::<N>()?;
    *body = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aged(path: &Path) {
        let past = SystemTime::now() - std::time::Duration::from_secs(100);
        File::options().write(true).open(path).unwrap().set_modified(past).unwrap();
    }

    #[test]
    fn a_rewrite_of_the_same_size_in_the_same_tick_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let index = StatIndex::new(Disk::new(folder.path(), None));
        for content in [b"one", b"two", b"six"] {
            fs::write(&path, content).unwrap();
            assert_eq!(index.artifact_of(&path).unwrap().0.digest, Digest::of(content));
        }
    }

    #[test]
    fn a_rewrite_that_sets_the_old_time_back_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "one").unwrap();
        aged(&path);
        let index = StatIndex::new(Disk::new(folder.path(), None));
        index.artifact_of(&path).unwrap();
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, "two").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
        assert_eq!(index.artifact_of(&path).unwrap().0.digest, Digest::of(b"two"));
    }

    #[test]
    fn entries_read_back_and_a_damaged_file_is_as_good_as_none() {
        let stat = Stat { size: 3, modified_ns: 7, changed_ns: 8, inode: 9, device: 10 };
        let entry = Entry { stat, hashed_ns: 5_000_000_000, digest: Digest::of(b"x") };
        let entries = Entries::from([(PathBuf::from("a b"), entry)]);
        let bytes = encode(&entries);
        assert_eq!(decode(&bytes), Some(entries));
        assert!(entry.is_believed_for(&stat));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(decode(&damaged), None, "byte {at}");
            assert_eq!(decode(&bytes[..at]), None);
        }
    }
}
