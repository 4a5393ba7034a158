//! The plan that an earlier run had, as far as it is known: the pipeline file may have lost instances since.

use std::collections::HashMap;

use athanor_cache::Cache;
use athanor_stages::kind::Kind;
use athanor_stages::registry;
use petgraph::algo::has_path_connecting;
use petgraph::graph::NodeIndex;
use serde_json::Value;

use crate::events::Stamped;
use crate::language::Span;
use crate::plan::{ClusterOptions, Instance, InstanceId, Plan, Resources, StageAccess, StageInfo, Work};
use crate::report::results::KnownResults;
use crate::run::inputs::fingerprint::{Recipe, recorded_recipe};

/// Description of a stage that the pipeline file does not have.
const GONE: &str = "no longer in the pipeline file";
/// Name of the kind of a stage of which nothing is left but its name.
const UNKNOWN: &str = "no longer known";
/// Kind of scripts, which stands for kinds that this program does not have.
const COMMAND: &str = "command";

/// `plan` with the instances that a run with these results and events had and `plan` has not, as the records of their results
/// describe them; `None` if there are none.
pub(crate) fn with_gone(plan: &Plan, results: &KnownResults, events: &[Stamped], cache: &Cache) -> Option<Plan> {
    let mut numbers: HashMap<&str, usize> =
        plan.instances.iter().map(|instance| (instance.name.as_str(), instance.id.index())).collect();
    let of_events = events.iter().filter_map(|stamped| stamped.event.instance());
    let mut gone: Vec<&str> = results.keys().map(String::as_str).chain(of_events).collect();
    gone.retain(|name| !numbers.contains_key(name));
    gone.sort_unstable();
    gone.dedup();
    let fallback = registry::find(COMMAND).filter(|_| !gone.is_empty())?;
    let mut whole = plan.clone();
    let mut reads: Vec<(usize, Recipe)> = Vec::new();
    for name in gone {
        let recipe = results.get(name).and_then(|result| recorded_recipe(cache, &result.fingerprint).ok()?);
        let stage = stage_of(&mut whole, name, recipe.as_ref());
        let id = InstanceId(whole.instances.len() as u32);
        whole.instances.push(instance(id, stage, name, recipe.as_ref(), fallback));
        whole.graph.add_node(id);
        numbers.insert(name, id.index());
        reads.extend(recipe.map(|recipe| (id.index(), recipe)));
    }
    for (consumer, recipe) in reads {
        let items = recipe.inputs.iter().flat_map(|input| &input.items);
        // Sources are named `instance.output`.
        let producers = items.filter_map(|item| numbers.get(item.from.rsplit_once('.')?.0));
        for producer in producers.copied() {
            let (from, to) = (NodeIndex::new(producer), NodeIndex::new(consumer));
            // Records of several times may contradict each other.
            if !whole.graph.contains_edge(from, to) && !has_path_connecting(&whole.graph, to, from, None) {
                whole.graph.add_edge(from, to, ());
            }
        }
    }
    Some(whole)
}

/// The stage of an instance that the pipeline file has lost; where the file has a stage of that name, it is that one.
fn stage_of(plan: &mut Plan, instance: &str, recipe: Option<&Recipe>) -> usize {
    let name = instance.split('[').next().unwrap_or(instance);
    if let Some(stage) = plan.stages.iter().position(|stage| stage.name == name) {
        return stage;
    }
    let kind = recipe.map_or(UNKNOWN, |recipe| &recipe.kind).to_owned();
    plan.stages.push(StageInfo { name: name.to_owned(), kind, description: Some(GONE.to_owned()) });
    plan.stages.len() - 1
}

fn instance(
    id: InstanceId,
    stage: usize,
    name: &str,
    recipe: Option<&Recipe>,
    fallback: &'static dyn Kind,
) -> Instance {
    Instance {
        id,
        stage,
        name: name.to_owned(),
        point: Vec::new(),
        kind: recipe.and_then(|recipe| registry::find(&recipe.kind)).unwrap_or(fallback),
        work: Work::BuiltIn { params: recipe.map_or(Value::Null, |recipe| recipe.params.clone()) },
        seed: recipe.map_or(0, |recipe| recipe.seed),
        inputs: Vec::new(),
        outputs: Vec::new(),
        resources: Resources::default(),
        resources_span: Span::default(),
        timeout: None,
        retries: 0,
        access: StageAccess::default(),
        cluster: ClusterOptions::default(),
        state: false,
        span: Span::default(),
    }
}
