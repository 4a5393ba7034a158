//! Putting results where the user looks for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use athanor_cache::{Artifact, Cache, CacheError, OutputRecord};
use serde::{Deserialize, Serialize};

use crate::events::ResultAction;
use crate::plan::{InstanceId, Plan};
use crate::run::history::History;

/// What was last put where, by path relative to the project folder.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Note {
    artifacts: BTreeMap<String, Artifact>,
}

/// What was done with one result.
pub struct Published {
    /// Relative to the project folder.
    pub path: String,
    /// What was done.
    pub action: ResultAction,
    /// Where the user's edited one is now, if it had to give way.
    pub aside: Option<String>,
}

/// One result to be put in place.
struct Wanted {
    path: String,
    artifact: Artifact,
}

/// Puts every result in place whose instances are done. Returns what was done.
pub fn publish<'o>(
    plan: &Plan,
    cache: &Cache,
    history: &History,
    project: &Path,
    outputs: impl Fn(InstanceId) -> Option<&'o [OutputRecord]>,
) -> Result<Vec<Published>, CacheError> {
    let root = root(plan);
    let refused = |source| CacheError::Io { path: PathBuf::from(&root), source };
    if plan.results.is_empty() {
        return Ok(Vec::new());
    }
    let note = history.results_note(project, &root);
    let _alone = note.lock().map_err(refused)?;
    let known = note.read();
    let mut published: Note = known.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let mut actions = Vec::new();
    let mut changed = false;
    for wanted in wanted(plan, &outputs) {
        let last = published.artifacts.get(&wanted.path);
        let (action, aside) = place(cache, project, &wanted, last)?;
        if action != ResultAction::KeptEdited && last != Some(&wanted.artifact) {
            published.artifacts.insert(wanted.path.clone(), wanted.artifact);
            changed = true;
        }
        actions.push(Published { path: wanted.path, action, aside });
    }
    if changed {
        let bytes = serde_json::to_vec(&published).map_err(|error| refused(error.into()))?;
        note.write(&bytes).map_err(refused)?;
    }
    cache.flush_stat_index()?;
    Ok(actions)
}

/// The pipeline's folder of results, relative to the project folder.
fn root(plan: &Plan) -> String {
    format!("results/{}", plan.name)
}

fn wanted<'o>(plan: &Plan, outputs: &impl Fn(InstanceId) -> Option<&'o [OutputRecord]>) -> Vec<Wanted> {
    let root = root(plan);
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

fn place(
    cache: &Cache,
    project: &Path,
    wanted: &Wanted,
    last: Option<&Artifact>,
) -> Result<(ResultAction, Option<String>), CacheError> {
    let Wanted { path, artifact } = wanted;
    let target = project.join(path);
    if std::fs::symlink_metadata(&target).is_err() {
        cache.copy_out(artifact, &target)?;
        return Ok((ResultAction::Written, None));
    }
    let current = cache.artifact_of(&target)?;
    // The executable bit is the user's to set.
    let same = |artifact: &Artifact| artifact.digest == current.digest;
    if same(artifact) {
        return Ok((ResultAction::Unchanged, None));
    }
    if last.is_some_and(same) {
        cache.copy_out(artifact, &target)?;
        return Ok((ResultAction::Written, None));
    }
    if last == Some(artifact) {
        return Ok((ResultAction::KeptEdited, None));
    }
    let aside = free_name(project, path);
    std::fs::rename(&target, project.join(&aside)).map_err(|source| CacheError::Io { path: target.clone(), source })?;
    cache.copy_out(artifact, &target)?;
    Ok((ResultAction::ReplacedEdited, Some(aside)))
}

/// A name beside `path` that nothing has yet: what was set aside before stays, too.
fn free_name(project: &Path, path: &str) -> String {
    let first = format!("{path}.edited");
    let further = (2..).map(|number| format!("{path}.edited-{number}"));
    let free = |name: &String| std::fs::symlink_metadata(project.join(name)).is_err();
    std::iter::once(first).chain(further).find(free).expect("no folder has a name for every number")
}
