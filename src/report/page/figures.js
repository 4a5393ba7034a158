"use strict";
// Figures that stages left: tables, matrices, lines, bars, histograms and thumbnails.

function drawFigure(figure) {
  const draw = { table: figureTable, matrix: figureMatrix, curves: figureLines, bars: figureBars, histogram: figureHistogram, images: figureImages }[figure.kind];
  if (!draw) return null;
  const drawn = isEmpty(figure) ? el("p.soft", {}, "There is nothing in it.") : draw(figure);
  return el(isWide(figure) ? "figure.wide" : "figure", {}, el("h3", {}, figure.title), drawn, figure.caption ? el("figcaption", {}, figure.caption) : null);
}

/** Pixels of half of the page's width, and images that fit there. */
const [HALF, HALF_IMAGES] = [545, 4];

/** Whether a figure needs the whole width of the page. */
function isWide({ kind, rows, columns }) {
  const letters = (cell) => (typeof cell === "number" ? measured(cell) : String(cell ?? "")).length;
  const longest = (texts) => Math.max(0, ...texts.map(letters));
  switch (kind) {
    case "images": return rows.flat().length > HALF_IMAGES;
    case "matrix": return longest(rows) * 6.5 + columns.length * 34 > HALF;
    case "table": return columns.reduce((sum, title, at) => sum + 12 + 7 * longest([title, ...rows.map((row) => row[at])]), 0) > HALF;
    default: return false;
  }
}

/** Whether a figure has nothing that could be drawn. */
function isEmpty({ kind, rows, columns, values, series, counts }) {
  const isKnown = (value) => value != null;
  switch (kind) {
    case "matrix": return !rows.length || !columns.length || !values.flat().some(isKnown);
    case "curves": return !series.some((line) => line.y.some(isKnown));
    case "bars": return !series.some((bars) => bars.values.some(isKnown));
    case "histogram": return !counts.some((count) => count > 0);
    default: return !rows.length;
  }
}

function figureTable({ columns, rows }) {
  // Names that are short are easier to compare on one line.
  return table(columns.map((title, at) => ({ title, nowrap: rows.every((row) => typeof row[at] === "number" || isShort(row[at] ?? "")) })), rows, { shown: 40 });
}

function figureMatrix({ rows, columns, values, row_title: rowTitle, column_title: columnTitle }) {
  const flat = values.flat().filter((value) => value != null);
  const most = Math.max(...flat.map(Math.abs), 1e-12);
  const cell = (value, r, c) => {
    const share = value == null ? 0 : Math.abs(value) / most;
    return el(share > 0.8 ? "td.deep" : "td", {
      style: `background:rgba(var(--heat),${(share * 0.85).toFixed(3)})`,
      onmousemove: (event) => tip(event, `${rowTitle || "row"}: ${rows[r]}\n${columnTitle || "column"}: ${columns[c]}\n${number(value)}`), onmouseleave: hideTip,
    }, value ? number(value) : "");
  };
  const head = el("tr", {}, el("th"), columns.map((name) => el("th", { title: name }, el("span", {}, shorter(name, 26)))));
  const body = rows.map((name, r) => el("tr", {}, el("th", { scope: "row" }, name), values[r].map((value, c) => cell(value, r, c))));
  const titles = rowTitle || columnTitle ? el("p.soft.small", {}, [rowTitle ? `rows: ${rowTitle}` : null, columnTitle ? `columns: ${columnTitle}` : null].filter(Boolean).join(", ")) : null;
  return el("div.scroll", {}, el("table.heat", {}, el("thead", {}, head), el("tbody", {}, body)), titles);
}

/** Round places on an axis. */
function ticks(from, to, count = 5) {
  const rough = (to - from) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= rough) ?? rough;
  const list = [];
  for (let at = Math.ceil(from / step) * step; at <= to + step * 1e-6 && list.length < 20; at += step) list.push(Math.abs(at) < step * 1e-9 ? 0 : at);
  return list;
}

const [PLOT_W, PLOT_H, PAD_L, PAD_B, PAD_T] = [520, 250, 66, 38, 8];
const shorter = (text, letters) => (text.length > letters ? `${text.slice(0, letters - 1)}…` : text);

/** Axes of a plot, of which `below` is left for labels; `isCounted`: heights are whole numbers. */
function frame(x, y, { xTitle, yTitle, xTicks, below = PAD_B, isCounted = false }) {
  const place = { x: (value) => PAD_L + ((value - x[0]) / (x[1] - x[0] || 1)) * (PLOT_W - PAD_L - 10), y: (value) => PLOT_H - below - ((value - y[0]) / (y[1] - y[0] || 1)) * (PLOT_H - below - PAD_T) };
  const lines = ticks(...y).filter((value) => !isCounted || Number.isInteger(value)).map((value) => [
    svg("line", { x1: PAD_L, x2: PLOT_W - 10, y1: place.y(value), y2: place.y(value), stroke: "var(--line)" }),
    svg("text", { x: PAD_L - 6, y: place.y(value) + 4, "text-anchor": "end", class: "soft" }, number(value)),
  ]);
  const labels = (xTicks ?? ticks(...x)).map((value) => svg("text", { x: place.x(value), y: PLOT_H - below + 16, "text-anchor": "middle", class: "soft" }, number(value)));
  const titles = [
    xTitle ? svg("text", { x: (PLOT_W + PAD_L) / 2, y: PLOT_H - 4, "text-anchor": "middle", class: "soft" }, xTitle) : null,
    yTitle ? svg("text", { x: 12, y: PLOT_H / 2, "text-anchor": "middle", class: "soft", transform: `rotate(-90 12 ${PLOT_H / 2})` }, yTitle) : null,
  ];
  return { place, parts: [...lines.flat(), ...labels, ...titles] };
}

const plotBox = (...parts) => svg("svg", { viewBox: `0 0 ${PLOT_W} ${PLOT_H}`, style: "width:100%;max-width:640px;height:auto;display:block" }, ...parts);

function span(values, withZero) {
  const known = values.filter((value) => value != null && Number.isFinite(value));
  const low = Math.min(...known, withZero ? 0 : Infinity);
  const high = Math.max(...known, withZero ? 0 : -Infinity);
  if (!Number.isFinite(low)) return [0, 1];
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}

function legendOf(names, onToggle) {
  return el("div.legend", {}, names.map((name, at) => el("span", { onclick: (event) => onToggle?.(at, event.currentTarget) }, el("i", { style: `background:${colour(at)}` }), name)));
}

function figureLines({ series, x_title: xTitle, y_title: yTitle }) {
  const { place, parts } = frame(span(series.flatMap((line) => line.x)), span(series.flatMap((line) => line.y), true), { xTitle, yTitle });
  const groups = series.map((line, at) => {
    const points = line.x.map((x, index) => [x, line.y[index]]).filter(([, y]) => y != null);
    const path = points.map(([x, y], index) => `${index ? "L" : "M"}${place.x(x).toFixed(1)},${place.y(y).toFixed(1)}`).join("");
    return svg("g", { onmousemove: (event) => tip(event, line.name + (line.mark ? `\n${number(line.mark[0])}: ${number(line.mark[1])}` : "")), onmouseleave: hideTip },
      svg("path", { d: path, fill: "none", stroke: colour(at), "stroke-width": 1.6 }),
      points.length === 1 ? svg("circle", { cx: place.x(points[0][0]), cy: place.y(points[0][1]), r: 2.5, fill: colour(at) }) : null,
      line.mark ? svg("circle", { cx: place.x(line.mark[0]), cy: place.y(line.mark[1]), r: 3.5, fill: colour(at) }) : null);
  });
  const toggle = (at, item) => { item.classList.toggle("off"); groups[at].style.display = item.classList.contains("off") ? "none" : ""; };
  return [plotBox(...parts, ...groups), legendOf(series.map((line) => line.name), toggle)];
}

function figureBars({ labels, series, y_title: yTitle }) {
  const widest = Math.max(...labels.map((label) => label.length));
  const slanted = widest * labels.length > 60 && widest > 3;
  // Labels stand beside each other, or one below the other where they are slanted.
  const every = Math.ceil((labels.length * (slanted ? 22 : widest * 7 + 5)) / (PLOT_W - PAD_L - 10));
  const letters = slanted ? 20 : 40;
  const longest = Math.min(letters, widest);
  const below = slanted ? Math.max(PAD_B, 18 + longest * 3.4) : PAD_B;
  const { place, parts } = frame([0, labels.length], span(series.flatMap((bars) => bars.values), true), { yTitle, xTicks: [], below });
  const group = (PLOT_W - PAD_L - 10) / labels.length;
  const width = (group * 0.8) / series.length;
  const bars = series.flatMap((each, at) => each.values.map((value, label) => value == null ? null : svg("rect", {
    x: PAD_L + label * group + group * 0.1 + at * width, y: Math.min(place.y(value), place.y(0)), width: Math.max(width - 0.6, 0.5), height: Math.abs(place.y(0) - place.y(value)), fill: colour(at),
    onmousemove: (event) => tip(event, `${labels[label]}\n${each.name}: ${number(value)}`), onmouseleave: hideTip,
  })));
  const names = labels.map((label, at) => at % every ? null : svg("text", { x: PAD_L + (at + 0.5) * group, y: PLOT_H - below + 14, "text-anchor": slanted ? "end" : "middle", class: "soft", transform: slanted ? `rotate(-32 ${PAD_L + (at + 0.5) * group} ${PLOT_H - below + 14})` : null, style: "font-size:11px" }, shorter(label, letters)));
  return [plotBox(...parts, ...bars, ...names), series.length > 1 ? legendOf(series.map((each) => each.name)) : null];
}

function figureHistogram({ edges, counts, x_title: xTitle }) {
  const { place, parts } = frame([edges[0], edges.at(-1)], span(counts, true), { xTitle, isCounted: counts.every(Number.isInteger) });
  const bars = counts.map((count, at) => svg("rect", {
    x: place.x(edges[at]) + 0.4, width: Math.max(place.x(edges[at + 1]) - place.x(edges[at]) - 0.8, 0.5), y: place.y(count), height: place.y(0) - place.y(count), fill: colour(0),
    onmousemove: (event) => tip(event, `${number(edges[at])} to ${number(edges[at + 1])}: ${number(count)}`), onmouseleave: hideTip,
  }));
  return plotBox(...parts, ...bars);
}

/** Images of a figure have been checked to be data of their own: no address outside of the page is ever loaded. */
function figureImages({ rows }) {
  const isInline = (image) => /^data:image\/(png|jpeg);base64,[A-Za-z0-9+/=]*$/.test(image);
  const image = (each) => isInline(each.image) ? el("figure", {}, el("img", { src: each.image, alt: each.caption, title: each.caption }), el("figcaption", {}, each.caption)) : null;
  return el("div.thumbs", {}, rows.map((row) => el(row.length > 1 ? "div.together" : "div", {}, row.map(image))));
}
