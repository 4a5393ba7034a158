//! Files of the project that a plan reads: whether they are there, and of the right sort.

use std::collections::BTreeSet;
use std::path::Path;

use athanor_stages::artifact::ArtifactType;

use crate::language::{Diagnostics, suggest};
use crate::plan::Source;

/// Reports every one of `sources` that is missing or of the wrong sort.
pub fn check_sources(sources: &[Source], project: &Path, problems: &mut Diagnostics) {
    for source in sources {
        if let Some((message, help)) = problem_of(source, project) {
            problems.at(source.span, message, help);
        }
    }
}

fn problem_of(source: &Source, project: &Path) -> Option<(String, Option<String>)> {
    let path = project.join(&source.path);
    let metadata = match std::fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(missing(source, &path)),
        Err(error) => return Some((format!("`{}` cannot be read: {error}", source.path), None)),
    };
    match source.artifact {
        ArtifactType::Table if metadata.is_dir() => {
            let help = "name one CSV file inside it".to_owned();
            Some((format!("`{}` is a folder, but a table is one CSV file", source.path), Some(help)))
        }
        ArtifactType::ImageSet | ArtifactType::PackedImages if !metadata.is_dir() => {
            let noun = source.artifact.noun();
            let help = "name the folder that the images are in".to_owned();
            Some((format!("`{}` is a file, but {noun}s are folders", source.path), Some(help)))
        }
        _ => None,
    }
}

fn missing(source: &Source, path: &Path) -> (String, Option<String>) {
    if let Some(stage) = source.suggestions.first() {
        let message = format!("unknown stage `{}`", source.path);
        return (message, Some(format!("did you mean `{stage}`? there is no file of that name either")));
    }
    let message = format!("`{}` does not exist", source.path);
    (message, similar(path).or_else(|| Some(location_hint(source, path))))
}

/// Hint about where the missing path was looked for, and how far it exists.
fn location_hint(source: &Source, path: &Path) -> String {
    let there = path.ancestors().skip(1).find(|parent| parent.exists());
    match there {
        Some(there) if Path::new(&source.path).is_absolute() => format!("`{}` is as far as it exists", there.display()),
        _ => "paths are relative to the folder the command is run in".to_owned(),
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
