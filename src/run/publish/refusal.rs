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
    (cause, help(source, path, target))
}

/// Remedy for an error about `path`, on the way of a result to `target`.
fn help(source: &io::Error, path: &Path, target: &Path) -> Option<String> {
    const ELSEWHERE: &str = "It is in the cache";
    let parent = target.parent().unwrap_or(target).display();
    Some(match Errno::from_raw(source.raw_os_error()?) {
        Errno::ENOSPC => format!("{ELSEWHERE}: remove files, or make space otherwise, and run again."),
        Errno::EDQUOT => format!("{ELSEWHERE}: make space within your quota and run again."),
        Errno::EROFS => format!("{ELSEWHERE}: mount the file system of `{parent}` writable and run again."),
        Errno::EACCES | Errno::EPERM => {
            format!("{ELSEWHERE}: make `{parent}` and what is to be replaced in it writable and run again.")
        }
        Errno::EEXIST | Errno::ENOTDIR | Errno::EISDIR | Errno::ENOTEMPTY | Errno::ELOOP => {
            let is_there = |path: &&Path| path.symlink_metadata().is_ok();
            match obstacle(target).or(Some(path).filter(is_there)) {
                Some(obstacle) => format!("{ELSEWHERE}: move `{}` away and run again.", obstacle.display()),
                None => format!("{ELSEWHERE}: move away what lies where `{parent}` is to be and run again."),
            }
        }
        // Folders are made on the way: this one takes none.
        Errno::ENOENT => {
            let there = target.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
            let there = there.display();
            format!(
                "{ELSEWHERE}: no folder could be made in `{there}`. Put results elsewhere (`--results DIR`, of `restore` `--to DIR`), or run again."
            )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_own_remedy() {
        let refusals = [
            Errno::ENOSPC,
            Errno::EDQUOT,
            Errno::EROFS,
            Errno::EACCES,
            Errno::EISDIR,
            Errno::ENOENT,
            Errno::EBUSY,
            Errno::EXDEV,
            Errno::ENAMETOOLONG,
            Errno::EIO,
        ];
        let told = refusals.map(|refusal| {
            let source = io::Error::from_raw_os_error(refusal as i32);
            let error = CacheError::Io { path: "/no/such/p/r.csv".into(), source };
            let (cause, help) = explain(&error, Path::new("/no/such/p/r.csv"));
            format!("{refusal:?}: {cause}\n  help: {}", help.as_deref().unwrap_or("-"))
        });
        insta::assert_snapshot!(told.join("\n"), @r"
        ENOSPC: There is no space left on its file system.
          help: It is in the cache: remove files, or make space otherwise, and run again.
        EDQUOT: `/no/such/p/r.csv`: Disk quota exceeded (os error 122).
          help: It is in the cache: make space within your quota and run again.
        EROFS: `/no/such/p/r.csv`: Read-only file system (os error 30).
          help: It is in the cache: mount the file system of `/no/such/p` writable and run again.
        EACCES: `/no/such/p/r.csv`: Permission denied (os error 13).
          help: It is in the cache: make `/no/such/p` and what is to be replaced in it writable and run again.
        EISDIR: `/no/such/p/r.csv`: Is a directory (os error 21).
          help: It is in the cache: move away what lies where `/no/such/p` is to be and run again.
        ENOENT: `/no/such/p/r.csv`: No such file or directory (os error 2).
          help: It is in the cache: no folder could be made in `/`. Put results elsewhere (`--results DIR`, of `restore` `--to DIR`), or run again.
        EBUSY: `/no/such/p/r.csv`: Device or resource busy (os error 16).
          help: It is in the cache: something is mounted in its place: unmount it and run again.
        EXDEV: `/no/such/p/r.csv`: Invalid cross-device link (os error 18).
          help: It is in the cache: its folder lies on another file system than what is in its place: move that away and run again.
        ENAMETOOLONG: `/no/such/p/r.csv`: File name too long (os error 36).
          help: Give the result a shorter path.
        EIO: `/no/such/p/r.csv`: Input/output error (os error 5).
          help: It is in the cache: run again to put it in place.
        ");
    }
}
