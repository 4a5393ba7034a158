//! The graph of a plan's stages, with their numbers of instances: a matrix of thousands is still one box.

use std::collections::BTreeSet;

use crate::escape::escape;
use crate::plan::Plan;
use crate::view::stage_layout::{Direction, StageLayout, lay_out, size_of};

/// Stage of a graph.
pub(crate) struct StageNode {
    /// Name, made visible.
    pub name: String,
    /// Kind, made visible.
    pub kind: String,
    /// Number of its instances.
    pub instances: usize,
    /// Length of the longest way to it.
    pub layer: usize,
}

/// Graph of a plan's stages.
pub(crate) struct StageGraph {
    /// Stages, in the order written.
    pub nodes: Vec<StageNode>,
    /// Edges from producer to consumer, by stage.
    pub edges: BTreeSet<(usize, usize)>,
}

impl StageNode {
    /// Name, with the number of instances if that is not one.
    pub(crate) fn title(&self) -> String {
        if self.instances == 1 { self.name.clone() } else { format!("{} ×{}", self.name, self.instances) }
    }
}

impl StageGraph {
    /// The graph of `plan`.
    pub(crate) fn of(plan: &Plan) -> StageGraph {
        let mut nodes: Vec<StageNode> = plan
            .stages
            .iter()
            .map(|stage| StageNode {
                name: escape(&stage.name).into_owned(),
                kind: escape(&stage.kind).into_owned(),
                instances: 0,
                layer: 0,
            })
            .collect();
        let mut edges = BTreeSet::new();
        for id in plan.order() {
            let stage = plan.instances[id.index()].stage;
            nodes[stage].instances += 1;
            for producer in plan.producers(id) {
                let from = plan.instances[producer.index()].stage;
                edges.insert((from, stage));
                nodes[stage].layer = nodes[stage].layer.max(nodes[from].layer + 1);
            }
        }
        StageGraph { nodes, edges }
    }

    /// Its layout; stages without instances are left out.
    pub(crate) fn lay_out(&self, direction: Direction) -> StageLayout {
        let size = |node: &StageNode| (node.instances > 0).then(|| size_of(&node.title(), &node.kind));
        lay_out(&self.nodes.iter().map(size).collect::<Vec<_>>(), &self.edges, direction)
    }
}
