//! The graph of instances, and the check that it has no cycle.

use std::collections::{HashSet, VecDeque};

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::language::Diagnostic;

use super::model::{InputSource, Instance, InstanceId};

/// The graph of all instances.
pub(crate) fn graph(instances: &[Instance]) -> DiGraph<InstanceId, ()> {
    let mut graph = DiGraph::with_capacity(instances.len(), instances.len());
    for instance in instances {
        graph.add_node(instance.id);
    }
    for instance in instances {
        let sources = instance.inputs.iter().flat_map(|input| &input.sources);
        let producers =
            sources.filter_map(
                |source| if let InputSource::Output { instance, .. } = source { Some(*instance) } else { None },
            );
        let mut producers: Vec<InstanceId> = producers.collect();
        producers.sort_unstable();
        producers.dedup();
        for producer in producers {
            graph.add_edge(NodeIndex::new(producer.index()), NodeIndex::new(instance.id.index()), ());
        }
    }
    graph
}

/// Reports cycles: one for each set of stages that are in one.
pub(super) fn check_circles(graph: &DiGraph<InstanceId, ()>, instances: &[Instance], problems: &mut Vec<Diagnostic>) {
    let mut reported = HashSet::new();
    let mut components = tarjan_scc(graph);
    components.iter_mut().for_each(|component| component.sort_unstable());
    components.sort_unstable();
    for component in components {
        let first = component[0];
        if component.len() == 1 && graph.find_edge(first, first).is_none() {
            continue;
        }
        let mut stages: Vec<usize> = component.iter().map(|node| instances[node.index()].stage).collect();
        stages.sort_unstable();
        stages.dedup();
        if reported.insert(stages) {
            problems.push(circle(graph, instances, first, &component.into_iter().collect()));
        }
    }
}

/// Reports the shortest cycle through `start` within its component.
fn circle(
    graph: &DiGraph<InstanceId, ()>,
    instances: &[Instance],
    start: NodeIndex,
    component: &HashSet<NodeIndex>,
) -> Diagnostic {
    const SHOWN: usize = 8;
    let mut came_from = vec![None; graph.node_count()];
    let mut queue = VecDeque::from([start]);
    let mut path = Vec::new();
    'search: while let Some(node) = queue.pop_front() {
        for next in graph.neighbors(node).filter(|next| component.contains(next)) {
            if next == start {
                let mut at = Some(node);
                while let Some(node) = at {
                    path.push(node);
                    at = came_from[node.index()];
                }
                break 'search;
            }
            if came_from[next.index()].is_none() {
                came_from[next.index()] = Some(node);
                queue.push_back(next);
            }
        }
    }
    // `path` goes against the edges, from the last producer back to `start`: each needs the next one.
    let mut names: Vec<String> = std::iter::once(start)
        .chain(path.iter().copied())
        .map(|node| format!("`{}`", instances[node.index()].name))
        .collect();
    if names.len() > SHOWN {
        let last = names.split_off(names.len() - 2);
        names.truncate(SHOWN - 3);
        names.push("…".to_owned());
        names.extend(last);
    }
    let consumer = &instances[start.index()];
    let producer = path.first().map_or(start, |node| *node);
    let reads = |source: &InputSource| matches!(source, InputSource::Output { instance, .. } if instance.index() == producer.index());
    let input = consumer.inputs.iter().find(|input| input.sources.iter().any(reads));
    let span = input.map_or(consumer.span, |input| input.span);
    let help = match consumer.name.split('[').next() {
        // A file is easily called as the stage that reads it.
        Some(stage) if consumer.stage == instances[producer.index()].stage => {
            format!("take this input away; if a file or folder of the project is meant, write `./{stage}`")
        }
        _ => "take one of these inputs away, so that there is an order in which they can run".to_owned(),
    };
    Diagnostic::new(span, format!("these instances need each other: {}", names.join(" needs "))).help(help)
}
