//! Publishing: copies results to where the user looks for them.
//!
//! The content of a folder of results is compared with its [`note::Note`]. Files that Athanor has put there may be replaced;
//! everything else is the user's, and is left alone or moved aside. Results are copied out of the cache and hashed on the way, all
//! of them before the first is put in place; one that is refused keeps no other from its place.

mod note;
mod obsolete;
mod occupant;
mod publisher;
mod refusal;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use athanor_cache::{Artifact, Cache, CacheError, Digest, OutputRecord};
use athanor_stages::ports::OutputPort;
use athanor_stages::secrets::{mask, mask_value};
use jiff::Timestamp;

use crate::events::{ResultAction, RunEvent};
use crate::plan::result_names::labelled;
use crate::plan::{InstanceId, Plan, ResultSource};
use crate::run::state::history::{History, Identity};

pub(super) use note::RunNote;
use publisher::Publisher;
use refusal::explain;

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

impl Publication {
    /// Whether any result was put in place.
    pub(super) fn is_news(&self) -> bool {
        let is_new = |action| matches!(action, ResultAction::Written | ResultAction::ReplacedEdited);
        self.published.iter().any(|published| is_new(published.action))
    }

    /// Events that tell what was done with each result, and of the folder.
    pub(super) fn into_events(self) -> impl Iterator<Item = RunEvent> {
        let published = self.published.into_iter().map(|Published { path, action, aside }| RunEvent::Result {
            path,
            action,
            aside,
            cause: None,
            help: None,
        });
        let notices = self.notices.into_iter().map(|message| RunEvent::Notice { message });
        let refused = self.refused.into_iter().map(|Refused { path, error, lost, target, made_by }| {
            let (cause, help) = explain(&error, &target);
            let (action, cause) = match lost {
                true => (ResultAction::Lost, format!("What `{made_by}` made is damaged.")),
                false => (ResultAction::Refused, cause),
            };
            RunEvent::Result { path, action, aside: None, cause: Some(cause), help }
        });
        published.chain(notices).chain(refused)
    }
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
    /// Whether stages of the run have failed.
    pub has_failed: bool,
    /// Whether results that the pipeline does not make any more are told.
    pub tells_left_over: bool,
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
    /// Name of the instance that made it.
    pub made_by: String,
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
    /// Whether stages of the run have failed.
    pub has_failed: bool,
}

/// Result to be put in place.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Path below the folder of results.
    pub path: String,
    /// Content.
    pub artifact: Artifact,
    /// Fingerprint of the work that made it.
    pub fingerprint: Option<Digest>,
    /// Name of the instance that made it.
    pub made_by: String,
}

/// Places of a plan's results, by entry and then by output; `file` says what an output's file is called.
pub(super) fn places<'p>(
    plan: &'p Plan,
    file: impl Fn(InstanceId, &'p OutputPort) -> String,
) -> impl Iterator<Item = (String, &'p ResultSource)> {
    let sources = plan.results.iter().flat_map(|entry| entry.sources.iter().map(move |source| (entry, source)));
    sources.map(move |(entry, source)| {
        let port = &plan.instances[source.instance.index()].outputs[source.output];
        let folder = entry.path.trim_end_matches('/');
        let path = match &source.label {
            None => folder.to_owned(),
            Some(label) => format!("{folder}/{}", labelled(label, port, &file(source.instance, port))),
        };
        (path, source)
    })
}

/// Facts about a run that are noted with its results.
pub(super) fn facts_of_run(plan: &Plan, history: &History, time: Timestamp) -> RunNote {
    let given = |name: &str| -> Vec<String> {
        let texts = plan.texts.iter().filter(|text| text.name == name);
        texts.map(|text| mask(&text.text).into_owned()).collect()
    };
    let mut variables = plan.vars.clone();
    mask_value(&mut variables);
    RunNote {
        time,
        profiles: history.identity().map(Identity::profiles).unwrap_or_default(),
        variables,
        vars: plan.variable_files().map(|text| text.name.clone()).collect(),
        set: given("--set"),
    }
}

/// Puts results of one run into `folder`, which the user knows as `shown`.
pub(super) fn put_in_place(
    cache: &Cache,
    folder: PathBuf,
    shown: String,
    origin: Origin<'_>,
    wanted: Vec<Wanted>,
) -> Publication {
    Publisher::new(cache, folder, shown, origin).publish(wanted, || None)
}

/// The pipeline file of a history, relative to the project folder if it lies in that.
pub(super) fn pipeline_of(history: &History, project: &Path) -> String {
    let file = history.identity().and_then(Identity::file).unwrap_or_default();
    file.strip_prefix(project).unwrap_or(&file).display().to_string()
}

impl PublishRequest<'_> {
    /// Puts every result in place whose instances are done.
    pub(super) fn publish<'o>(&self, outputs: impl Fn(InstanceId) -> Option<&'o [OutputRecord]>) -> Publication {
        let (wanted, unmade) = self.wanted(&outputs);
        let shown = self.results.join(&self.plan.name);
        if wanted.is_empty() && !(self.has_failed && self.project.join(&shown).is_dir()) {
            return Publication::default();
        }
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
        let note = facts_of_run(self.plan, self.history, Timestamp::now());
        let pipeline = pipeline_of(self.history, self.project);
        let (project, has_failed) = (self.project, self.has_failed);
        Origin { run: self.run, note, pipeline, project, unmade, has_failed, tells_left_over: true }
    }

    /// Results of instances that are done, and paths of the others.
    fn wanted<'o>(&self, outputs: &impl Fn(InstanceId) -> Option<&'o [OutputRecord]>) -> (Vec<Wanted>, Vec<String>) {
        let (mut all, mut unmade) = (Vec::new(), Vec::new());
        let record = |id: InstanceId, port: &OutputPort| {
            outputs(id).and_then(|records| records.iter().find(|record| record.name == port.name))
        };
        let file = |id, port: &OutputPort| record(id, port).map_or_else(|| port.file.clone(), |made| made.file.clone());
        for (path, ResultSource { instance, output, .. }) in places(self.plan, file) {
            let made_by = &self.plan.instances[instance.index()];
            let Some(record) = record(*instance, &made_by.outputs[*output]) else {
                unmade.push(path);
                continue;
            };
            let (artifact, made_by) = (record.artifact.clone(), made_by.name.clone());
            let fingerprint = self.fingerprints.get(instance.index()).copied().flatten();
            all.push(Wanted { path, artifact, fingerprint, made_by });
        }
        (all, unmade)
    }
}
