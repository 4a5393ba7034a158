//! Installation of staged copies, and moving aside of what is in their place.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::swaps::{Swap, ancestors};
use super::{Checkout, Content, Staged};
use crate::fs::list;
use crate::{CacheError, Result, Tree};

impl Checkout<'_> {
    /// Puts a copy in place of whatever is there: atomically where the file system can. To be called after
    /// [`Checkout::sync`].
    pub fn put(&mut self, staged: &Staged) -> Result<()> {
        let put = |checkout: &mut Self, staged: &Staged| match &staged.what {
            Content::Whole(_) => checkout.put_whole(&staged.copy, &staged.target),
            Content::Swaps { swaps, new } => checkout.put_swaps(swaps, new, staged),
        };
        match put(self, staged) {
            Err(error) if is_cross_device(&error) && self.is_in_cache(&staged.copy) => {
                self.renames_from_cache.insert(super::parent_of(&staged.target).to_owned(), false);
                let nearby = self.stage_again(staged)?;
                self.sync()?;
                put(self, &nearby)
            }
            other => other,
        }
    }

    fn put_whole(&mut self, copy: &Path, target: &Path) -> Result<()> {
        self.touched.insert(super::parent_of(target).to_owned());
        let disk = &self.cache.disk;
        let Ok(there) = fs::symlink_metadata(target) else { return self.move_to_free(copy, target) };
        if !there.is_dir() && !copy.is_dir() {
            return disk.rename(copy, target).map_err(CacheError::io(target));
        }
        match disk.exchange(copy, target) {
            Ok(()) => {
                // An old version that cannot be removed now goes with the folder that it lies in.
                let _ = disk.remove(copy);
                Ok(())
            }
            Err(error) if is_cross_device_io(&error) && self.is_in_cache(copy) => Err(CacheError::io(target)(error)),
            Err(error) if is_unsupported_flag(&error) || is_cross_device_io(&error) => {
                self.put_in_two_steps(copy, target)
            }
            Err(error) => Err(CacheError::io(target)(error)),
        }
    }

    /// Replaces `target` on file systems that cannot exchange names.
    fn put_in_two_steps(&self, copy: &Path, target: &Path) -> Result<()> {
        let old = copy.with_extension("old");
        self.move_away(target, &old)?;
        match self.cache.disk.rename(copy, target) {
            Ok(()) => {
                let _ = self.cache.disk.remove(&old);
                Ok(())
            }
            Err(error) => {
                self.move_away(&old, target)?;
                Err(CacheError::io(target)(error))
            }
        }
    }

    fn put_swaps(&mut self, swaps: &[Swap], new: &Tree, staged: &Staged) -> Result<()> {
        let disk = &self.cache.disk;
        let root = &staged.target;
        let mut touched = BTreeSet::new();
        for (number, swap) in swaps.iter().enumerate() {
            let Some(after) = &swap.after else { continue };
            let path = root.join(&after.path);
            let folder = if after.digest.is_some() { super::parent_of(&path) } else { &path };
            if !folder.is_dir() {
                disk.make_folders(folder).map_err(CacheError::io(&path))?;
                touched.extend(ancestors(&after.path).map(|folder| root.join(folder)));
            }
            if after.digest.is_some() {
                disk.rename(&staged.copy.join(number.to_string()), &path).map_err(CacheError::io(&path))?;
            }
            touched.insert(folder.to_owned());
        }
        for before in swaps.iter().filter(|swap| swap.after.is_none()).filter_map(|swap| swap.before.as_ref()) {
            let path = root.join(&before.path);
            if before.digest.is_some() {
                disk.remove_file(&path).or_else(crate::fs::fallback::absent_is_fine).map_err(CacheError::io(&path))?;
                touched.insert(super::parent_of(&path).to_owned());
            }
            let itself = before.digest.is_none().then_some(before.path.as_str());
            for folder in itself.into_iter().chain(ancestors(&before.path)) {
                if new.has_below(folder) || new.entry(folder).is_some() {
                    break;
                }
                let folder = root.join(folder);
                // A folder that is not empty yet, or holds files of the user, stays.
                if disk.remove_empty_folder(&folder).is_err() {
                    break;
                }
                touched.remove(&folder);
                touched.insert(super::parent_of(&folder).to_owned());
            }
        }
        self.touched.insert(root.clone());
        self.touched.extend(touched);
        Ok(())
    }

    /// Moves `path`, whatever it is, to the first of `names` that does not exist; links are not followed. Returns that
    /// name.
    pub fn set_aside(&mut self, path: &Path, names: impl Iterator<Item = PathBuf>) -> Result<PathBuf> {
        self.touched.insert(super::parent_of(path).to_owned());
        for name in names {
            match self.move_to_free(path, &name) {
                Err(CacheError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if is_cross_device(&error) && fs::symlink_metadata(&name).is_err() => {
                    self.move_away(path, &name)?;
                    return Ok(name);
                }
                other => return other.map(|()| name),
            }
        }
        Err(CacheError::io(path)(io::ErrorKind::AlreadyExists.into()))
    }

    fn move_to_free(&self, from: &Path, to: &Path) -> Result<()> {
        let moved = match self.cache.disk.rename_unless_there(from, to) {
            Err(error) if is_unsupported_flag(&error) => match fs::symlink_metadata(to) {
                Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
                Err(_) => self.cache.disk.rename(from, to),
            },
            other => other,
        };
        moved.map_err(CacheError::io(to))
    }

    /// Renames to a path that does not exist. On overlay file systems a folder of a lower layer cannot be renamed; its
    /// files can.
    fn move_away(&self, from: &Path, to: &Path) -> Result<()> {
        let disk = &self.cache.disk;
        match disk.rename(from, to) {
            Err(error) if is_cross_device_io(&error) && is_folder(from) => {}
            other => return other.map_err(CacheError::io(from)),
        }
        disk.make_folder(to).map_err(CacheError::io(to))?;
        for path in list::read_folder(from)? {
            let name = path.file_name().unwrap_or_default();
            self.move_away(&path, &to.join(name))?;
        }
        let mode = fs::metadata(from).map_err(CacheError::io(from))?.permissions().mode();
        disk.set_mode(to, mode & 0o7777).map_err(CacheError::io(to))?;
        disk.remove_empty_folder(from).map_err(CacheError::io(from))
    }
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

fn is_cross_device(error: &CacheError) -> bool {
    matches!(error, CacheError::Io { source, .. } if is_cross_device_io(source))
}

fn is_cross_device_io(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::CrossesDevices
}

/// Whether the file system lacks this flag of `renameat2`.
fn is_unsupported_flag(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let unknown = [Errno::EINVAL, Errno::ENOSYS, Errno::EOPNOTSUPP].map(|errno| errno as i32);
    error.raw_os_error().is_some_and(|code| unknown.contains(&code))
}
