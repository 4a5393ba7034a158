//! Circles: files that import each other, over however many others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::arrows::{Arrows, arrows};
use crate::files::{crate_roots, shown};
use crate::modules::Tree;

/// Names of an arrow that a message shows at most.
const SHOWN_NAMES: usize = 5;

/// Every circle of every target of the workspace, with the names that tie it.
pub(crate) fn problems(repository: &Path) -> Vec<String> {
    let mut found = BTreeSet::new();
    for root in crate_roots(repository) {
        let arrows = arrows(&Tree::read(&root));
        for circle in circles(&arrows) {
            found.insert(message(&circle, &arrows, repository));
        }
    }
    found.into_iter().collect()
}

fn message(circle: &BTreeSet<PathBuf>, arrows: &Arrows, repository: &Path) -> String {
    let mut text = format!("{} files import each other:\n", circle.len());
    for from in circle {
        for (to, names) in arrows[from].iter().filter(|(to, _)| circle.contains(*to)) {
            let shown_names: Vec<_> = names.iter().take(SHOWN_NAMES).map(String::as_str).collect();
            let more = names.len().saturating_sub(SHOWN_NAMES);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let (from, to) = (shown(from, repository), shown(to, repository));
            text += &format!("  {from} -> {to}: {}{more}\n", shown_names.join(", "));
        }
    }
    text + "  Move what both sides need into a file that imports neither, or hand it in as a value or a trait."
}

/// The sets of two or more files from each of which every other one is reached.
fn circles(arrows: &Arrows) -> Vec<BTreeSet<PathBuf>> {
    let reached: BTreeMap<_, _> = arrows.keys().map(|file| (file, reached_from(file, arrows))).collect();
    let mut circles: Vec<BTreeSet<PathBuf>> = Vec::new();
    for (file, others) in &reached {
        if !others.contains(*file) || circles.iter().any(|circle| circle.contains(*file)) {
            continue;
        }
        let back = |other: &&PathBuf| reached.get(*other).is_some_and(|others| others.contains(*file));
        circles.push(others.iter().filter(back).cloned().collect());
    }
    circles
}

/// The files at the end of one arrow or more.
fn reached_from(file: &Path, arrows: &Arrows) -> BTreeSet<PathBuf> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&PathBuf> = arrows.get(file).into_iter().flat_map(BTreeMap::keys).collect();
    while let Some(file) = next.pop() {
        if reached.insert(file.clone()) {
            next.extend(arrows.get(file).into_iter().flat_map(BTreeMap::keys));
        }
    }
    reached
}
