//! What an output holds, and how lines show it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A file, or a folder with everything in it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Made {
    File(Vec<u8>),
    Folder(Entries),
}

/// What is in a folder, by path; `None` for a folder with nothing in it.
pub(crate) type Entries = BTreeMap<String, Option<Vec<u8>>>;

impl Made {
    /// What a line shows of it: of a folder the names of everything in it, and then what the files hold.
    pub(crate) fn shown(&self) -> Vec<u8> {
        let entries = match self {
            Made::File(content) => return content.clone(),
            Made::Folder(entries) => entries,
        };
        let mut names: BTreeSet<String> = BTreeSet::from([".".to_owned()]);
        for path in entries.keys() {
            let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            names.extend(ends.map(|end| format!("./{}", &path[..end])));
        }
        let mut shown: Vec<u8> = names.into_iter().flat_map(|name| format!("{name}\n").into_bytes()).collect();
        shown.extend(entries.values().flatten().flatten());
        shown
    }

    /// What lies at `path`; `None` if nothing does.
    pub(crate) fn read(path: &Path) -> Option<Made> {
        if !path.is_dir() {
            return std::fs::read(path).ok().map(Made::File);
        }
        let mut entries = Entries::new();
        collect(path, "", &mut entries);
        Some(Made::Folder(entries))
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Made::File(content) => content,
            Made::Folder(_) => panic!("this is no file: {self:?}"),
        }
    }
}

fn collect(folder: &Path, prefix: &str, entries: &mut Entries) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if !entry.path().is_dir() {
            entries.insert(name, std::fs::read(entry.path()).ok());
            continue;
        }
        let before = entries.len();
        collect(&entry.path(), &format!("{name}/"), entries);
        if entries.len() == before {
            entries.insert(name, None);
        }
    }
}
