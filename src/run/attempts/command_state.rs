//! State of a command: what it keeps in its folder, and what it has reported, from one attempt to the next.
//!
//! Both lie in the resume state of its work, as the unfinished state of built-in kinds does: collections keep them as long as a
//! pipeline wants the work, and they go when its result is recorded.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use athanor_cache::{Cache, CacheError, Digest, ProgramState};
use athanor_stages::context::StageReport;

use crate::run::attempts::curves::Metrics;

/// State of a command, for one attempt.
pub(crate) struct CommandState(Arc<ProgramState>);

impl CommandState {
    /// Takes the state of the work `fingerprint`, of which the caller has the claim, and adds what earlier attempts have reported to
    /// `metrics`.
    pub(crate) fn take(cache: &Cache, fingerprint: &Digest, metrics: &mut Metrics) -> Result<CommandState, CacheError> {
        let state = cache.hold_program_state(fingerprint)?;
        let reports = state.reports();
        // A kill may have cut the last line off.
        for report in reports.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()) {
            if let StageReport::Metric { name, value, step } = report {
                metrics.add(&name, value, step);
            }
        }
        metrics.end_of_earlier();
        Ok(CommandState(Arc::new(state)))
    }

    /// The command's folder.
    pub(crate) fn folder(&self) -> &Path {
        self.0.folder()
    }

    /// For the process that it belongs to.
    pub(crate) fn shared(&self) -> Arc<ProgramState> {
        Arc::clone(&self.0)
    }

    /// Writes a report down for later attempts.
    pub(crate) fn add_report(&self, report: &StageReport) {
        // A disk that refuses it costs a point of a curve.
        let _ = serde_json::to_vec(report).map(|line| self.0.add_report(&line));
    }
}

/// Folder of the state that is kept of the work `fingerprint`, if anything is in it.
pub(crate) fn kept_state(cache: &Cache, fingerprint: &Digest) -> Option<PathBuf> {
    let folder = cache.program_state_path(fingerprint);
    let is_there = std::fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
    is_there.then_some(folder)
}
