//! Advice on errors of the operating system: what the user can do about them.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};
use rustix::process::geteuid;

use crate::fs::names;

/// Describes an error of the operating system on `path`, with what to do about it.
pub fn explain(path: &Path, error: &io::Error) -> String {
    use io::ErrorKind as Kind;
    let full = || no_room_at(path);
    let advice = match error.kind() {
        Kind::StorageFull => format!(" {FREE}"),
        Kind::QuotaExceeded => format!(" What you may use of the disk is used up. {FREE}"),
        Kind::ReadOnlyFilesystem => format!(" {ELSEWHERE}"),
        Kind::PermissionDenied => {
            let advice = of_another_user(path).or_else(|| of_unreadable(path));
            advice.unwrap_or_else(|| format!(" {ELSEWHERE}"))
        }
        // Others have a cause of their own, whether or not the disk is full.
        Kind::NotFound | Kind::AlreadyExists | Kind::IsADirectory | Kind::NotADirectory | Kind::InvalidInput => {
            String::new()
        }
        _ => full().map_or_else(String::new, |lack| format!(" The file system has no {lack} left. {FREE}")),
    };
    format!("{error}.{advice}")
}

const FREE: &str = "Free some space, then run again: what is finished is kept.";
const ELSEWHERE: &str = "Make it writable, or put the cache elsewhere with `--cache DIR`.";

/// The resource that the file system at `path`, or where `path` would be, has run out of.
fn no_room_at(path: &Path) -> Option<&'static str> {
    let found = path.ancestors().find_map(|place| statvfs(place).ok())?;
    if found.blocks() > 0 && found.blocks_available() == 0 {
        return Some("space");
    }
    (found.files() > 0 && found.files_available() == 0).then_some("room for further files (inodes)")
}

/// Advice on a file or folder outside of every cache that is there and may not be read: it is the user's own, to be read by a stage.
fn of_unreadable(path: &Path) -> Option<String> {
    let found = fs::symlink_metadata(path).ok()?;
    let (needed, mode) = match found.is_dir() {
        true => (AccessFlags::R_OK | AccessFlags::X_OK, "u+rx"),
        false => (AccessFlags::R_OK, "u+r"),
    };
    if path.ancestors().any(is_cache) || access(path, needed).is_ok() {
        return None;
    }
    let path = shell_word(&path.display().to_string());
    if found.uid() == geteuid().as_raw() {
        return Some(format!(" Make it readable: `chmod {mode} {path}`."));
    }
    let owner = name_of("/etc/passwd", found.uid());
    Some(format!(" Make it readable, or let `{owner}` do so, to whom it belongs."))
}

/// Whether a folder is a cache.
fn is_cache(folder: &Path) -> bool {
    folder.join(names::FORMAT).is_file() && folder.join("objects").is_dir()
}

/// Advice on something in a cache that belongs to another user, or lies in a folder of another user.
fn of_another_user(path: &Path) -> Option<String> {
    let me = geteuid();
    let places = || path.ancestors().filter_map(|place| Some((place, fs::symlink_metadata(place).ok()?)));
    let (_, nearest) = places().next()?;
    let parent = || places().nth(1).map(|(_, parent)| parent.uid());
    let owner = [Some(nearest.uid()), parent()].into_iter().flatten().find(|owner| *owner != me.as_raw())?;
    let (root, cache) = places().find(|(place, _)| is_cache(place))?;
    if me.is_root() {
        return None;
    }
    let owner = name_of("/etc/passwd", owner);
    let is_in_mine =
        || root.parent().and_then(|folder| fs::metadata(folder).ok()).is_some_and(|folder| folder.uid() == me.as_raw());
    if owner == "root" && is_in_mine() {
        let root = shell_word(&root.display().to_string());
        return Some(format!(
            " It belongs to `root`, who has worked in your project. `sudo chown -R {}: {root}` gives it to you.",
            name_of("/etc/passwd", me.as_raw())
        ));
    }
    if cache.permissions().mode() & 0o020 == 0 && owner == name_of("/etc/passwd", cache.uid()) {
        return Some(format!(
            " It belongs to `{owner}`, who may share the cache with a team: {} Or use another cache with `--cache DIR`.",
            sharing_commands(root, "TEAM")
        ));
    }
    let team = name_of("/etc/group", cache.gid());
    let who = if owner == "root" { "root".to_owned() } else { format!("`{owner}`, or root,") };
    Some(format!(
        " It belongs to `{owner}`, who worked without sharing it. Let {who} run: {}",
        sharing_commands(root, &team)
    ))
}

/// Shell commands that let a team share a cache; stored files stay read-only.
fn sharing_commands(root: &Path, team: &str) -> String {
    let root = shell_word(&root.display().to_string());
    format!(
        "`chgrp -R {team} {root}; chmod -R g+rX {root}; find {root} -type d -exec chmod g+ws {{}} +; \
         find {root} -type f -perm -u+w -exec chmod g+w {{}} +`. Everybody who uses it sets `umask 002` before a run."
    )
}

fn shell_word(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+,:@".contains(letter);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Name of a user or group number in a list such as `/etc/passwd`, or else the number.
fn name_of(list: &str, number: u32) -> String {
    let list = fs::read_to_string(list).unwrap_or_default();
    let named = list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(number)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        let here = tempfile::tempdir().unwrap();
        let of = |errno| explain(here.path(), &io::Error::from_raw_os_error(errno));
        assert!(of(nix::libc::ENOSPC).ends_with(FREE));
        assert!(of(nix::libc::EDQUOT).contains("used up"));
        assert!(of(nix::libc::EROFS).ends_with(ELSEWHERE) && of(nix::libc::EACCES).ends_with(ELSEWHERE));
        assert!(of(nix::libc::ENOENT).ends_with("(os error 2)."));
        assert!(!of(nix::libc::ENOSPC).contains("gc"), "no advice that loses work");
    }

    #[test]
    fn an_input_that_may_not_be_read_is_to_be_made_readable() {
        let here = tempfile::tempdir().unwrap();
        let input = here.path().join("it.png");
        fs::write(&input, b"").unwrap();
        assert_eq!(of_unreadable(&input), None);
        fs::set_permissions(&input, fs::Permissions::from_mode(0o000)).unwrap();
        // The superuser may read everything.
        let advice = of_unreadable(&input);
        assert_eq!(advice.is_none(), geteuid().is_root());
        let told = explain(&input, &io::Error::from_raw_os_error(nix::libc::EACCES));
        assert_eq!(told.contains("Make it readable: `chmod u+r "), advice.is_some(), "{told}");
        fs::create_dir(here.path().join("objects")).unwrap();
        fs::write(here.path().join(names::FORMAT), b"3").unwrap();
        assert_eq!(of_unreadable(&input), None, "a file of a cache");
    }

    #[test]
    fn numbers_have_names_where_there_are_any() {
        assert_eq!(name_of("/etc/passwd", 0), "root");
        assert_eq!(name_of("/etc/group", 4_000_000_000), "4000000000");
        assert_eq!(name_of("/nowhere", 7), "7");
        assert_eq!(shell_word("/srv/it's"), r"'/srv/it'\''s'");
    }
}
