//! Outputs as their stage leaves them: links among them, and permissions that would keep them from being stored.
//!
//! Only files below the folder that the stage runs in are its own. Content behind a link may be anybody's: it is copied.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use athanor_cache::{CacheError, copy_file, remove_tree};
use athanor_stages::ports::OutputPort;

use crate::run::access::linked;
use crate::run::executor::access_rules::{AccessRules, FileAccess};

/// Whether a folder on the way from `work` to `file` in it is a symbolic link.
pub(super) fn lies_behind_link(work: &Path, file: &str) -> bool {
    let parents = Path::new(file).ancestors().skip(1);
    parents.filter(|parent| !parent.as_os_str().is_empty()).any(|parent| work.join(parent).is_symlink())
}

/// Place to which `path` in the folder `work`, or a link in it, leads, and which `access` keeps closed to the stage: what reads it for
/// the stage is not kept from it by the kernel.
pub(super) fn closed_target(work: &Path, path: &Path, access: &AccessRules) -> Option<PathBuf> {
    let real = path.canonicalize().ok()?;
    let behind = if real.is_dir() { linked::targets(path, &[]) } else { Vec::new() };
    let is_open = |target: &PathBuf| {
        let leads_there = |rule: &Path| rule.canonicalize().is_ok_and(|real| target.starts_with(real));
        // Of each process, `/proc` tells something else: the run would find there what is its own.
        let is_of_process = target.starts_with("/proc")
            && target.iter().nth(2).and_then(|name| name.to_str()).is_some_and(|name| name.parse::<u32>().is_ok());
        if is_of_process {
            return false;
        }
        target.starts_with(work)
            || access.allow(target, FileAccess::Read)
            || access.all().any(|rule| leads_there(&rule.path))
    };
    std::iter::once(real).chain(behind).find(|target| !is_open(target))
}

/// Puts copies in the place of links from one output to another, as each of them is moved into the store by itself.
pub(super) fn separate(outputs: &[PathBuf]) -> Result<(), CacheError> {
    let real = |path: &Path| path.canonicalize().ok();
    let reals: Vec<Option<PathBuf>> = outputs.iter().map(|path| real(path)).collect();
    for (number, output) in outputs.iter().enumerate() {
        for link in links_in(output) {
            let Some(target) = real(&link) else { continue };
            let is_of = |other: &Option<PathBuf>| other.as_ref().is_some_and(|other| target.starts_with(other));
            let is_of_another = reals.iter().enumerate().any(|(other, path)| other != number && is_of(path));
            // A folder that holds the link itself would be copied into itself.
            let is_around = reals.iter().flatten().any(|path| path == &target) && link.starts_with(&target);
            if is_of_another && !is_around {
                replace(&link, &target).map_err(|source| CacheError::Io { path: link.clone(), source })?;
            }
        }
    }
    Ok(())
}

/// Symbolic links at and below `path`.
fn links_in(path: &Path) -> Vec<PathBuf> {
    let Ok(found) = fs::symlink_metadata(path) else { return Vec::new() };
    if found.is_symlink() {
        return vec![path.to_owned()];
    }
    if !found.is_dir() {
        return Vec::new();
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    // The type comes with the entry, so that files cost no call of their own.
    let of_interest = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink()));
    of_interest.flat_map(|entry| links_in(&entry.path())).collect()
}

/// Replaces a link by a copy of what it leads to.
fn replace(link: &Path, target: &Path) -> io::Result<()> {
    let mut beside = link.as_os_str().to_owned();
    beside.push(".athanor-copy");
    let copy = PathBuf::from(beside);
    copy_following(target, &copy)?;
    fs::remove_file(link)?;
    fs::rename(copy, link)
}

fn copy_following(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return copy_file(from, to);
    }
    remove_tree(to)?;
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_following(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Gives the owner back the rights to the folders from `work` to each of `outputs` in it, which a stage may have taken away: nothing can be moved out
/// of a read-only folder, and what lies in a closed one looks as if it was not there. Folders behind a link are not the stage's own.
pub(super) fn unlock_ways(work: &Path, outputs: &[OutputPort]) -> Result<(), CacheError> {
    for file in outputs.iter().flat_map(OutputPort::paths) {
        unlock_way(work, file).map_err(|source| CacheError::Io { path: work.join(file), source })?;
    }
    Ok(())
}

fn unlock_way(work: &Path, file: &str) -> io::Result<()> {
    let mut folder = work.to_owned();
    let parents = Path::new(file).parent().into_iter().flat_map(Path::components);
    for part in std::iter::once(None).chain(parents.map(Some)) {
        folder.extend(part);
        let Ok(found) = fs::symlink_metadata(&folder) else { return Ok(()) };
        if !found.is_dir() {
            return Ok(());
        }
        let mode = found.permissions().mode();
        if mode & 0o700 != 0o700 {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode | 0o700))?;
        }
    }
    Ok(())
}

/// Gives the owner back the rights to read files and to change folders at and below `path`, which a stage may have taken away;
/// returns whether any was missing.
pub(super) fn unlock(path: &Path) -> io::Result<bool> {
    let found = fs::symlink_metadata(path)?;
    if found.is_symlink() {
        return Ok(false);
    }
    let mode = found.permissions().mode();
    let needed = if found.is_dir() { 0o700 } else { 0o400 };
    let mut was_locked = mode & needed != needed;
    if was_locked {
        fs::set_permissions(path, fs::Permissions::from_mode(mode | needed))?;
    }
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            was_locked |= unlock(&entry?.path())?;
        }
    }
    Ok(was_locked)
}
