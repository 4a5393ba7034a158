//! Policy and result of one pass of a run.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use athanor_cache::Digest;
use serde_json::{Map, Value};

use crate::events::{Counts, Outcome};
use crate::plan::InstanceId;
use crate::run::state::outputs::Outputs;

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
    /// Instances whose inputs or outputs somebody changed.
    pub disturbed: Vec<InstanceId>,
    /// Whether it went on after failures, or would have.
    pub keep_going: bool,
}
