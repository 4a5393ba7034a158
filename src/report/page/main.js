"use strict";
// The page: sections in the order in which they matter.

const STATES = ["done", "cached", "failed", "running", "waiting", "skipped", "interrupted"];
const STATE_NAMES = { done: "made in this run", cached: "from the cache", failed: "failed", running: "running", waiting: "not made yet", skipped: "skipped", interrupted: "interrupted" };
const OUTCOMES = { up_to_date: ["up to date", "done"], failed: ["failed", "failed"], interrupted: ["interrupted", "interrupted"], running: ["running", "running"], killed: ["ended early", "failed"] };

const redraws = [];
/** Draws when the page is laid out, and again when its width or its colours change. */
function onRedraw(draw) { redraws.push(draw); }
const redraw = () => redraws.forEach((draw) => draw());

function head(data) {
  const { run } = data;
  if (data.comparison) return [el("h1", {}, data.pipeline), el("p.soft", {}, el("span.mono", {}, data.file), ` · runs ${data.other.id} and ${data.run.id}`)];
  const [word, state] = OUTCOMES[run?.outcome] ?? ["no run", "waiting"];
  const parts = [run ? `run ${run.id}` : null, run?.begun ? time(run.begun) : null, run?.duration_ms != null ? duration(run.duration_ms) : null, run?.commit ? `commit ${run.commit}` : null].filter(Boolean);
  return [
    el("h1", {}, data.pipeline, el("span.badge", { style: `background:var(--${state})` }, word)),
    el("p.soft", {}, el("span.mono", {}, data.file), parts.length ? ` · ${parts.join(" · ")}` : ""),
    run?.set?.length ? el("p.small", {}, "set for this run: ", el("code", {}, run.set.join("  "))) : null,
    data.other && !data.comparison ? el("p.small", {}, `compared with run ${data.other.id}`) : null,
  ];
}

function tiles(data) {
  const counts = {};
  data.instances.state.forEach((state) => { counts[state] = (counts[state] ?? 0) + 1; });
  const sum = (list) => list.reduce((total, value) => total + (value ?? 0), 0);
  const cpu = sum(data.instances.cpu_ms);
  const peak = Math.max(0, ...data.instances.peak.filter((value) => value != null));
  const tile = (value, name, more) => el("div.tile", {}, el("b", {}, value), el("span", {}, name), more ?? null);
  const headline = data.headline.map(({ instance, metric, value, before, best_of: bestOf }) => {
    const delta = before == null || before === value ? null : el(`span.delta`, {}, ` ${signed(value - before)}`);
    return tile(measured(value), `${metric} of ${instance}${bestOf > 1 ? `, the best of ${bestOf}` : ""}`, delta);
  });
  const states = STATES.filter((state) => counts[state]).map((state) => tile(counts[state].toLocaleString("en"), STATE_NAMES[state]));
  const [read, written] = [sum(data.instances.read), sum(data.instances.written)];
  const costs = [cpu ? tile(duration(cpu), "CPU time of all results") : null, peak ? tile(bytes(peak), "largest memory of a process") : null, read || written ? tile(bytes(read), `read by all, and ${bytes(written)} written`) : null];
  return el("div.tiles", {}, headline, states, costs);
}

function failures(data) {
  if (!data.failures.length) return null;
  return section("Failures", data.failures.map((failure) => el("div", {},
    el("h3", {}, el("span.dot", { style: "background:var(--failed)" }), `${failure.instance} (attempt ${failure.attempt}${failure.retrying ? ", tried again" : ""})`),
    el("p", {}, failure.cause), failure.help ? el("p.soft", {}, failure.help) : null,
    failure.log.length ? el("details", { open: true }, el("summary.small", {}, "the end of its log"), el("pre", {}, failure.log.join("\n"))) : null)));
}

function warnings(data) {
  if (!data.warnings) return null;
  return section("Warnings", el("ul.plain", {}, data.warnings.map((each) => el("li", {}, el("span.mono", {}, each.instance), `: ${each.text}`))));
}

function instances(data) {
  const { name, stage, state, duration_ms: ms, cpu_ms: cpu, peak, read, written, gpu, node: made, why } = data.instances;
  const [gpuOf, nodeOf] = [new Map(gpu.i.map((i, at) => [i, at])), new Map(made.i.map((i, at) => [i, made.name[at]]))];
  const box = el("div");
  const filter = (ui.instances ??= { text: "", stage: null });
  const values = Object.fromEntries(Object.keys(data.metrics).map((metric) => [metric, new Map(data.metrics[metric].i.map((i, at) => [i, data.metrics[metric].v[at]]))]));
  // Of all stages together only scores and losses, as counts of each would be many.
  const shown = (kept) => data.metric_order.slice(0, filter.stage == null ? data.telling : undefined).filter((metric) => metric in values && kept.some((at) => values[metric].has(at))).slice(0, 6);
  const columnsOf = (known) => [{ title: "instance" }, { title: "state", num: false, nowrap: true }, { title: "took", num: true }, { title: "CPU", num: true, help: "CPU time of its processes" }, { title: "memory", num: true, help: "Peak memory of its largest process" },
    { title: "read", num: true, help: "Bytes that its processes read from files and pipes" }, { title: "written", num: true, help: "Bytes that they wrote" },
    ...(gpu.i.length ? [{ title: "GPU memory", num: true, help: "Peak memory in use on the fullest of its GPUs, by others, too" }, { title: "GPU busy", num: true, help: "Share of the time in which its GPUs computed" }] : []),
    ...(made.i.length ? [{ title: "node", nowrap: true }] : []), ...known.map((title) => ({ title, num: true })), { title: "why it ran", wide: true }];
  function draw() {
    const kept = name.map((_, at) => at).filter((at) => (filter.stage == null || stage[at] === filter.stage) && name[at].toLowerCase().includes(filter.text));
    const known = shown(kept);
    const rows = kept.map((at) => [
      name[at], { sort: STATES.indexOf(state[at]), show: el("span", {}, el("span.dot", { style: `background:var(--${state[at]})` }), STATE_NAMES[state[at]]) },
      { sort: ms[at], show: duration(ms[at]) }, { sort: cpu[at], show: duration(cpu[at]) }, { sort: peak[at], show: bytes(peak[at]) },
      { sort: read[at], show: bytes(read[at]) }, { sort: written[at], show: bytes(written[at]) },
      ...(gpu.i.length ? [{ sort: gpu.peak[gpuOf.get(at)], show: bytes(gpu.peak[gpuOf.get(at)]) }, { sort: gpu.busy[gpuOf.get(at)], show: gpu.busy[gpuOf.get(at)] == null ? "–" : `${gpu.busy[gpuOf.get(at)]} %` }] : []),
      ...(made.i.length ? [nodeOf.get(at) ?? ""] : []),
      ...known.map((metric) => values[metric].get(at) ?? null), why[at] == null ? "" : clamped(data.reasons[why[at]]),
    ]);
    box.replaceChildren(table(columnsOf(known), rows, { shown: 25 }));
  }
  const input = el("input", { type: "search", placeholder: "Filter instances", "aria-label": "Filter instances", id: "instance-filter", oninput: (event) => { filter.text = event.target.value.toLowerCase(); draw(); } });
  const stages = el("select", { "aria-label": "Stage", onchange: (event) => { filter.stage = event.target.value === "" ? null : Number(event.target.value); draw(); } },
    el("option", { value: "" }, "all stages"), data.stages.map((each, at) => el("option", { value: at }, each.name)));
  input.value = filter.text;
  stages.value = filter.stage ?? "";
  draw();
  const node = section("Instances", el("div.controls", {}, input, stages), box);
  return { node, choose: (at) => { filter.stage = at; stages.value = at; draw(); node.scrollIntoView({ behavior: "smooth" }); } };
}

/** Figures of an instance by their names, numbers before images: what is to be compared stands together. */
const imagesLast = (list) => list.slice().sort((one, other) => (one.kind === "images") - (other.kind === "images"));

function figures(data) {
  if (!data.figures.length) return null;
  const byInstance = new Map();
  data.figures.forEach((each) => byInstance.set(each.i, [...(byInstance.get(each.i) ?? []), each.figure]));
  // Those of the first instance of each stage are open: of its others they are alike.
  const seen = new Set();
  const isFirst = (i) => !seen.has(data.instances.stage[i]) && seen.add(data.instances.stage[i]);
  const groups = [...byInstance].map(([i, list]) => el("details", { open: Boolean(isFirst(i)) }, el("summary", {}, el("b", {}, data.instances.name[i])), el("div.figures", { style: "margin:12px 0 20px" }, imagesLast(list).map(drawFigure))));
  const note = data.figures_left_out ? el("p.soft.small", {}, `${plural(data.figures_left_out, "figure")} left out to keep this file small.`) : null;
  return section("Figures", groups, note);
}

function parameters(data) {
  if (!data.params.length) return null;
  const value = (each) => (typeof each === "string" ? each : JSON.stringify(each));
  const stages = data.params.map((each) => {
    const varying = each.varying.names.length ? el("div", {}, table([{ title: "instance" }, ...each.varying.names.map((title) => ({ title }))], each.varying.rows.map((row) => [data.instances.name[row[0]], ...row.slice(1).map((cell) => (cell == null ? "" : value(cell)))]), { shown: 12 })) : null;
    const common = Object.entries(each.common).map(([key, cell]) => el("tr", {}, el("td", {}, el("code", {}, key)), el("td", {}, el("code", {}, value(cell)))));
    return el("details", {}, el("summary", {}, el("b", {}, data.stages[each.stage].name), el("span.soft", {}, ` ${data.stages[each.stage].kind}`)), common.length ? el("div.scroll", {}, el("table", {}, el("tbody", {}, common))) : null, varying);
  });
  return section("Parameters", stages);
}

function environment(data) {
  if (!data.environments.length) return null;
  const used = new Map();
  data.instances.environment.forEach((at) => { if (at != null) used.set(at, (used.get(at) ?? 0) + 1); });
  const rows = [["program", (e) => e.program], ["machine", (e) => e.host], ["system", (e) => e.system], ["processor", (e) => e.processor], ["CPUs", (e) => e.cpus], ["memory", (e) => bytes(e.memory)], ["GPUs", (e) => (e.gpus ?? []).join(", ")], ["driver", (e) => e.driver], ["commit", (e) => e.commit && `${e.commit.id.slice(0, 12)}${e.commit.branch ? ` on ${e.commit.branch}` : ""}${e.commit.dirty ? ", with changes that are not committed" : ""}`]];
  return section("Environment", data.environments.map((each, at) => el("div", {},
    data.environments.length > 1 ? el("h3", {}, plural(used.get(at) ?? 0, "result")) : null,
    el("div.scroll", {}, el("table", {}, el("tbody", {}, rows.filter(([, of]) => of(each)).map(([name, of]) => el("tr", {}, el("td.soft", {}, name), el("td", {}, String(of(each)))))))))));
}

/** Sections of a report. */
function reportSections(data) {
  const list = instances(data);
  return [
    tiles(data), failures(data), warnings(data),
    section("Stages", drawGraph(data, list.choose), el("div.legend", {}, STATES.filter((state) => data.instances.state.includes(state)).map((state) => el("span", { style: "cursor:default" }, el("i.box", { style: `background:var(--${state})` }), STATE_NAMES[state])))),
    data.timeline ? section("Timeline", drawGantt(data)) : null,
    data.curves.length ? section("Learning curves", drawCurves(data)) : null,
    data.other ? section("Compared with the other run", differences(data), changedMetrics(data)) : null,
    figures(data), list.node, parameters(data), environment(data),
  ];
}

/** Draws everything from `data`. */
function show(data) {
  redraws.length = 0;
  document.title = `${data.pipeline}: ${data.comparison ? "comparison" : "report"}`;
  const sections = (data.comparison ? comparisonSections : reportSections)(data).filter(Boolean);
  $("head").replaceChildren(...head(data).filter(Boolean));
  $("main").replaceChildren(...sections);
  $("nav").replaceChildren(...sections.filter((each) => each.id).map((each) => el("a", { href: `#${each.id}` }, each.querySelector("h2").textContent)));
  $("foot").replaceChildren(`Made by ${data.program} at ${time(data.made)}. This file loads nothing from anywhere.`);
  redraw();
}

let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; redraw(); } });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
matchMedia("print").addEventListener("change", redraw);
