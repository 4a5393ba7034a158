//! Objects and trees: content by digest.
//!
//! `objects/a/<digest>` is a file (0444), `objects/a/<digest>.x` the same as an executable (0555). `manifests/a/<digest>.json`
//! is a folder's tree, `trees/a/<digest>` that folder made of hard links to objects, so that a whole folder is handed to
//! a stage by one symbolic link.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use rayon::prelude::*;

use crate::stat::Stat;
use crate::trace::CLOCK_TICK;
use crate::tree::{self, TreeEntry};
use crate::walk::{self, Found};
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
    /// Whether what lies at its path is the stored file itself.
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
        let digest = tree::hash_file(path, stat.size)?;
        let artifact = tree::file_artifact(&stat, digest);
        self.move_in(path, digest, artifact.kind == ArtifactKind::Executable, stat.size)?;
        // Even if it was there before: whoever stored it may not have waited for the disk.
        unsynced.0.push(self.path_of(&artifact));
        Ok(artifact)
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
        if target.exists() && !self.is_made_of_objects(&tree, &target) {
            self.quarantine(&target)?;
        }
        // A folder that already consists of stored files becomes the stored folder as it is. Whoever stored it before may have
        // been killed while waiting for the disk.
        if target.is_dir() {
            self.settle(&target)?;
        } else if in_place {
            self.move_into_place(path, &target)?;
        } else {
            self.materialise(&tree, &target)?;
        }
        self.disk.remove(path)?;
        Ok(artifact)
    }

    /// Stores one file of a folder.
    fn ingest_entry(&self, found: &Found, placed: &HashMap<PathBuf, Digest>) -> Result<Ingested> {
        let stored_as = placed.get(&found.path).filter(|digest| self.is_object(&found.stat, digest));
        let entry = tree::entry_of(found, |found| match stored_as {
            Some(digest) => Ok(*digest),
            None => tree::hash_file(&found.path, found.stat.size),
        })?;
        let Some(digest) = entry.digest.filter(|_| stored_as.is_none()) else {
            return Ok(Ingested { entry, in_place: !found.behind_link, is_new: false });
        };
        let store = |path: &Path| self.store_file(path, digest, entry.executable, entry.bytes);
        let in_place = if found.behind_link {
            store(self.private_copy(&found.path)?.path())?;
            false
        } else {
            store(&found.path)?;
            self.replace_by_object(&found.path, &self.object_path(&digest, entry.executable))?
        };
        Ok(Ingested { entry, in_place, is_new: true })
    }

    /// Whether `stat` is that of the stored plain file with this digest.
    fn is_object(&self, stat: &Stat, digest: &Digest) -> bool {
        let object = fs::symlink_metadata(self.object_path(digest, false));
        object.is_ok_and(|object| (object.dev(), object.ino()) == stat.identity())
    }

    /// Makes the file at `path` another name of `object`; says whether it is.
    fn replace_by_object(&self, path: &Path, object: &Path) -> Result<bool> {
        let (ours, stored) = (fs::symlink_metadata(path), fs::symlink_metadata(object));
        if same_file(&ours.map_err(CacheError::io(path))?, &stored.map_err(CacheError::io(object))?) {
            return Ok(true);
        }
        self.disk.remove_file(path).map_err(CacheError::io(path))?;
        self.link_or_copy(object, path).map(|()| true)
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
    fn settle(&self, target: &Path) -> Result<()> {
        self.settle_folders(target)?;
        self.disk.sync_way_to(target)
    }

    /// Stores the file at `path`, which is gone from there afterwards. It survives a power cut when the caller has called
    /// [`Cache::sync`], which it must do before it promises the file to anybody.
    pub(crate) fn move_in(&self, path: &Path, digest: Digest, executable: bool, bytes: u64) -> Result<()> {
        let object = self.object_path(&digest, executable);
        let link = fs::symlink_metadata(path).map_err(CacheError::io(path))?;
        if is_private(&link) {
            self.disk.ensure_parent(&object)?;
            self.set_mode(path, if executable { EXECUTABLE } else { PLAIN })?;
            let fills_gap = self.prepare_for_gap(path, &object)?;
            if self.disk.rename_unless_there(path, &object).is_ok() {
                return if fills_gap { self.close_gap(&object) } else { Ok(()) };
            }
        }
        self.store_file(path, digest, executable, bytes)?;
        self.disk.remove(path)
    }

    /// Stores the file at `path`, which becomes another name of the stored file if nothing else links to it.
    fn store_file(&self, path: &Path, digest: Digest, executable: bool, bytes: u64) -> Result<()> {
        let object = self.object_path(&digest, executable);
        if self.has_sound(&object, digest, executable, bytes)? {
            return Ok(());
        }
        self.disk.ensure_parent(&object)?;
        let link = fs::symlink_metadata(path).map_err(CacheError::io(path))?;
        let copy = if is_private(&link) { None } else { Some(self.private_copy(path)?) };
        let source = copy.as_ref().map_or(path, |copy| copy.path());
        self.set_mode(source, if executable { EXECUTABLE } else { PLAIN })?;
        let fills_gap = self.prepare_for_gap(source, &object)?;
        match self.disk.link(source, &object) {
            // Somebody else has stored the same content meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            other => other.map_err(CacheError::io(&object)),
        }?;
        if fills_gap { self.close_gap(&object) } else { Ok(()) }
    }

    /// Whether a stored file is there and is what its name says; what a power cut or a bad disk has spoilt goes to quarantine.
    fn has_sound(&self, object: &Path, digest: Digest, executable: bool, bytes: u64) -> Result<bool> {
        if !object.exists() || self.is_sound(object, digest, executable, bytes)? {
            return Ok(object.exists());
        }
        // One thread at a time: what another has put in its place meanwhile stays.
        static ALONE: Mutex<()> = Mutex::new(());
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is not there is about to be put there: to move away what then lies there would take it from that thread.
        if !object.exists() || self.is_sound(object, digest, executable, bytes)? {
            return Ok(object.exists());
        }
        self.quarantine(object)?;
        Ok(false)
    }

    /// Whether a stored file is what its name says. It is read: size alone does not tell.
    fn is_sound(&self, object: &Path, digest: Digest, executable: bool, bytes: u64) -> Result<bool> {
        let Ok(metadata) = fs::symlink_metadata(object) else { return Ok(false) };
        if metadata.len() != bytes || tree::hash_file(object, bytes).ok() != Some(digest) {
            return Ok(false);
        }
        let mode = if executable { EXECUTABLE } else { PLAIN };
        if metadata.mode() & 0o777 != mode {
            self.set_mode(object, mode)?;
        }
        Ok(true)
    }

    /// Whether a stored folder consists of the stored files, all of them.
    fn is_made_of_objects(&self, tree: &Tree, folder: &Path) -> bool {
        tree.entries.par_iter().all(|entry| {
            let path = folder.join(&entry.path);
            let Some(digest) = entry.digest else { return path.is_dir() };
            let (ours, stored) =
                (fs::symlink_metadata(path), fs::metadata(self.object_path(&digest, entry.executable)));
            matches!((ours, stored), (Ok(ours), Ok(stored)) if same_file(&ours, &stored))
        })
    }

    /// Makes sure that these files (`area/a/name`) survive a power cut, with the entries that lead to them.
    pub(crate) fn sync(&self, objects: &[PathBuf]) -> Result<()> {
        if objects.len() <= SYNCED_ONE_BY_ONE {
            let folders: HashSet<&Path> =
                objects.iter().flat_map(|object| object.ancestors().skip(1).take(2)).collect();
            let paths: Vec<&Path> = objects.iter().map(PathBuf::as_path).chain(folders).collect();
            return paths.par_iter().try_for_each(|path| self.disk.sync(path).map_err(CacheError::io(path)));
        }
        self.disk.sync_everything().map_err(CacheError::io(self.root()))
    }

    fn private_copy(&self, path: &Path) -> Result<tempfile::NamedTempFile> {
        let copy = self.disk.temporary()?;
        self.disk.copy(path, copy.path()).map_err(CacheError::io(path))?;
        Ok(copy)
    }

    /// Makes the folder of `tree` at `target` from stored objects.
    fn materialise(&self, tree: &Tree, target: &Path) -> Result<()> {
        let temporary =
            self.disk.temporary_folder_in(&self.root().join("tmp"), "").map_err(CacheError::io(self.root()))?;
        let folder = temporary.path().join("tree");
        self.disk.make_folder(&folder).map_err(CacheError::io(&folder))?;
        tree.entries.par_iter().try_for_each(|entry| self.materialise_entry(&folder, entry))?;
        self.move_into_place(&folder, target)
    }

    fn materialise_entry(&self, folder: &Path, entry: &TreeEntry) -> Result<()> {
        let path = folder.join(&entry.path);
        let Some(digest) = entry.digest else {
            return self.disk.make_folders(&path).map_err(CacheError::io(&path));
        };
        if let Some(parent) = path.parent() {
            self.disk.make_folders(parent).map_err(CacheError::io(parent))?;
        }
        self.link_or_copy(&self.object_path(&digest, entry.executable), &path)
    }

    /// Where an artifact lies, for reading.
    pub fn path_of(&self, artifact: &Artifact) -> PathBuf {
        match artifact.kind {
            ArtifactKind::Folder => self.tree_path(&artifact.digest),
            kind => self.object_path(&artifact.digest, kind == ArtifactKind::Executable),
        }
    }

    /// Whether an artifact is there, by existence and size of each of its files; nothing is read.
    pub fn presence(&self, artifact: &Artifact) -> Presence {
        if artifact.kind != ArtifactKind::Folder {
            let executable = artifact.kind == ArtifactKind::Executable;
            return self.glance.presence(&self.layout.object(&artifact.digest, executable), artifact.bytes);
        }
        let Ok(tree) = self.read_tree(&artifact.digest) else { return Presence::Missing };
        let folder = self.layout.tree(&artifact.digest);
        if !self.root().join(&folder).is_dir() {
            return Presence::Missing;
        }
        let entries = tree.entries.par_iter().filter(|entry| entry.digest.is_some());
        let worst = entries.map(|entry| self.glance.presence(&format!("{folder}/{}", entry.path), entry.bytes));
        worst.find_any(|presence| *presence != Presence::Present).unwrap_or(Presence::Present)
    }

    /// Moves every file of a stored artifact that was spoilt at `since` or later to quarantine; says whether there was one.
    /// Stored files are read-only, but their owner can make them writable, and the superuser need not. Only files whose time
    /// of modification allows it are read again.
    pub fn quarantine_if_spoilt_since(&self, artifact: &Artifact, since: SystemTime) -> Result<bool> {
        let suspicious_from = since.checked_sub(CLOCK_TICK).unwrap_or(since);
        let spoilt = |path: &PathBuf| {
            let metadata = fs::symlink_metadata(path).ok()?;
            let suspicious = metadata.modified().is_ok_and(|modified| modified >= suspicious_from);
            let sound = !suspicious || tree::hash_file(path, metadata.len()).ok() == digest_in_name(path);
            (!sound).then(|| path.clone())
        };
        let spoilt: Vec<PathBuf> = match artifact.kind {
            // Threads for one file cost a small stage more than all else here.
            ArtifactKind::File | ArtifactKind::Executable => spoilt(&self.path_of(artifact)).into_iter().collect(),
            ArtifactKind::Folder => self.objects_of_artifact(artifact).par_iter().filter_map(spoilt).collect(),
        };
        spoilt.iter().try_for_each(|path| self.quarantine(path))?;
        if !spoilt.is_empty() && artifact.kind == ArtifactKind::Folder {
            self.quarantine(&self.path_of(artifact))?;
        }
        Ok(!spoilt.is_empty())
    }

    /// Puts an artifact at `path` for reading: a file as another name of the stored one, which costs no new inode, a folder
    /// (and a file that can have no further name there) as a symbolic link into the store.
    pub fn link_into(&self, artifact: &Artifact, path: &Path) -> Result<()> {
        let stored = self.path_of(artifact);
        if artifact.kind != ArtifactKind::Folder && self.disk.link(&stored, path).is_ok() {
            return Ok(());
        }
        self.disk.link_symbolic(&stored, path).map_err(CacheError::io(path))
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

    /// Moves something out of the store's sight, for the user to look at. It does not come back in a power cut.
    pub(crate) fn quarantine(&self, path: &Path) -> Result<()> {
        self.open_gap(path)?;
        let name = path.strip_prefix(self.root()).unwrap_or(path).to_string_lossy().replace('/', "_");
        let folder = self.root().join("quarantine");
        let free = (0..).map(|number| folder.join(format!("{name}.{number}"))).find(|path| !path.exists());
        let target = free.expect("numbers do not end before free names do");
        match self.disk.rename(path, &target) {
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

    /// Gives a stored file another name. A file system has a limit of names for one file; beyond it `path` is a copy.
    pub(crate) fn link_or_copy(&self, object: &Path, path: &Path) -> Result<()> {
        match self.disk.link(object, path) {
            Err(error) if error.kind() == std::io::ErrorKind::TooManyLinks => {
                self.disk.copy(object, path).map_err(CacheError::io(path))?;
                self.set_mode(path, if object.extension().is_some() { EXECUTABLE } else { PLAIN })?;
                self.disk.sync_content(path).map_err(CacheError::io(path))
            }
            other => other.map_err(CacheError::io(path)),
        }
    }

    /// Makes a folder and those in it read-only, and brings their entries to disk.
    fn settle_folders(&self, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder).map_err(CacheError::io(folder))? {
            let entry = entry.map_err(CacheError::io(folder))?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.settle_folders(&entry.path())?;
            }
        }
        self.set_mode(folder, 0o555)?;
        self.disk.sync(folder).map_err(CacheError::io(folder))
    }

    fn set_mode(&self, path: &Path, mode: u32) -> Result<()> {
        self.disk.set_mode(path, mode).map_err(CacheError::io(path))
    }
}

/// The digest that the name of a stored file promises.
pub(crate) fn digest_in_name(path: &Path) -> Option<Digest> {
    path.file_stem()?.to_str()?.parse().ok()
}

/// Whether nobody else has a name for the file, so that nobody can change it once it is stored.
fn is_private(metadata: &fs::Metadata) -> bool {
    metadata.is_file() && metadata.nlink() == 1
}

fn same_file(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}
