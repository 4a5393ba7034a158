"use strict";
// Two runs side by side: parameters, inputs and metrics, as a part of a report or as a page of their own.

/** Instances of which the same is said, together: what is said, and their names. */
function alike(list, said) {
  const groups = new Map();
  list.forEach((each) => groups.set(JSON.stringify(said(each)), [...(groups.get(JSON.stringify(said(each))) ?? []), each.instance]));
  return [...groups].map(([text, names]) => [JSON.parse(text), names.join(", ")]);
}

/** Differences of parameters as a table, and all others in words. */
function differences(data) {
  if (!data.changes.length) return el("p", {}, "Nothing that was declared differs.");
  const shown = (value) => (value == null ? "–" : typeof value === "string" ? value : JSON.stringify(value));
  const cells = (each) => (each.parameters ?? []).map(({ name, before, now }) => [name, shown(before), shown(now)]);
  const parameters = alike(data.changes.flatMap((each) => cells(each).map((cell) => ({ instance: each.instance, cell }))), (each) => each.cell)
    .map(([[name, before, now], names]) => [names, name, { sort: before, show: el("code.down", {}, before) }, { sort: now, show: el("code.up", {}, now) }]);
  const inTable = (each) => new Set((each.parameters ?? []).map(({ what }) => what));
  const others = alike(data.changes, (each) => each.what.filter((_, at) => !inTable(each).has(at))).filter(([list]) => list.length);
  return [
    parameters.length ? [el("h3", {}, "Parameters"), table([{ title: "instance" }, { title: "parameter", num: false }, { title: "before", num: false }, { title: "now", num: false }], parameters, { shown: 40 })] : null,
    others.length ? [parameters.length ? el("h3", {}, "What else differs") : null, el("div.scroll", {}, el("table", {}, el("tbody", {}, others.map(([list, names]) =>
      el("tr", {}, el(isShort(names) ? "td.nowrap" : "td.name", {}, names), el("td", {}, el("ul.plain", {}, list.map((text) => el("li", {}, difference(text)))))))))) ] : null,
  ];
}

/** A table of metrics of both runs: those that both have first. */
function metricTable(changes) {
  const isPair = (each) => each.before != null && each.now != null;
  const change = (each) => (isPair(each) ? { sort: each.now - each.before, show: each.now === each.before ? "0" : signed(each.now - each.before) } : null);
  const rows = changes.slice().sort((a, b) => isPair(b) - isPair(a)).map((each) => [each.instance, each.metric, each.before, each.now, change(each)]);
  return table([{ title: "instance" }, { title: "metric" }, { title: "before", num: true }, { title: "now", num: true }, { title: "difference", num: true }], rows, { shown: 40 });
}

const changedMetrics = (data) => (data.metric_changes.length ? [el("h3", {}, "Metrics"), metricTable(data.metric_changes)] : null);

/** Metrics of both runs: those that differ, then those that are the same. */
function allMetrics(data) {
  const changed = new Set(data.metric_changes.map((each) => JSON.stringify([each.instance, each.metric])));
  const same = data.metric_order.filter((metric) => metric in data.metrics).flatMap((metric) => data.metrics[metric].i.map((i, at) => {
    const value = data.metrics[metric].v[at];
    return { instance: data.instances.name[i], metric, before: value, now: value };
  })).filter((each) => !changed.has(JSON.stringify([each.instance, each.metric])));
  return [...data.metric_changes, ...same];
}

/** Facts about both runs. */
function bothRuns(data) {
  const rows = [["run", (run) => run.id], ["began", (run) => time(run.begun)], ["took", (run) => duration(run.duration_ms)], ["outcome", (run) => (OUTCOMES[run.outcome] ?? [run.outcome])[0]],
    ["set for it", (run) => run.set.join("  ")], ["commit", (run) => run.commit]];
  const isKnown = ([, of]) => of(data.other) || of(data.run);
  const head = el("thead", {}, el("tr", {}, el("th"), el("th", {}, "before"), el("th", {}, "now")));
  return el("div.scroll", {}, el("table", {}, head, el("tbody", {}, rows.filter(isKnown).map(([name, of]) => el("tr", {}, el("td.soft", {}, name), el("td", {}, of(data.other) ?? ""), el("td", {}, of(data.run) ?? ""))))));
}

/** Sections of a page that compares two runs and shows nothing else. */
function comparisonSections(data) {
  const metrics = allMetrics(data);
  return [
    section("Runs", bothRuns(data)), section("Differences", differences(data)),
    metrics.length ? section("Metrics", metricTable(metrics)) : null, data.curves.length ? section("Learning curves", drawCurves(data)) : null,
  ];
}
