//! Putting results where the user looks for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use athanor_cache::{Artifact, Cache, CacheError, OutputRecord};
use serde::{Deserialize, Serialize};

use crate::events::ResultAction;
use crate::plan::{InstanceId, Plan};
use crate::run::history::History;

/// Name of the note in the pipeline's history.
const NOTE: &str = "results.json";

/// What was last put where, by path relative to the project folder.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Published {
    artifacts: BTreeMap<String, Artifact>,
}

/// One result to be put in place.
struct Wanted {
    path: String,
    artifact: Artifact,
}

/// Puts every result in place whose instances are done. Returns what was done, by path relative to the project folder.
pub fn publish<'o>(
    plan: &Plan,
    cache: &Cache,
    history: &History,
    project: &Path,
    outputs: impl Fn(InstanceId) -> Option<&'o [OutputRecord]>,
) -> Result<Vec<(String, ResultAction)>, CacheError> {
    let refused = |source| CacheError::Io { path: PathBuf::from(NOTE), source };
    let _alone = history.lock_results().map_err(refused)?;
    let note = history.read_note(NOTE);
    let mut published: Published = note.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let mut actions = Vec::new();
    for wanted in wanted(plan, &outputs) {
        let last = published.artifacts.get(&wanted.path);
        let action = place(cache, &project.join(&wanted.path), &wanted.artifact, last)?;
        if action != ResultAction::KeptEdited {
            published.artifacts.insert(wanted.path.clone(), wanted.artifact);
        }
        actions.push((wanted.path, action));
    }
    if !actions.is_empty() {
        let bytes = serde_json::to_vec(&published).map_err(|error| refused(error.into()))?;
        history.write_note(NOTE, &bytes).map_err(refused)?;
        cache.flush_stat_index()?;
    }
    Ok(actions)
}

fn wanted<'o>(plan: &Plan, outputs: &impl Fn(InstanceId) -> Option<&'o [OutputRecord]>) -> Vec<Wanted> {
    let root = format!("results/{}", plan.name);
    let mut all = Vec::new();
    for entry in &plan.results {
        for (label, instance, output) in &entry.feeds {
            let name = &plan.instances[instance.index()].outputs[*output].name;
            let Some(record) =
                outputs(*instance).and_then(|records| records.iter().find(|record| record.name == *name))
            else {
                continue;
            };
            let path = match label {
                None => format!("{root}/{}", entry.path),
                Some(label) => {
                    format!("{root}/{}/{label}{}", entry.path.trim_end_matches('/'), extension(&record.file))
                }
            };
            all.push(Wanted { path, artifact: record.artifact.clone() });
        }
    }
    all
}

fn extension(file: &str) -> String {
    Path::new(file).extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default()
}

fn place(cache: &Cache, path: &Path, wanted: &Artifact, last: Option<&Artifact>) -> Result<ResultAction, CacheError> {
    if std::fs::symlink_metadata(path).is_err() {
        cache.copy_out(wanted, path)?;
        return Ok(ResultAction::Written);
    }
    let (current, _) = cache.artifact_of(path)?;
    // The executable bit is the user's to set.
    let same = |artifact: &Artifact| artifact.digest == current.digest;
    if same(wanted) {
        return Ok(ResultAction::Unchanged);
    }
    if last.is_some_and(same) {
        cache.copy_out(wanted, path)?;
        return Ok(ResultAction::Written);
    }
    if last == Some(wanted) {
        return Ok(ResultAction::KeptEdited);
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(".edited");
    std::fs::rename(path, &aside).map_err(|source| CacheError::Io { path: path.to_owned(), source })?;
    cache.copy_out(wanted, path)?;
    Ok(ResultAction::ReplacedEdited)
}
