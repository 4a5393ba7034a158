//! Instances that nothing needs any more, since `--set` took away all that needed them.

use std::collections::{HashMap, HashSet};

use super::graph::graph;
use super::model::{InputSource, InstanceId, Plan};

/// The plan without the instances that only served what is in `whole`, the plan as it was, and not in it.
///
/// An instance that nothing ever read stays: somebody may want it for itself.
pub(super) fn without_unneeded(plan: Plan, whole: &Plan) -> Plan {
    let published = |plan: &Plan| -> HashSet<InstanceId> {
        plan.results.iter().flat_map(|entry| &entry.sources).map(|source| source.instance).collect()
    };
    let results = published(whole);
    let had_use: HashSet<&str> = whole
        .instances
        .iter()
        .filter(|instance| results.contains(&instance.id) || whole.consumers(instance.id).next().is_some())
        .map(|instance| instance.name.as_str())
        .collect();
    let results = published(&plan);
    let mut gone: HashSet<InstanceId> = HashSet::new();
    // Consumers come first, so that what only they needed follows in the same walk.
    for id in plan.order().into_iter().rev() {
        let is_read = plan.consumers(id).any(|consumer| !gone.contains(&consumer));
        if !is_read && !results.contains(&id) && had_use.contains(plan.instances[id.index()].name.as_str()) {
            gone.insert(id);
        }
    }
    if gone.is_empty() { plan } else { without(plan, &gone) }
}

/// The plan without the instances in `gone`, of which no other one reads.
fn without(plan: Plan, gone: &HashSet<InstanceId>) -> Plan {
    let Plan { instances, mut results, .. } = plan;
    let mut numbers: HashMap<InstanceId, InstanceId> = HashMap::with_capacity(instances.len());
    let mut kept: Vec<_> = instances.into_iter().filter(|instance| !gone.contains(&instance.id)).collect();
    for (number, instance) in kept.iter_mut().enumerate() {
        let id = InstanceId(number as u32);
        numbers.insert(instance.id, id);
        instance.id = id;
    }
    let renumber = |id: &mut InstanceId| *id = numbers.get(id).copied().unwrap_or(*id);
    for source in kept.iter_mut().flat_map(|instance| &mut instance.inputs).flat_map(|input| &mut input.sources) {
        if let InputSource::Output { instance, .. } = source {
            renumber(instance);
        }
    }
    results.iter_mut().flat_map(|entry| &mut entry.sources).for_each(|source| renumber(&mut source.instance));
    Plan { graph: graph(&kept), instances: kept, results, ..plan }
}
