//! A plan drawn: as text, for Graphviz, for Mermaid, or as a picture.
//!
//! Stages are drawn with their numbers of instances: a matrix of thousands is still one box.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::escape::escape;
use crate::plan::Plan;

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GraphFormat {
    /// Text for a terminal.
    Text,
    /// Graphviz.
    Dot,
    /// Mermaid, as code hosts render it.
    Mermaid,
    /// A picture that stands alone.
    Svg,
}

struct Node {
    name: String,
    kind: String,
    instances: usize,
    layer: usize,
}

struct Drawing {
    nodes: Vec<Node>,
    /// Edges from producer to consumer, by node.
    edges: BTreeSet<(usize, usize)>,
    /// Results by node.
    results: BTreeMap<usize, Vec<String>>,
}

/// Draws `plan`.
pub(crate) fn draw(plan: &Plan, format: GraphFormat) -> String {
    let drawing = Drawing::of(plan);
    let text = match format {
        GraphFormat::Text => drawing.text(),
        GraphFormat::Dot => drawing.dot(&escape(&plan.name)),
        GraphFormat::Mermaid => drawing.mermaid(),
        GraphFormat::Svg => drawing.svg(),
    };
    text.expect("writing to a string cannot fail")
}

impl Drawing {
    fn of(plan: &Plan) -> Drawing {
        let mut nodes: Vec<Node> = plan
            .stages
            .iter()
            .map(|stage| Node {
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
        let mut results: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for entry in &plan.results {
            let stages: BTreeSet<usize> =
                entry.sources.iter().map(|source| plan.instances[source.instance.index()].stage).collect();
            for stage in stages {
                results.entry(stage).or_default().push(escape(&entry.path).into_owned());
            }
        }
        Drawing { nodes, edges, results }
    }

    /// Names of the nodes that each node reads from.
    fn producers(&self) -> Vec<Vec<&str>> {
        let mut producers = vec![Vec::new(); self.nodes.len()];
        for (from, to) in &self.edges {
            producers[*to].push(self.nodes[*from].name.as_str());
        }
        producers
    }

    fn by_layer(&self) -> Vec<Vec<usize>> {
        let depth = self.nodes.iter().map(|node| node.layer + 1).max().unwrap_or(0);
        let mut layers = vec![Vec::new(); depth];
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.instances > 0) {
            layers[node.layer].push(index);
        }
        layers
    }

    fn text(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        let producers = self.producers();
        for index in self.by_layer().into_iter().flatten() {
            let node = &self.nodes[index];
            write!(out, "{}", node.title())?;
            writeln!(out, "  ({})", node.kind)?;
            let producers = &producers[index];
            let reads = (!producers.is_empty()).then(|| format!("reads {}", producers.join(", ")));
            let results = self.results.get(&index).into_iter().flatten().map(|result| format!("result {result}"));
            let branches: Vec<String> = reads.into_iter().chain(results).collect();
            for (number, branch) in branches.iter().enumerate() {
                let joint = if number + 1 == branches.len() { '└' } else { '├' };
                writeln!(out, "  {joint}─ {branch}")?;
            }
        }
        Ok(out)
    }

    fn dot(&self, name: &str) -> Result<String, std::fmt::Error> {
        let mut out = format!("digraph {} {{\n  rankdir=LR;\n  node [shape=box, style=rounded];\n", quote(name));
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.instances > 0) {
            writeln!(out, "  s{index} [label={}];", quote(&format!("{}\n{}", node.title(), node.kind)))?;
        }
        for (from, to) in &self.edges {
            writeln!(out, "  s{from} -> s{to};")?;
        }
        for (number, (stage, result)) in self.flat_results().enumerate() {
            writeln!(out, "  r{number} [label={}, shape=note];\n  s{stage} -> r{number};", quote(result))?;
        }
        Ok(out + "}\n")
    }

    fn mermaid(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::from("flowchart LR\n");
        let escape =
            |text: &str| text.replace('#', "#35;").replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;");
        for (index, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.instances > 0) {
            writeln!(out, "  s{index}[\"{}<br/><i>{}</i>\"]", escape(&node.title()), escape(&node.kind))?;
        }
        for (from, to) in &self.edges {
            writeln!(out, "  s{from} --> s{to}")?;
        }
        for (number, (stage, result)) in self.flat_results().enumerate() {
            writeln!(out, "  r{number}([\"{}\"])\n  s{stage} --> r{number}", escape(result))?;
        }
        Ok(out)
    }

    fn flat_results(&self) -> impl Iterator<Item = (usize, &String)> {
        self.results.iter().flat_map(|(stage, paths)| paths.iter().map(|path| (*stage, path)))
    }

    fn svg(&self) -> Result<String, std::fmt::Error> {
        const BOX: (usize, usize) = (200, 46);
        const GAP: (usize, usize) = (60, 20);
        const MARGIN: usize = 20;
        let layers = self.by_layer();
        let rows = layers.iter().map(Vec::len).max().unwrap_or(0);
        let place = |column: usize, row: usize| (MARGIN + column * (BOX.0 + GAP.0), MARGIN + row * (BOX.1 + GAP.1));
        let mut places = BTreeMap::new();
        for (column, layer) in layers.iter().enumerate() {
            for (row, index) in layer.iter().enumerate() {
                places.insert(*index, place(column, row));
            }
        }
        let (width, height) = place(layers.len(), rows);
        let (width, height) = (width - GAP.0.min(width) + MARGIN, height - GAP.1.min(height) + MARGIN);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        );
        for (from, to) in &self.edges {
            let ((x1, y1), (x2, y2)) = (places[from], places[to]);
            let (x1, y1, y2) = (x1 + BOX.0, y1 + BOX.1 / 2, y2 + BOX.1 / 2);
            let bend = GAP.0 / 2;
            writeln!(
                out,
                "<path d=\"M{x1},{y1} C{},{y1} {},{y2} {x2},{y2}\" fill=\"none\" stroke=\"#8a94a6\"/>",
                x1 + bend,
                x2 - bend.min(x2)
            )?;
        }
        for (index, (x, y)) in &places {
            let node = &self.nodes[*index];
            let fill = if self.results.contains_key(index) { "#e3f4e8" } else { "#eef2fb" };
            writeln!(
                out,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"7\" fill=\"{fill}\" stroke=\"#4a5a78\"/>\
                 <text x=\"{}\" y=\"{}\" font-weight=\"bold\">{}</text><text x=\"{}\" y=\"{}\" fill=\"#55606e\">{}</text>",
                BOX.0,
                BOX.1,
                x + 10,
                y + 19,
                xml(&clip(&node.title(), 27)),
                x + 10,
                y + 36,
                xml(&clip(&node.kind, 29))
            )?;
        }
        Ok(out + "</svg>\n")
    }
}

impl Node {
    fn title(&self) -> String {
        if self.instances == 1 { self.name.clone() } else { format!("{} ×{}", self.name, self.instances) }
    }
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn clip(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit - 1).chain(['…']).collect()
}
