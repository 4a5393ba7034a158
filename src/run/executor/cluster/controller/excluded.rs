//! Nodes that failed under a job of this run: its further jobs leave them out, as long as others are left.

use super::super::batch::{JobState, JobStatus};
use super::Controller;

/// Reason to wait of a job that no node may run.
const NO_NODE: &str = "BadConstraints";

impl Controller {
    /// Leaves the node out on which this job ran, if it is the node that failed.
    pub(super) fn exclude_failed_node(&mut self, name: &str, status: &JobStatus) {
        if status.state != JobState::NodeFailed {
            return;
        }
        let agent = self.jobs.get(name).and_then(|job| job.agent.as_ref());
        let known = agent.and_then(|agent| self.agents.get(agent)).map(|agent| agent.node.clone());
        let node = if status.nodes.is_empty() { known.unwrap_or_default() } else { status.nodes.clone() };
        if !node.is_empty() && self.excluded.insert(node.clone()) {
            self.notice(format!("the node {node} failed: further jobs of this run leave it out"));
        }
    }

    /// Takes the nodes that failed for the next jobs again, if the cluster has no other node for this one; then what it was for is
    /// submitted again.
    pub(super) fn include_again(&mut self, name: &str) -> bool {
        let Some(job) = self.jobs.get_mut(name).filter(|job| job.leaves_nodes_out) else { return false };
        job.is_over = true;
        let nodes: Vec<String> = std::mem::take(&mut self.excluded).into_iter().collect();
        if !nodes.is_empty() {
            let (nodes, them) = (nodes.join(", "), if nodes.len() == 1 { "it is" } else { "they are" });
            self.notice(format!("there is no other node than {nodes}, which failed: {them} no longer left out"));
        }
        self.requeue_unstarted(name);
        true
    }

    /// Cancels a job that waits for a node which is left out, so that it is submitted again.
    pub(super) fn cancel_without_node(&mut self, name: &str, reason: Option<&str>) -> bool {
        let number = self.jobs.get(name).and_then(|job| job.number.clone());
        let is_without = reason.is_some_and(|reason| reason.starts_with(NO_NODE)) && self.include_again(name);
        if is_without {
            self.batch.cancel(number.into_iter().collect());
        }
        is_without
    }
}
