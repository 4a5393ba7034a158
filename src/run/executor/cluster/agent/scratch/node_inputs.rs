//! Copies of stored inputs on a node, which its agents share. Each has a lock: shared while attempts read it, exclusive while it
//! is made or removed. Those that were used longest ago go when the disk is full, or when all together exceed their limit.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use athanor_cache::{copy_file, remove_tree};

use super::contents::Contents;

/// Part of the disk that copies leave free, one in this number, …
const FREE_PART: u64 = 20;
/// … but no more than these bytes.
const MOST_FREE: u64 = 10 << 30;

/// Copies of stored inputs.
pub(super) struct NodeInputs {
    /// Folder that holds them.
    pub folder: PathBuf,
    /// Root of the cache that they are copied from.
    pub cache: PathBuf,
    /// Bytes that all copies take at most.
    pub limit: Option<u64>,
}

/// Copy of a stored input, which stays as long as this value.
pub(super) struct NodeInput {
    copy: InputCopy,
    contents: Contents,
    _lock: File,
}

impl NodeInputs {
    /// The copy of what is stored at `stored`; `None` if it is no part of the cache, or if there is no room for it: then it is
    /// read where it lies.
    pub(super) fn take(&self, stored: &Path) -> io::Result<Option<NodeInput>> {
        let Ok(within) = stored.strip_prefix(&self.cache) else { return Ok(None) };
        let name = within.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("-");
        let copy = InputCopy { path: self.folder.join(name) };
        loop {
            let lock = File::create(copy.beside("lock"))?;
            lock.lock_shared()?;
            if let Some(contents) = copy.sound() {
                // A time that cannot be set makes it go earlier, no more.
                let _ = File::open(copy.beside("list")).and_then(|list| list.set_modified(SystemTime::now()));
                return Ok(Some(NodeInput { copy, contents, _lock: lock }));
            }
            lock.unlock()?;
            lock.lock()?;
            if copy.sound().is_none() && !self.copy(stored, &copy)? {
                return Ok(None);
            }
            // Another agent may take the lock before this one has it shared, and remove the copy.
        }
    }

    /// Copies what is stored; false if there is no room.
    fn copy(&self, stored: &Path, copy: &InputCopy) -> io::Result<bool> {
        copy.remove()?;
        if !self.make_room(Contents::size(stored)?)? {
            return Ok(false);
        }
        let unfinished = copy.beside("new");
        remove_tree(&unfinished)?;
        match copy_tree(stored, &unfinished) {
            Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                remove_tree(&unfinished)?;
                return Ok(false);
            }
            copied => copied?,
        }
        fs::rename(&unfinished, &copy.path)?;
        Contents::of(&copy.path)?.write(&copy.beside("list"))?;
        Ok(true)
    }

    /// Removes copies that nobody reads until `bytes` more fit; false if they do not.
    fn make_room(&self, bytes: u64) -> io::Result<bool> {
        let has_disk = || -> io::Result<bool> {
            let disk = rustix::fs::statvfs(&self.folder)?;
            let kept = (disk.f_blocks / FREE_PART).saturating_mul(disk.f_frsize).min(MOST_FREE);
            Ok(disk.f_bavail.saturating_mul(disk.f_frsize).saturating_sub(kept) >= bytes)
        };
        // Nothing else is worth removing for what is too large by itself.
        let room = self.limit.map_or(Some(u64::MAX), |limit| limit.checked_sub(bytes));
        let Some(room) = room else { return Ok(false) };
        let mut used = if self.limit.is_some() { self.used() } else { 0 };
        let mut oldest: Option<Vec<(SystemTime, String)>> = None;
        while used > room || !has_disk()? {
            let list = oldest.get_or_insert_with(|| self.by_use());
            let Some((_, name)) = list.pop() else { return Ok(false) };
            let copy = InputCopy { path: self.folder.join(name) };
            // One that is read, or cannot be removed, stays.
            let is_free = |lock: &File| lock.try_lock().is_ok();
            if let Some(_lock) = File::create(copy.beside("lock")).ok().filter(is_free) {
                let size = copy.bytes();
                if copy.remove().is_ok() {
                    used = used.saturating_sub(size);
                }
            }
        }
        Ok(true)
    }

    /// Bytes of all copies.
    fn used(&self) -> u64 {
        self.by_use().into_iter().map(|(_, name)| InputCopy { path: self.folder.join(name) }.bytes()).sum()
    }

    /// Names of the copies, the one that was used longest ago last.
    fn by_use(&self) -> Vec<(SystemTime, String)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let of_list = |entry: fs::DirEntry| {
            let name = entry.file_name().to_str()?.strip_suffix(".list")?.to_owned();
            Some((entry.metadata().ok()?.modified().ok()?, name))
        };
        let mut list: Vec<_> = entries.filter_map(of_list).collect();
        list.sort_by(|one, other| other.cmp(one));
        list
    }
}

impl NodeInput {
    /// Path of the copy.
    pub(super) fn path(&self) -> &Path {
        &self.copy.path
    }

    /// Whether an attempt has changed it; then nobody takes it any more. Files that were added to it are removed.
    pub(super) fn is_spoilt(&self) -> bool {
        let copy = self.path();
        let is_sound = Contents::of(copy).is_ok_and(|now| self.contents.is_within(&now, copy));
        if !is_sound {
            // Without its list it is no copy any more.
            let _ = remove_tree(&self.copy.beside("list"));
        }
        !is_sound
    }
}

/// Copy of an input on this node.
struct InputCopy {
    path: PathBuf,
}

impl InputCopy {
    fn beside(&self, extension: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{extension}"));
        name.into()
    }

    /// Contents of the copy, if there is one that nobody has changed.
    fn sound(&self) -> Option<Contents> {
        let noted = Contents::read(&self.beside("list"))?;
        let now = Contents::of(&self.path).ok()?;
        noted.is_within(&now, &self.path).then_some(noted)
    }

    /// Bytes of the copy, as they were noted.
    fn bytes(&self) -> u64 {
        Contents::read(&self.beside("list")).map_or(0, |contents| contents.bytes())
    }

    fn remove(&self) -> io::Result<()> {
        remove_tree(&self.beside("list"))?;
        remove_tree(&self.path)
    }
}

/// Copies a stored file or folder, with its permissions: nobody may write to it.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(from)?.file_type();
    if kind.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    if !kind.is_dir() {
        return copy_file(from, to);
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_tree(&entry.path(), &to.join(entry.file_name()))?;
    }
    fs::set_permissions(to, fs::metadata(from)?.permissions())
}
