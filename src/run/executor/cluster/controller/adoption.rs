//! Jobs of a run that was killed, taken over from its folder.

use std::path::PathBuf;
use std::time::Duration;

use crate::plan::InstanceId;
use crate::run::executor::job::{Exit, JobEvent};

use super::super::folder::names;
use super::super::messages::{AgentSpec, Request};
use super::jobs::job_number;
use super::{ClusterJob, Controller, Left, QueuedRequest, Step};

impl Controller {
    /// Takes over what a killed run has left in the folder, if that is where this run works.
    pub(super) fn adopt(&mut self) {
        self.folder.shared.reopen();
        for name in names(&self.folder.shared.root.join("jobs")) {
            if let Some(token) = name.strip_suffix(".json") {
                self.adopt_jobs(token);
            }
        }
        for queue in names(&self.folder.shared.root.join("queues")) {
            self.adopt_queue(&queue);
        }
        for agent in names(&self.folder.shared.root.join("agents")) {
            self.meet(&agent);
            let folder = self.folder.shared.agent(&agent);
            for file in names(&folder) {
                if let Some(request) = read_request(&folder.join(&file)) {
                    self.note_left(request, Some(agent.clone()), None);
                }
            }
        }
        // Its attempts of earlier agents that are over are told by the newest line of each.
        self.look();
    }

    fn adopt_jobs(&mut self, token: &str) {
        let shared = &self.folder.shared;
        let number = token.strip_prefix('j').and_then(|number| number.parse::<u32>().ok()).unwrap_or_default();
        self.next_token = self.next_token.max(number);
        let spec = std::fs::read(shared.job(&format!("{token}.json")));
        let Some(spec) = spec.ok().and_then(|text| serde_json::from_slice::<AgentSpec>(&text).ok()) else { return };
        let number = std::fs::read_to_string(shared.job(&format!("{token}.id"))).ok();
        self.submissions += 1;
        for name in spec.names(token) {
            let mut job = ClusterJob::new(token, &name, &spec);
            job.number = number.as_ref().map(|number| job_number(number.trim(), &name));
            job.number.iter().for_each(|number| self.batch.adopt(number.clone()));
            // One that was being submitted when the run was killed is cancelled by its name in the end, if no agent of it appears.
            (job.is_over, job.is_unnoted) = (job.number.is_none(), job.number.is_none());
            self.jobs.insert(name, job);
        }
    }

    fn adopt_queue(&mut self, queue: &str) {
        let folder = self.folder.shared.queue(queue);
        let is_of_job = self.jobs.get(queue).is_some_and(|job| !job.is_over);
        for file in names(&folder) {
            match read_request(&folder.join(&file)).filter(|_| is_of_job) {
                Some(request) => {
                    let queue = queue.to_owned();
                    self.note_left(request, None, Some(QueuedRequest { queue, file }));
                }
                // Whether this run wants it is not known; it would ask again.
                None => drop(self.folder.shared.withdraw(queue, &file)),
            }
        }
    }

    fn note_left(&mut self, request: Request, agent: Option<String>, queued: Option<QueuedRequest>) {
        // Every part of a request can be written as JSON.
        let text = serde_json::to_vec(&request).unwrap_or_default();
        let Request { key, fingerprint, attempt, log, .. } = request;
        self.left_keys.insert(key.clone(), fingerprint);
        let left = Left { key, request: text, agent, queued, log, folder: attempt, reports: Vec::new(), ended: None };
        // Keys of later attempts come later.
        self.left.insert(fingerprint, left);
    }

    /// Changes what is known of work that a killed run has left.
    pub(super) fn left_with(&mut self, key: &str, change: impl FnOnce(&mut Left)) {
        let left = self.left_keys.get(key).and_then(|fingerprint| self.left.get_mut(fingerprint));
        if let Some(left) = left.filter(|left| left.key == key) {
            change(left);
        }
    }

    /// Goes on with work that a killed run has left, as the attempt `id`.
    pub(super) fn take_over(&mut self, id: InstanceId, left: Left) {
        let failed = left.ended.as_ref().is_some_and(|ended| ended.exit != Exit::Success);
        let cache = &self.config.cache;
        let is_lost = |left: &Left| {
            let outputs = left.ended.iter().flat_map(|ended| &ended.outputs);
            outputs.into_iter().any(|output| !cache.seems_present(&output.artifact))
        };
        let is_gone = left.agent.as_ref().and_then(|agent| self.agents.get(agent)).is_some_and(|agent| agent.is_gone);
        if failed || is_lost(&left) || (is_gone && left.ended.is_none()) {
            return self.start_new(id);
        }
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        self.by_key.remove(&attempt.key);
        self.by_key.insert(left.key.clone(), id);
        attempt.key.clone_from(&left.key);
        // It may have to be put into a queue again.
        attempt.request = left.request;
        attempt.folder = left.folder;
        // What it was when the attempt began is not known.
        attempt.state = None;
        follow(&left.log, &attempt.log);
        attempt.earlier_log = Some(left.log);
        if let Some(QueuedRequest { queue, file }) = left.queued {
            attempt.file = file;
            attempt.step = Step::Queued(queue);
            return;
        }
        let agent = left.agent.unwrap_or_default();
        self.began(&agent, &left.key, Duration::ZERO);
        left.reports.into_iter().for_each(|report| self.tell(JobEvent::Report(id, report)));
        if let Some(ended) = left.ended {
            self.ended(&agent, ended);
        }
    }
}

fn read_request(path: &std::path::Path) -> Option<Request> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Lets the log at `to` be read while it is written at `from`.
fn follow(from: &PathBuf, to: &PathBuf) {
    // Without the link it is there in the end.
    let _ = std::os::unix::fs::symlink(from, to);
}
