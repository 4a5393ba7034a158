"use strict";
// The graph of stages, as the program has laid it out. A box shows how many of its instances are in which state.

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
  const wide = innerWidth > 700;
  const { width, height, boxes, edges } = wide ? data.graph.wide : data.graph.narrow;
  const lines = edges.map(({ from, to, path }) => svg("path", { class: `edge${critical.has(from) && critical.has(to) ? " critical" : ""}`, d: path, "marker-end": "url(#arrow)" }));
  const nodes = boxes.map(({ stage: at, x, y, w, h }) => {
    const stage = data.stages[at];
    const total = Object.values(counts[at]).reduce((sum, count) => sum + count, 0) || 1;
    let left = x + 8;
    // One failure among a thousand instances is to be seen.
    const parts = STATES.filter((state) => counts[at][state]).map((state) => [state, Math.max(counts[at][state] / total, 0.07)]);
    const all = parts.reduce((sum, [, part]) => sum + part, 0);
    const bars = parts.map(([state, part]) => {
      const share = ((w - 16) * part) / all;
      const bar = svg("rect", { x: left, y: y + h - 9, width: share, height: 4, fill: `var(--${state})`, rx: 1 });
      left += share;
      return bar;
    });
    const hint = [stage.name, stage.kind, stage.description, STATES.filter((state) => counts[at][state]).map((state) => `${counts[at][state]} ${STATE_NAMES[state]}`).join(", ")].filter(Boolean).join("\n");
    return svg("g", {
      class: `node${critical.has(at) ? " critical" : ""}`,
      onclick: () => onStage(at), onmousemove: (event) => tip(event, hint), onmouseleave: hideTip,
    },
      svg("rect", { class: "box", x, y, width: w, height: h, rx: 7 }),
      svg("text", { x: x + 10, y: y + 16, "font-weight": 600 }, stageTitle(stage, counts[at])),
      svg("text", { x: x + 10, y: y + 31, class: "soft", style: "font-size:11px" }, stage.kind), bars);
  });
  const arrow = svg("defs", {}, svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 6, markerHeight: 6, orient: "auto" },
    svg("path", { d: "M0,0 L8,4 L0,8 z", fill: "var(--soft)" })));
  // A large graph is shown at its own size and scrolled, a small one fits.
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, role: "img", "aria-label": "Graph of stages", style: "max-width:none;height:auto" }, arrow, lines, nodes);
  if (wide && width > 1160 && width < 2400) picture.setAttribute("width", "100%");
  return el("div.scroll", {}, picture);
}

function stageTitle(stage, counts) {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return total > 1 ? `${stage.name} ×${total}` : stage.name;
}
