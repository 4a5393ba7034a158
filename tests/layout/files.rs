//! The Rust files of the workspace, and the roots of its crates.

use std::path::{Path, PathBuf};

/// Folders whose files are not ours: built, fetched or taken over from elsewhere.
const FOREIGN: [&str; 3] = ["target", "vendor", "shared"];

/// Every Rust file below a folder, in order.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(folder, &mut |path| {
        if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path.to_path_buf());
        }
    });
    found
}

/// The root file of every target of every crate: libraries, programs, tests, examples, benchmarks, fuzz targets.
pub(crate) fn crate_roots(repository: &Path) -> Vec<PathBuf> {
    let mut manifests = Vec::new();
    walk(repository, &mut |path| {
        if path.ends_with("Cargo.toml") {
            manifests.push(path.to_path_buf());
        }
    });
    let crates = manifests.iter().filter_map(|manifest| manifest.parent());
    crates.flat_map(roots_of_crate).collect()
}

fn roots_of_crate(folder: &Path) -> Vec<PathBuf> {
    let mut roots = Vec::new();
    roots.extend(["src/lib.rs", "src/main.rs"].map(|name| folder.join(name)).into_iter().filter(|path| path.is_file()));
    for targets in ["src/bin", "tests", "examples", "benches", "fuzz_targets"] {
        for path in entries(&folder.join(targets)) {
            let main = path.join("main.rs");
            if path.extension().is_some_and(|extension| extension == "rs") {
                roots.push(path);
            } else if main.is_file() {
                roots.push(main);
            }
        }
    }
    roots
}

/// A path as it is shown: below the repository.
pub(crate) fn shown(path: &Path, repository: &Path) -> String {
    path.strip_prefix(repository).unwrap_or(path).display().to_string()
}

/// The text of a source file.
pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The syntax tree of a source file.
pub(crate) fn parse(path: &Path) -> syn::File {
    syn::parse_file(&read(path)).unwrap_or_else(|error| {
        let at = error.span().start();
        panic!("{}:{}:{}: not Rust as this check reads it: {error}", path.display(), at.line, at.column + 1)
    })
}

/// Entries of a folder, in order; none of a folder that is not there.
pub(crate) fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Calls `visit` with every file below a folder, except hidden and foreign ones.
fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    for path in entries(folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || FOREIGN.contains(&&*name) || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            walk(&path, visit);
        } else {
            visit(&path);
        }
    }
}
