//! Storages: bytes by key, in a folder, behind ssh, or in an object store.

#[cfg(feature = "cloud")]
mod cloud;
mod folder;
mod protocol;
pub(crate) mod server;
mod ssh;

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use athanor_cache::Digest;

use crate::address::Address;
use crate::error::{FailureKind, StorageError};
use crate::options::RemoteOptions;
use crate::transfer::Transfer;

/// Bytes of one request for a part of a large body.
pub(crate) const PART: u64 = 16 << 20;

/// Result of a storage's operation.
pub(crate) type Stored<T> = Result<T, StorageError>;

/// Treatment of a key that holds something already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Occupied {
    /// It stays.
    Keep,
    /// It is replaced.
    Replace,
}

/// Facts about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Stat {
    /// Size.
    pub(crate) bytes: u64,
    /// Time at which it was put there, in milliseconds since 1970 by the storage's own clock.
    pub(crate) put: i64,
}

/// Key of a listing, by its name in the area.
pub(crate) type Listed = (String, Stat);

/// Bytes by key. Every operation ends in bounded time while nothing moves.
pub(crate) trait Storage: Send + Sync {
    /// Reads what `key` holds, if it is no more than `limit` bytes; `None` if it holds nothing.
    fn get(&self, key: &str, limit: u64) -> Stored<Option<Vec<u8>>>;
    /// Reads a part of what `key` holds; `None` if it holds nothing.
    fn get_range(&self, key: &str, range: Range<u64>) -> Stored<Option<Vec<u8>>>;
    /// Facts about `key`; `None` if it holds nothing.
    fn stat(&self, key: &str) -> Stored<Option<Stat>>;
    /// Size of what `key` holds; `None` if it holds nothing.
    fn size(&self, key: &str) -> Stored<Option<u64>> {
        Ok(self.stat(key)?.map(|stat| stat.bytes))
    }
    /// All keys in `area`, in no order. For collections alone: it may take long.
    fn list(&self, area: &str) -> Stored<Vec<Listed>>;
    /// Removes what `key` holds, unless it was put there at another time than `put`. Returns whether nothing is left.
    fn remove(&self, key: &str, put: i64) -> Stored<bool>;
    /// Stores `content` under `key`, whole or not at all. Returns whether it did: with [`Occupied::Keep`] only if it held nothing.
    fn put(&self, key: &str, content: Vec<u8>, occupied: Occupied) -> Stored<bool>;
    /// Stores a file under `key`, whole or not at all, if it has this digest to its end.
    fn put_file(&self, key: &str, body: &mut Body<'_>) -> Stored<()>;
}

/// A large file on its way to a storage.
pub(crate) struct Body<'f> {
    file: &'f File,
    /// Its size.
    pub(crate) bytes: u64,
    digest: Digest,
    hasher: blake3::Hasher,
    at: u64,
    progress: &'f Transfer,
}

impl<'f> Body<'f> {
    pub(crate) fn new(file: &'f File, bytes: u64, digest: Digest, progress: &'f Transfer) -> Body<'f> {
        Body { file, bytes, digest, hasher: blake3::Hasher::new(), at: 0, progress }
    }

    /// The next part, of [`PART`] bytes but for the last one; `None` at the end. The last part is given out only if the whole
    /// has its digest, so that nothing else can be completed.
    pub(crate) fn next_part(&mut self) -> Stored<Option<Vec<u8>>> {
        if self.at == self.bytes {
            return Ok(None);
        }
        self.progress.check().map_err(|_| StorageError::new(FailureKind::Other, "was not asked further."))?;
        let mut part = vec![0; usize::try_from(PART.min(self.bytes - self.at)).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut part, self.at).map_err(|error| {
            let what = format!("was not given a file that cannot be read here: {error}. Run `athanor cache verify`.");
            StorageError::new(FailureKind::Other, what)
        })?;
        self.hasher.update_rayon(&part);
        self.at += part.len() as u64;
        if self.at == self.bytes && self.hasher.finalize().as_bytes() != self.digest.bytes() {
            let what = "was not given a file that is damaged here. Run `athanor cache verify`.";
            return Err(StorageError::new(FailureKind::Damaged, what));
        }
        Ok(Some(part))
    }

    /// Notes that a part arrived.
    pub(crate) fn sent(&self, bytes: u64) {
        self.progress.add(bytes);
    }
}

/// A body of another length than it should have.
pub(crate) fn wrong_length(key: &str) -> StorageError {
    StorageError::damaged(key, "holds a file of another length than it should have")
}

/// A body that is larger than anything that is expected there.
fn too_large(key: &str) -> StorageError {
    StorageError::damaged(key, "holds a file that is far too large")
}

/// Opens the storage at an address. Nothing is asked yet.
pub(crate) fn open(options: &RemoteOptions) -> Stored<Box<dyn Storage>> {
    match &options.address {
        Address::Folder(path) => Ok(Box::new(folder::Folder::new(path.clone()))),
        Address::Ssh { host, port, folder } => {
            Ok(Box::new(ssh::Ssh::new(host.clone(), *port, folder.clone(), options)))
        }
        #[cfg(feature = "cloud")]
        Address::Bucket { scheme, bucket, prefix } => {
            Ok(Box::new(cloud::Cloud::open(scheme, bucket, prefix, &options.variables)?))
        }
        #[cfg(not(feature = "cloud"))]
        Address::Bucket { scheme, .. } => {
            let what = format!(
                "cannot be used, since this program was built without `{scheme}://`: build it with its default features."
            );
            Err(StorageError::new(FailureKind::Other, what))
        }
    }
}
