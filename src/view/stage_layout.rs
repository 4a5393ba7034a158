//! Layout of the graph of stages: the one of `graph --format svg`, and of the pages of reports.
//!
//! It is dagre's (Sugiyama's layers, few crossings, short edges). A graph that is too large for that is put in columns.

use std::collections::BTreeSet;
use std::fmt::Write;

use dugong::graphlib::{Graph, GraphOptions};
use dugong::{EdgeLabel, GraphLabel, LayoutError, NodeLabel, RankDir, WorkControl, WorkError, layout_controlled};
use serde::Serialize;

/// Height of a stage's box.
const HEIGHT: f64 = 46.0;
/// Least width of one.
const LEAST_WIDTH: f64 = 96.0;
/// Width of a letter of a box's title and of its second line, and that of their margins.
const LETTER: f64 = 7.8;
const SMALL_LETTER: f64 = 6.4;
const PADDING: f64 = 22.0;
/// Gap between boxes of a layer.
const GAP: f64 = 14.0;
/// Gap between edges that pass a layer.
const EDGE_GAP: f64 = 8.0;
/// Gap between layers, from left to right and from top to bottom.
const LAYER_GAP: (f64, f64) = (38.0, 30.0);
/// Margin around the whole.
const MARGIN: f64 = 12.0;
/// Boxes and crossings of layers by edges above which a graph is put in columns, and steps of dagre's after which it is.
const MOST_PLACES: usize = 5000;
const MOST_WORK: usize = 40_000_000;

/// Direction in which edges point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From left to right, for wide screens.
    Right,
    /// From top to bottom, for narrow ones.
    Down,
}

/// Layout of a graph; boxes and edges are inside of `width` and `height`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct StageLayout {
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
    /// Boxes.
    pub boxes: Vec<StageBox>,
    /// Edges.
    pub edges: Vec<StageEdge>,
}

/// Box of a stage: its left upper corner and its size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct StageBox {
    /// Stage.
    pub stage: usize,
    /// Left.
    pub x: f64,
    /// Top.
    pub y: f64,
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
}

/// Edge between two stages.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct StageEdge {
    /// Stage that is read from.
    pub from: usize,
    /// Stage that reads.
    pub to: usize,
    /// Path as SVG writes it.
    pub path: String,
}

/// Points of an edge with its ends.
type Route = (usize, usize, Vec<(f64, f64)>);

/// Lays out boxes of these sizes; stages without a size are left out.
pub(crate) fn lay_out(
    sizes: &[Option<(f64, f64)>],
    edges: &BTreeSet<(usize, usize)>,
    direction: Direction,
) -> StageLayout {
    let layers = layers(sizes.len(), edges);
    let places = sizes.len() + edges.iter().map(|(from, to)| layers[*to].abs_diff(layers[*from])).sum::<usize>();
    let dagre = (1..=MOST_PLACES).contains(&places).then(|| by_dagre(sizes, edges, direction).ok()).flatten();
    let (boxes, routes) = dagre.unwrap_or_else(|| in_columns(sizes, edges, &layers, direction));
    framed(boxes, routes)
}

/// Size of the box of a stage with this title and second line.
pub(crate) fn size_of(title: &str, second: &str) -> (f64, f64) {
    let width = |text: &str, letter: f64| text.chars().count() as f64 * letter;
    ((width(title, LETTER).max(width(second, SMALL_LETTER)) + PADDING).max(LEAST_WIDTH), HEIGHT)
}

/// A number of steps that may still be done.
struct Budget(usize);

impl WorkControl for Budget {
    fn charge(&mut self, units: usize) -> Result<(), WorkError> {
        self.0 = self.0.checked_sub(units).ok_or(WorkError::Interrupted)?;
        Ok(())
    }
}

fn by_dagre(
    sizes: &[Option<(f64, f64)>],
    edges: &BTreeSet<(usize, usize)>,
    direction: Direction,
) -> Result<(Vec<StageBox>, Vec<Route>), LayoutError> {
    let mut graph = Graph::new(GraphOptions { multigraph: true, compound: true, ..GraphOptions::default() });
    let (rankdir, ranksep) = match direction {
        Direction::Right => (RankDir::LR, LAYER_GAP.0),
        Direction::Down => (RankDir::TB, LAYER_GAP.1),
    };
    graph.set_graph(GraphLabel { rankdir, ranksep, nodesep: GAP, edgesep: EDGE_GAP, ..GraphLabel::default() });
    graph.set_default_edge_label(EdgeLabel::default);
    let name = |stage: usize| format!("s{stage}");
    for (stage, (width, height)) in sizes.iter().enumerate().filter_map(|(stage, size)| Some((stage, (*size)?))) {
        graph.set_node(name(stage), NodeLabel { width, height, ..NodeLabel::default() });
    }
    for (from, to) in edges {
        graph.set_edge_with_label(name(*from), name(*to), EdgeLabel { weight: 1.0, ..EdgeLabel::default() });
    }
    layout_controlled(&mut graph, &mut Budget(MOST_WORK))?;
    let boxes = (0..sizes.len()).filter_map(|stage| {
        let label = graph.node(&name(stage))?;
        let (w, h) = (label.width, label.height);
        Some(StageBox { stage, x: label.x? - w / 2.0, y: label.y? - h / 2.0, w, h })
    });
    let routes = edges.iter().filter_map(|(from, to)| {
        let edge = graph.edge(&name(*from), &name(*to), None)?;
        Some((*from, *to, edge.points.iter().map(|point| (point.x, point.y)).collect()))
    });
    Ok((boxes.collect(), routes.collect()))
}

/// Boxes in a column, or a row, for each layer.
fn in_columns(
    sizes: &[Option<(f64, f64)>],
    edges: &BTreeSet<(usize, usize)>,
    layers: &[usize],
    direction: Direction,
) -> (Vec<StageBox>, Vec<Route>) {
    let depth = layers.iter().max().map_or(0, |last| last + 1);
    let mut columns: Vec<Vec<(usize, (f64, f64))>> = vec![Vec::new(); depth];
    for (stage, size) in sizes.iter().enumerate() {
        columns[layers[stage]].extend(size.map(|size| (stage, size)));
    }
    let (mut boxes, mut across) = (Vec::new(), 0.0);
    for column in columns {
        let (mut along, mut thickest) = (0.0, 0.0_f64);
        for (stage, (w, h)) in column {
            let (x, y) = if direction == Direction::Right { (across, along) } else { (along, across) };
            boxes.push(StageBox { stage, x, y, w, h });
            let (size, thickness) = if direction == Direction::Right { (h, w) } else { (w, h) };
            along += size + GAP;
            thickest = thickest.max(thickness);
        }
        across += thickest + if direction == Direction::Right { LAYER_GAP.0 } else { LAYER_GAP.1 };
    }
    boxes.sort_by_key(|placed| placed.stage);
    let place = |stage: usize| boxes.binary_search_by_key(&stage, |placed| placed.stage).ok().map(|at| &boxes[at]);
    let route = |(from, to): &(usize, usize)| {
        let (one, other) = (place(*from)?, place(*to)?);
        let ends = match direction {
            Direction::Right => [(one.x + one.w, one.y + one.h / 2.0), (other.x, other.y + other.h / 2.0)],
            Direction::Down => [(one.x + one.w / 2.0, one.y + one.h), (other.x + other.w / 2.0, other.y)],
        };
        Some((*from, *to, ends.to_vec()))
    };
    let routes = edges.iter().filter_map(route).collect();
    (boxes, routes)
}

/// Length of the longest way to each stage.
fn layers(count: usize, edges: &BTreeSet<(usize, usize)>) -> Vec<usize> {
    let mut readers = vec![Vec::new(); count];
    let mut missing = vec![0_usize; count];
    for (from, to) in edges {
        readers[*from].push(*to);
        missing[*to] += 1;
    }
    let mut layers = vec![0; count];
    let mut ready: Vec<usize> = (0..count).filter(|stage| missing[*stage] == 0).collect();
    while let Some(stage) = ready.pop() {
        for reader in &readers[stage] {
            layers[*reader] = layers[*reader].max(layers[stage] + 1);
            missing[*reader] -= 1;
            if missing[*reader] == 0 {
                ready.push(*reader);
            }
        }
    }
    layers
}

/// Moves everything into the frame: edges may swing out further than boxes.
fn framed(boxes: Vec<StageBox>, routes: Vec<Route>) -> StageLayout {
    let corners = boxes.iter().flat_map(|placed| [(placed.x, placed.y), (placed.x + placed.w, placed.y + placed.h)]);
    let points = routes.iter().flat_map(|(.., points)| points.iter().copied());
    let (mut least, mut most) = ((f64::INFINITY, f64::INFINITY), (f64::NEG_INFINITY, f64::NEG_INFINITY));
    for (x, y) in corners.chain(points) {
        least = (least.0.min(x), least.1.min(y));
        most = (most.0.max(x), most.1.max(y));
    }
    if boxes.is_empty() {
        return StageLayout { width: 2.0 * MARGIN, height: 2.0 * MARGIN, ..StageLayout::default() };
    }
    let (left, top) = (least.0 - MARGIN, least.1 - MARGIN);
    let boxes = boxes.into_iter().map(|placed| StageBox {
        x: rounded(placed.x - left),
        y: rounded(placed.y - top),
        w: rounded(placed.w),
        h: rounded(placed.h),
        ..placed
    });
    let edges = routes.into_iter().map(|(from, to, points)| {
        let points: Vec<(f64, f64)> = points.into_iter().map(|(x, y)| (x - left, y - top)).collect();
        StageEdge { from, to, path: path(&points) }
    });
    StageLayout {
        width: rounded(most.0 - left + MARGIN).ceil(),
        height: rounded(most.1 - top + MARGIN).ceil(),
        boxes: boxes.collect(),
        edges: edges.collect(),
    }
}

fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// A path through points with rounded corners.
fn path(points: &[(f64, f64)]) -> String {
    let Some((first, rest)) = points.split_first() else { return String::new() };
    let at = |(x, y): (f64, f64)| format!("{},{}", rounded(x), rounded(y));
    let mut path = format!("M{}", at(*first));
    if let [only] = rest {
        path += &format!(" L{}", at(*only));
    }
    for (number, pair) in rest.windows(2).enumerate() {
        let (corner, next) = (pair[0], pair[1]);
        let is_last = number + 2 == rest.len();
        let middle = if is_last { next } else { ((corner.0 + next.0) / 2.0, (corner.1 + next.1) / 2.0) };
        // Writing to a string cannot fail.
        let _ = write!(path, " Q{} {}", at(corner), at(middle));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxes(count: usize) -> Vec<Option<(f64, f64)>> {
        vec![Some(size_of("a stage", "command")); count]
    }

    fn overlap(one: &StageBox, other: &StageBox) -> bool {
        one.x < other.x + other.w && other.x < one.x + one.w && one.y < other.y + other.h && other.y < one.y + one.h
    }

    fn is_sound(layout: &StageLayout, direction: Direction) {
        for (at, one) in layout.boxes.iter().enumerate() {
            assert!(one.x >= 0.0 && one.y >= 0.0 && one.x + one.w <= layout.width && one.y + one.h <= layout.height);
            assert!(!layout.boxes[at + 1..].iter().any(|other| overlap(one, other)), "{one:?}");
        }
        for edge in &layout.edges {
            let place = |stage| layout.boxes.iter().find(|placed| placed.stage == stage).unwrap();
            let (from, to) = (place(edge.from), place(edge.to));
            match direction {
                Direction::Right => assert!(from.x + from.w < to.x),
                Direction::Down => assert!(from.y + from.h < to.y),
            }
            assert!(edge.path.starts_with('M') && !edge.path.contains("NaN"), "{}", edge.path);
        }
    }

    /// A graph of `count` stages, each of which reads some of those before it.
    fn tangle(count: usize) -> BTreeSet<(usize, usize)> {
        let reads = |to: usize| [to * 7 / 11, to.saturating_sub(1 + to % 5)].map(|from| (from, to));
        (1..count).flat_map(reads).collect()
    }

    #[test]
    fn boxes_stand_apart_and_edges_point_one_way() {
        for direction in [Direction::Right, Direction::Down] {
            for count in [1, 2, 60] {
                let layout = lay_out(&boxes(count), &tangle(count), direction);
                assert_eq!((layout.boxes.len(), layout.edges.len()), (count, tangle(count).len()));
                is_sound(&layout, direction);
            }
            let (placed, routes) = in_columns(&boxes(60), &tangle(60), &layers(60, &tangle(60)), direction);
            is_sound(&framed(placed, routes), direction);
        }
    }

    #[test]
    fn stages_without_instances_have_no_box() {
        let mut sizes = boxes(3);
        sizes[1] = None;
        let layout = lay_out(&sizes, &BTreeSet::from([(0, 2)]), Direction::Right);
        assert_eq!(layout.boxes.iter().map(|placed| placed.stage).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(lay_out(&[], &BTreeSet::new(), Direction::Right).boxes, []);
    }

    #[test]
    fn chains_that_cross_nothing_are_laid_out_without_crossings() {
        // Two chains and their common end: each stays in its row.
        let edges = BTreeSet::from([(0, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 6)]);
        let layout = lay_out(&boxes(7), &edges, Direction::Right);
        let above = |one: usize, other: usize| layout.boxes[one].y < layout.boxes[other].y;
        assert!(above(0, 1) == above(2, 3) && above(2, 3) == above(4, 5));
    }
}
