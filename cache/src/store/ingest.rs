//! Ingestion: finished outputs become stored content.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::fs::disk_fallback::Linked;
use crate::fs::exclusions::Exclusions;
use crate::fs::stat::Stat;
use crate::fs::walk::{self, Found};
use crate::fs::writers;
use crate::store::integrity::Stored;
use crate::tree::{self, TreeEntry};
use crate::{Artifact, ArtifactKind, Cache, CacheError, Digest, Result, Tree};

/// Stored files that are not synced to disk yet.
#[derive(Debug, Default)]
pub struct Unsynced(pub(crate) Vec<PathBuf>);

/// A stored file of a folder.
struct Ingested {
    entry: TreeEntry,
    /// Whether it can stay where it is.
    in_place: InPlace,
    /// Whether it may be new in the store.
    is_new: bool,
}

/// Whether an entry of a finished output can stay where it is when its folder becomes the stored folder.
enum InPlace {
    /// It can: it is a hard link to the stored file, or an empty folder.
    Yes,
    /// It can: it is a copy of the stored file, which is not synced yet.
    Copy(PathBuf),
    /// It cannot: it lies behind a symbolic link, or is one.
    No,
}

impl InPlace {
    fn copy(&self) -> Option<PathBuf> {
        if let InPlace::Copy(path) = self { Some(path.clone()) } else { None }
    }
}

impl Cache {
    /// Moves a finished output, a file or folder, into the store. Files with further hard links are copied, so that nobody outside
    /// can change stored content, and so is an output on another file system than the cache's, which stays.
    pub fn ingest(&self, path: &Path) -> Result<Artifact> {
        self.ingest_with_hints(path, &HashMap::new())
    }

    /// Ingests an output as [`Cache::ingest`] does. Files that `hints` names, and that really are hard links to that
    /// stored file, are not hashed again.
    #[doc(hidden)]
    pub fn ingest_with_hints(&self, path: &Path, hints: &HashMap<PathBuf, Digest>) -> Result<Artifact> {
        let mut unsynced = Unsynced::default();
        let artifact = self.ingest_unsynced(path, hints, &mut unsynced)?;
        self.sync(&unsynced.0)?;
        Ok(artifact)
    }

    /// Ingests an output as [`Cache::ingest_with_hints`] does, but leaves the files that it adds to `unsynced` to be
    /// synced later, as [`Cache::record_all`] does. Until then nothing may be recorded that refers to them.
    pub fn ingest_unsynced(
        &self,
        path: &Path,
        hints: &HashMap<PathBuf, Digest>,
        unsynced: &mut Unsynced,
    ) -> Result<Artifact> {
        let is_link = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
        let artifact = self.ingest_from(path, hints, is_link, unsynced)?;
        if is_link {
            self.disk.remove(path)?;
        }
        Ok(artifact)
    }

    /// Stores a copy of an output that lies behind a symbolic link, as [`Cache::ingest_unsynced`] stores one that is the
    /// caller's own. The target of the link may be anybody's, and stays as it is.
    pub fn ingest_copy_unsynced(&self, path: &Path, unsynced: &mut Unsynced) -> Result<Artifact> {
        self.ingest_from(path, &HashMap::new(), true, unsynced)
    }

    fn ingest_from(
        &self,
        path: &Path,
        hints: &HashMap<PathBuf, Digest>,
        behind_link: bool,
        unsynced: &mut Unsynced,
    ) -> Result<Artifact> {
        let stat = Stat::of(path)?;
        let is_elsewhere = stat.device != Stat::of(self.root())?.device;
        let copies = behind_link || is_elsewhere;
        match self.ingest_stat(path, &stat, hints, copies, unsynced) {
            // One file system may be mounted twice, and nothing moves from one of these places to the other.
            Err(CacheError::Io { source, .. }) if !copies && source.kind() == ErrorKind::CrossesDevices => {
                self.ingest_stat(path, &stat, hints, true, unsynced)
            }
            other => other,
        }
    }

    fn ingest_stat(
        &self,
        path: &Path,
        stat: &Stat,
        hints: &HashMap<PathBuf, Digest>,
        behind_link: bool,
        unsynced: &mut Unsynced,
    ) -> Result<Artifact> {
        if stat.is_folder() {
            return self.ingest_folder(path, hints, behind_link);
        }
        let OwnFile { source, stat, digest } =
            if behind_link { self.own_copy(path, stat)? } else { self.own(path, stat)? };
        let artifact = tree::file_artifact(&stat, digest);
        self.move_in(source.path(), digest, artifact.kind == ArtifactKind::Executable, stat.size)?;
        if let (FileSource::Copy(_), false) = (&source, behind_link) {
            self.disk.remove(path)?;
        }
        // Even if it was there before: the process that stored it may not have waited for the disk.
        unsynced.0.push(self.path_of(&artifact));
        Ok(artifact)
    }

    /// Syncs stored files to disk, and saves what is known of them for other processes: for who stores on another's behalf.
    pub fn sync_stored(&self, unsynced: &Unsynced) -> Result<()> {
        self.sync(&unsynced.0)?;
        self.integrity.flush();
        Ok(())
    }

    /// Returns the file at `path` itself if nobody else can change it; a copy of it if it has further hard links, or
    /// somebody may still write to it.
    fn own<'p>(&self, path: &'p Path, stat: &Stat) -> Result<OwnFile<'p>> {
        let link = rustix::fs::lstat(path).map_err(|error| CacheError::io(path)(error.into()))?;
        if link.st_nlink == 1 && Stat::from(link).is_file() {
            let file = fs::File::open(path).map_err(CacheError::io(path))?;
            if !writers::is_open_for_writing(&file) {
                // All writers have closed it by now, so that this size is final.
                let stat = Stat { size: Stat::from(rustix::fs::fstat(&file).map_err(errno_at(path))?).size, ..*stat };
                return Ok(OwnFile {
                    source: FileSource::Original(path),
                    stat,
                    digest: tree::hash_open(file, path, stat.size)?,
                });
            }
        }
        self.own_copy(path, stat)
    }

    fn own_copy<'p>(&self, path: &Path, stat: &Stat) -> Result<OwnFile<'p>> {
        let copy = self.private_copy(path)?;
        let stat = Stat { size: Stat::of(copy.path())?.size, ..*stat };
        let digest = tree::hash_file(copy.path(), stat.size)?;
        Ok(OwnFile { source: FileSource::Copy(copy), stat, digest })
    }

    pub(crate) fn private_copy(&self, path: &Path) -> Result<tempfile::NamedTempFile> {
        let copy = self.disk.temporary()?;
        self.disk.copy(path, copy.path()).map_err(CacheError::io(path))?;
        Ok(copy)
    }

    fn ingest_folder(&self, path: &Path, hints: &HashMap<PathBuf, Digest>, behind_link: bool) -> Result<Artifact> {
        let mut found = walk::find_all(path, &Exclusions::default())?;
        found.iter_mut().for_each(|found| found.behind_link |= behind_link);
        let ingest = |found| self.ingest_entry(found, hints);
        let ingested = found.par_iter().map(ingest).collect::<Result<Vec<Ingested>>>()?;
        let written = ingested.iter().filter(|one| one.is_new).map(|one| &one.entry);
        // Each once: a folder of equal files waits for one of them.
        let written: HashSet<PathBuf> =
            written.filter_map(|entry| Some(self.object_path(&entry.digest?, entry.executable))).collect();
        self.sync(&written.into_iter().collect::<Vec<_>>())?;
        let in_place = !behind_link && !ingested.iter().any(|one| matches!(one.in_place, InPlace::No));
        let copies: Vec<PathBuf> = ingested.iter().filter_map(|one| one.in_place.copy()).collect();
        let entries = ingested.into_iter().map(|one| one.entry).collect();
        let tree = Tree::new(entries);
        let artifact = tree.artifact();
        let manifest = self.manifest_path(&artifact.digest);
        if manifest.exists() && self.read_tree(&artifact.digest).is_err() {
            self.quarantine(&manifest)?;
        }
        self.store_manifest(&artifact.digest, || &tree)?;
        self.disk.sync_way_to(&manifest)?;
        let target = self.tree_path(&artifact.digest);
        let is_there = self.has_intact_tree(&tree, &artifact.digest)?;
        // A folder that already consists of hard links to stored files becomes the stored folder as it is. A process
        // that stored it before may have been killed while waiting for the disk.
        if is_there {
            self.protect_and_sync(&target)?;
        } else if in_place {
            self.sync_copies(&copies)?;
            self.move_into_place(path, &target)?;
        } else {
            self.materialise(&tree, &target)?;
        }
        if !behind_link {
            self.disk.remove(path)?;
        }
        if let Ok(snapshot) = self.tree_snapshot(&artifact.digest) {
            self.note_tree(&artifact.digest, &snapshot);
        }
        Ok(artifact)
    }

    /// Stores one file of a folder.
    fn ingest_entry(&self, found: &Found, hints: &HashMap<PathBuf, Digest>) -> Result<Ingested> {
        if found.stat.is_folder() {
            let entry = tree::empty_folder_entry(found.relative.clone());
            let in_place = if found.behind_link { InPlace::No } else { InPlace::Yes };
            return Ok(Ingested { entry, in_place, is_new: false });
        }
        if let Some(digest) = hints.get(&found.path)
            && self.is_object(&found.stat, digest)?
        {
            let entry = tree::file_entry(found.relative.clone(), &found.stat, *digest);
            return Ok(Ingested { entry, in_place: InPlace::No, is_new: false });
        }
        let own = if found.behind_link {
            self.own_copy(&found.path, &found.stat)?
        } else {
            self.own(&found.path, &found.stat)?
        };
        let OwnFile { source, stat, digest } = own;
        let entry = tree::file_entry(found.relative.clone(), &stat, digest);
        self.store_file(source.path(), digest, entry.executable, entry.bytes)?;
        let object = self.object_path(&digest, entry.executable);
        let in_place = match source {
            _ if found.behind_link => InPlace::No,
            FileSource::Original(path) if self.is_beyond_links(path, &object, &digest)? => {
                self.adopt_as_copy(path, entry.executable)?;
                InPlace::Copy(path.to_owned())
            }
            _ => self.replace_by_object(&found.path, &object, digest)?,
        };
        Ok(Ingested { entry, in_place, is_new: true })
    }

    /// Whether `stat` is that of the stored plain file with this digest, and that file is intact.
    fn is_object(&self, stat: &Stat, digest: &Digest) -> Result<bool> {
        let object = self.object_path(digest, false);
        let is_it = rustix::fs::lstat(&object).is_ok_and(|object| Stat::from(object).identity() == stat.identity());
        Ok(is_it && self.is_intact(&Stored::File(*digest), &object, *digest, stat.size)?)
    }

    /// Whether the file at `path`, which has the content of `object`, cannot become a hard link to it: copying `object` would
    /// only make what is there already.
    fn is_beyond_links(&self, path: &Path, object: &Path, digest: &Digest) -> Result<bool> {
        Ok(self.serial.is_full(digest) && !is_same_file(path, object)?)
    }

    /// Replaces the file at `path` by a hard link to `object`, or by a copy where it can have no further link.
    fn replace_by_object(&self, path: &Path, object: &Path, digest: Digest) -> Result<InPlace> {
        if is_same_file(path, object)? {
            return Ok(InPlace::Yes);
        }
        self.disk.remove_file(path).map_err(CacheError::io(path))?;
        Ok(match self.link_stored(object, digest, path)? {
            Linked::Link => InPlace::Yes,
            Linked::Copy => InPlace::Copy(path.to_owned()),
        })
    }
}

/// A file that nobody else can change, and its digest.
struct OwnFile<'p> {
    source: FileSource<'p>,
    stat: Stat,
    digest: Digest,
}

/// Location of such a file.
enum FileSource<'p> {
    Original(&'p Path),
    Copy(tempfile::NamedTempFile),
}

impl FileSource<'_> {
    fn path(&self) -> &Path {
        match self {
            FileSource::Original(path) => path,
            FileSource::Copy(copy) => copy.path(),
        }
    }
}

/// Whether two paths are hard links to one file.
fn is_same_file(one: &Path, other: &Path) -> Result<bool> {
    let stat = |path: &Path| rustix::fs::lstat(path).map(Stat::from).map_err(errno_at(path));
    Ok(stat(one)?.identity() == stat(other)?.identity())
}

fn errno_at(path: &Path) -> impl FnOnce(rustix::io::Errno) -> CacheError + '_ {
    move |errno| CacheError::io(path)(errno.into())
}
