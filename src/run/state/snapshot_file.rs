//! Snapshot files, which make the next run faster and may be lost at any time: sealed, and absent unless they are exactly what
//! was written for the same key, by the same user.
//!
//! A seal proves that a file is whole, not who wrote it: in a cache that a team shares, a plan says which commands run. So a
//! file counts only if it is the user's own and nobody else may write to it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use athanor_cache::Digest;

const MAGIC: &[u8; 16] = b"athanor keep 01\n";

/// Folder of snapshot files.
#[derive(Debug, Clone)]
pub struct SnapshotFiles {
    folder: PathBuf,
}

impl SnapshotFiles {
    /// Snapshot files in `folder`, which need not exist.
    pub fn new(folder: &Path) -> SnapshotFiles {
        SnapshotFiles { folder: folder.to_owned() }
    }

    /// Body of the file `name`, if it was written for `key`.
    pub fn read(&self, name: &str, key: &Digest) -> Option<Vec<u8>> {
        let mut bytes = read_own(&self.folder.join(name))?;
        let seal: [u8; 64] = *bytes.strip_prefix(MAGIC)?.first_chunk()?;
        bytes.drain(..MAGIC.len() + seal.len());
        (seal == seal_of(key, &bytes)).then_some(bytes)
    }

    /// Removes the file `name`, for whatever key.
    pub fn remove(&self, name: &str) {
        // A file that stays is not read for another key.
        let _ = fs::remove_file(self.folder.join(name));
    }

    /// Writes `body` as `name` for `key`, if that is possible: nothing depends on it.
    pub fn write(&self, name: &str, key: &Digest, body: &[u8]) {
        let temporary = self.folder.join(format!("{name}.{}", std::process::id()));
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(&self.folder)?;
            // It may be left by a killed process of the same number, or planted: the new file must be our own.
            let _ = fs::remove_file(&temporary);
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(MAGIC)?;
            file.write_all(&seal_of(key, body))?;
            file.write_all(body)?;
            fs::rename(&temporary, self.folder.join(name))
        };
        if write().is_err() {
            let _ = fs::remove_file(&temporary);
        }
    }
}

/// Content of a regular file of this user, to which nobody else may write.
fn read_own(path: &Path) -> Option<Vec<u8>> {
    // Opening a pipe in its place must not block.
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let mut file = File::options().read(true).custom_flags(flags).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    let is_own = metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0;
    if !metadata.is_file() || !is_own {
        return None;
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    file.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Seal: the key, and a digest of key and body.
fn seal_of(key: &Digest, body: &[u8]) -> [u8; 64] {
    let digest = Digest::keyed(key, body);
    let mut seal = [0; 64];
    seal[..32].copy_from_slice(key.bytes());
    seal[32..].copy_from_slice(digest.bytes());
    seal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_somebody_else_may_have_written_is_not_believed() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let snapshots = SnapshotFiles::new(folder.path());
        let key = Digest::of(b"key");
        let path = folder.path().join("it");
        let set_mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        snapshots.write("it", &key, b"body");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        for mode in [0o620, 0o602, 0o666] {
            set_mode(mode);
            assert_eq!(snapshots.read("it", &key), None, "mode {mode:o}");
        }
        set_mode(0o644);
        assert!(snapshots.read("it", &key).is_some());
        fs::rename(&path, folder.path().join("other")).unwrap();
        std::os::unix::fs::symlink("other", &path).unwrap();
        assert_eq!(snapshots.read("it", &key), None, "a link");
        snapshots.write("it", &key, b"new");
        assert_eq!(snapshots.read("it", &key).as_deref(), Some(b"new".as_slice()));
        assert_eq!(
            snapshots.read("other", &key).as_deref(),
            Some(b"body".as_slice()),
            "nothing was written through the link"
        );
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
            assert_eq!(snapshots.read("it", &key), None, "another user's");
        } else {
            println!("skipped: only root can give a file away");
        }
    }

    #[test]
    fn only_what_was_written_for_the_same_key_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = SnapshotFiles::new(folder.path());
        let key = Digest::of(b"key");
        assert_eq!(snapshots.read("it", &key), None);
        snapshots.write("it", &key, b"body");
        assert_eq!(snapshots.read("it", &key).as_deref(), Some(b"body".as_slice()));
        assert_eq!(snapshots.read("it", &Digest::of(b"other")), None);
        let path = folder.path().join("it");
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert_eq!(snapshots.read("it", &key), None, "byte {at}");
            fs::write(&path, &bytes[..at]).unwrap();
            assert_eq!(snapshots.read("it", &key), None, "cut at {at}");
        }
    }
}
