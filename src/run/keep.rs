//! What is kept between runs to be quick, and may be lost at any time: sealed files that count as absent unless they are
//! exactly what was written for the same key.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use athanor_cache::Digest;

const MAGIC: &[u8; 16] = b"athanor keep 01\n";

/// A folder of kept files.
#[derive(Debug, Clone)]
pub struct Keep {
    folder: PathBuf,
}

impl Keep {
    /// Files in `folder`, which need not exist.
    pub fn new(folder: &Path) -> Keep {
        Keep { folder: folder.to_owned() }
    }

    /// What was kept as `name` for `key`.
    pub fn read(&self, name: &str, key: &Digest) -> Option<Vec<u8>> {
        let mut bytes = fs::read(self.folder.join(name)).ok()?;
        let seal: [u8; 64] = *bytes.strip_prefix(MAGIC)?.first_chunk()?;
        let body = bytes.split_off(MAGIC.len() + seal.len());
        (seal == seal_of(key, &body)).then_some(body)
    }

    /// Removes what was kept as `name`, for whatever key.
    pub fn forget(&self, name: &str) {
        // What is not there or cannot be removed is never believed for another key.
        let _ = fs::remove_file(self.folder.join(name));
    }

    /// Keeps `body` as `name` for `key`, if that is possible: nothing depends on it.
    pub fn write(&self, name: &str, key: &Digest, body: &[u8]) {
        let temporary = self.folder.join(format!("{name}.{}", std::process::id()));
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(&self.folder)?;
            let mut file = File::create(&temporary)?;
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

/// The key, and a digest of key and body.
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
    fn only_what_was_written_for_the_same_key_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let keep = Keep::new(folder.path());
        let key = Digest::of(b"key");
        assert_eq!(keep.read("it", &key), None);
        keep.write("it", &key, b"body");
        assert_eq!(keep.read("it", &key).as_deref(), Some(b"body".as_slice()));
        assert_eq!(keep.read("it", &Digest::of(b"other")), None);
        let path = folder.path().join("it");
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert_eq!(keep.read("it", &key), None, "byte {at}");
            fs::write(&path, &bytes[..at]).unwrap();
            assert_eq!(keep.read("it", &key), None, "cut at {at}");
        }
    }
}
