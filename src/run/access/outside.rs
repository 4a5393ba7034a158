//! Parts of the file system that lie outside of closed folders.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Name.
    pub name: OsString,
    /// Whether it is a symbolic link.
    pub is_link: bool,
}

/// Entries of a folder on disk; none if it cannot be listed.
pub(super) fn list(folder: &Path) -> Vec<Entry> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_link = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_symlink());
    entries.map(|entry| Entry { is_link: is_link(&entry), name: entry.file_name() }).collect()
}

/// Paths that hold, together and with everything below them, all of `folder` but those `closed` folders that are it or lie in
/// it. Paths are absolute and free of links.
///
/// Symbolic links are left out: the places that they lead to are parts by their own names, or closed.
pub(super) fn parts(folder: &Path, closed: &[PathBuf], list: &dyn Fn(&Path) -> Vec<Entry>) -> Vec<PathBuf> {
    let mut parts = Vec::new();
    let inside: Vec<&Path> = closed.iter().map(PathBuf::as_path).filter(|path| path.starts_with(folder)).collect();
    add(folder, &inside, list, &mut parts);
    parts
}

fn add(folder: &Path, closed: &[&Path], list: &dyn Fn(&Path) -> Vec<Entry>, parts: &mut Vec<PathBuf>) {
    if closed.contains(&folder) {
        return;
    }
    if closed.is_empty() {
        parts.push(folder.to_owned());
        return;
    }
    for entry in list(folder).into_iter().filter(|entry| !entry.is_link) {
        let path = folder.join(&entry.name);
        let inside: Vec<&Path> = closed.iter().copied().filter(|closed| closed.starts_with(&path)).collect();
        add(&path, &inside, list, parts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A made-up file system: folders with their entries; a name with `@` before it is a link.
    fn tree(folder: &Path) -> Vec<Entry> {
        let names: &[&str] = match folder.to_str().unwrap() {
            "/" => &["home", "usr", "@lib", "tmp"],
            "/home" => &["ann", "bob"],
            "/home/ann" => &["notes.txt", "p", "@latest", "store", ".cache"],
            "/home/ann/store" => &["a", "results"],
            other => panic!("{other} need not be listed"),
        };
        let entry = |name: &&str| Entry { name: name.trim_start_matches('@').into(), is_link: name.starts_with('@') };
        names.iter().map(entry).collect()
    }

    fn open(folder: &str, closed: &[&str]) -> Vec<String> {
        let closed: Vec<PathBuf> = closed.iter().map(PathBuf::from).collect();
        parts(folder.as_ref(), &closed, &tree).iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn all_beside_the_way_to_closed_folders_is_open() {
        let expected = ["/home/ann/notes.txt", "/home/ann/store/a", "/home/ann/.cache", "/home/bob", "/usr", "/tmp"];
        assert_eq!(open("/", &["/home/ann/p", "/home/ann/store/results"]), expected);
    }

    #[test]
    fn a_folder_without_closed_ones_is_one_part_and_a_closed_one_none() {
        assert_eq!(open("/", &[]), ["/"]);
        assert_eq!(open("/usr", &["/home/ann/p"]), ["/usr"]);
        assert_eq!(open("/", &["/"]), [""; 0]);
        assert_eq!(open("/home/ann/p", &["/home/ann/p"]), [""; 0]);
        // One that lies inside a closed folder is asked for by name.
        assert_eq!(open("/home/ann/p/out", &["/home/ann/p"]), ["/home/ann/p/out"]);
        assert_eq!(open("/home/ann", &["/home/ann/p"]).len(), 3);
    }
}
