//! Objects: stored files by digest.
//!
//! `objects/a/<digest>` is a file (0444), `objects/a/<digest>.x` the same as an executable (0555).
//! `manifests/a/<digest>.json` is a folder's tree, `trees/a/<digest>` that folder, made of hard links to objects, so
//! that a whole folder is handed to a stage by one symbolic link.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::fs::disk_fallback::Linked;
use crate::fs::stat::Stat;
use crate::store::damage;
use crate::store::integrity::{ContentStamp, Note, Stored};
use crate::{Artifact, Cache, CacheError, Digest, Result};

/// Maximum number of files that are synced one by one. More of them are synced together with everything else on their
/// file system: each single sync waits for the device, but everything else may be much.
pub(crate) const SYNCED_ONE_BY_ONE: usize = 16;
const PLAIN: u32 = 0o444;
const EXECUTABLE: u32 = 0o555;

impl Cache {
    /// Moves the file at `path`, which nobody else can change, into the store, or a copy of it from another file system. The caller
    /// has to call [`Cache::sync`] before it records anything that refers to it.
    pub(crate) fn move_in(&self, path: &Path, digest: Digest, executable: bool, bytes: u64) -> Result<()> {
        match self.rename_in(path, digest, executable, bytes) {
            Err(CacheError::Io { source, .. }) if source.kind() == ErrorKind::CrossesDevices => {
                let copy = self.private_copy(path)?;
                self.rename_in(copy.path(), digest, executable, bytes)?;
                self.disk.remove(path)
            }
            other => other,
        }
    }

    fn rename_in(&self, path: &Path, digest: Digest, executable: bool, bytes: u64) -> Result<()> {
        let object = self.object_path(&digest, executable);
        if !self.has_intact(&object, digest, executable, bytes)? {
            self.disk.ensure_parent(&object)?;
            self.set_mode(path, if executable { EXECUTABLE } else { PLAIN })?;
            let has_tombstone = self.sync_for_tombstone(path, &object)?;
            match self.disk.rename_unless_there(path, &object) {
                // Somebody else has stored the same content meanwhile.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                other => {
                    other.map_err(CacheError::io(&object))?;
                    self.note_file(Stored::file(digest, executable), &object);
                    return if has_tombstone { self.remove_tombstone(&object) } else { Ok(()) };
                }
            }
        }
        self.disk.remove(path)
    }

    /// Stores the file at `path`, which nobody else can change; `path` stays, as a hard link to the stored file.
    pub(crate) fn store_file(&self, path: &Path, digest: Digest, executable: bool, bytes: u64) -> Result<()> {
        let object = self.object_path(&digest, executable);
        if self.has_intact(&object, digest, executable, bytes)? {
            return Ok(());
        }
        self.disk.ensure_parent(&object)?;
        let mode = if executable { EXECUTABLE } else { PLAIN };
        self.set_mode(path, mode)?;
        let has_tombstone = self.sync_for_tombstone(path, &object)?;
        match self.disk.link_or_copy(path, &object, mode) {
            // Somebody else has stored the same content meanwhile.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
            other => other.map(drop).map_err(CacheError::io(&object))?,
        }
        self.note_file(Stored::file(digest, executable), &object);
        if has_tombstone { self.remove_tombstone(&object) } else { Ok(()) }
    }

    /// Whether a stored file is there and intact; one that a power cut or a bad disk has damaged goes to quarantine.
    pub(crate) fn has_intact(&self, object: &Path, digest: Digest, executable: bool, bytes: u64) -> Result<bool> {
        let is_there = || fs::symlink_metadata(object).is_ok();
        if !is_there() {
            return Ok(false);
        }
        if self.is_intact_with_mode(object, digest, executable, bytes)? {
            return Ok(is_there());
        }
        // One thread at a time: a file that another thread has put in its place meanwhile stays.
        let _alone = self.serial.quarantine();
        // A missing file may be just being stored by another thread, from which a late quarantine would take it.
        if !is_there() || self.is_intact_with_mode(object, digest, executable, bytes)? {
            return Ok(is_there());
        }
        self.quarantine(object)?;
        Ok(false)
    }

    /// Whether a stored file is intact; its permission bits are restored before.
    fn is_intact_with_mode(&self, object: &Path, digest: Digest, executable: bool, bytes: u64) -> Result<bool> {
        self.restore_mode(object, executable)?;
        self.is_intact(&Stored::file(digest, executable), object, digest, bytes)
    }

    /// Whether the stored file at `path` is intact: by its note, or else by reading it, after which it is noted.
    pub(crate) fn is_intact(&self, stored: &Stored, path: &Path, digest: Digest, bytes: u64) -> Result<bool> {
        let stat = match rustix::fs::lstat(path) {
            Ok(stat) => Stat::from(stat),
            Err(rustix::io::Errno::NOENT) => return Ok(false),
            Err(error) => return Err(CacheError::io(path)(error.into())),
        };
        if !stat.is_file() || stat.size != bytes {
            return Ok(false);
        }
        if self.integrity.is_noted(stored, &ContentStamp::of_file(&stat)) {
            return Ok(true);
        }
        let sequence = self.counter.peek();
        let stamp = ContentStamp::of_file(&stat);
        let is_intact = damage::has_digest(path, bytes, digest)?;
        // Written to and put back, perhaps: who reads it is to know. Where that cannot be told, the next look finds it again.
        let is_told = || !self.integrity.is_noted_otherwise(stored, &stamp) || self.note_incident(&[digest]).is_ok();
        if is_intact && is_told() {
            self.integrity.note(*stored, Note { stamp, changed: stat.changed, sequence, durable: false });
        }
        Ok(is_intact)
    }

    /// Notes that the stored file at `path` is intact in its present state.
    pub(crate) fn note_file(&self, stored: Stored, path: &Path) {
        if let Ok(stat) = rustix::fs::lstat(path) {
            let stat = Stat::from(stat);
            let (stamp, changed, durable) =
                (ContentStamp::of_file(&stat), stat.changed, self.integrity.is_noted_durable(&stored));
            self.integrity.note(stored, Note { stamp, changed, sequence: self.counter.peek(), durable });
        }
    }

    /// Restores the permission bits of a stored file.
    pub(crate) fn restore_mode(&self, path: &Path, executable: bool) -> Result<()> {
        let mode = if executable { EXECUTABLE } else { PLAIN };
        let is_other = |stat: rustix::fs::Stat| stat.st_mode & 0o777 != mode && Stat::from(stat).is_file();
        if rustix::fs::lstat(path).is_ok_and(is_other) { self.set_mode(path, mode) } else { Ok(()) }
    }

    /// Syncs these files (`area/a/name`) to disk, with the entries that lead to them.
    pub(crate) fn sync(&self, objects: &[PathBuf]) -> Result<()> {
        if objects.len() <= SYNCED_ONE_BY_ONE {
            let folders: HashSet<&Path> =
                objects.iter().flat_map(|object| object.ancestors().skip(1).take(2)).collect();
            let paths: Vec<&Path> = objects.iter().map(PathBuf::as_path).chain(folders).collect();
            paths.par_iter().try_for_each(|path| self.disk.sync(path).map_err(CacheError::io(path)))?;
            self.integrity.mark_durable(objects.iter().filter_map(|object| Stored::at(object)));
            return Ok(());
        }
        let volatile = self.integrity.all_volatile();
        self.disk.sync_everything().map_err(CacheError::io(self.root()))?;
        self.integrity.mark_durable(volatile);
        Ok(())
    }

    /// Links an artifact to `path` for reading, by a symbolic link into the store: a hard link would let anybody who
    /// may write to the folder of `path` change the permission bits of the stored file.
    pub fn link_into(&self, artifact: &Artifact, path: &Path) -> Result<()> {
        self.link_symbolic_or_copy(&self.path_of(artifact), path)
    }

    /// Links stored content to `path` for reading: by a symbolic link, or by a copy where that is impossible.
    pub(crate) fn link_symbolic_or_copy(&self, stored: &Path, path: &Path) -> Result<()> {
        self.disk.link_symbolic_or_copy(stored, path).map_err(CacheError::io(path))
    }

    /// Creates a hard link to a stored file, or a copy as [`Cache::link_or_copy`] does, and notes the `stat` of the stored file
    /// afterwards, since the link moves its time of change.
    pub(crate) fn link_stored(&self, object: &Path, digest: Digest, path: &Path) -> Result<Linked> {
        // Two threads that link one file at once would each note a state that the other has just changed.
        let _alone = self.serial.link(&digest);
        let stored = Stored::file(digest, object.extension().is_some());
        let before = rustix::fs::lstat(object).map(Stat::from);
        let was_intact = before.is_ok_and(|stat| self.integrity.is_noted(&stored, &ContentStamp::of_file(&stat)));
        let linked = self.link_or_copy(object, path)?;
        if linked == Linked::Copy {
            self.serial.note_full(digest);
        }
        if was_intact {
            self.note_file(stored, object);
        }
        Ok(linked)
    }

    /// Creates a hard link to a stored file; a copy where the file system has none, or beyond its limit of links per file. The
    /// caller has to bring copies to disk with [`Cache::sync_copies`] before it records anything that refers to them.
    fn link_or_copy(&self, object: &Path, path: &Path) -> Result<Linked> {
        let mode = if object.extension().is_some() { EXECUTABLE } else { PLAIN };
        self.disk.link_or_copy(object, path, mode).map_err(CacheError::io(path))
    }

    /// Makes a file that has the content of a stored file, and that nobody else can change, as good as a copy of it.
    pub(crate) fn adopt_as_copy(&self, path: &Path, executable: bool) -> Result<()> {
        self.set_mode(path, if executable { EXECUTABLE } else { PLAIN })
    }

    /// Syncs copies that took the place of hard links to disk, many of them at once: one by one, the copies of a folder with
    /// 100,000 equal files would wait for the device for minutes.
    pub(crate) fn sync_copies(&self, copies: &[PathBuf]) -> Result<()> {
        if copies.len() > SYNCED_ONE_BY_ONE {
            return self.disk.sync_everything().map_err(CacheError::io(self.root()));
        }
        copies.par_iter().try_for_each(|copy| self.disk.sync_content(copy).map_err(CacheError::io(copy)))
    }

    pub(crate) fn set_mode(&self, path: &Path, mode: u32) -> Result<()> {
        self.disk.set_mode_if_possible(path, mode).map(drop).map_err(CacheError::io(path))
    }
}
