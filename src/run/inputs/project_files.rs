//! Files of the project that a plan reads: whether they are there, and of the right sort.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use athanor_stages::artifact::ArtifactType;
use indexmap::IndexMap;

use crate::language::{Diagnostics, suggest};
use crate::plan::Source;

/// Number of missing files of one folder that are named.
const NAMED: usize = 12;

/// Reports every one of `sources` that is missing or of the wrong sort; all that is missing from one folder at once.
pub fn check_sources(sources: &[Source], project: &Path, problems: &mut Diagnostics) {
    let mut missing: IndexMap<PathBuf, Vec<&Source>> = IndexMap::new();
    for source in sources {
        let path = project.join(&source.path);
        match problem_of(source, &path) {
            Some(Problem::Missing) if source.suggestions.is_empty() && similar(&path).is_none() => {
                missing.entry(folder_of(&path)).or_default().push(source);
            }
            Some(Problem::Missing) => {
                let (message, help) = missing_one(source, &path);
                problems.at(source.span, message, help);
            }
            Some(Problem::Other(message, help)) => problems.at(source.span, message, help),
            None => {}
        }
    }
    for (folder, sources) in &missing {
        let (message, help) = match sources[..] {
            [source] => missing_one(source, &project.join(&source.path)),
            _ => missing_all(folder, sources),
        };
        problems.at(sources[0].span, message, help);
    }
}

/// Problem of a source.
enum Problem {
    /// It is not there.
    Missing,
    /// Message and remedy.
    Other(String, Option<String>),
}

/// The folder that something is missing from: the missing one that is highest up, else the one that it should lie in.
fn folder_of(path: &Path) -> PathBuf {
    let missing = path.ancestors().take_while(|parent| !parent.exists()).last().unwrap_or(path);
    if missing == path { path.parent().unwrap_or(path).to_owned() } else { missing.to_owned() }
}

/// Message about several sources that are missing from `folder`.
fn missing_all(folder: &Path, sources: &[&Source]) -> (String, Option<String>) {
    let parents = || sources.iter().map(|source| Path::new(&source.path).parent().unwrap_or(Path::new("")));
    let common = parents().reduce(|common, other| {
        common.ancestors().find(|ancestor| other.starts_with(ancestor)).unwrap_or(Path::new(""))
    });
    let common = common.unwrap_or(Path::new(""));
    let name = |source: &&Source| {
        let below = Path::new(&source.path).strip_prefix(common).unwrap_or(Path::new(&source.path));
        format!("`{}`", below.display())
    };
    let names: BTreeSet<String> = sources.iter().map(name).collect();
    let more = names.len().saturating_sub(NAMED);
    let mut list = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 {
        list += &format!(" and {more} more");
    }
    let shown =
        if common == Path::new("") { "the project folder".to_owned() } else { format!("`{}`", common.display()) };
    let message = match folder.exists() {
        true => format!("{shown} lacks {} files and folders that the pipeline reads: {list}", names.len()),
        false => format!(
            "{shown} does not exist, where {} files and folders that the pipeline reads belong: {list}",
            names.len()
        ),
    };
    let help =
        "put them there, or set the variable that says where they are; `athanor check --no-files` checks all else";
    (message, Some(help.to_owned()))
}

fn problem_of(source: &Source, path: &Path) -> Option<Problem> {
    if source.path.contains('\0') {
        let help = "take it out of the text, or of the value that is put there".to_owned();
        return Some(Problem::Other("a path cannot hold a NUL character".to_owned(), Some(help)));
    }
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(Problem::Missing),
        Err(error) => return Some(Problem::Other(format!("`{}` cannot be read: {error}", source.path), None)),
    };
    match source.artifact {
        ArtifactType::Table if metadata.is_dir() => {
            let help = "name one CSV file inside it".to_owned();
            Some(Problem::Other(format!("`{}` is a folder, but a table is one CSV file", source.path), Some(help)))
        }
        ArtifactType::ImageSet | ArtifactType::PackedImages if !metadata.is_dir() => {
            let noun = source.artifact.noun();
            let help = "name the folder that the images are in".to_owned();
            Some(Problem::Other(format!("`{}` is a file, but {noun}s are folders", source.path), Some(help)))
        }
        _ => None,
    }
}

fn missing_one(source: &Source, path: &Path) -> (String, Option<String>) {
    if let Some(stage) = source.suggestions.first() {
        let message = format!("unknown stage `{}`", source.path);
        return (message, Some(format!("did you mean `{stage}`? there is no file of that name either")));
    }
    let message = format!("`{}` does not exist", source.path);
    if source.path.contains(['*', '?']) {
        let help =
            format!("a pattern is written `${{{{ files('{}') }}}}`, which lists the files that it fits", source.path);
        return (message, Some(help));
    }
    (message, similar(path).or_else(|| Some(location_hint(source, path))))
}

/// Hint about where the missing path was looked for, and how far it exists.
fn location_hint(source: &Source, path: &Path) -> String {
    let there = path.ancestors().skip(1).find(|parent| parent.exists());
    match there {
        Some(there) if Path::new(&source.path).is_absolute() => format!("`{}` is as far as it exists", there.display()),
        _ if source.path.starts_with("~/") => {
            "`~` is no folder here: write the full path of the home folder".to_owned()
        }
        _ => "paths are relative to the project folder".to_owned(),
    }
}

/// Suggestion of a file beside the missing one whose name is close.
fn similar(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let entries = std::fs::read_dir(path.parent()?).ok()?;
    let names: BTreeSet<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    let best = suggest::nearest(wanted, names.iter().map(String::as_str))?;
    Some(format!("did you mean `{best}` in the same folder?"))
}
