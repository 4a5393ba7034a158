//! Mounts of a container: what its stage may read and write, by the rules that others have for their sandbox.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::run::executor::access_rules::{AccessRules, FileAccess};

/// Number of mounts above which files of one folder are mounted by the folder: each takes the engine a while.
const MANY: usize = 200;
/// Number of files of one folder that are mounted each by itself in any case.
const FEW: usize = 8;

/// A file or folder that a container has at the same path, itself or for reading alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Its path.
    pub path: PathBuf,
    /// Whether it may be written to.
    pub is_writable: bool,
}

/// Mounts for `rules`, those above first. Paths that are not there are left out, and so are those that others cover.
pub(crate) fn mounts(rules: &AccessRules) -> Vec<Mount> {
    let mut all: BTreeMap<PathBuf, bool> = BTreeMap::new();
    for rule in rules.all().filter(|rule| rule.path.exists()) {
        *all.entry(rule.path.clone()).or_default() |= rule.access == FileAccess::Write;
    }
    if all.len() > MANY {
        all = by_folders(all);
    }
    // A path comes behind those above it.
    let mut mounts: Vec<Mount> = Vec::new();
    for (path, is_writable) in all {
        let above = mounts.iter().rev().find(|mount| path.starts_with(&mount.path));
        if above.is_none_or(|above| above.is_writable != is_writable) {
            mounts.push(Mount { path, is_writable });
        }
    }
    mounts
}

/// Puts the folders of many files in their place.
fn by_folders(all: BTreeMap<PathBuf, bool>) -> BTreeMap<PathBuf, bool> {
    let folder_of =
        |path: &Path, is_writable: bool| (!is_writable && path.is_file()).then(|| path.parent().map(Path::to_owned));
    let folders: Vec<Option<PathBuf>> =
        all.iter().map(|(path, is_writable)| folder_of(path, *is_writable).flatten()).collect();
    let mut counts: BTreeMap<&Path, usize> = BTreeMap::new();
    folders.iter().flatten().for_each(|folder| *counts.entry(folder).or_default() += 1);
    let mut merged = BTreeMap::new();
    for ((path, is_writable), folder) in all.into_iter().zip(&folders) {
        let folder = folder.as_deref().filter(|folder| counts.get(folder).is_some_and(|count| *count > FEW));
        *merged.entry(folder.map_or(path, Path::to_owned)).or_default() |= is_writable;
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::executor::access_rules::AccessRule;

    #[test]
    fn each_path_is_mounted_once_and_many_files_by_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["in/a", "in/b", "work/x", "many", "few"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        let file = |name: String| {
            std::fs::write(root.join(&name), "").unwrap();
            AccessRule::read(root.join(name))
        };
        let mut own = vec![
            AccessRule::read(root.join("in/a")),
            AccessRule::read(root.join("in")),
            AccessRule::write(root.join("work")),
            AccessRule::read(root.join("work/x")),
            AccessRule::write(root.join("in/b")),
            AccessRule::read(root.join("gone")),
        ];
        let found = |own: &[AccessRule]| {
            let mounts = mounts(&AccessRules { shared: [].into(), own: own.to_vec() });
            let shown = |mount: &Mount| {
                let path = mount.path.strip_prefix(root).unwrap().display().to_string();
                if mount.is_writable { format!("{path}!") } else { path }
            };
            mounts.iter().map(shown).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found(&own), "in in/b! work! work/x");
        own.extend((0..300).map(|number| file(format!("many/{number}"))));
        own.extend((0..2).map(|number| file(format!("few/{number}"))));
        assert_eq!(found(&own), "few/0 few/1 in in/b! many work! work/x");
    }
}
