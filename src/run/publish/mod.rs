//! Publishing: copies results to where the user looks for them.
//!
//! The content of a folder of results is compared with its [`note::Note`]. Files that Athanor has put there may be replaced;
//! everything else is the user's, and is left alone or moved aside. Results are copied out of the cache and hashed on the way, all
//! of them before the first is put in place; one that is refused keeps no other from its place.

mod make_way;
mod note;
mod occupant;
mod publisher;
mod refusal;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use athanor_cache::{Artifact, Cache, CacheError, Digest, OutputRecord};
use athanor_stages::secrets::mask;
use jiff::Timestamp;

use crate::events::ResultAction;
use crate::plan::result_names::labelled;
use crate::plan::{InstanceId, Plan, ResultSource};
use crate::run::state::history::{History, Identity};

use note::RunNote;
use publisher::Publisher;
pub(super) use refusal::explain;

/// Outcome of publishing.
#[derive(Debug, Default)]
pub(super) struct Publication {
    /// Results that are where they should be, or that the user has edited.
    pub published: Vec<Published>,
    /// Results that could not be put in place.
    pub refused: Vec<Refused>,
    /// Sentences for the user about the folder as a whole.
    pub notices: Vec<String>,
}

/// Origin of the results of a run.
pub(super) struct Origin<'a> {
    /// The run.
    pub run: &'a str,
    /// Facts that are noted about it.
    pub note: RunNote,
    /// The pipeline file, relative to the project folder if it lies in that.
    pub pipeline: String,
    /// The project folder.
    pub project: &'a Path,
    /// Paths of results that the run did not make.
    pub unmade: Vec<String>,
}

/// Result that was published.
#[derive(Debug, Clone)]
pub(super) struct Published {
    /// Path relative to the project folder.
    pub path: String,
    /// Action taken.
    pub action: ResultAction,
    /// Path of the user's edited result, if it was moved aside.
    pub aside: Option<String>,
}

/// Result that could not be put in place.
#[derive(Debug)]
pub(super) struct Refused {
    /// Path relative to the project folder.
    pub path: String,
    /// Reason.
    pub error: CacheError,
    /// Whether it is damaged in the cache, and no longer served from there: its instance has to make it again.
    pub lost: bool,
    /// The instance that made it.
    pub instance: InstanceId,
    /// Path where it was to be.
    pub target: PathBuf,
}

/// Request to publish the results of a run.
pub(super) struct PublishRequest<'a> {
    /// The pipeline.
    pub plan: &'a Plan,
    /// Cache with its results.
    pub cache: &'a Cache,
    /// History of the pipeline.
    pub history: &'a History,
    /// The project folder.
    pub project: &'a Path,
    /// Folder of all pipelines' results; if relative, then to the project folder.
    pub results: &'a Path,
    /// The run.
    pub run: &'a str,
    /// Fingerprints of the work, by instance.
    pub fingerprints: &'a [Option<Digest>],
}

/// Result to be put in place.
#[derive(Debug, Clone)]
struct Wanted {
    /// Path below the pipeline's folder of results.
    path: String,
    artifact: Artifact,
    /// Fingerprint of the work that made it.
    fingerprint: Option<Digest>,
    instance: InstanceId,
    /// The instance's name.
    made_by: String,
}

impl PublishRequest<'_> {
    /// Puts every result in place whose instances are done.
    pub(super) fn publish<'o>(&self, outputs: impl Fn(InstanceId) -> Option<&'o [OutputRecord]>) -> Publication {
        let (wanted, unmade) = self.wanted(&outputs);
        if wanted.is_empty() {
            return Publication::default();
        }
        let shown = self.results.join(&self.plan.name);
        let earlier = || self.history.earlier_results_note(self.project, &format!("results/{}", self.plan.name));
        let folder = self.project.join(&shown);
        let shown = shown.display().to_string();
        let origin = self.origin(unmade);
        let publication = Publisher::new(self.cache, folder, shown, origin).publish(wanted, earlier);
        // Digests that are not remembered are computed again.
        let _ = self.cache.flush_stat_index();
        publication
    }

    fn origin(&self, unmade: Vec<String>) -> Origin<'_> {
        let identity = self.history.identity();
        let file = identity.and_then(Identity::file).unwrap_or_default();
        let pipeline = file.strip_prefix(self.project).unwrap_or(&file).display().to_string();
        let given = |name: &str| -> Vec<String> {
            let texts = self.plan.texts.iter().filter(|text| text.name == name);
            texts.map(|text| mask(&text.text).into_owned()).collect()
        };
        let note = RunNote {
            time: Timestamp::now(),
            profiles: identity.map(Identity::profiles).unwrap_or_default(),
            vars: self.plan.variable_files().map(|text| text.name.clone()).collect(),
            set: given("--set"),
        };
        Origin { run: self.run, note, pipeline, project: self.project, unmade }
    }

    /// Results of instances that are done, and paths of the others.
    fn wanted<'o>(&self, outputs: &impl Fn(InstanceId) -> Option<&'o [OutputRecord]>) -> (Vec<Wanted>, Vec<String>) {
        let (mut all, mut unmade) = (Vec::new(), Vec::new());
        for entry in &self.plan.results {
            for ResultSource { label, instance, output } in &entry.sources {
                let made_by = &self.plan.instances[instance.index()];
                let port = &made_by.outputs[*output];
                let record =
                    outputs(*instance).and_then(|records| records.iter().find(|record| record.name == port.name));
                let path = |file: &str| match label {
                    None => entry.path.trim_end_matches('/').to_owned(),
                    Some(label) => format!("{}/{}", entry.path.trim_end_matches('/'), labelled(label, port, file)),
                };
                let Some(record) = record else {
                    unmade.push(path(&port.file));
                    continue;
                };
                let (path, artifact, made_by) = (path(&record.file), record.artifact.clone(), made_by.name.clone());
                let fingerprint = self.fingerprints.get(instance.index()).copied().flatten();
                all.push(Wanted { path, artifact, fingerprint, instance: *instance, made_by });
            }
        }
        (all, unmade)
    }
}
