//! Objects and trees: content by digest.
//!
//! `objects/a/<digest>` is a file (0444), `objects/a/<digest>.x` the same as an executable (0555). `manifests/a/<digest>.json`
//! is a folder's tree, `trees/a/<digest>` that folder made of hard links to objects, so that a whole folder is handed to
//! a stage by one symbolic link.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::fs::fallback::Durability;
use crate::fs::list;
use crate::fs::stat::Stat;
use crate::fs::walk::{self, Found};
use crate::fs::writers;
use crate::store::integrity::{Evidence, Stored};
use crate::tree::{self, TreeEntry};
use crate::{Artifact, ArtifactKind, Cache, CacheError, Digest, Result, Tree};

/// Whether the cache has an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// All of it, each file with the right size.
    Present,
    /// Something is not there.
    Missing,
    /// Something has the wrong size.
    Damaged,
}

/// Stored files that may not survive a power cut yet.
#[derive(Debug, Default)]
pub struct Unsynced(pub(crate) Vec<PathBuf>);

/// A file of a folder that was stored.
struct Ingested {
    entry: TreeEntry,
    /// Whether its path is a name of the stored file itself, or a copy that is as good.
    in_place: bool,
    /// Whether it may not have been stored before.
    is_new: bool,
}

/// More files than this are brought safely to disk with all else on their file system: each single one costs a wait for the
/// device, and all else may be much.
pub(crate) const SYNCED_ONE_BY_ONE: usize = 16;
const PLAIN: u32 = 0o444;
const EXECUTABLE: u32 = 0o555;

impl Cache {
    /// Takes a finished output, a file or folder on the cache's own file system, into the store. What lay at `path` is gone
    /// afterwards. Files that something else links to are copied, so that nobody outside can change what is stored.
    pub fn ingest(&self, path: &Path) -> Result<Artifact> {
        self.ingest_placed(path, &HashMap::new())
    }

    /// As [`Cache::ingest`]. Stored files that `placed` names, and that really are that stored file, are not read again.
    pub fn ingest_placed(&self, path: &Path, placed: &HashMap<PathBuf, Digest>) -> Result<Artifact> {
        let mut unsynced = Unsynced::default();
        let artifact = self.ingest_unsynced(path, placed, &mut unsynced)?;
        self.sync(&unsynced.0)?;
        Ok(artifact)
    }

    /// As [`Cache::ingest_placed`], but what is added to `unsynced` survives a power cut only when it has been brought to
    /// disk, as [`Cache::record_all`] does. Until then nobody may be promised that it is there.
    pub fn ingest_unsynced(
        &self,
        path: &Path,
        placed: &HashMap<PathBuf, Digest>,
        unsynced: &mut Unsynced,
    ) -> Result<Artifact> {
        let stat = Stat::of(path)?;
        if stat.is_folder() {
            return self.ingest_folder(path, placed);
        }
        let Own { place, stat, digest } = self.own(path, &stat)?;
        let artifact = tree::file_artifact(&stat, digest);
        self.move_in(place.path(), digest, artifact.kind == ArtifactKind::Executable, stat.size)?;
        if let Place::Copy(_) = place {
            self.disk.remove(path)?;
        }
        // Even if it was there before: whoever stored it may not have waited for the disk.
        unsynced.0.push(self.path_of(&artifact));
        Ok(artifact)
    }

    /// The file at `path`, of which `stat` is known, if nobody else can change it; a copy of it if something else links to it,
    /// or somebody may still write to it.
    fn own<'p>(&self, path: &'p Path, stat: &Stat) -> Result<Own<'p>> {
        let link = rustix::fs::lstat(path).map_err(|error| CacheError::io(path)(error.into()))?;
        if link.st_nlink == 1 && Stat::from(link).is_file() {
            let file = fs::File::open(path).map_err(CacheError::io(path))?;
            if !writers::is_open_for_writing(&file) {
                // Whoever wrote to it has done so by now.
                let stat = Stat { size: Stat::from(rustix::fs::fstat(&file).map_err(errno_at(path))?).size, ..*stat };
                return Ok(Own { place: Place::Itself(path), stat, digest: tree::hash_open(file, path, stat.size)? });
            }
        }
        self.own_copy(path, stat)
    }

    fn own_copy<'p>(&self, path: &Path, stat: &Stat) -> Result<Own<'p>> {
        let copy = self.private_copy(path)?;
        let stat = Stat { size: Stat::of(copy.path())?.size, ..*stat };
        let digest = tree::hash_file(copy.path(), stat.size)?;
        Ok(Own { place: Place::Copy(copy), stat, digest })
    }

    fn ingest_folder(&self, path: &Path, placed: &HashMap<PathBuf, Digest>) -> Result<Artifact> {
        let found = walk::find_all(path)?;
        let ingest = |found| self.ingest_entry(found, placed);
        let ingested = found.par_iter().map(ingest).collect::<Result<Vec<Ingested>>>()?;
        let written = ingested.iter().filter(|one| one.is_new).map(|one| &one.entry);
        let written = written.filter_map(|entry| Some(self.object_path(&entry.digest?, entry.executable)));
        self.sync(&written.collect::<Vec<_>>())?;
        let in_place = ingested.iter().all(|one| one.in_place);
        let entries = ingested.into_iter().map(|one| one.entry).collect();
        let tree = Tree::new(entries);
        let artifact = tree.artifact();
        let manifest = self.manifest_path(&artifact.digest);
        if manifest.exists() && self.read_tree(&artifact.digest).is_err() {
            self.quarantine(&manifest)?;
        }
        self.keep_manifest(&artifact.digest, || &tree)?;
        self.disk.sync_way_to(&manifest)?;
        let target = self.tree_path(&artifact.digest);
        let is_there = self.has_sound_tree(&tree, &artifact.digest)?;
        // A folder that already consists of stored files becomes the stored folder as it is. Whoever stored it before may have
        // been killed while waiting for the disk.
        if is_there {
            self.settle(&target)?;
        } else if in_place {
            self.move_into_place(path, &target)?;
        } else {
            self.materialise(&tree, &target)?;
        }
        self.disk.remove(path)?;
        if let Ok(snapshot) = self.tree_snapshot(&artifact.digest) {
            self.note_tree(&artifact.digest, &snapshot);
        }
        Ok(artifact)
    }

    /// Stores one file of a folder.
    fn ingest_entry(&self, found: &Found, placed: &HashMap<PathBuf, Digest>) -> Result<Ingested> {
        if found.stat.is_folder() {
            let entry = tree::empty_folder_entry(found.relative.clone());
            return Ok(Ingested { entry, in_place: !found.behind_link, is_new: false });
        }
        if let Some(digest) = placed.get(&found.path)
            && self.is_object(&found.stat, digest)?
        {
            let entry = tree::file_entry(found.relative.clone(), &found.stat, *digest);
            return Ok(Ingested { entry, in_place: false, is_new: false });
        }
        let own = if found.behind_link {
            self.own_copy(&found.path, &found.stat)?
        } else {
            self.own(&found.path, &found.stat)?
        };
        let Own { place, stat, digest } = own;
        let entry = tree::file_entry(found.relative.clone(), &stat, digest);
        self.store_file(place.path(), digest, entry.executable, entry.bytes)?;
        let in_place = !found.behind_link
            && self.replace_by_object(&found.path, &self.object_path(&digest, entry.executable), digest)?;
        Ok(Ingested { entry, in_place, is_new: true })
    }

    /// Whether `stat` is that of the stored plain file with this digest, which is right.
    fn is_object(&self, stat: &Stat, digest: &Digest) -> Result<bool> {
        let object = self.object_path(digest, false);
        let is_it = rustix::fs::lstat(&object).is_ok_and(|object| Stat::from(object).identity() == stat.identity());
        Ok(is_it && self.is_right(&Stored::File(*digest), &object, *digest, stat.size)?)
    }

    /// Makes the file at `path` another name of `object`, or a copy where it can have no further name; says whether it is.
    fn replace_by_object(&self, path: &Path, object: &Path, digest: Digest) -> Result<bool> {
        let stat =
            |path: &Path| rustix::fs::lstat(path).map(Stat::from).map_err(|error| CacheError::io(path)(error.into()));
        if stat(path)?.identity() == stat(object)?.identity() {
            return Ok(true);
        }
        self.disk.remove_file(path).map_err(CacheError::io(path))?;
        self.link_stored(object, digest, path).map(|()| true)
    }

    fn move_into_place(&self, folder: &Path, target: &Path) -> Result<()> {
        self.disk.make_parent(target)?;
        match self.disk.rename(folder, target) {
            // Somebody else was faster, who may not have waited for the disk.
            Err(_) if target.is_dir() => {}
            other => other.map_err(CacheError::io(target))?,
        }
        self.settle(target)
    }

    /// Makes a stored folder read-only, and makes sure that it survives a power cut.
    pub(crate) fn settle(&self, target: &Path) -> Result<()> {
        self.settle_folders(target)?;
        self.disk.sync_way_to(target)
    }

    /// Stores the file at `path`, which nobody else can change and which is gone from there afterwards. It survives a power cut
    /// when the caller has called [`Cache::sync`], which it must do before it promises the file to anybody.
    pub(crate) fn move_in(&self, path: &Path, digest: Digest, executable: bool, bytes: u64) -> Result<()> {
        let object = self.object_path(&digest, executable);
        if !self.has_sound(&object, digest, executable, bytes)? {
            self.disk.ensure_parent(&object)?;
            self.set_mode(path, if executable { EXECUTABLE } else { PLAIN })?;
            let fills_gap = self.prepare_for_gap(path, &object)?;
            match self.disk.rename_unless_there(path, &object) {
                // Somebody else has stored the same content meanwhile.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                other => {
                    other.map_err(CacheError::io(&object))?;
                    self.note_file(Stored::file(digest, executable), &object);
                    return if fills_gap { self.close_gap(&object) } else { Ok(()) };
                }
            }
        }
        self.disk.remove(path)
    }

    /// Stores the file at `path`, which nobody else can change and which becomes another name of the stored file.
    fn store_file(&self, path: &Path, digest: Digest, executable: bool, bytes: u64) -> Result<()> {
        let object = self.object_path(&digest, executable);
        if self.has_sound(&object, digest, executable, bytes)? {
            return Ok(());
        }
        self.disk.ensure_parent(&object)?;
        let mode = if executable { EXECUTABLE } else { PLAIN };
        self.set_mode(path, mode)?;
        let fills_gap = self.prepare_for_gap(path, &object)?;
        match self.disk.link_or_copy(path, &object, mode, Durability::Later) {
            // Somebody else has stored the same content meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
            other => other.map_err(CacheError::io(&object))?,
        }
        self.note_file(Stored::file(digest, executable), &object);
        if fills_gap { self.close_gap(&object) } else { Ok(()) }
    }

    /// Whether a stored file is there and is what its name says; what a power cut or a bad disk has spoilt goes to quarantine.
    pub(crate) fn has_sound(&self, object: &Path, digest: Digest, executable: bool, bytes: u64) -> Result<bool> {
        let is_there = || fs::symlink_metadata(object).is_ok();
        if !is_there() {
            return Ok(false);
        }
        if self.is_sound(object, digest, executable, bytes)? {
            return Ok(is_there());
        }
        // One thread at a time: what another has put in its place meanwhile stays.
        static ALONE: Mutex<()> = Mutex::new(());
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is not there is about to be put there: to move away what then lies there would take it from that thread.
        if !is_there() || self.is_sound(object, digest, executable, bytes)? {
            return Ok(is_there());
        }
        self.quarantine(object)?;
        Ok(false)
    }

    /// Whether a stored file is what its name says. It is read unless `stat` says that it is as it was when it was last read.
    fn is_sound(&self, object: &Path, digest: Digest, executable: bool, bytes: u64) -> Result<bool> {
        self.settle_mode(object, executable)?;
        self.is_right(&Stored::file(digest, executable), object, digest, bytes)
    }

    /// Gives a stored file its bits, if it is a file and does not have them.
    pub(crate) fn settle_mode(&self, path: &Path, executable: bool) -> Result<()> {
        let mode = if executable { EXECUTABLE } else { PLAIN };
        let is_other = |stat: rustix::fs::Stat| stat.st_mode & 0o777 != mode && Stat::from(stat).is_file();
        if rustix::fs::lstat(path).is_ok_and(is_other) { self.set_mode(path, mode) } else { Ok(()) }
    }

    /// Whether a stored folder is there and is what its manifest says. One that is not is made so again from the stored files,
    /// which must be right.
    fn has_sound_tree(&self, tree: &Tree, digest: &Digest) -> Result<bool> {
        let target = self.tree_path(digest);
        if fs::symlink_metadata(&target).is_err() {
            return Ok(false);
        }
        let Ok(snapshot) = self.tree_snapshot(digest) else {
            self.quarantine(&target)?;
            return Ok(false);
        };
        let deviation = self.deviation(tree, &target, &snapshot);
        if deviation.is_none() {
            return Ok(true);
        }
        self.note_incident(&[*digest])?;
        if self.restore_tree(tree, &target, &deviation).is_ok() {
            return Ok(true);
        }
        self.quarantine(&target)?;
        Ok(false)
    }

    /// Makes sure that these files (`area/a/name`) survive a power cut, with the entries that lead to them.
    pub(crate) fn sync(&self, objects: &[PathBuf]) -> Result<()> {
        if objects.len() <= SYNCED_ONE_BY_ONE {
            let folders: HashSet<&Path> =
                objects.iter().flat_map(|object| object.ancestors().skip(1).take(2)).collect();
            let paths: Vec<&Path> = objects.iter().map(PathBuf::as_path).chain(folders).collect();
            paths.par_iter().try_for_each(|path| self.disk.sync(path).map_err(CacheError::io(path)))?;
            self.integrity.mark_durable(objects.iter().filter_map(|object| stored_at(object)));
            return Ok(());
        }
        let volatile = self.integrity.all_volatile();
        self.disk.sync_everything().map_err(CacheError::io(self.root()))?;
        self.integrity.mark_durable(volatile);
        Ok(())
    }

    fn private_copy(&self, path: &Path) -> Result<tempfile::NamedTempFile> {
        let copy = self.disk.temporary()?;
        self.disk.copy(path, copy.path()).map_err(CacheError::io(path))?;
        Ok(copy)
    }

    /// Makes the folder of `tree` at `target` from stored objects.
    pub(crate) fn materialise(&self, tree: &Tree, target: &Path) -> Result<()> {
        let temporary =
            self.disk.temporary_folder_in(&self.root().join("tmp"), ".tmp").map_err(CacheError::io(self.root()))?;
        let folder = temporary.path().join("tree");
        self.disk.make_folder(&folder).map_err(CacheError::io(&folder))?;
        tree.entries.par_iter().try_for_each(|entry| self.materialise_entry(&folder, entry))?;
        self.move_into_place(&folder, target)
    }

    pub(crate) fn materialise_entry(&self, folder: &Path, entry: &TreeEntry) -> Result<()> {
        let path = folder.join(&entry.path);
        let Some(digest) = entry.digest else {
            return self.disk.make_folders(&path).map_err(CacheError::io(&path));
        };
        if let Some(parent) = path.parent() {
            self.disk.make_folders(parent).map_err(CacheError::io(parent))?;
        }
        self.link_stored(&self.object_path(&digest, entry.executable), digest, &path)
    }

    /// Where an artifact lies, for reading.
    pub fn path_of(&self, artifact: &Artifact) -> PathBuf {
        match artifact.kind {
            ArtifactKind::Folder => self.tree_path(&artifact.digest),
            kind => self.object_path(&artifact.digest, kind == ArtifactKind::Executable),
        }
    }

    /// Puts an artifact at `path` for reading, as a symbolic link into the store: another name of a stored file would let who
    /// may write to the folder of `path` change the bits of the stored file.
    pub fn link_into(&self, artifact: &Artifact, path: &Path) -> Result<()> {
        self.link_symbolic_or_copy(&self.path_of(artifact), path)
    }

    /// Puts something stored at `path` for reading: as a symbolic link, or as a copy where there can be none.
    pub(crate) fn link_symbolic_or_copy(&self, stored: &Path, path: &Path) -> Result<()> {
        self.disk.link_symbolic_or_copy(stored, path).map_err(CacheError::io(path))
    }

    /// Gives a stored file another name, and notes what `stat` says of it afterwards, since the link moves its time of change.
    pub(crate) fn link_stored(&self, object: &Path, digest: Digest, path: &Path) -> Result<()> {
        // Two threads that link one file at once would each note what the other has just moved.
        static STRIPES: [Mutex<()>; 64] = [const { Mutex::new(()) }; 64];
        let _alone = STRIPES[usize::from(digest.bytes()[31] % 64)].lock().unwrap_or_else(PoisonError::into_inner);
        let stored = Stored::file(digest, object.extension().is_some());
        let before = rustix::fs::lstat(object).map(Stat::from);
        let was_right = before.is_ok_and(|stat| self.is_noted(&stored, &Evidence::of_file(&stat)));
        self.link_or_copy(object, path)?;
        if was_right {
            self.note_file(stored, object);
        }
        Ok(())
    }

    /// Keeps the manifest of a folder, wherever its files are. `tree` is asked for only if there is none of this digest yet.
    pub(crate) fn keep_manifest<T: Borrow<Tree>>(&self, digest: &Digest, tree: impl FnOnce() -> T) -> Result<()> {
        let path = self.manifest_path(digest);
        if path.exists() {
            return Ok(());
        }
        let text = serde_json::to_vec(tree().borrow()).map_err(|error| CacheError::io(&path)(error.into()))?;
        self.disk.write_atomically(&path, &text)
    }

    /// The manifest of a folder, checked against its digest.
    pub fn read_tree(&self, digest: &Digest) -> Result<Tree> {
        let path = self.manifest_path(digest);
        let bytes = fs::read(&path).map_err(CacheError::io(&path))?;
        let tree: Option<Tree> = serde_json::from_slice(&bytes).ok();
        let sound = tree.filter(|tree| tree.artifact().digest == *digest);
        sound.ok_or_else(|| CacheError::Damaged { path, what: "the manifest is not what its name says".to_owned() })
    }

    /// Moves something out of the store's sight, for the user to look at. It does not come back in a power cut. In a cache that
    /// cannot be changed it stays, and is passed over again by the next look.
    pub(crate) fn quarantine(&self, path: &Path) -> Result<()> {
        if self.is_read_only() {
            return Ok(());
        }
        // Who reads it at this moment learns of it when done, whatever has taken its place by then.
        digest_in_name(path).map_or(Ok(()), |digest| self.note_incident(&[digest]))?;
        self.open_gap(path)?;
        let name = path.strip_prefix(self.root()).unwrap_or(path).to_string_lossy().replace('/', "_");
        let folder = self.root().join("quarantine");
        let mut free = (0..).map(|number| folder.join(format!("{name}.{number}")));
        let target = free.find(|path| fs::symlink_metadata(path).is_err());
        let target = target.expect("numbers do not end before free names do");
        match self.disk.rename_unlocked(path, &target) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(CacheError::io(path)),
        }?;
        self.disk.sync_parent(path)
    }

    pub(crate) fn object_path(&self, digest: &Digest, executable: bool) -> PathBuf {
        self.root().join(self.layout.object(digest, executable))
    }

    pub(crate) fn tree_path(&self, digest: &Digest) -> PathBuf {
        self.root().join(self.layout.tree(digest))
    }

    pub(crate) fn manifest_path(&self, digest: &Digest) -> PathBuf {
        self.root().join(self.layout.manifest(digest))
    }

    pub(crate) fn action_path(&self, fingerprint: &Digest) -> PathBuf {
        self.root().join(self.layout.action(fingerprint))
    }

    /// Gives a stored file another name. A file system has a limit of names for one file, or none for further ones; beyond it
    /// `path` is a copy.
    pub(crate) fn link_or_copy(&self, object: &Path, path: &Path) -> Result<()> {
        let mode = if object.extension().is_some() { EXECUTABLE } else { PLAIN };
        self.disk.link_or_copy(object, path, mode, Durability::Now).map_err(CacheError::io(path))
    }

    /// Makes a folder and those in it read-only, and brings their entries to disk.
    fn settle_folders(&self, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder).map_err(CacheError::io(folder))? {
            let entry = entry.map_err(CacheError::io(folder))?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.settle_folders(&entry.path())?;
            }
        }
        self.set_mode(folder, self.disk.stored_folder_mode())?;
        self.disk.sync(folder).map_err(CacheError::io(folder))
    }

    /// Makes the folders of a stored folder read-only again.
    pub(crate) fn settle_modes(&self, folder: &Path) -> Result<()> {
        let mode = self.disk.stored_folder_mode();
        let is_as_made = rustix::fs::lstat(folder).is_ok_and(|stat| stat.st_mode & 0o777 == mode);
        for path in list::read_folder(folder)? {
            if fs::symlink_metadata(&path).is_ok_and(|inner| inner.is_dir()) {
                self.settle_modes(&path)?;
            }
        }
        if is_as_made { Ok(()) } else { self.set_mode(folder, mode) }
    }

    fn set_mode(&self, path: &Path, mode: u32) -> Result<()> {
        self.disk.set_mode_if_possible(path, mode).map(drop).map_err(CacheError::io(path))
    }
}

/// The stored file that lies at a path in `objects`.
pub(crate) fn stored_at(path: &Path) -> Option<Stored> {
    Some(Stored::file(digest_in_name(path)?, path.extension().is_some_and(|extension| extension == "x")))
}

/// The digest that the name of a stored file promises.
pub(crate) fn digest_in_name(path: &Path) -> Option<Digest> {
    path.file_stem()?.to_str()?.parse().ok()
}

/// A file that nobody else can change, and its content.
struct Own<'p> {
    place: Place<'p>,
    stat: Stat,
    digest: Digest,
}

/// Where it lies.
enum Place<'p> {
    Itself(&'p Path),
    Copy(tempfile::NamedTempFile),
}

impl Place<'_> {
    fn path(&self) -> &Path {
        match self {
            Place::Itself(path) => path,
            Place::Copy(copy) => copy.path(),
        }
    }
}

fn errno_at(path: &Path) -> impl FnOnce(rustix::io::Errno) -> CacheError + '_ {
    move |errno| CacheError::io(path)(errno.into())
}
