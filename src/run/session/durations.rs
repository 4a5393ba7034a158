//! Expected durations of instances, by which the scheduler sorts them.

use std::time::Duration;

use crate::plan::Plan;
use crate::run::state::history::Ledger;

/// Expected duration of each instance: as in earlier runs, or else the mean of its stage's instances, or else the mean of all,
/// or else one unit, which makes the critical path the depth of the graph.
pub(super) fn expected_durations(plan: &Plan, ledger: &Ledger) -> Vec<f64> {
    let known = |name: &str| ledger.instances.get(name)?.duration_ms.map(|ms| ms as f64);
    let known: Vec<Option<f64>> = plan.instances.iter().map(|instance| known(&instance.name)).collect();
    let mut by_stage = vec![Mean::default(); plan.stages.len()];
    let mut overall = Mean::default();
    for (instance, duration) in plan.instances.iter().zip(&known) {
        if let Some(duration) = duration {
            by_stage[instance.stage].add(*duration);
            overall.add(*duration);
        }
    }
    let guess = |stage: usize| by_stage[stage].value().or_else(|| overall.value()).unwrap_or(1.0);
    let stages = plan.instances.iter().map(|instance| instance.stage);
    stages.zip(known).map(|(stage, known)| known.unwrap_or_else(|| guess(stage))).collect()
}

/// Duration of each instance in earlier runs, or else the mean of its stage's instances, as far as known.
pub(super) fn known_durations(plan: &Plan, ledger: &Ledger) -> Vec<Option<Duration>> {
    let known = |name: &str| ledger.instances.get(name)?.duration_ms.map(|ms| ms as f64);
    let mut by_stage = vec![Mean::default(); plan.stages.len()];
    for instance in &plan.instances {
        known(&instance.name).into_iter().for_each(|duration| by_stage[instance.stage].add(duration));
    }
    let duration = |ms: f64| Duration::from_secs_f64(ms / 1000.0);
    let instances = plan.instances.iter();
    instances.map(|instance| known(&instance.name).or_else(|| by_stage[instance.stage].value()).map(duration)).collect()
}

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1.0;
    }

    fn value(self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}
