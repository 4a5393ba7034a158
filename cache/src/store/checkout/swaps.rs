//! Swaps: changes of a results folder, file by file.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::tree::{Change, diff};
use crate::{Digest, Tree, TreeEntry};

/// Replacement of one entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swap {
    /// The old entry; `None` if there was none.
    pub before: Option<TreeEntry>,
    /// The new entry; `None` if it is only removed.
    pub after: Option<TreeEntry>,
}

impl Swap {
    /// Path inside the folder.
    pub fn path(&self) -> &str {
        self.before.as_ref().or(self.after.as_ref()).map_or("", |entry| &entry.path)
    }
}

impl Tree {
    /// Swaps that turn this folder into `new`; `None` if a file takes the place of a folder, or the other way round,
    /// which no single rename does.
    pub fn swaps(&self, new: &Tree) -> Option<Vec<Swap>> {
        let swaps = diff(self, new).into_iter().map(|change| match change {
            Change::Added(path) => Swap { before: None, after: new.entry(&path).cloned() },
            Change::Removed(path) => Swap { before: self.entry(&path).cloned(), after: None },
            Change::Modified(path) => Swap { before: self.entry(&path).cloned(), after: new.entry(&path).cloned() },
        });
        let swaps: Vec<Swap> = swaps.collect();
        swaps.iter().all(|swap| self.has_room_for(swap)).then_some(swaps)
    }

    fn has_room_for(&self, swap: &Swap) -> bool {
        let Some(after) = &swap.after else { return true };
        let is_file = after.digest.is_some();
        let file_on_the_way =
            ancestors(&after.path).any(|path| self.entry(path).is_some_and(|entry| entry.digest.is_some()));
        let changes_kind = swap.before.as_ref().is_some_and(|before| before.digest.is_some() != is_file);
        !(file_on_the_way || changes_kind || is_file && self.has_below(&after.path))
    }

    /// Entry with this path.
    pub fn entry(&self, path: &str) -> Option<&TreeEntry> {
        let found = self.entries.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok()?;
        self.entries.get(found)
    }

    /// Whether there is any entry below this path.
    pub fn has_below(&self, path: &str) -> bool {
        let prefix = format!("{path}/");
        let from = self.entries.partition_point(|entry| entry.path.as_str() < prefix.as_str());
        self.entries.get(from).is_some_and(|entry| entry.path.starts_with(&prefix))
    }

    /// Digest of the folder without executable bits: the user may set them, and some file systems have none, or all.
    pub fn digest_without_modes(&self) -> Digest {
        self.without_modes().artifact().digest
    }

    /// Whether this is a folder with some of `swaps` carried out and others not, where all of them result in one whose
    /// [`Tree::digest_without_modes`] is `bare`.
    pub fn is_between(&self, swaps: &[Swap], bare: &Digest) -> bool {
        let mut by_path: HashMap<&str, Option<&Swap>> = HashMap::new();
        for swap in swaps {
            by_path.insert(swap.path(), Some(swap));
            // A folder may be empty in between.
            for folder in ancestors(swap.path()) {
                by_path.entry(folder).or_default();
            }
        }
        let is_of =
            |entry: &TreeEntry, side: &Option<TreeEntry>| side.as_ref().is_some_and(|side| side.digest == entry.digest);
        let is_swapped = |entry: &&TreeEntry| match by_path.get(entry.path.as_str()) {
            Some(Some(swap)) => is_of(entry, &swap.before) || is_of(entry, &swap.after) || entry.digest.is_none(),
            Some(None) => entry.digest.is_none(),
            None => false,
        };
        let others = self.entries.iter().filter(|entry| !is_swapped(entry));
        let after = swaps.iter().filter_map(|swap| swap.after.as_ref());
        Tree::new(others.chain(after).cloned().collect()).digest_without_modes() == *bare
    }
}

/// Parent folders of a path, innermost first.
pub(super) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(folder, _)| folder)).skip(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(entries: &[(&str, &str)]) -> Tree {
        let entry = |(path, content): &(&str, &str)| TreeEntry {
            path: (*path).to_owned(),
            digest: (!content.is_empty()).then(|| Digest::of(content.as_bytes())),
            bytes: content.len() as u64,
            executable: content.ends_with('!'),
        };
        Tree::new(entries.iter().map(entry).collect())
    }

    #[test]
    fn a_folder_in_the_middle_of_its_swaps_is_known_and_nothing_else_is() {
        let old = tree(&[("a", "1"), ("b", "2"), ("c/d", "3"), ("e", ""), ("same", "s")]);
        let new = tree(&[("a", "1!"), ("c", ""), ("e/f", "4"), ("g/h", "5!"), ("same", "s")]);
        let swaps = old.swaps(&new).unwrap();
        let between = |tree: &Tree| tree.is_between(&swaps, &new.digest_without_modes());
        assert!(between(&old) && between(&new));
        assert!(between(&tree(&[("a", "1!"), ("b", "2"), ("c", ""), ("e/f", "4"), ("g", ""), ("same", "s")])));
        assert!(!between(&tree(&[("a", "mine"), ("same", "s")])));
        assert!(!between(&tree(&[("a", "1"), ("same", "mine")])));
        assert!(!between(&tree(&[("a", "1"), ("same", "s"), ("also mine", "x")])));
        assert!(!between(&tree(&[("a", "1"), ("same", "s"), ("my folder", "")])));
    }

    #[test]
    fn a_file_in_the_place_of_a_folder_is_no_swap() {
        let cases = [
            (&[("a", "1")][..], &[("a/b", "1")][..]),
            (&[("a/b", "1")], &[("a", "1")]),
            (&[("a", "")], &[("a", "1")]),
            (&[("a", "1")], &[("a", "")]),
        ];
        for (old, new) in cases {
            assert_eq!(tree(old).swaps(&tree(new)), None, "{old:?} {new:?}");
        }
        assert_eq!(tree(&[("a/b", "1"), ("a.c", "2")]).swaps(&tree(&[("a/b", "1")])).unwrap().len(), 1);
    }
}
