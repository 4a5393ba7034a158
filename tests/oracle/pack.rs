//! The folder of the project that stages read: what is content of it, and what is not.

use std::collections::BTreeMap;

use super::made::{Entries, Made};
use super::pipeline::Project;

/// The folder.
pub(crate) const PACK: &str = "pack";

/// Files in it that are always there.
pub(crate) const CONTENT: [&str; 2] = ["pack/a.txt", "pack/sub/b.txt"];

/// Files in it that are no content, and come and go: two by their names, one by its folder's, one by the user's pattern.
pub(crate) const IGNORED: [&str; 4] = ["pack/.DS_Store", "pack/sub/._b.txt", "pack/__pycache__/m.pyc", "pack/x.skip"];

/// The file with the user's patterns, and what is in it.
pub(crate) const PATTERNS: (&str, &str) = (".athanorignore", "*.skip\n");

/// Content of `path` among the project's `files`: a file, or the folder without what is no content.
pub(crate) fn content(files: &BTreeMap<String, String>, path: &str) -> Option<Made> {
    if path != PACK {
        return files.get(path).map(|content| Made::File(content.clone().into_bytes()));
    }
    let entry = |path: &&str| {
        let below = path.strip_prefix("pack/")?;
        Some((below.to_owned(), files.get(*path).map(|content| content.clone().into_bytes())))
    };
    Some(Made::Folder(CONTENT.iter().filter_map(entry).collect::<Entries>()))
}

/// The files that a line reads where they lie if it reads `path` there.
pub(crate) fn read_in_place(path: &str) -> Vec<&str> {
    if path == PACK { CONTENT.to_vec() } else { vec![path] }
}

impl Project {
    /// Text that a line shows of its reads in place.
    pub(crate) fn shown_in_place(&self, path: &str) -> String {
        read_in_place(path).into_iter().map(|path| self.files[path].as_str()).collect()
    }
}
