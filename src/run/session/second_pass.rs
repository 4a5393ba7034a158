//! The second pass of a run: which results of the first stand, and which are made again. A pure decision.

use std::collections::HashSet;

use crate::events::{Counts, Outcome};
use crate::plan::{Instance, InstanceId, Plan};
use crate::run::engine::dispatcher::PassResult;
use crate::run::engine::task::Task;
use crate::run::executor::resources::Capacity;
use crate::run::state::outputs::{Outputs, UpToDate};

/// Second pass of a run.
pub struct SecondPass {
    /// Results of the first pass that stand, by instance.
    pub made: Vec<Option<UpToDate>>,
    /// Instances to make.
    pub wanted: HashSet<InstanceId>,
    /// Instances that cannot be made, each with one it reads from that is missing.
    pub skipped: Vec<(InstanceId, InstanceId)>,
    /// Instances that the first pass has brought up to date, and whose results do not stand.
    pub lost: Vec<InstanceId>,
}

impl SecondPass {
    /// Second pass after the `first` pass over the instances in `order`, producers first; `None` if nothing is left to do.
    /// `is_lost` tells of a result whether it has lost an output since it was made.
    pub fn after(
        first: &PassResult,
        plan: &Plan,
        order: &[InstanceId],
        keep_going: bool,
        is_lost: impl Fn(&UpToDate) -> bool,
    ) -> Option<SecondPass> {
        let mut made = settled(first);
        made.iter_mut().filter(|result| result.as_ref().is_some_and(&is_lost)).for_each(|result| *result = None);
        let is_left = |id: &InstanceId| made[id.index()].is_none() && first.outputs[id.index()].is_some();
        let lost: Vec<InstanceId> = order.iter().copied().filter(is_left).collect();
        let stopped = first.outcome == Outcome::Failed && !keep_going;
        let deferred = if stopped { &first.disturbed } else { &first.deferred };
        let left: HashSet<InstanceId> = lost.iter().chain(deferred).copied().collect();
        if left.is_empty() || first.outcome == Outcome::Interrupted {
            return None;
        }
        let (mut wanted, mut skipped) = (HashSet::new(), Vec::new());
        for id in order.iter().copied().filter(|id| left.contains(id)) {
            let is_there = |producer: &InstanceId| made[producer.index()].is_some() || wanted.contains(producer);
            match plan.producers(id).find(|producer| !is_there(producer)) {
                None => drop(wanted.insert(id)),
                Some(missing) => skipped.push((id, missing)),
            }
        }
        Some(SecondPass { made, wanted, skipped, lost })
    }

    /// Instances of `force` that the first pass did not make.
    pub fn left_of(force: HashSet<InstanceId>, first: &PassResult) -> HashSet<InstanceId> {
        force.into_iter().filter(|id| first.deferred.contains(id)).collect()
    }
}

/// Tasks for the scheduler; all that `wanted` instances read from is made or wanted too.
pub fn tasks(plan: &Plan, wanted: &HashSet<InstanceId>, capacity: &Capacity) -> Vec<Task> {
    let task = |instance: &Instance| Task {
        producers: plan.producers(instance.id).filter(|id| wanted.contains(id)).collect(),
        resources: capacity.wanted_by(instance),
        wanted: wanted.contains(&instance.id),
    };
    plan.instances.iter().map(task).collect()
}

/// Result of both passes. An instance counts by its last outcome.
pub fn joined(mut first: PassResult, pass: &SecondPass, second: PassResult) -> PassResult {
    for id in &pass.lost {
        let counts = &mut first.counts;
        *(if first.finished.remove(id) { &mut counts.ran } else { &mut counts.cached }) -= 1;
    }
    let mut counts = sum(&first.counts, &second.counts);
    counts.skipped += pass.skipped.len();
    let outcome = if first.outcome == Outcome::Failed && second.outcome == Outcome::UpToDate {
        Outcome::Failed
    } else {
        second.outcome
    };
    let finished = first.finished.union(&second.finished).copied().collect();
    let mut metrics = first.metrics;
    metrics.extend(second.metrics);
    let not_started = [first.not_started, second.not_started].concat();
    PassResult { outcome, counts, finished, metrics, not_started, ..second }
}

/// Results of a pass, by instance.
fn settled(pass: &PassResult) -> Vec<Option<UpToDate>> {
    let both = pass.outputs.iter().zip(&pass.fingerprints);
    let settled = both.map(|(outputs, fingerprint)| {
        Some(UpToDate { fingerprint: (*fingerprint)?, outputs: Outputs::clone(outputs.as_ref()?) })
    });
    settled.collect()
}

fn sum(one: &Counts, other: &Counts) -> Counts {
    Counts {
        ran: one.ran + other.ran,
        cached: one.cached + other.cached,
        failed: one.failed + other.failed,
        skipped: one.skipped + other.skipped,
        interrupted: one.interrupted + other.interrupted,
        not_started: one.not_started + other.not_started,
    }
}
