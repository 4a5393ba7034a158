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

/** The graph, laid out for the width that the page has. */
function drawGraph(data, onStage) {
  const place = el("div");
  let [wide, fit] = [null, null];
  onRedraw(() => {
    if (wide !== (innerWidth > 700)) {
      wide = innerWidth > 700;
      const graph = graphOf(data, onStage, wide);
      fit = graph.fit;
      place.replaceChildren(graph.node);
    }
    fit();
  });
  return place;
}

function graphOf(data, onStage, wide) {
  const counts = stageStates(data);
  const path = (data.timeline?.critical ?? []).map((instance) => data.instances.stage[instance]);
  const critical = new Set(path);
  const steps = new Set(path.slice(1).map((stage, at) => `${path[at]} ${stage}`));
  const { width, height, boxes, edges } = wide ? data.graph.wide : data.graph.narrow;
  const lines = edges.map(({ from, to, path: line }) => {
    const isStep = steps.has(`${from} ${to}`);
    return svg("path", { class: `edge${isStep ? " critical" : ""}`, d: line, "marker-end": `url(#arrow${isStep ? "-critical" : ""})` });
  });
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
  // Of one size, however wide its line is.
  const arrow = (id, colour) => svg("marker", { id, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, markerUnits: "userSpaceOnUse", orient: "auto" },
    svg("path", { d: "M0,0 L8,4 L0,8 z", fill: `var(${colour})` }));
  const arrows = svg("defs", {}, arrow("arrow", "--soft"), arrow("arrow-critical", "--accent"));
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, role: "img", "aria-label": "Graph of stages", style: "max-width:none;height:auto;display:block" }, arrows, lines, nodes);
  return inItsBox(picture, width, boxes, wide ? "x" : "y");
}

/** Scale from which on a graph's names are easy to read. */
const READABLE = 0.75;
/** Scale below which not even the shape of a graph is to be seen. */
const LEAST_SCALE = 0.25;

/** A graph that fits its box, or is scrolled there where it would be too small, until people choose otherwise. */
function inItsBox(picture, width, boxes, along) {
  const state = (ui.graph ??= { whole: null, left: null, top: null });
  const box = el("div.scroll.graph", { onscroll: () => { [state.left, state.top] = [box.scrollLeft, box.scrollTop]; } }, picture);
  const button = el("button", { onclick: () => { state.whole = !isWhole(); fit(); } });
  const isWhole = () => state.whole ?? box.clientWidth / width >= LEAST_SCALE;
  function fit() {
    const room = box.clientWidth;
    if (!room) return;
    button.hidden = room >= width * READABLE;
    button.textContent = isWhole() ? "Readable size" : "Whole graph";
    picture.setAttribute("width", isWhole() ? Math.min(width, room) : width);
    // The beginning of the graph is what is seen first.
    const first = boxes.reduce((one, other) => (other[along] < one[along] ? other : one), boxes[0] ?? { x: 0, y: 0, w: 0, h: 0 });
    box.scrollLeft = state.left ?? first.x + first.w / 2 - room / 2;
    box.scrollTop = state.top ?? first.y + first.h / 2 - box.clientHeight / 2;
  }
  return { node: el("div", {}, box, el("p.controls", {}, button)), fit };
}

function stageTitle(stage, counts) {
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return total > 1 ? `${stage.name} ×${total}` : stage.name;
}
