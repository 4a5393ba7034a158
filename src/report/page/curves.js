"use strict";
// Learning curves: all instances of a metric on one chart, with a legend that filters, and smoothing.

/** Places of several curves put together, at most `most` of them: of places that lie close, the last value stays. */
function together(curves, most = 3000) {
  const places = [...new Set(curves.flatMap((curve) => curve.x))].sort((a, b) => a - b);
  let x = places;
  if (places.length > most) {
    const step = (places.at(-1) - places[0]) / most;
    x = Array.from({ length: most + 1 }, (_, at) => places[0] + at * step);
  }
  const rows = curves.map((curve) => {
    const row = new Array(x.length).fill(null);
    let at = 0;
    curve.x.forEach((place, index) => {
      while (at < x.length - 1 && x[at] < place) at += 1;
      row[at] = curve.y[index];
    });
    return row;
  });
  return [x, ...rows];
}

/** Exponential moving average without a bias at its beginning. */
function smoothed(row, weight) {
  if (!weight) return row;
  let [sum, norm] = [0, 0];
  return row.map((value) => {
    if (value == null) return null;
    sum = sum * weight + value * (1 - weight);
    norm = norm * weight + (1 - weight);
    return sum / norm;
  });
}

/** Distances of marks on an axis of steps, which are whole. */
const WHOLE = Array.from({ length: 13 }, (_, power) => [1, 2, 5].map((each) => each * 10 ** power)).flat();

/** Metrics that are offered at once. */
const MOST_METRICS = 8;

/** Series of a chart are coloured by instance, so that all charts agree. */
function drawCurves(data) {
  const withCurves = new Set(data.curves.map((curve) => curve.metric));
  const metrics = data.metric_order.filter((metric) => withCurves.has(metric));
  const owners = [...new Set(data.curves.map((curve) => curve.i))];
  const colourOf = new Map(owners.map((owner, at) => [owner, colour(at)]));
  const state = (ui.curves ??= { hidden: new Set(), filter: "", smooth: 0, log: false, more: false });
  const name = (curve) => data.instances.name[curve.i] + (curve.other ? ` (${data.comparison ? `run ${data.other.id}` : "other run"})` : "");
  const key = (curve) => `${curve.i}${curve.other ? "'" : ""}`;
  const chosen = (ui.chosen ??= new Set());
  if (!metrics.some((metric) => chosen.has(metric))) data.first_curves.forEach((metric) => chosen.add(metric));
  const charts = el("div.charts");
  const legend = el("div.legend");
  const isShown = (curve) => !state.hidden.has(key(curve)) && name(curve).toLowerCase().includes(state.filter);
  let plots = [];

  function draw() {
    plots.forEach((plot) => plot.destroy());
    const all = charts.clientWidth || 900;
    const width = Math.max(260, all > 980 && chosen.size > 1 ? (all - 18) / 2 : all);
    const drawn = metrics.filter((metric) => chosen.has(metric)).map((metric) => {
      const curves = data.curves.filter((curve) => curve.metric === metric && isShown(curve));
      const box = el("div.chart", {}, el("h3", {}, metric));
      return { curves, box, metric };
    });
    charts.replaceChildren(...drawn.map(({ box }) => box));
    plots = drawn.filter(({ curves }) => curves.length).map(({ curves, box }) => chart(box, curves, width));
    legend.replaceChildren(...legendItems());
  }

  function chart(box, curves, width) {
    const [x, ...rows] = together(curves);
    const axis = { stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line") }, font: "12px system-ui, sans-serif" };
    const series = curves.map((curve) => ({
      label: name(curve), stroke: colourOf.get(curve.i), width: 1.6, dash: curve.other ? [6, 4] : undefined, spanGaps: true,
      points: { show: x.length < 3, size: 6 },
    }));
    const options = {
      width, height: Math.min(320, Math.max(220, width * 0.42)), legend: { show: false },
      scales: { x: { time: false }, y: { distr: state.log ? 3 : 1 } },
      axes: [{ ...axis, incrs: WHOLE, values: (_, values) => values.map(number) }, { ...axis, size: 62, values: (_, values) => values.map((value) => (value == null ? "" : number(value))) }],
      cursor: { focus: { prox: 24 }, points: { size: 7 } }, focus: { alpha: curves.length > 1 ? 0.25 : 1 },
      series: [{}, ...series],
      hooks: { setCursor: [(plot) => onCursor(plot, curves, rows)] },
    };
    return new uPlot(options, [x, ...rows.map((row) => smoothed(state.log ? row.map((value) => (value > 0 ? value : null)) : row, state.smooth))], box);
  }

  function onCursor(plot, curves) {
    const { idx, left, top } = plot.cursor;
    if (idx == null || left < 0) return hideTip();
    const near = plot.series.slice(1).map((_, at) => ({ at, value: plot.data[at + 1][idx] })).filter(({ value }) => value != null)
      .map((each) => ({ ...each, far: Math.abs(plot.valToPos(each.value, "y") - top) })).sort((a, b) => a.far - b.far).slice(0, 5);
    if (!near.length) return hideTip();
    const { left: ox, top: oy } = plot.over.getBoundingClientRect();
    const lines = near.map(({ at, value }) => `${name(curves[at])}: ${number(value)}`);
    return tip({ clientX: ox + left, clientY: oy + top }, [`step ${number(plot.data[0][idx])}`, ...lines].join("\n"));
  }

  function legendItems() {
    const seen = new Set();
    return data.curves.filter((curve) => !seen.has(key(curve)) && seen.add(key(curve))).map((curve) => el(`span${isShown(curve) ? "" : ".off"}`, {
      onclick: (event) => {
        if (event.altKey) data.curves.forEach((other) => (key(other) === key(curve) ? state.hidden.delete(key(other)) : state.hidden.add(key(other))));
        else if (!state.hidden.delete(key(curve))) state.hidden.add(key(curve));
        draw();
      },
    }, el(curve.other ? "i.dashed" : "i", { style: `color:${colourOf.get(curve.i)}` }), name(curve)));
  }

  const box = (metric) => el("label", {}, el("input", {
    type: "checkbox", checked: chosen.has(metric),
    onchange: (event) => { if (event.target.checked) chosen.add(metric); else chosen.delete(metric); draw(); },
  }), " ", metric);
  // Scores of single classes are many: they are there on a click.
  const first = metrics.length > MOST_METRICS + 2 ? MOST_METRICS : metrics.length;
  const more = metrics.length > first ? el("details", { open: state.more, ontoggle: (event) => { state.more = event.target.open; } },
    el("summary", {}, `${metrics.length - first} more`), el("div.controls", {}, metrics.slice(first).map(box))) : null;
  const picker = metrics.length > 1 ? [metrics.slice(0, first).map(box), more] : null;
  const controls = el("div.controls", {},
    el("input", { type: "search", placeholder: "Filter, e.g. fold=0", "aria-label": "Filter curves", id: "curve-filter", value: state.filter, oninput: (event) => { state.filter = event.target.value.toLowerCase(); draw(); } }),
    el("label", {}, "smoothing ", el("input", { type: "range", min: 0, max: 0.98, step: 0.02, value: state.smooth, "aria-label": "Smoothing", oninput: (event) => { state.smooth = Number(event.target.value); draw(); } })),
    el("label", {}, el("input", { type: "checkbox", checked: state.log, onchange: (event) => { state.log = event.target.checked; draw(); } }), " logarithmic"),
    picker);
  charts.addEventListener("mouseleave", hideTip);
  onRedraw(draw);
  return el("div", {}, controls, charts, legend, el("p.soft.small.hint", {}, "A click on a name hides its curve, a click with Alt shows it alone; drag in a chart to zoom, a double click goes back."));
}
