//! Instances that a run is working on, in whatever process, and those whose work was interrupted and goes on from its state.

use std::collections::{BTreeMap, HashSet};

use athanor_cache::Digest;
use jiff::Timestamp;
use serde::Serialize;

use crate::events::{RunEvent, Stamped};
use crate::run::state::history::RunId;

use super::{RunError, Session};

/// Work on an instance that has not ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Activity {
    /// Whether a run is working on it; otherwise it was interrupted, and the next run goes on from its state.
    pub is_running: bool,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Start of the attempt.
    pub since: Timestamp,
    /// Progress that it reported last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<ActivityProgress>,
    /// Figures that it reported last, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    #[serde(skip)]
    fingerprint: Digest,
}

/// Progress of an instance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ActivityProgress {
    /// Units finished.
    pub done: u64,
    /// Units in all; 0 when unknown.
    pub total: u64,
    /// Noun for the units.
    pub unit: String,
}

impl Session<'_> {
    /// Work that has not ended, by instance.
    pub fn activities(&self) -> Result<BTreeMap<String, Activity>, RunError> {
        let ledger = self.ledger()?;
        let unfinished =
            ledger.instances.iter().filter(|(_, entry)| entry.unfinished.is_some() && entry.failure.is_none());
        let mut by_run: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
        for (name, entry) in unfinished {
            if let Some((run, _)) = &entry.log {
                by_run.entry(run).or_default().insert(name);
            }
        }
        let mut activities = BTreeMap::new();
        for (run, names) in by_run.into_iter().filter_map(|(run, names)| Some((RunId::parse(run)?, names))) {
            let mut of_run = BTreeMap::new();
            apply(&mut of_run, &self.history.events(&run)?);
            activities.extend(of_run.into_iter().filter(|(name, _)| names.contains(name.as_str())));
        }
        if activities.is_empty() {
            return Ok(activities);
        }
        let kept: HashSet<Digest> = self.project.cache.all_resume_states()?.into_iter().collect();
        let goes_on = self.history.is_running()?;
        activities.values_mut().for_each(|activity| activity.is_running &= goes_on);
        activities.retain(|_, activity| activity.is_running || kept.contains(&activity.fingerprint));
        Ok(activities)
    }
}

/// Adds the events of one run.
fn apply(activities: &mut BTreeMap<String, Activity>, events: &[Stamped]) {
    let is_over = events.last().is_some_and(|last| matches!(last.event, RunEvent::RunFinished { .. }));
    for Stamped { time, event } in events {
        let Some(name) = event.instance() else { continue };
        match event {
            RunEvent::Started { fingerprint, attempt, .. } => {
                let (since, attempt, fingerprint) = (*time, *attempt, *fingerprint);
                let (progress, metrics, is_running) = (None, BTreeMap::new(), !is_over);
                let activity = Activity { is_running, attempt, since, progress, metrics, fingerprint };
                activities.insert(name.to_owned(), activity);
            }
            RunEvent::Progress { done, total, unit, .. } => {
                if let Some(activity) = activities.get_mut(name) {
                    activity.progress = Some(ActivityProgress { done: *done, total: *total, unit: unit.clone() });
                }
            }
            RunEvent::Metric { name: figure, value, .. } => {
                if let Some(activity) = activities.get_mut(name) {
                    activity.metrics.insert(figure.clone(), *value);
                }
            }
            RunEvent::Interrupted { .. } | RunEvent::Resuming { .. } => {
                if let Some(activity) = activities.get_mut(name) {
                    activity.is_running = false;
                }
            }
            RunEvent::Stored { .. }
            | RunEvent::Finished { .. }
            | RunEvent::Cached { .. }
            | RunEvent::Deferred { .. }
            | RunEvent::Failed { .. } => drop(activities.remove(name)),
            _ => {}
        }
    }
}
