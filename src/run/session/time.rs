//! Runs whose time is limited: the limit, and the end in words.

use crate::plan::{InstanceId, Plan};
use crate::run::engine::dispatcher::PassResult;
use crate::run::engine::time_limit::{TimeEnds, TimeLimit};
use crate::run::state::history::Ledger;
use crate::view::text::count;

use super::durations::known_durations;

/// Number of instances that are named.
const NAMED: usize = 5;

/// Limit for the instances of a plan, which are expected to take as long as the ledger says.
pub(super) fn limit(ends: TimeEnds, plan: &Plan, ledger: &Ledger) -> TimeLimit {
    TimeLimit::new(ends, known_durations(plan, ledger), plan.stages.len())
}

/// Sentence about what a run has left to the next one, as its time is over.
pub(super) fn what_was_left(plan: &Plan, pass: &PassResult) -> String {
    let mut parts = Vec::new();
    if pass.counts.interrupted > 0 {
        parts.push(format!("{} stopped", count(pass.counts.interrupted, "instance")));
    }
    if !pass.not_started.is_empty() {
        parts.push(format!("not started: {}", names(plan, &pass.not_started)));
    }
    let left = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) };
    format!("the time of `--stop-after` is over{left}; the same command goes on from here")
}

fn names(plan: &Plan, ids: &[InstanceId]) -> String {
    let named: Vec<&str> = ids.iter().take(NAMED).map(|id| plan.instances[id.index()].name.as_str()).collect();
    let more = ids.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    named.join(", ") + &more
}
