//! The folder that a run shares with its agents, where nothing can be written to it any more.

use std::io::ErrorKind;
use std::time::Instant;

use athanor_cache::explain;

use crate::plan::InstanceId;

use super::ends::failed;
use super::{Controller, Step};

impl Controller {
    /// Fails all attempts if the folder has become read-only for good: no agent can tell how they end, and no queue knows. Other errors,
    /// such as a full disk, may pass; they are told, and waited for.
    pub(super) fn check_folder(&mut self) {
        if self.attempts.is_empty() || self.checked.elapsed() < self.beat() {
            return;
        }
        self.checked = Instant::now();
        let root = &self.folder.shared.root;
        let Err(error) = self.folder.shared.try_to_write() else {
            self.unwritable_since = None;
            return;
        };
        let why = format!("`{}` cannot be written to: {}", root.display(), explain(root, &error));
        let since = *self.unwritable_since.get_or_insert_with(Instant::now);
        let is_for_good = matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied);
        if !is_for_good || since.elapsed() < self.silence() {
            return self.notice(format!("jobs cannot report for now what they do: {why}"));
        }
        let is_open = |step: &Step| !matches!(step, Step::Settling(..));
        let mut open: Vec<InstanceId> =
            self.attempts.iter().filter(|(_, attempt)| is_open(&attempt.step)).map(|(id, _)| *id).collect();
        open.sort_unstable();
        for id in open {
            if let Some(Step::Taken(agent)) = self.attempts.get(&id).map(|attempt| &attempt.step) {
                let job = self.agents.get(agent).map(|agent| agent.job.clone()).unwrap_or_default();
                self.cancel_own(&job);
            }
            self.exit(id, failed(format!("Its job cannot report what it does: {why}"), None));
        }
    }
}
