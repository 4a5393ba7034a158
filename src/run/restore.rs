//! Restoring: results of an earlier run are put in place again, as far as the cache still has them.
//!
//! A run's own plan counts, and not the pipeline as it is now: the names of its results and its variables are in the run's summary.

use std::path::{Component, Path, PathBuf};

use athanor_cache::{ActionRecord, CacheError, Lookup};

use crate::events::{ResultAction, RunEvent};
use crate::run::publish::{Origin, RunNote, Wanted, pipeline_of, put_in_place};
use crate::run::session::Project;
use crate::run::state::history::{
    History, Identity, PlanSummary, ResultPlace, Results, RunId, RunSummary, plan_after, results_after,
};

/// Request to put an earlier run's results in place.
pub(crate) struct RestoreRequest<'a> {
    /// The project.
    pub project: &'a Project,
    /// History of the pipeline.
    pub history: &'a History,
    /// The run.
    pub run: &'a RunId,
    /// Folder to put them into; the pipeline's folder of results if there is none.
    pub to: Option<Destination>,
}

/// Folder that results are put into.
#[derive(Clone)]
pub(crate) struct Destination {
    /// The folder.
    pub folder: PathBuf,
    /// How the user calls it.
    pub shown: String,
}

/// Outcome of restoring.
pub(crate) struct Restored {
    /// Steps taken for each result that is there.
    pub events: Vec<RunEvent>,
    /// Results that the cache has no longer.
    pub gone: Vec<ResultPlace>,
    /// Results that the run did not make.
    pub unmade: Vec<String>,
    /// Command of the run, as far as it is known.
    pub again: RunCommandLine,
}

/// Command line of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunCommandLine {
    /// The pipeline file.
    pub file: String,
    /// Profiles.
    pub profiles: Vec<String>,
    /// Files of `--vars`.
    pub vars: Vec<String>,
    /// Settings of `--set`.
    pub set: Vec<String>,
    /// Commit of the project, with `+` behind it where tracked files differed from it.
    pub commit: Option<String>,
}

/// Reason why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    /// The cache refused.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Nothing is known of the run's end.
    #[error("run `{0}` has not come to its end, or the note of it is gone: which results it put in place is not known")]
    NotEnded(RunId),
    /// The run's plan was not noted.
    #[error("run `{0}` is of an earlier version, which did not note where its results were put")]
    NotNoted(RunId),
}

impl RestoreRequest<'_> {
    /// Puts every result in place that is there.
    pub(crate) fn restore(&self) -> Result<Restored, RestoreError> {
        let Project { folder, cache, results, .. } = self.project;
        // Nobody collects a cache that cannot be written to.
        let _use = (!cache.is_read_only()).then(|| cache.use_shared()).transpose()?;
        let summaries = self.history.summaries()?;
        let at = summaries.iter().position(|summary| summary.run == *self.run);
        let at = at.ok_or_else(|| RestoreError::NotEnded(self.run.clone()))?;
        let summary = &summaries[at];
        let up_to = &summaries[..=at];
        let plan = plan_after(up_to).filter(|plan| has_plain_paths(plan));
        let plan = plan.ok_or_else(|| RestoreError::NotNoted(self.run.clone()))?;
        let (wanted, gone) = self.found(plan, summary, &results_after(up_to))?;
        let shown = results.join(&plan.name);
        let usual = || Destination { folder: folder.join(&shown), shown: shown.display().to_string() };
        let Destination { folder: target, shown } = self.to.clone().unwrap_or_else(usual);
        let origin = self.origin(plan, summary);
        let events = if wanted.is_empty() {
            Vec::new()
        } else {
            put_in_place(cache, target, shown, origin, wanted).into_events().collect()
        };
        // Digests that are not remembered are computed again.
        let _ = cache.flush_stat_index();
        let unmade = summary.unmade.iter().cloned().collect();
        Ok(Restored { events, gone, unmade, again: self.command_line(plan, summary) })
    }

    /// Results of the run that are in the cache, and places of those that are gone.
    fn found(
        &self,
        plan: &PlanSummary,
        summary: &RunSummary,
        results: &Results,
    ) -> Result<(Vec<Wanted>, Vec<ResultPlace>), CacheError> {
        let (mut wanted, mut gone) = (Vec::new(), Vec::new());
        let mut last: Option<(&str, Option<Found>)> = None;
        for place in plan.results.iter().filter(|place| !summary.unmade.contains(&place.path)) {
            if last.as_ref().is_none_or(|(instance, _)| *instance != place.instance) {
                last = Some((&place.instance, self.look_up(results, &place.instance)?));
            }
            let found = last.as_ref().and_then(|(_, found)| found.as_ref());
            let output = found.and_then(|found| found.output(&place.output).map(|artifact| (found, artifact)));
            match output {
                Some((found, artifact)) => wanted.push(Wanted {
                    path: place.path.clone(),
                    artifact,
                    fingerprint: Some(found.record.fingerprint),
                    made_by: place.instance.clone(),
                }),
                None => gone.push(place.clone()),
            }
        }
        Ok((wanted, gone))
    }

    fn look_up(&self, results: &Results, instance: &str) -> Result<Option<Found>, CacheError> {
        let Some(result) = results.get(instance) else { return Ok(None) };
        Ok(match self.project.cache.lookup(&result.fingerprint)? {
            Lookup::Hit(record) => Some(Found { record, lost: Vec::new() }),
            Lookup::Incomplete { record, lost } => Some(Found { record, lost }),
            Lookup::Miss => None,
        })
    }

    fn origin(&self, plan: &PlanSummary, summary: &RunSummary) -> Origin<'_> {
        let note = RunNote {
            time: summary.ended,
            profiles: self.profiles(),
            variables: plan.variables.clone(),
            vars: plan.files.clone(),
            set: summary.set.clone(),
        };
        let project: &Path = &self.project.folder;
        let pipeline = pipeline_of(self.history, project);
        Origin {
            run: self.run.as_str(),
            note,
            pipeline,
            project,
            unmade: Vec::new(),
            has_failed: false,
            tells_left_over: false,
        }
    }

    fn command_line(&self, plan: &PlanSummary, summary: &RunSummary) -> RunCommandLine {
        RunCommandLine {
            file: pipeline_of(self.history, &self.project.folder),
            profiles: self.profiles(),
            vars: plan.files.clone(),
            set: summary.set.clone(),
            commit: summary.commit.clone(),
        }
    }

    fn profiles(&self) -> Vec<String> {
        self.history.identity().map(Identity::profiles).unwrap_or_default()
    }
}

/// Whether all its paths lead below a folder of results, whoever wrote them.
fn has_plain_paths(plan: &PlanSummary) -> bool {
    let is_plain = |path: &str| {
        let mut parts = Path::new(path).components();
        !path.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
    };
    is_plain(&plan.name) && plan.results.iter().all(|place| is_plain(&place.path))
}

/// Record of a result, and the outputs that it has lost.
struct Found {
    record: ActionRecord,
    lost: Vec<String>,
}

impl Found {
    fn output(&self, name: &str) -> Option<athanor_cache::Artifact> {
        let output = self.record.outputs.iter().find(|output| output.name == name)?;
        (!self.lost.contains(&output.name)).then(|| output.artifact.clone())
    }
}

impl Restored {
    /// Numbers of results that were put in place now, and that are in place already or are the user's.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let is = |event: &&RunEvent, new: bool| match event {
            RunEvent::Result { action: ResultAction::Written | ResultAction::ReplacedEdited, .. } => new,
            RunEvent::Result { action: ResultAction::Unchanged | ResultAction::KeptEdited, .. } => !new,
            _ => false,
        };
        (
            self.events.iter().filter(|event| is(event, true)).count(),
            self.events.iter().filter(|event| is(event, false)).count(),
        )
    }

    /// Whether every result of the run is in place.
    pub(crate) fn is_complete(&self) -> bool {
        let is_refused = |event: &RunEvent| {
            matches!(event, RunEvent::Result { action: ResultAction::Refused | ResultAction::Lost, .. })
        };
        self.gone.is_empty() && self.unmade.is_empty() && !self.events.iter().any(is_refused)
    }
}
