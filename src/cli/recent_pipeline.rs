//! Choice of the pipeline that a command is about where none is named.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::cli::Exit;
use crate::cli::load::current_folder;
use crate::cli::pipeline_file::{OptionalPipelineFile, PipelineFile, PipelineOverrides};
use crate::escape::escape;
use crate::run::state::history::{History, RunId};
use crate::settings::Settings;

/// Pipeline files that an error names.
const MAX_CANDIDATES: usize = 10;
/// Bytes at the beginning of a file among which it says that it is a pipeline.
const HEAD: u64 = 64 << 10;

/// Pipeline of the project that has run.
struct Recent {
    is_running: bool,
    last_run: RunId,
    file: PathBuf,
    profiles: Vec<String>,
}

/// The pipeline that was named, or else the one of this project that runs or, if none does, ran last, which is said.
pub(super) fn choose(settings: &Settings, given: &OptionalPipelineFile) -> Result<PipelineFile, Exit> {
    let overrides = given.overrides.clone();
    if let Some(file) = &given.file {
        return Ok(PipelineFile { file: file.clone(), overrides, given: given.given.clone() });
    }
    let project = current_folder()?;
    let histories = History::all(&settings.cache.value).map_err(Exit::failed)?.unwrap_or_default();
    let recent = histories.iter().filter_map(|history| recent(history, &project));
    let has_profiles = |recent: &Recent| overrides.profile.is_empty() || recent.profiles == overrides.profile;
    // Runs of a cache are numbered.
    let Some(chosen) = recent
        .filter(has_profiles)
        .max_by(|one, other| (one.is_running, &one.last_run).cmp(&(other.is_running, &other.last_run)))
    else {
        return Err(none_ran(&project));
    };
    let file = chosen.file.strip_prefix(&project).unwrap_or(&chosen.file).to_owned();
    let under =
        if chosen.profiles.is_empty() { String::new() } else { format!(" with profile {}", chosen.profiles.join(",")) };
    let name = escape(&format!("{}{under}", file.display())).into_owned();
    let state = if chosen.is_running { "runs" } else { "ran last" };
    // A terminal that is gone needs no note.
    let _ = writeln!(std::io::stderr(), "note: the pipeline is `{name}`, which {state}; name another one to see that");
    let overrides = PipelineOverrides { profile: chosen.profiles, ..overrides };
    Ok(PipelineFile { file, overrides, given: None })
}

/// The pipeline of a history, if it is of `project`, is there still, and has run.
fn recent(history: &History, project: &Path) -> Option<Recent> {
    let identity = history.identity().filter(|identity| identity.project().as_deref() == Some(project))?;
    let file = identity.file().filter(|file| file.is_file())?;
    let last_run = history.last_run().ok()??;
    let is_running = history.is_running().unwrap_or(false);
    Some(Recent { is_running, last_run, file, profiles: identity.profiles() })
}

/// Error of a project none of whose pipelines has run.
fn none_ran(project: &Path) -> Exit {
    let candidates = pipelines_in(project);
    let shown: Vec<String> = candidates.iter().take(MAX_CANDIDATES).map(|name| format!("`{}`", escape(name))).collect();
    let more = candidates.len().saturating_sub(MAX_CANDIDATES);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let help = match shown.as_slice() {
        [] => "name the pipeline file".to_owned(),
        [one] => format!("name the pipeline file: {one} is in this folder"),
        several => format!("name the pipeline file: {}{more} are in this folder", several.join(", ")),
    };
    Exit::wrong(format!("error: no pipeline of this project runs or has run\n  help: {help}"))
}

/// Names of the pipeline files in a folder.
fn pipelines_in(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| {
            let path = entry.path();
            let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
            is_yaml && path.is_file() && is_pipeline(&path)
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Whether a file says which version of the language it is in.
fn is_pipeline(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    read.is_ok() && String::from_utf8_lossy(&head).lines().any(|line| line.starts_with("athanor:"))
}
