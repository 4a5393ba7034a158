//! Checkouts: the user's own copies of stored results, hashed while they are copied, and put in place atomically.
//!
//! A copy is staged in the cache if it can be renamed from there and then has the owner and permissions that it would
//! have in its place; else in a folder `.athanor-XXXXXX` beside its target, which [`Checkout::sweep`] removes should
//! the process be killed. Nothing here decides what may be replaced.

mod copy;
mod install;
mod lock;
mod swaps;

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use rayon::prelude::*;

use crate::fs::disk::TemporaryFolder;
use crate::fs::list;
use crate::store::damage;
use crate::store::objects::SYNCED_ONE_BY_ONE;
use crate::{Artifact, ArtifactKind, Cache, CacheError, Digest, Result, Tree};

pub use lock::ResultsLock;
pub use swaps::Swap;

/// Prefix of staging folders; outside of the cache with a dot before it.
const STAGING: &str = "athanor-";
/// Name of a small file that is being written beside its target.
const DRAFT: &str = ".athanor-draft";

/// A checkout in progress.
pub struct Checkout<'c> {
    cache: &'c Cache,
    cache_staging: Option<TemporaryFolder>,
    beside: HashMap<PathBuf, TemporaryFolder>,
    /// Whether copies for a folder can be staged in the cache, by folder.
    renames_from_cache: HashMap<PathBuf, bool>,
    shares_blocks: AtomicBool,
    /// Number of copies so far.
    number: usize,
    /// Copies that are not synced yet, each with its number of entries.
    unsynced: Vec<(PathBuf, usize)>,
    /// Folders with changed entries.
    touched: BTreeSet<PathBuf>,
}

/// A staged copy, to be put in place.
#[derive(Debug)]
pub struct Staged {
    copy: PathBuf,
    target: PathBuf,
    what: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Whole(Artifact),
    /// Some entries of an existing folder.
    Swaps {
        swaps: Vec<Swap>,
        new: Tree,
    },
}

impl Cache {
    /// Begins a checkout.
    pub fn checkout(&self) -> Checkout<'_> {
        Checkout {
            cache: self,
            cache_staging: None,
            beside: HashMap::new(),
            renames_from_cache: HashMap::new(),
            shares_blocks: AtomicBool::new(true),
            number: 0,
            unsynced: Vec::new(),
            touched: BTreeSet::new(),
        }
    }

    /// Creates a results folder and its parents durably.
    pub fn make_results_folder(&self, folder: &Path) -> Result<()> {
        self.disk.make_folders_durably(folder)
    }

    /// Whether there is a symbolic link anywhere below a folder: Athanor makes none there. A folder that cannot be read
    /// counts as one that has them.
    pub fn has_links_below(&self, folder: &Path) -> bool {
        let Ok(entries) = fs::read_dir(folder) else { return true };
        entries.into_iter().any(|entry| match entry.and_then(|entry| Ok((entry.file_type()?, entry))) {
            Ok((kind, entry)) => kind.is_symlink() || kind.is_dir() && self.has_links_below(&entry.path()),
            Err(_) => true,
        })
    }
}

impl Checkout<'_> {
    /// Stages a copy of an artifact for `target`. A damaged or missing stored file is [`CacheError::Damaged`]; it goes
    /// to quarantine, with the stored folder that it was to be copied from.
    pub fn stage(&mut self, artifact: &Artifact, target: &Path) -> Result<Staged> {
        let what = Content::Whole(artifact.clone());
        self.stage_content(what, target)
    }

    /// Stages copies of the stored files of `swaps`, which turn the folder at `target` into `new`. They are put in
    /// place file by file.
    pub fn stage_swaps(&mut self, swaps: Vec<Swap>, new: Tree, target: &Path) -> Result<Staged> {
        self.stage_content(Content::Swaps { swaps, new }, target)
    }

    fn stage_again(&mut self, staged: &Staged) -> Result<Staged> {
        self.stage_content(staged.what.clone(), &staged.target)
    }

    fn stage_content(&mut self, what: Content, target: &Path) -> Result<Staged> {
        let parent = parent_of(target);
        self.cache.disk.make_folders_durably(parent)?;
        self.number += 1;
        let copy = self.staging_folder_for(parent)?.join(self.number.to_string());
        let staged = Staged { copy, target: target.to_owned(), what };
        match self.make(&staged) {
            Ok(entries) => self.unsynced.push((staged.copy.clone(), entries)),
            Err(error) => {
                // It would occupy space that other results need.
                let _ = self.cache.disk.remove(&staged.copy);
                return Err(error);
            }
        }
        Ok(staged)
    }

    /// Copies the content; returns its number of entries.
    fn make(&self, Staged { copy, target, what }: &Staged) -> Result<usize> {
        match what {
            Content::Whole(artifact) if artifact.kind != ArtifactKind::Folder => {
                let executable = artifact.kind == ArtifactKind::Executable;
                self.copy_file(&self.cache.path_of(artifact), copy, target, artifact.digest, executable)?;
                Ok(1)
            }
            Content::Whole(artifact) => {
                let (tree, stored) = self.stored_tree(&artifact.digest)?;
                self.make_folders(copy, &tree)?;
                let files = tree.entries.par_iter().filter_map(|entry| Some((entry, entry.digest?)));
                let copied = files.map(|(entry, digest)| {
                    let (from, to) = (stored.join(&entry.path), copy.join(&entry.path));
                    self.copy_file(&from, &to, target, digest, entry.executable)
                });
                self.first_error(copied.collect(), &stored)?;
                Ok(tree.entries.len())
            }
            Content::Swaps { swaps, new } => {
                let stored = self.cache.tree_path(&new.artifact().digest);
                self.cache.disk.make_folder(copy).map_err(CacheError::io(target))?;
                let after = swaps.par_iter().enumerate();
                let files = after.filter_map(|(number, swap)| {
                    let after = swap.after.as_ref()?;
                    Some((number, after, after.digest?))
                });
                let copied = files.map(|(number, after, digest)| {
                    let to = copy.join(number.to_string());
                    self.copy_file(&stored.join(&after.path), &to, target, digest, after.executable)
                });
                self.first_error(copied.collect(), &stored)?;
                Ok(swaps.len())
            }
        }
    }

    fn stored_tree(&self, digest: &Digest) -> Result<(Tree, PathBuf)> {
        let stored = self.cache.tree_path(digest);
        match self.cache.read_tree(digest) {
            Ok(tree) if stored.is_dir() => Ok((tree, stored)),
            _ => {
                // A stored folder without its manifest is of no use.
                let manifest = self.cache.manifest_path(digest);
                for path in [&manifest, &stored] {
                    if fs::symlink_metadata(path).is_ok() {
                        self.cache.quarantine(path)?;
                    }
                }
                Err(CacheError::Damaged { path: stored, what: "it is gone, or its list of files is".to_owned() })
            }
        }
    }

    fn make_folders(&self, copy: &Path, tree: &Tree) -> Result<()> {
        let mut folders: BTreeSet<&str> = BTreeSet::new();
        for entry in &tree.entries {
            let itself = entry.digest.is_none().then_some(entry.path.as_str());
            for folder in itself.into_iter().chain(swaps::ancestors(&entry.path)) {
                if !folders.insert(folder) {
                    break;
                }
            }
        }
        self.cache.disk.make_folder(copy).map_err(CacheError::io(copy))?;
        // A folder sorts before what is in it.
        folders
            .iter()
            .map(|folder| copy.join(folder))
            .try_for_each(|folder| self.cache.disk.make_folder(&folder).map_err(CacheError::io(&folder)))
    }

    /// Copies one stored file and checks its digest.
    fn copy_file(&self, from: &Path, to: &Path, target: &Path, digest: Digest, executable: bool) -> Result<()> {
        let mode = if executable { 0o777 } else { 0o666 };
        let copied = self.cache.disk.copy_by(from, to, || copy::copy(from, to, mode, &self.shares_blocks));
        let what = match copied.map_err(CacheError::io(target))? {
            Ok(found) if found == digest => return Ok(()),
            Ok(_) => "its content is not what its name says".to_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(CacheError::io(from)(error));
            }
            Err(error) => format!("it cannot be read ({error})"),
        };
        let object = self.cache.object_path(&digest, executable);
        self.quarantine_if_damaged(&object, digest)?;
        Err(CacheError::Damaged { path: from.to_owned(), what })
    }

    /// Moves a stored file to quarantine if it is damaged.
    fn quarantine_if_damaged(&self, object: &Path, digest: Digest) -> Result<()> {
        let Ok(metadata) = fs::symlink_metadata(object) else { return Ok(()) };
        let sound = metadata.is_file() && damage::has_digest(object, metadata.len(), digest)?;
        if sound { Ok(()) } else { self.cache.quarantine(object) }
    }

    /// The first error, damage before others. A stored folder with a damaged file goes to quarantine.
    fn first_error(&self, copied: Vec<Result<()>>, stored: &Path) -> Result<()> {
        let mut errors: Vec<CacheError> = copied.into_iter().filter_map(Result::err).collect();
        if let Some(damage) = errors.iter().position(|error| matches!(error, CacheError::Damaged { .. })) {
            if fs::symlink_metadata(stored).is_ok() {
                self.cache.quarantine(stored)?;
            }
            return Err(errors.swap_remove(damage));
        }
        errors.into_iter().next().map_or(Ok(()), Err)
    }

    /// Syncs all staged copies to disk: a copy torn by a power cut would look like an edit by the user.
    pub fn sync(&mut self) -> Result<()> {
        let unsynced = std::mem::take(&mut self.unsynced);
        if unsynced.iter().map(|(_, entries)| entries).sum::<usize>() <= SYNCED_ONE_BY_ONE {
            return unsynced.iter().try_for_each(|(copy, _)| self.sync_copy(copy));
        }
        let folders: BTreeSet<&Path> = unsynced.iter().map(|(copy, _)| parent_of(copy)).collect();
        self.sync_file_systems(folders)
    }

    fn sync_copy(&self, copy: &Path) -> Result<()> {
        if copy.is_dir() {
            list::read_folder(copy)?.iter().try_for_each(|path| self.sync_copy(path))?;
        }
        self.cache.disk.sync(copy).map_err(CacheError::io(copy))
    }

    /// Syncs the folders with changed entries, so that a power cut undoes neither installed copies nor files moved
    /// aside.
    pub fn sync_folders(&mut self) -> Result<()> {
        let touched = std::mem::take(&mut self.touched);
        if touched.len() > SYNCED_ONE_BY_ONE {
            return self.sync_file_systems(touched.iter().map(PathBuf::as_path));
        }
        touched.iter().try_for_each(|folder| self.cache.disk.sync(folder).map_err(CacheError::io(folder)))
    }

    /// Removes staging folders beside results. To be called while the results folder's note still announces the
    /// checkout.
    pub fn clear(&mut self) {
        // A folder that cannot be removed is swept another time.
        self.beside.drain().for_each(|(_, folder)| drop(self.cache.disk.remove(folder.path())));
    }

    fn sync_file_systems<'p>(&self, folders: impl IntoIterator<Item = &'p Path>) -> Result<()> {
        let device = |folder: &Path| fs::metadata(folder).map(|metadata| metadata.dev()).ok();
        let by_device: HashMap<Option<u64>, &Path> =
            folders.into_iter().map(|folder| (device(folder), folder)).collect();
        by_device
            .values()
            .try_for_each(|folder| self.cache.disk.sync_file_system(folder).map_err(CacheError::io(folder)))
    }

    /// Writes a small file atomically, and syncs it to disk.
    pub fn write(&mut self, path: &Path, content: &[u8]) -> Result<()> {
        let parent = parent_of(path);
        let disk = &self.cache.disk;
        if let Some(in_cache) = self.cache_staging_for(parent) {
            self.number += 1;
            let draft = in_cache.join(self.number.to_string());
            self.write_draft(&draft, content)?;
            match disk.rename(&draft, path) {
                Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
                    self.renames_from_cache.insert(parent.to_owned(), false);
                }
                other => return other.map_err(CacheError::io(path)).and_then(|()| disk.sync_parent(path)),
            }
        }
        let draft = parent.join(DRAFT);
        disk.remove_file(&draft).or_else(crate::fs::fallback::absent_is_fine).map_err(CacheError::io(path))?;
        let written = self.write_draft(&draft, content);
        written.and_then(|()| disk.rename(&draft, path).map_err(CacheError::io(path))).inspect_err(|_| {
            let _ = disk.remove_file(&draft);
        })?;
        disk.sync_parent(path)
    }

    fn write_draft(&self, draft: &Path, content: &[u8]) -> Result<()> {
        let disk = &self.cache.disk;
        let file = disk.create_new(draft).map_err(CacheError::io(draft))?;
        let written = disk.append(&file, draft, content).and_then(|()| disk.sync_open(&file, draft));
        written.map_err(CacheError::io(draft))
    }

    /// Removes what killed checkouts have left in `folder`. No other process may be checking out to it.
    pub fn sweep(&self, folder: &Path) -> Result<()> {
        for path in list::read_folder(folder)? {
            if is_leftover(&path) {
                self.cache.disk.remove(&path)?;
            }
        }
        self.sweep_draft(folder)
    }

    /// Removes only the file that [`Checkout::write`] may have left in `folder`, without listing it.
    pub fn sweep_draft(&self, folder: &Path) -> Result<()> {
        let draft = folder.join(DRAFT);
        match fs::symlink_metadata(&draft) {
            Ok(metadata) if metadata.is_file() => self.cache.disk.remove(&draft),
            _ => Ok(()),
        }
    }

    /// Staging folder for copies in `parent`.
    fn staging_folder_for(&mut self, parent: &Path) -> Result<PathBuf> {
        if let Some(in_cache) = self.cache_staging_for(parent) {
            return Ok(in_cache);
        }
        if let Some(folder) = self.beside.get(parent) {
            return Ok(folder.path().to_owned());
        }
        let prefix = format!(".{STAGING}");
        let made = self.cache.disk.temporary_folder_in(parent, &prefix).map_err(CacheError::io(parent))?;
        let path = made.path().to_owned();
        self.beside.insert(parent.to_owned(), made);
        Ok(path)
    }

    /// Staging folder in the cache for copies in `parent`, if they can be staged there.
    fn cache_staging_for(&mut self, parent: &Path) -> Option<PathBuf> {
        if !self.can_rename_from_cache(parent) {
            return None;
        }
        // A read-only cache can be checked out from all the same.
        let in_cache = self.cache_staging_folder();
        if in_cache.is_err() {
            self.renames_from_cache.insert(parent.to_owned(), false);
        }
        in_cache.ok()
    }

    fn cache_staging_folder(&mut self) -> std::io::Result<PathBuf> {
        if let Some(folder) = &self.cache_staging {
            return Ok(folder.path().to_owned());
        }
        let made = self.cache.disk.temporary_folder_in(&self.cache.root().join("tmp"), STAGING)?;
        Ok(self.cache_staging.insert(made).path().to_owned())
    }

    fn is_in_cache(&self, copy: &Path) -> bool {
        self.cache_staging.as_ref().is_some_and(|in_cache| copy.starts_with(in_cache.path()))
    }

    fn can_rename_from_cache(&mut self, parent: &Path) -> bool {
        if let Some(known) = self.renames_from_cache.get(parent) {
            return *known;
        }
        let tmp = self.cache.root().join("tmp");
        let may = have_same_defaults(&tmp, parent).unwrap_or(false);
        self.renames_from_cache.insert(parent.to_owned(), may);
        may
    }
}

/// Whether a new file has the same owner and permissions in both folders, on the same file system as far as that can be
/// told without trying.
fn have_same_defaults(one: &Path, other: &Path) -> std::io::Result<bool> {
    const SET_GROUP: u32 = 0o2000;
    let traits = |folder: &Path| -> std::io::Result<_> {
        let metadata = fs::metadata(folder)?;
        let group = (metadata.mode() & SET_GROUP != 0).then(|| metadata.gid());
        Ok((metadata.dev(), group, default_permissions(folder)))
    };
    Ok(traits(one)? == traits(other)?)
}

/// Default access control list of a folder.
fn default_permissions(folder: &Path) -> Option<Vec<u8>> {
    let mut list = vec![0; 4 << 10];
    let length = rustix::fs::getxattr(folder, "system.posix_acl_default", list.as_mut_slice()).ok()?;
    list.truncate(length);
    Some(list)
}

/// Whether this is a staging folder: by its name, and by the names of its entries.
fn is_leftover(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let random = name.strip_prefix('.').and_then(|name| name.strip_prefix(STAGING)).unwrap_or_default();
    let is_folder = || fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    random.len() == 6
        && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && is_folder()
        && holds_only_copies(path)
}

fn holds_only_copies(folder: &Path) -> bool {
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_suffix(".old").unwrap_or(name);
        // The last two are those of earlier versions.
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) || matches!(name, "copy" | "replaced")
    };
    list::read_folder(folder).is_ok_and(|paths| paths.iter().all(is_ours))
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
