//! Targets of symbolic links in a folder that a stage reads: they are content of the folder, and lie anywhere.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The places outside of `folder` that links in it lead to, followed through. The folders `closed` are not looked into.
pub(crate) fn targets(folder: &Path, closed: &[PathBuf]) -> Vec<PathBuf> {
    let Ok(folder) = folder.canonicalize() else { return Vec::new() };
    let mut found: Vec<PathBuf> = Vec::new();
    let mut seen = HashSet::from([folder.clone()]);
    let mut open = vec![folder.clone()];
    while let Some(next) = open.pop() {
        if closed.contains(&next) {
            continue;
        }
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_symlink()
                && let Ok(target) = entry.path().canonicalize()
                && !target.starts_with(&folder)
                && seen.insert(target.clone())
            {
                if target.is_dir() {
                    open.push(target.clone());
                }
                found.push(target);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_through_also_in_circles() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["in/below", "in/closed", "raw", "more"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::fs::write(root.join("in/a"), "").unwrap();
        std::fs::write(root.join("b"), "").unwrap();
        symlink("a", root.join("in/same")).unwrap();
        symlink("../../raw", root.join("in/below/raw")).unwrap();
        symlink("../more", root.join("raw/more")).unwrap();
        symlink("../in", root.join("more/back")).unwrap();
        symlink("../b", root.join("more/b")).unwrap();
        symlink("nowhere", root.join("in/dangling")).unwrap();
        symlink("..", root.join("in/closed/all")).unwrap();
        let mut found = targets(&root.join("in"), &[root.join("in/closed")]);
        found.sort();
        assert_eq!(found, ["b", "more", "raw"].map(|name| root.join(name)));
    }
}
