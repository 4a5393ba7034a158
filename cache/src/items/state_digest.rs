//! Digests of folders of state. A program keeps in one whatever it likes (sockets, links to nothing, names that are not UTF-8), all of
//! which counts, and no link is followed: one may lead to all of its data.

use std::fs::{self, DirEntry, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use blake3::Hasher;

use crate::Digest;

/// Digest of the names, sizes, inodes and times of everything in `folder`, which differs once somebody touches any of it.
///
/// # Errors
/// A folder that cannot be listed.
pub fn state_stamp(folder: &Path) -> io::Result<Digest> {
    digest(folder, &|hasher, _, metadata| {
        for number in [metadata.size(), metadata.ino(), metadata.dev()] {
            hasher.update(&number.to_le_bytes());
        }
        for number in [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()] {
            hasher.update(&number.to_le_bytes());
        }
        Ok(())
    })
}

/// Digest of the names and contents of everything in `folder`.
///
/// # Errors
/// A file or folder that cannot be read.
pub fn state_digest(folder: &Path) -> io::Result<Digest> {
    digest(folder, &|hasher, path, metadata| {
        if metadata.is_file() {
            let mut content = Hasher::new();
            content.update_reader(File::open(path)?)?;
            hasher.update(content.finalize().as_bytes());
        } else if metadata.is_symlink() {
            add_bytes(hasher, fs::read_link(path)?.as_os_str().as_bytes());
        }
        Ok(())
    })
}

/// Bits of a mode that say what kind of file it is (`S_IFMT`).
const KIND: u32 = 0o170_000;

/// Adds what counts of a file.
type Add = dyn Fn(&mut Hasher, &Path, &Metadata) -> io::Result<()>;

fn digest(folder: &Path, add: &Add) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    add_folder(&mut hasher, folder, add)?;
    Ok(Digest::of(hasher.finalize().as_bytes()))
}

fn add_folder(hasher: &mut Hasher, folder: &Path, add: &Add) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<DirEntry>>>()?;
    entries.sort_by_key(DirEntry::file_name);
    hasher.update(&(entries.len() as u64).to_le_bytes());
    for entry in entries {
        let (path, metadata) = (entry.path(), entry.metadata()?);
        add_bytes(hasher, entry.file_name().as_bytes());
        hasher.update(&(metadata.mode() & KIND).to_le_bytes());
        add(hasher, &path, &metadata)?;
        if metadata.is_dir() {
            add_folder(hasher, &path, add)?;
        }
    }
    Ok(())
}

fn add_bytes(hasher: &mut Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn everything_counts_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut digests = vec![state_digest(folder.path()).unwrap()];
        let mut changed = || {
            let digest = state_digest(folder.path()).unwrap();
            assert!(!digests.contains(&digest));
            digests.push(digest);
        };
        fs::write(at("step"), "1").unwrap();
        changed();
        fs::write(at("step"), "2").unwrap();
        changed();
        symlink("nowhere", at("latest")).unwrap();
        changed();
        symlink(".", at("around")).unwrap();
        changed();
        fs::create_dir(at("empty")).unwrap();
        changed();
        fs::write(folder.path().join(OsStr::from_bytes(b"\xff")), "").unwrap();
        changed();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        changed();
        let stamp = state_stamp(folder.path()).unwrap();
        assert_eq!(state_stamp(folder.path()).unwrap(), stamp);
        fs::write(at("step"), "2").unwrap();
        changed_stamp_only(folder.path(), stamp, *digests.last().unwrap());
    }

    fn changed_stamp_only(folder: &Path, stamp: Digest, digest: Digest) {
        assert_ne!(state_stamp(folder).unwrap(), stamp);
        assert_eq!(state_digest(folder).unwrap(), digest);
    }
}
