//! The top level of the repository: which folders and files it has.

use std::path::Path;

use crate::files::{entries, read};

/// The rooms of the house.
pub(crate) const FOLDERS: [&str; 8] = ["benches", "cache", "docs", "fuzz", "pipelines", "src", "stages", "tests"];

/// The files beside them.
const FILES: [&str; 14] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "build.rs",
    "clippy.toml",
    "deny.toml",
    "justfile",
    "rust-toolchain.toml",
    "rustfmt.toml",
];

/// Entries of the top level that have no place there, but for hidden ones and those that `.gitignore` names.
pub(crate) fn problems(repository: &Path) -> Vec<String> {
    let gitignore = repository.join(".gitignore");
    let patterns = if gitignore.is_file() { read(&gitignore) } else { String::new() };
    let mut problems = Vec::new();
    for path in entries(repository) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || is_ignored(&patterns, &name) {
            continue;
        }
        if path.is_dir() && !FOLDERS.contains(&&*name) {
            problems
                .push(format!("{name}/: no room of the top level, which are {}. Put it into one.", FOLDERS.join(", ")));
        } else if path.is_file() && !FILES.contains(&&*name) {
            problems.push(format!(
                "{name}: no file of the top level. Put it into one of its rooms, or name it in `tests/layout/top_level.rs`."
            ));
        }
    }
    problems
}

/// Whether `.gitignore` leaves a name at the top level out: by `/name` or by `/*end`.
fn is_ignored(patterns: &str, name: &str) -> bool {
    patterns.lines().filter_map(|line| line.trim().strip_prefix('/')).any(|pattern| match pattern.strip_prefix('*') {
        Some(end) => name.ends_with(end),
        None => pattern.trim_end_matches('/') == name,
    })
}
