//! Policy and result of one pass of a run.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use athanor_cache::Digest;
use serde_json::{Map, Value};

use crate::events::{Counts, Outcome};
use crate::plan::InstanceId;
use crate::run::attempts::backend::RunBackend;
use crate::run::engine::scheduler::State;
use crate::run::engine::time_limit::TimeLimit;
use crate::run::state::outputs::Outputs;

use super::Dispatcher;

/// Policy of a pass.
#[derive(Debug, Clone, Default)]
pub struct RunPolicy {
    /// Whether to go on with what does not depend on a failed instance.
    pub keep_going: bool,
    /// Instances to make even if the cache has their results.
    pub force: HashSet<InstanceId>,
    /// Instances whose kept state is dropped before their first attempt.
    pub fresh_state: HashSet<InstanceId>,
    /// Folder of the run, for logs.
    pub logs: PathBuf,
    /// Whether the CPU may take the place of GPUs that cannot be used.
    pub cpu_fallback: bool,
    /// Whether attempts get copies of their stored inputs.
    pub private_inputs: bool,
    /// Variables of the user's that scripts name and do not get, by instance.
    pub withheld: HashMap<InstanceId, Vec<String>>,
    /// Limit of the run's time, if it has one.
    pub time_limit: Option<TimeLimit>,
}

/// Result of a pass.
pub struct PassResult {
    /// Outcome.
    pub outcome: Outcome,
    /// Numbers of instances by outcome.
    pub counts: Counts,
    /// Outputs by instance; `None` for instances that are not up to date.
    pub outputs: Vec<Option<Outputs>>,
    /// Instances that were made, and did not come from the cache.
    pub finished: HashSet<InstanceId>,
    /// Metrics of those that report any.
    pub metrics: HashMap<InstanceId, Map<String, Value>>,
    /// Fingerprints by instance, as far as known.
    pub fingerprints: Vec<Option<Digest>>,
    /// Instances that another pass is to make: those that were disturbed, and those that wait for them.
    pub deferred: Vec<InstanceId>,
    /// Instances that were not started, since the pass stopped.
    pub not_started: Vec<InstanceId>,
    /// Instances whose inputs or outputs somebody changed.
    pub disturbed: Vec<InstanceId>,
    /// Whether it went on after failures, or would have.
    pub keep_going: bool,
}

impl<W: RunBackend> Dispatcher<'_, W> {
    /// Result of the pass.
    pub fn finish(self) -> PassResult {
        let (outcome, not_started) = (self.outcome(), self.not_started());
        let ids = (0..).map(InstanceId).zip(self.outputs);
        let made = |id| *self.scheduler.state(id) == State::Done && !self.lost.contains(&id);
        let done = |id| self.settled.contains(&id) || made(id);
        let outputs = ids.map(|(id, outputs)| done(id).then_some(outputs)).collect();
        let deferred = (0..).map(InstanceId).take(self.fingerprints.len());
        let deferred = deferred.filter(|id| *self.scheduler.state(*id) == State::Deferred).collect();
        PassResult {
            outcome,
            counts: self.counts,
            outputs,
            finished: self.finished,
            metrics: self.metrics,
            fingerprints: self.fingerprints,
            deferred,
            not_started,
            disturbed: self.disturbed,
            keep_going: self.policy.keep_going,
        }
    }
}
