//! Room for stages: whether the resources that a run has are enough for each of them.

use std::collections::BTreeSet;
use std::path::Path;

use athanor_stages::error::CPU_INSTEAD;

use crate::events::RunEvent;
use crate::language::Diagnostic;
use crate::plan::{InstanceId, Plan};
use crate::run::executor::machine::gpus::probe::GpuSupport;
use crate::run::executor::resources::{Capacity, GpuId, misfits};
use crate::run::status::Status;

use super::{RunError, Session};

/// Refuses stages of `ids` that can never fit into `capacity`.
pub fn check_room(plan: &Plan, ids: &[InstanceId], capacity: &Capacity) -> Result<(), RunError> {
    let mut problems = plan.diagnostics();
    for instance in ids.iter().map(|id| &plan.instances[id.index()]) {
        let stage = &plan.stages[instance.stage].name;
        let many = (instance.name != *stage).then_some(instance.name.as_str());
        for misfit in misfits(&capacity.wanted_by(instance), capacity) {
            let message = format!("the stage `{stage}` {}", misfit.why);
            let problem = Diagnostic::new(instance.resources_span, message).help(misfit.help);
            problems.push(problem.in_instance(many));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(RunError::NeverFits(Box::new(problems))) }
}

/// Messages about stages of `ids` that ask for more CPUs than the run has, and get those.
pub fn scaled_down(plan: &Plan, ids: &[InstanceId], capacity: &Capacity) -> Vec<RunEvent> {
    let instances = ids.iter().map(|id| &plan.instances[id.index()]);
    let large = instances.filter_map(|instance| {
        let cpus = instance.resources.cpus.filter(|cpus| *cpus > capacity.cpus)?;
        Some((plan.stages[instance.stage].name.as_str(), cpus))
    });
    let message = |(stage, cpus): (&str, u32)| RunEvent::Notice {
        message: format!("`{stage}` asks for {cpus} CPUs, and gets the {} that the run has", capacity.cpus),
    };
    large.collect::<BTreeSet<_>>().into_iter().map(message).collect()
}

impl Session<'_> {
    /// Refuses to start stages that would be given GPUs which this program cannot use, where that is known beforehand.
    ///
    /// Only stages that are sure to run count: an instance that is up to date, or may turn out to be, needs no GPU.
    pub fn check_gpus(&self, capacity: &Capacity, force: &[InstanceId], program: &Path) -> Result<(), RunError> {
        let wants_gpus = |id: &&InstanceId| {
            let instance = &self.plan.instances[id.index()];
            instance.kind.uses_gpus() && capacity.wanted_by(instance).gpus.devices() > 0
        };
        let want_gpus: Vec<&InstanceId> = self.wanted.iter().filter(wants_gpus).collect();
        if capacity.cpu_fallback || capacity.gpus.is_empty() || want_gpus.is_empty() {
            return Ok(());
        }
        let statuses = self.status()?;
        let will_run =
            |id: &&InstanceId| force.contains(id) || matches!(statuses[id.index()], Some(Status::Stale { .. }));
        let certain: Vec<&InstanceId> = want_gpus.into_iter().filter(will_run).collect();
        // To start the driver takes longer than to find that nothing is to be done.
        if certain.is_empty() {
            return Ok(());
        }
        let gpus: Vec<GpuId> = capacity.gpus.iter().map(|gpu| gpu.id.clone()).collect();
        let Some(reason) = GpuSupport::of(program, &gpus).refusal() else { return Ok(()) };
        let mut problems = self.plan.diagnostics();
        for id in certain {
            let instance = &self.plan.instances[id.index()];
            let stage = &self.plan.stages[instance.stage].name;
            let message = format!("the stage `{stage}` would be given a GPU that this program cannot use: {reason}");
            let many = (instance.name != *stage).then_some(instance.name.as_str());
            problems.push(Diagnostic::new(instance.resources_span, message).help(CPU_INSTEAD).in_instance(many));
        }
        Err(RunError::NeverFits(Box::new(problems)))
    }
}
