//! Documents name files that are there.

use std::path::{Path, PathBuf};

use crate::files::{entries, read, shown};
use crate::top_level::FOLDERS;

/// Paths that a document of the repository names, in backquotes or as the end of a link, and that are not there.
pub(crate) fn problems(repository: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    for document in documents(repository) {
        let folder = document.parent().unwrap_or(repository);
        for (index, line) in read(&document).lines().enumerate() {
            let place = format!("{}:{}", shown(&document, repository), index + 1);
            for path in between(line, "`", "`").into_iter().filter(|path| is_path(path) && !is_there(repository, path))
            {
                problems.push(format!("{place}: there is no `{path}`. Name the file as it is called now."));
            }
            for link in between(line, "](", ")").into_iter().filter(|link| !link.contains(':')) {
                let path = link.split('#').next().unwrap_or_default();
                if !folder.join(path).exists() {
                    problems
                        .push(format!("{place}: the link leads to `{path}`, which is not there. Mend or remove it."));
                }
            }
        }
    }
    problems
}

/// Documents that are kept as the tree is.
pub(crate) fn documents(repository: &Path) -> Vec<PathBuf> {
    let folders = ["", "docs", "docs/ports"].map(|folder| entries(&repository.join(folder)));
    let changes = repository.join("CHANGELOG.md");
    // The files of earlier changes may be gone by now.
    folders
        .into_iter()
        .flatten()
        .filter(|path| path.extension().is_some_and(|extension| extension == "md") && *path != changes)
        .collect()
}

/// The texts between two marks.
fn between<'t>(line: &'t str, before: &str, after: &str) -> Vec<&'t str> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some((_, begun)) = rest.split_once(before) {
        let Some((text, next)) = begun.split_once(after) else { break };
        found.push(text);
        rest = next;
    }
    found
}

/// Whether a text is a path below one of the rooms of the top level, and not a pattern of paths.
fn is_path(text: &str) -> bool {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "/._-".contains(character);
    let room = text.split_once('/').map(|(room, _)| room);
    room.is_some_and(|room| FOLDERS.contains(&room)) && text.chars().all(is_plain)
}

/// Whether a path, or the module of that path, is there.
fn is_there(repository: &Path, path: &str) -> bool {
    repository.join(path).exists() || repository.join(format!("{path}.rs")).exists()
}
