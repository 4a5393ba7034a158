//! A folder as a storage: one that machines share, or that ssh leads to.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use tempfile::NamedTempFile;

use super::{Body, Listed, Occupied, Stat, Storage, Stored, too_large};
use crate::error::{FailureKind, StorageError};

/// Folder of files that are being written.
const UNFINISHED: &str = "tmp";
/// Prefix of their names.
const PREFIX: &str = "athanor-";
/// Prefix of names that are no keys.
const HIDDEN: char = '.';

/// A folder.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(crate) fn new(root: PathBuf) -> Folder {
        Folder { root }
    }

    /// The folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Path of a key, which may come from elsewhere.
    fn path(&self, key: &str) -> Stored<PathBuf> {
        let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        if key.is_empty() || key.contains('\0') || !Path::new(key).components().all(is_plain) {
            return Err(StorageError::new(
                FailureKind::Other,
                format!("has no place for the key `{}`.", key.escape_debug()),
            ));
        }
        Ok(self.root.join(key))
    }

    /// Outcome of looking for a file. That there is none is a miss only where the folder itself is there: it may not be mounted.
    fn found<T>(&self, path: &Path, outcome: io::Result<T>) -> Stored<Option<T>> {
        let error = match outcome {
            Ok(found) => return Ok(Some(found)),
            Err(error) => error,
        };
        if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) {
            return Err(StorageError::io_at(path, &error));
        }
        match fs::metadata(&self.root) {
            Ok(root) if root.is_dir() && error.kind() == ErrorKind::NotFound => Ok(None),
            Ok(root) if root.is_dir() => Err(StorageError::io_at(path, &error)),
            Ok(_) => Err(StorageError::new(FailureKind::Other, "is a file. Name a folder.")),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let what = "is not there. Is it mounted? If it is to be a new one, make the folder.";
                Err(StorageError::new(FailureKind::Unreachable, what))
            }
            Err(error) if error.kind() == ErrorKind::NotADirectory => {
                Err(StorageError::new(FailureKind::Other, "is a file. Name a folder."))
            }
            Err(error) => Err(StorageError::io_at(&self.root, &error)),
        }
    }

    fn open(&self, key: &str) -> Stored<Option<File>> {
        let path = self.path(key)?;
        let opened = File::open(&path).and_then(|file| match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::other("it is not a file")),
        });
        self.found(&path, opened)
    }

    /// A file to write, which others will be allowed to read.
    fn begin(&self) -> Stored<NamedTempFile> {
        let folder = self.root.join(UNFINISHED);
        // Not with the folders above: where the root is not mounted, its disk is not to be filled.
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(self.refused(&folder, &error)),
            _ => {}
        }
        let permissions = fs::Permissions::from_mode(0o666);
        let begun = tempfile::Builder::new().prefix(PREFIX).permissions(permissions).tempfile_in(&folder);
        begun.map_err(|error| self.refused(&folder, &error))
    }

    /// Puts a file in its place. It is on disk before it has its name.
    fn finish(&self, file: NamedTempFile, path: &Path, occupied: Occupied) -> io::Result<bool> {
        file.as_file().sync_all()?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        match occupied {
            Occupied::Replace => file.persist(path).map(|_| true).map_err(|error| error.error),
            Occupied::Keep => match file.persist_noclobber(path) {
                Ok(_) => Ok(true),
                Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error.error),
            },
        }
    }

    /// Failure to write: where the folder itself is missing, that is what is said.
    fn refused(&self, path: &Path, error: &io::Error) -> StorageError {
        let is_missing = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
        let missing = is_missing.then(|| self.found::<()>(path, Err(ErrorKind::NotFound.into())));
        missing.and_then(Result::err).unwrap_or_else(|| StorageError::io_at(path, error))
    }
}

impl Storage for Folder {
    fn get(&self, key: &str, limit: u64) -> Stored<Option<Vec<u8>>> {
        let Some(file) = self.open(key)? else { return Ok(None) };
        let mut content = Vec::new();
        let read = file.take(limit + 1).read_to_end(&mut content);
        read.map_err(|error| StorageError::io_at(&self.root.join(key), &error))?;
        if content.len() as u64 > limit { Err(too_large(key)) } else { Ok(Some(content)) }
    }

    fn get_range(&self, key: &str, range: Range<u64>) -> Stored<Option<Vec<u8>>> {
        let Some(file) = self.open(key)? else { return Ok(None) };
        let metadata = file.metadata().map_err(|error| StorageError::io_at(&self.root.join(key), &error))?;
        // A range that was named elsewhere may be absurd, and is not allocated before.
        if range.end > metadata.len() {
            return Err(super::wrong_length(key));
        }
        let mut content = vec![0; usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX)];
        match file.read_exact_at(&mut content, range.start) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(super::wrong_length(key)),
            Err(error) => Err(StorageError::io_at(&self.root.join(key), &error)),
            Ok(()) => Ok(Some(content)),
        }
    }

    fn stat(&self, key: &str) -> Stored<Option<Stat>> {
        let path = self.path(key)?;
        Ok(self.found(&path, fs::symlink_metadata(&path))?.map(|metadata| stat(&metadata)))
    }

    fn list(&self, area: &str) -> Stored<Vec<Listed>> {
        let path = self.path(area)?;
        // A client of a network file system that changed a folder itself reads it anew. A folder that cannot be changed can be read.
        let _ = tempfile::Builder::new().prefix(&HIDDEN.to_string()).tempfile_in(&path);
        let mut listed = Vec::new();
        for entry in self.found(&path, fs::read_dir(&path))?.into_iter().flatten() {
            let entry = entry.map_err(|error| StorageError::io_at(&path, &error))?;
            let metadata = match entry.metadata() {
                Ok(metadata) if metadata.is_file() => metadata,
                Ok(_) => continue,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(StorageError::io_at(&entry.path(), &error)),
            };
            let name = entry.file_name().into_string().ok().filter(|name| !name.starts_with(HIDDEN));
            listed.extend(name.map(|name| (name, stat(&metadata))));
        }
        Ok(listed)
    }

    fn remove(&self, key: &str, put: i64) -> Stored<bool> {
        match self.stat(key)? {
            None => return Ok(true),
            Some(stat) if stat.put != put => return Ok(false),
            Some(_) => {}
        }
        let path = self.path(key)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(StorageError::io_at(&path, &error)),
            _ => Ok(true),
        }
    }

    fn put(&self, key: &str, content: Vec<u8>, occupied: Occupied) -> Stored<bool> {
        let path = self.path(key)?;
        let mut file = self.begin()?;
        let written = file.write_all(&content).and_then(|()| self.finish(file, &path, occupied));
        written.map_err(|error| self.refused(&path, &error))
    }

    fn put_file(&self, key: &str, body: &mut Body<'_>) -> Stored<()> {
        let path = self.path(key)?;
        let mut file = self.begin()?;
        while let Some(part) = body.next_part()? {
            file.write_all(&part).map_err(|error| StorageError::io_at(&path, &error))?;
            body.sent(part.len() as u64);
        }
        self.finish(file, &path, Occupied::Replace).map(|_| ()).map_err(|error| self.refused(&path, &error))
    }
}

fn stat(metadata: &fs::Metadata) -> Stat {
    Stat { bytes: metadata.len(), put: metadata.mtime() * 1000 + metadata.mtime_nsec() / 1_000_000 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_is_no_miss() {
        let folder = tempfile::tempdir().unwrap();
        let there = Folder::new(folder.path().to_owned());
        assert!(there.get("actions/x", 10).unwrap().is_none());
        assert!(there.size("actions/x").unwrap().is_none());
        let gone = Folder::new(folder.path().join("gone"));
        assert_eq!(gone.get("actions/x", 10).unwrap_err().kind, FailureKind::Unreachable);
        assert_eq!(gone.put("actions/x", vec![1], Occupied::Keep).unwrap_err().kind, FailureKind::Unreachable);
        assert!(!folder.path().join("gone").exists());
        fs::write(folder.path().join("file"), "").unwrap();
        let file = Folder::new(folder.path().join("file"));
        assert_eq!(file.get("actions/x", 10).unwrap_err().what, "is a file. Name a folder.");
        assert_eq!(file.put("actions/x", vec![1], Occupied::Keep).unwrap_err().what, "is a file. Name a folder.");
        let inside = there.get("file/x", 10).unwrap_err().what;
        assert!(inside.contains("/file/x`: Not a directory"), "{inside}");
    }

    #[test]
    fn keys_are_listed_and_removed_unless_they_were_put_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Folder::new(folder.path().to_owned());
        assert!(storage.list("a").unwrap().is_empty());
        storage.put("a/one", b"1".to_vec(), Occupied::Keep).unwrap();
        storage.put("a/two", b"22".to_vec(), Occupied::Keep).unwrap();
        let mut listed = storage.list("a").unwrap();
        listed.sort_by(|left, right| left.0.cmp(&right.0));
        let names: Vec<(&str, u64)> = listed.iter().map(|(name, stat)| (&**name, stat.bytes)).collect();
        assert_eq!(names, [("one", 1), ("two", 2)]);
        assert_eq!(storage.stat("a/two").unwrap(), Some(listed[1].1));
        assert!(!storage.remove("a/one", listed[0].1.put - 1).unwrap());
        assert!(storage.remove("a/one", listed[0].1.put).unwrap() && storage.remove("a/one", 0).unwrap());
        assert_eq!(storage.list("a").unwrap().len(), 1);
        let gone = Folder::new(folder.path().join("gone"));
        assert_eq!(gone.list("a").unwrap_err().kind, FailureKind::Unreachable);
        assert_eq!(gone.remove("a/one", 0).unwrap_err().kind, FailureKind::Unreachable);
    }

    #[test]
    fn what_is_there_stays_unless_it_is_to_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Folder::new(folder.path().to_owned());
        assert!(storage.put("a/b", b"one".to_vec(), Occupied::Keep).unwrap());
        assert!(!storage.put("a/b", b"two".to_vec(), Occupied::Keep).unwrap());
        assert_eq!(storage.get("a/b", 3).unwrap().unwrap(), b"one");
        assert!(storage.put("a/b", b"three".to_vec(), Occupied::Replace).unwrap());
        assert_eq!(storage.get_range("a/b", 1..4).unwrap().unwrap(), b"hre");
        for end in [6, u64::MAX] {
            assert_eq!(storage.get_range("a/b", 1..end).unwrap_err().kind, FailureKind::Damaged);
        }
        assert_eq!(storage.get("a/b", 4).unwrap_err().kind, FailureKind::Damaged);
        assert_eq!(fs::read_dir(folder.path().join(UNFINISHED)).unwrap().count(), 0);
        for key in ["../x", "/x", "", "a/../../x", "."] {
            assert!(storage.put(key, vec![1], Occupied::Replace).is_err(), "{key}");
        }
    }
}
