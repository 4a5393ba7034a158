//! Capabilities of a cache's file system: tried out once per file system and boot of the machine, and noted in the file
//! `abilities`.
//!
//! That a cache needs leases is noted for good: two processes that do not agree on that would keep nothing from each other. A
//! cache that was moved to a better file system is told so by removing the file.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::Digest;
use crate::fs::fallback::{is_unsupported, remove_tree};
use crate::fs::file_lock::{are_missing, lock_byte};
use crate::fs::names;

/// The file's name in the cache's folder.
const NAME: &str = "abilities";
const HEAD: &str = "athanor abilities 1";
/// Maximum number of noted lines, one per file system and boot.
const NOTED: usize = 8;

/// Operations that a file system has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// Hard links.
    pub links: bool,
    /// Symbolic links.
    pub symbolic_links: bool,
    /// Permission bits.
    pub modes: bool,
    /// Locks on open files, and on bytes of them.
    pub locks: bool,
}

const ALL: Capabilities = Capabilities { links: true, symbolic_links: true, modes: true, locks: true };

impl Capabilities {
    /// Capabilities of the file system of the cache at `root`. In a read-only cache nothing is tried.
    pub(crate) fn of(root: &Path, may_try: bool) -> Capabilities {
        let noted = fs::read_to_string(root.join(NAME)).unwrap_or_default();
        let lines: Vec<&str> = noted.strip_prefix(HEAD).map(|lines| lines.lines().collect()).unwrap_or_default();
        let key = key(root);
        let known = lines.iter().rev().find_map(|line| decode(line.strip_prefix(&*key)?));
        let found = known.or_else(|| may_try.then(|| try_out(root).ok()).flatten());
        let mut capabilities = found.unwrap_or(ALL);
        let somewhere_without =
            lines.iter().filter_map(|line| decode(line.rsplit_once(' ')?.1)).any(|noted| !noted.locks);
        capabilities.locks &= !somewhere_without;
        if known.is_none() && found.is_some() {
            note(root, &lines, &key, capabilities);
        }
        capabilities
    }

    /// Notes that there are no locks: one was refused.
    pub(crate) fn note_without_locks(self, root: &Path) {
        let noted = fs::read_to_string(root.join(NAME)).unwrap_or_default();
        let lines: Vec<&str> = noted.strip_prefix(HEAD).map(|lines| lines.lines().collect()).unwrap_or_default();
        note(root, &lines, &key(root), Capabilities { locks: false, ..self });
    }

    /// Notice for the user about what the file system lacks; `None` if it lacks nothing.
    pub(crate) fn notice(self) -> Option<String> {
        let lacks = [
            (
                self.locks,
                "no locks: Athanor works with leases, and takes a minute to see that a run on another machine is gone",
            ),
            (self.links, "no hard links: files are copied, which takes more space"),
            (self.symbolic_links, "no symbolic links: folders are copied, which takes more space"),
            (self.modes, "no permission bits: stored files are not protected from being written to"),
        ];
        let lacks: Vec<&str> = lacks.iter().filter(|(is_there, _)| !is_there).map(|(_, text)| *text).collect();
        (!lacks.is_empty()).then(|| format!("The file system of the cache has {}.", lacks.join("; it has ")))
    }
}

/// Key of a noted line: file system and boot, with a space at the end.
fn key(root: &Path) -> String {
    let device = fs::metadata(root).map_or(0, |root| root.dev());
    let boot = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    format!("{device} {} ", Digest::of(boot.trim_ascii()).short())
}

fn note(root: &Path, lines: &[&str], key: &str, capabilities: Capabilities) {
    let others = lines.iter().filter(|line| !line.is_empty() && !line.starts_with(key));
    let mut kept: Vec<String> = others.map(|line| (*line).to_owned()).collect();
    kept.push(format!("{key}{}", encode(capabilities)));
    let start = kept.len().saturating_sub(NOTED);
    let text = format!("{HEAD}\n{}\n", kept[start..].join("\n"));
    let write = || -> io::Result<()> {
        let file = tempfile::Builder::new().prefix(names::TEMPORARY).tempfile_in(root.join("tmp"))?;
        fs::write(file.path(), text)?;
        fs::set_permissions(file.path(), Permissions::from_mode(0o644)).or_else(|error| unsupported_is_fine(&error))?;
        fs::rename(file.path(), root.join(NAME))
    };
    // Capabilities that are not noted are tried out again.
    let _ = write();
}

fn encode(capabilities: Capabilities) -> String {
    let Capabilities { links, symbolic_links, modes, locks } = capabilities;
    [(links, 'h'), (symbolic_links, 's'), (modes, 'm'), (locks, 'l')]
        .map(|(is_there, letter)| if is_there { letter } else { '-' })
        .iter()
        .collect()
}

fn decode(text: &str) -> Option<Capabilities> {
    let letters: Vec<char> = text.chars().collect();
    let [links, symbolic_links, modes, locks] = letters[..] else { return None };
    let is_there = |found: char, letter: char| match found {
        '-' => Some(false),
        found => (found == letter).then_some(true),
    };
    Some(Capabilities {
        links: is_there(links, 'h')?,
        symbolic_links: is_there(symbolic_links, 's')?,
        modes: is_there(modes, 'm')?,
        locks: is_there(locks, 'l')?,
    })
}

/// Tries everything out on temporary files. A refusal that says nothing about capabilities is an error.
fn try_out(root: &Path) -> io::Result<Capabilities> {
    let folder = tempfile::Builder::new().prefix(names::TEMPORARY).tempdir_in(root.join("tmp"))?.keep();
    let found = try_in(&folder);
    // Leftovers are swept by the next collection.
    let _ = remove_tree(&folder);
    found
}

fn try_in(folder: &Path) -> io::Result<Capabilities> {
    let path: PathBuf = folder.join("file");
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    let does = |outcome: io::Result<()>| match outcome {
        Err(error) if is_unsupported(&error) => Ok(false),
        other => other.map(|()| true),
    };
    let links = does(fs::hard_link(&path, folder.join("other")))?;
    let symbolic_links = does(symlink(&path, folder.join("link")))?;
    let modes = does(fs::set_permissions(&path, Permissions::from_mode(0o444)))?
        && fs::metadata(&path)?.permissions().mode() & 0o777 == 0o444;
    let locked = lock_byte(&file, 0).and_then(|()| file.lock());
    let locks = match locked {
        Err(error) if are_missing(&error) => false,
        other => other.map(|()| true)?,
    };
    Ok(Capabilities { links, symbolic_links, modes, locks })
}

fn unsupported_is_fine(error: &io::Error) -> io::Result<()> {
    if is_unsupported(error) { Ok(()) } else { Err(io::Error::from(error.kind())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_tried_is_noted_and_a_lack_of_locks_for_good() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("tmp")).unwrap();
        let noted = || fs::read_to_string(root.path().join(NAME)).unwrap_or_default();
        assert_eq!(Capabilities::of(root.path(), false), ALL);
        assert_eq!(noted(), "", "nothing is tried in a cache that cannot be changed");
        assert_eq!(Capabilities::of(root.path(), true), ALL);
        assert!(noted().ends_with(" hsml\n"), "{}", noted());
        assert_eq!(fs::read_dir(root.path().join("tmp")).unwrap().count(), 0);
        ALL.note_without_locks(root.path());
        assert!(!Capabilities::of(root.path(), true).locks);
        fs::write(root.path().join(NAME), format!("{HEAD}\n1 elsewhere hsm-\n")).unwrap();
        assert_eq!(Capabilities::of(root.path(), true), Capabilities { locks: false, ..ALL });
        fs::write(root.path().join(NAME), format!("{HEAD}\nnoise\n\n{} x\n", key(root.path()))).unwrap();
        assert_eq!(Capabilities::of(root.path(), true), ALL);
        assert_eq!(ALL.notice(), None);
        let none = decode("----").unwrap();
        assert!(
            none.notice().unwrap().starts_with("The file system of the cache has no locks: Athanor works with leases")
        );
        assert_eq!(encode(none), "----");
    }
}
