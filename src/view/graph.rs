//! A plan drawn: as text, for Graphviz, for Mermaid, or as a picture.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::escape::escape;
use crate::plan::Plan;
use crate::view::stage_graph::StageGraph;
use crate::view::stage_layout::{Direction, StageBox, StageEdge, StageLayout};

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

struct Drawing {
    graph: StageGraph,
    /// Results by stage.
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
        let mut results: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for entry in &plan.results {
            let stages: BTreeSet<usize> =
                entry.sources.iter().map(|source| plan.instances[source.instance.index()].stage).collect();
            for stage in stages {
                results.entry(stage).or_default().push(escape(&entry.path).into_owned());
            }
        }
        Drawing { graph: StageGraph::of(plan), results }
    }

    /// Names of the nodes that each node reads from.
    fn producers(&self) -> Vec<Vec<&str>> {
        let mut producers = vec![Vec::new(); self.graph.nodes.len()];
        for (from, to) in &self.graph.edges {
            producers[*to].push(self.graph.nodes[*from].name.as_str());
        }
        producers
    }

    fn by_layer(&self) -> Vec<Vec<usize>> {
        let depth = self.graph.nodes.iter().map(|node| node.layer + 1).max().unwrap_or(0);
        let mut layers = vec![Vec::new(); depth];
        for (index, node) in self.graph.nodes.iter().enumerate().filter(|(_, node)| node.instances > 0) {
            layers[node.layer].push(index);
        }
        layers
    }

    fn text(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        let producers = self.producers();
        for index in self.by_layer().into_iter().flatten() {
            let node = &self.graph.nodes[index];
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
        for (index, node) in self.graph.nodes.iter().enumerate().filter(|(_, node)| node.instances > 0) {
            writeln!(out, "  s{index} [label={}];", quote(&format!("{}\n{}", node.title(), node.kind)))?;
        }
        for (from, to) in &self.graph.edges {
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
        for (index, node) in self.graph.nodes.iter().enumerate().filter(|(_, node)| node.instances > 0) {
            writeln!(out, "  s{index}[\"{}<br/><i>{}</i>\"]", escape(&node.title()), escape(&node.kind))?;
        }
        for (from, to) in &self.graph.edges {
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

    /// The picture, in the layout of a report's page.
    fn svg(&self) -> Result<String, std::fmt::Error> {
        let StageLayout { width, height, boxes, edges } = self.graph.lay_out(Direction::Right);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"6\" markerHeight=\"6\" \
             orient=\"auto\"><path d=\"M0,0 L8,4 L0,8 z\" fill=\"#8a94a6\"/></marker></defs>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        );
        for StageEdge { path, .. } in edges {
            writeln!(out, "<path d=\"{path}\" fill=\"none\" stroke=\"#8a94a6\" marker-end=\"url(#arrow)\"/>")?;
        }
        for StageBox { stage, x, y, w, h } in boxes {
            let node = &self.graph.nodes[stage];
            let fill = if self.results.contains_key(&stage) { "#e3f4e8" } else { "#eef2fb" };
            let (left, title, second) = (x + 10.0, y + 19.0, y + 36.0);
            writeln!(
                out,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"7\" fill=\"{fill}\" stroke=\"#4a5a78\"/>\
                 <text x=\"{left:.1}\" y=\"{title:.1}\" font-weight=\"bold\">{}</text>\
                 <text x=\"{left:.1}\" y=\"{second:.1}\" font-size=\"11\" fill=\"#55606e\">{}</text>",
                xml(&node.title()),
                xml(&node.kind)
            )?;
        }
        Ok(out + "</svg>\n")
    }
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
