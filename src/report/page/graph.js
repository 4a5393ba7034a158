"use strict";
// The graph of stages: laid out by dagre, drawn as SVG. A node shows how many of its instances are in which state.

function stageStates(data) {
  const counts = data.stages.map(() => ({}));
  data.instances.stage.forEach((stage, at) => {
    const state = data.instances.state[at];
    counts[stage][state] = (counts[stage][state] ?? 0) + 1;
  });
  return counts;
}

function drawGraph(data, onStage) {
  const counts = stageStates(data);
  const critical = new Set((data.timeline?.critical ?? []).map((instance) => data.instances.stage[instance]));
  const graph = new dagre.graphlib.Graph();
  const wide = innerWidth > 700;
  graph.setGraph({ rankdir: wide ? "LR" : "TB", nodesep: 14, ranksep: wide ? 38 : 30, marginx: 12, marginy: 24 });
  graph.setDefaultEdgeLabel(() => ({}));
  data.stages.forEach((stage, at) => {
    const title = stageTitle(stage, counts[at]);
    graph.setNode(String(at), { width: Math.max(96, Math.max(title.length * 7.2, stage.kind.length * 6.4) + 22), height: 46 });
  });
  data.stages.forEach((stage, at) => stage.reads.forEach((from) => graph.setEdge(String(from), String(at))));
  dagre.layout(graph);
  // Edges may swing out further than the size of the layout says.
  const ends = [...graph.nodes().flatMap((name) => { const { x, y, width: w, height: h } = graph.node(name); return [{ x: x - w / 2, y: y - h / 2 }, { x: x + w / 2, y: y + h / 2 }]; }), ...graph.edges().flatMap((edge) => graph.edge(edge).points)];
  const [left0, top0] = [Math.min(0, ...ends.map((end) => end.x)) - 4, Math.min(0, ...ends.map((end) => end.y)) - 4];
  const [width, height] = [Math.max(...ends.map((end) => end.x)) + 12 - left0, Math.max(...ends.map((end) => end.y)) + 12 - top0];
  const edges = graph.edges().map((edge) => {
    const points = graph.edge(edge).points;
    const isCritical = critical.has(Number(edge.v)) && critical.has(Number(edge.w));
    return svg("path", { class: `edge${isCritical ? " critical" : ""}`, d: smooth(points), "marker-end": "url(#arrow)" });
  });
  const nodes = data.stages.map((stage, at) => {
    const { x, y, width: w, height: h } = graph.node(String(at));
    const total = Object.values(counts[at]).reduce((sum, count) => sum + count, 0) || 1;
    let left = x - w / 2 + 8;
    const bars = STATES.filter((state) => counts[at][state]).map((state) => {
      const share = ((w - 16) * counts[at][state]) / total;
      const bar = svg("rect", { x: left, y: y + h / 2 - 9, width: Math.max(share, 1.5), height: 4, fill: `var(--${state})`, rx: 1 });
      left += share;
      return bar;
    });
    const hint = [stage.name, stage.kind, stage.description, STATES.filter((state) => counts[at][state]).map((state) => `${counts[at][state]} ${STATE_NAMES[state]}`).join(", ")].filter(Boolean).join("\n");
    return svg("g", {
      class: `node${critical.has(at) ? " critical" : ""}`,
      onclick: () => onStage(at), onmousemove: (event) => tip(event, hint), onmouseleave: hideTip,
    },
      svg("rect", { class: "box", x: x - w / 2, y: y - h / 2, width: w, height: h, rx: 7 }),
      svg("text", { x: x - w / 2 + 10, y: y - h / 2 + 16, "font-weight": 600 }, stageTitle(stage, counts[at])),
      svg("text", { x: x - w / 2 + 10, y: y - h / 2 + 31, class: "soft", style: "font-size:11px" }, stage.kind), bars);
  });
  const arrow = svg("defs", {}, svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 6, markerHeight: 6, orient: "auto" },
    svg("path", { d: "M0,0 L8,4 L0,8 z", fill: "var(--soft)" })));
  // A large graph is shown at its own size and scrolled, a small one fits.
  const picture = svg("svg", { viewBox: `${left0} ${top0} ${Math.ceil(width)} ${Math.ceil(height)}`, width: Math.ceil(width), role: "img", "aria-label": "Graph of stages", style: "max-width:none;height:auto" }, arrow, edges, nodes);
  if (wide && width > 1160 && width < 2400) picture.setAttribute("width", "100%");
  return el("div.scroll", {}, picture);
}

function stageTitle(stage, counts) {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return total > 1 ? `${stage.name} ×${total}` : stage.name;
}

/** A path through points with rounded corners. */
function smooth(points) {
  const at = (point) => `${point.x.toFixed(1)},${point.y.toFixed(1)}`;
  if (points.length < 3) return `M${points.map(at).join(" L")}`;
  let path = `M${at(points[0])}`;
  for (let i = 1; i < points.length - 1; i += 1) {
    const next = points[i + 1];
    const middle = i === points.length - 2 ? next : { x: (points[i].x + next.x) / 2, y: (points[i].y + next.y) / 2 };
    path += ` Q${at(points[i])} ${at(middle)}`;
  }
  return path;
}
