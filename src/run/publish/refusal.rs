//! Reasons why a result could not be put in place, and remedies.

use std::io;
use std::path::Path;

use athanor_cache::CacheError;
use nix::errno::Errno;

/// Reason, as a sentence, and remedy, where there is one.
pub(crate) fn explain(error: &CacheError, target: &Path) -> (String, Option<String>) {
    let (path, source) = match error {
        CacheError::Damaged { .. } => {
            return ("It is damaged in the cache.".to_owned(), Some("Run again to make it again.".to_owned()));
        }
        CacheError::Io { path, source } => (path.as_path(), source),
        other => return (other.to_string(), None),
    };
    let cause = match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOSPC) if has_no_inodes_left(path) => {
            "No further file fits onto its file system: there is space left, but no inodes.".to_owned()
        }
        Some(Errno::EEXIST | Errno::ENOTDIR) if obstacle(target).is_some() => {
            format!("`{}` is no folder.", obstacle(target).unwrap_or(target).display())
        }
        Some(Errno::ENOSPC) => "There is no space left on its file system.".to_owned(),
        _ => format!("`{}`: {source}.", path.display()),
    };
    (cause, help(source, target))
}

fn help(source: &io::Error, target: &Path) -> Option<String> {
    const ELSEWHERE: &str = "It is in the cache";
    let parent = target.parent().unwrap_or(target).display();
    Some(match Errno::from_raw(source.raw_os_error()?) {
        Errno::ENOSPC => format!("{ELSEWHERE}: remove files, or make space otherwise, and run again."),
        Errno::EDQUOT => format!("{ELSEWHERE}: make space within your quota and run again."),
        Errno::EROFS => format!("{ELSEWHERE}: mount the file system of `{parent}` writable and run again."),
        Errno::EACCES | Errno::EPERM => {
            format!("{ELSEWHERE}: make `{parent}` and what is to be replaced in it writable and run again.")
        }
        Errno::EEXIST | Errno::ENOTDIR | Errno::EISDIR | Errno::ENOTEMPTY | Errno::ELOOP | Errno::ENOENT => {
            format!("{ELSEWHERE}: move away what lies where `{parent}` is to be and run again.")
        }
        Errno::EBUSY => format!("{ELSEWHERE}: something is mounted in its place: unmount it and run again."),
        Errno::EXDEV => format!(
            "{ELSEWHERE}: its folder lies on another file system than what is in its place: move that away and run again."
        ),
        Errno::ENAMETOOLONG => "Give the result a shorter path.".to_owned(),
        _ => format!("{ELSEWHERE}: run again to put it in place."),
    })
}

/// Obstacle in the place of one of the folders that lead to `target`.
fn obstacle(target: &Path) -> Option<&Path> {
    target.ancestors().skip(1).find(|folder| folder.symlink_metadata().is_ok() && !folder.is_dir())
}

fn has_no_inodes_left(path: &Path) -> bool {
    let there = path.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok());
    // File systems without a fixed number of inodes say that they have none.
    there.is_some_and(|stat| stat.f_files > 0 && stat.f_favail == 0 && stat.f_bavail > 0)
}
