//! Names of a command's inputs: files keep theirs, and gathered ones lie in folders that say which is which.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;

use athanor_cache::Digest;

use super::model::AxisLabel;

/// Longest label, in bytes; a longer one is cut and ends in a hash. File systems take 255.
const LONGEST: usize = 200;
/// Hexadecimal digits of that hash.
const HASH: usize = 16;

/// Artifact of an input, as far as it has a say in the path at which a command finds it.
pub(super) struct Item {
    /// Path of the project's file or of the producer's output.
    pub path: String,
    /// Gathered axes of the producer and their labels, in order.
    pub axes: Vec<AxisLabel>,
    /// Whether it is files that belong together, of which `path` is the first. They lie in a folder of their own.
    pub is_group: bool,
}

impl Item {
    /// The path of the item itself, whose file is at `path`: of a group the folder.
    fn place<'p>(&self, path: &'p str) -> &'p str {
        match path.rsplit_once('/') {
            Some((folder, _)) if self.is_group => folder,
            _ => path,
        }
    }
}

/// Paths of the artifacts of the input `port` in the stage's folder, by their order; `list` if it is a list. That of files which
/// belong together is the path of the first.
///
/// No two are alike, and none lies inside another, or among files that belong together.
pub(super) fn paths(port: &str, list: bool, items: &[Item]) -> Vec<String> {
    if !list {
        return items.iter().map(|item| format!("inputs/{port}/{}", name(&item.path))).collect();
    }
    let are_apart = |paths: &Vec<String>| are_apart(items.iter().zip(paths).map(|(item, path)| item.place(path)));
    let told = told_apart(items).filter(are_apart);
    let numbered = || items.iter().enumerate().map(|(number, item)| format!("{number}/{}", name(&item.path))).collect();
    let paths: Vec<String> = told.unwrap_or_else(numbered);
    paths.into_iter().map(|path| format!("inputs/{port}/{path}")).collect()
}

/// Gathered axes of a list, in order, and for each artifact its labels on these; an empty label where it has none.
pub(super) fn table(items: &[Item]) -> (Vec<String>, Vec<Vec<String>>) {
    let mut axes: Vec<String> = Vec::new();
    for AxisLabel { axis, .. } in items.iter().flat_map(|item| &item.axes) {
        if !axes.contains(axis) {
            axes.push(axis.clone());
        }
    }
    let label = |item: &Item, axis: &String| {
        item.axes.iter().find(|own| own.axis == *axis).map(|own| own.label.clone()).unwrap_or_default()
    };
    let cells = items.iter().map(|item| axes.iter().map(|axis| label(item, axis)).collect()).collect();
    (axes, cells)
}

/// File name of an artifact; one for folders whose path ends in none.
fn name(path: &str) -> &str {
    match path.trim_end_matches('/').rsplit('/').next().unwrap_or_default() {
        "." => "project",
        "" | ".." => "folder",
        name => name,
    }
}

/// Paths by label, or by the shortest parents that tell files without one apart; `None` if these do not.
fn told_apart(items: &[Item]) -> Option<Vec<String>> {
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut paths = vec![String::new(); items.len()];
    for (number, item) in items.iter().enumerate() {
        if item.axes.is_empty() && item.is_group {
            paths[number] = format!("{number}/{}", name(&item.path));
        } else if item.axes.is_empty() {
            by_name.entry(name(&item.path)).or_default().push(number);
        } else {
            paths[number] = format!("{}/{}", label(&item.axes), name(&item.path));
        }
    }
    for (name, numbers) in by_name {
        if let [only] = numbers.as_slice() {
            paths[*only] = name.to_owned();
            continue;
        }
        let parts: Vec<Vec<&str>> = numbers
            .iter()
            .map(|number| items[*number].path.split('/').filter(|part| !part.is_empty()).collect())
            .collect();
        let deepest = parts.iter().map(Vec::len).min().unwrap_or_default();
        let tails =
            (2..=deepest).map(|depth| parts.iter().map(|parts| &parts[parts.len() - depth..]).collect::<Vec<_>>());
        let mut distinct = tails.filter(|tails| tails.iter().collect::<HashSet<_>>().len() == tails.len());
        let tails =
            distinct.next().filter(|tails| !tails.iter().any(|tail| tail.contains(&"..") || tail.contains(&".")))?;
        for (number, tail) in numbers.iter().zip(tails) {
            paths[*number] = tail.join("/");
        }
    }
    Some(paths)
}

/// Whether no path is another's or lies inside another.
fn are_apart<'p>(paths: impl ExactSizeIterator<Item = &'p str> + Clone) -> bool {
    let known: BTreeSet<&str> = paths.clone().collect();
    let inside = |path: &str| path.match_indices('/').any(|(at, _)| known.contains(&path[..at]));
    known.len() == paths.len() && !paths.clone().any(inside)
}

/// Folder of a gathered artifact: `axis=label`, with commas between.
fn label(axes: &[AxisLabel]) -> String {
    let whole: Vec<String> = axes.iter().map(|AxisLabel { axis, label }| format!("{axis}={label}")).collect();
    let whole = whole.join(",");
    let encoded = encoded(&whole);
    if encoded.len() <= LONGEST {
        return encoded;
    }
    let hash = Digest::of(whole.as_bytes()).to_string();
    let mut end = LONGEST - HASH - 1;
    // No escape is cut in two; all of it is ASCII.
    if let Some(escape) = encoded[end - 2..end].find('%') {
        end = end - 2 + escape;
    }
    format!("{}-{}", &encoded[..end], &hash[..HASH])
}

/// `text` with all but a few plain characters percent-encoded.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"._=,+-".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(path: &str, axes: &[(&str, &str)]) -> Item {
        let owned = |(axis, label): &(&str, &str)| AxisLabel { axis: (*axis).to_owned(), label: (*label).to_owned() };
        let axes = axes.iter().map(owned).collect();
        Item { path: path.to_owned(), axes, is_group: false }
    }

    fn group(path: &str, axes: &[(&str, &str)]) -> Item {
        Item { is_group: true, ..item(path, axes) }
    }

    fn files(list: &[&str]) -> Vec<String> {
        let items: Vec<Item> = list.iter().map(|path| item(path, &[])).collect();
        paths("p", true, &items)
    }

    #[test]
    fn single_inputs_keep_their_names() {
        let one = |path: &str| paths("p", false, &[item(path, &[("fold", "1")])]).remove(0);
        assert_eq!(one("data/a b.tar.gz"), "inputs/p/a b.tar.gz");
        assert_eq!(one("/abs/x"), "inputs/p/x");
        assert_eq!(one("data/"), "inputs/p/data");
        assert_eq!([one("."), one(".."), one("/")], ["inputs/p/project", "inputs/p/folder", "inputs/p/folder"]);
    }

    #[test]
    fn gathered_inputs_lie_under_their_labels() {
        let items =
            [item("m.npy", &[("model", "x"), ("fold", "0")]), item("m.npy", &[("model", "a/b c"), ("fold", "0")])];
        assert_eq!(
            paths("p", true, &items),
            ["inputs/p/model=x,fold=0/m.npy", "inputs/p/model=a%2Fb%20c,fold=0/m.npy"]
        );
        assert_eq!(
            table(&items),
            (
                vec!["model".into(), "fold".into()],
                vec![vec!["x".into(), "0".into()], vec!["a/b c".into(), "0".into()],]
            )
        );
    }

    #[test]
    fn long_labels_are_cut_and_stay_apart() {
        let long = |end: &str| paths("p", true, &[item("m", &[("a", &format!("{}{end}", "é".repeat(300)))])]).remove(0);
        let (one, other) = (long("1"), long("2"));
        assert_ne!(one, other);
        let label = one.split('/').nth(2).unwrap();
        assert!(label.len() <= LONGEST && label.len() > LONGEST - 3, "{label}");
        let (escapes, hash) = label.rsplit_once('-').unwrap();
        assert!(escapes.ends_with("%A9") || escapes.ends_with("%C3"), "{label}");
        assert_eq!(hash.len(), HASH);
    }

    #[test]
    fn files_of_one_name_are_told_apart_by_their_folders() {
        assert_eq!(files(&["a/x.csv", "b/y.csv"]), ["inputs/p/x.csv", "inputs/p/y.csv"]);
        assert_eq!(files(&["a/x.csv", "b/x.csv", "y"]), ["inputs/p/a/x.csv", "inputs/p/b/x.csv", "inputs/p/y"]);
        assert_eq!(files(&["1/a/x", "2/a/x"]), ["inputs/p/1/a/x", "inputs/p/2/a/x"]);
        // Nothing tells these apart but their order.
        assert_eq!(files(&["x", "x"]), ["inputs/p/0/x", "inputs/p/1/x"]);
        assert_eq!(files(&["x", "a/x"]), ["inputs/p/0/x", "inputs/p/1/x"]);
        assert_eq!(files(&["../x", "a/x"]), ["inputs/p/0/x", "inputs/p/1/x"]);
        assert_eq!(files(&["d/a", "a/x", "b/x"]), ["inputs/p/0/a", "inputs/p/1/x", "inputs/p/2/x"]);
        let twice = [item("m", &[("fold", "0")]), item("m", &[("fold", "0")])];
        assert_eq!(paths("p", true, &twice), ["inputs/p/0/m", "inputs/p/1/m"]);
    }

    #[test]
    fn files_that_belong_together_have_a_folder_of_their_own() {
        assert_eq!(paths("p", false, &[group("x.bam", &[("s", "A")])]), ["inputs/p/x.bam"]);
        let gathered = [group("x.bam", &[("s", "A")]), group("x.bam", &[("s", "B")])];
        assert_eq!(paths("p", true, &gathered), ["inputs/p/s=A/x.bam", "inputs/p/s=B/x.bam"]);
        let listed = [group("x.bam", &[]), item("y.csv", &[]), group("z.bam", &[])];
        assert_eq!(paths("p", true, &listed), ["inputs/p/0/x.bam", "inputs/p/y.csv", "inputs/p/2/z.bam"]);
        // Of two stages with one label: the second file of one may be called as the first of the other.
        let alike = [group("x.bam", &[("s", "A")]), group("y.bam", &[("s", "A")])];
        assert_eq!(paths("p", true, &alike), ["inputs/p/0/x.bam", "inputs/p/1/y.bam"]);
        let among = [group("x.bam", &[("s", "A")]), item("y.csv", &[("s", "A")])];
        assert_eq!(paths("p", true, &among), ["inputs/p/0/x.bam", "inputs/p/1/y.csv"]);
    }

    proptest! {
        #[test]
        fn no_two_are_alike(
            items in prop::collection::vec(
                ("[ab./]{1,5}", prop::collection::btree_map("[ab]", "[ab/%=,]{0,3}", 0..3), any::<bool>()),
                0..6,
            ),
        ) {
            let items: Vec<Item> = items
                .into_iter()
                .map(|(path, axes, is_group)| Item { path, axes: axes.into_iter().map(|(axis, label)| AxisLabel { axis, label }).collect(), is_group })
                .collect();
            let paths = paths("p", true, &items);
            prop_assert!(are_apart(items.iter().zip(&paths).map(|(item, path)| item.place(path))));
            for path in &paths {
                prop_assert!(path.starts_with("inputs/p/") && !path.split('/').any(|part| matches!(part, "" | "." | "..")), "{}", path);
            }
        }
    }
}
