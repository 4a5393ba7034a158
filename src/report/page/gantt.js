"use strict";
// The timeline of a run on a canvas: a lane for each CPU slot and each GPU, waiting above them, what was found in the cache below them, the
// critical path marked.

/** Lanes for spans: each takes as many free CPU slots of its node as it has CPUs, and the lanes of its GPUs. Work that waits in a queue has none. */
function lanes(timeline) {
  const { spans } = timeline;
  const natural = (a, b) => a.localeCompare(b, "en", { numeric: true });
  const order = spans.start.map((_, at) => at).filter((at) => spans.state[at] !== "waiting").sort((a, b) => spans.start[a] - spans.start[b]);
  const nodes = [...new Set(order.map((at) => spans.node[at] ?? ""))].sort(natural);
  const freeAt = Object.fromEntries(nodes.map((node) => [node, []]));
  const gpuOf = (at, gpu) => (spans.node[at] ? `${spans.node[at]} GPU ${gpu}` : `GPU ${gpu}`);
  const gpus = [...new Set(order.flatMap((at) => spans.gpus[at].map((gpu) => gpuOf(at, gpu))))].sort(natural);
  const placed = [];
  for (const at of order) {
    const [start, end] = [spans.start[at], spans.end[at]];
    const node = spans.node[at] ?? "";
    const free = freeAt[node];
    // Waits of a millisecond between events are no occupation.
    for (let lane = 0, left = Math.min(spans.cpus[at] || 1, 256); left > 0; lane += 1) {
      if (free[lane] === undefined || free[lane] <= start + 1) {
        free[lane] = end;
        placed.push({ at, node, lane });
        left -= 1;
      }
    }
    for (const gpu of spans.gpus[at]) placed.push({ at, gpu: gpuOf(at, gpu) });
  }
  const names = [...nodes.flatMap((node) => freeAt[node].map((_, lane) => (node ? `${node} ${lane + 1}` : `CPU ${lane + 1}`))), ...gpus];
  const first = {};
  nodes.reduce((row, node) => { first[node] = row; return row + freeAt[node].length; }, 0);
  const rowOf = (bar) => (bar.gpu === undefined ? first[bar.node] + bar.lane : names.length - gpus.length + gpus.indexOf(bar.gpu));
  return { placed: placed.map((bar) => ({ at: bar.at, row: rowOf(bar) })), names };
}

/** A lane's name that is too long without the end of its node's, so that its number stays. */
function shortened(name, letters) {
  if (name.length <= letters) return name;
  const [, node, number] = name.match(/^(.*?)((?: GPU)? [^ ]+)$/) ?? [null, name, ""];
  const room = letters - number.length - 1;
  return room > 2 ? `${node.slice(0, room)}…${number}` : `${name.slice(0, letters - 1)}…`;
}

function drawGantt(data) {
  const { timeline } = data;
  const { spans } = timeline;
  const { placed, names } = lanes(timeline);
  const { cached } = timeline;
  const cacheRow = cached.i.length ? names.push("cache") - 1 : null;
  const rows = names.length;
  const height = rows > 60 ? 6 : rows > 24 ? 11 : 18;
  // Names of nodes may be long.
  const letters = Math.min(18, Math.max(...names.map((name) => name.length), 9));
  const [left, top, waitHeight] = [Math.round(10 + letters * 6.4), 34, 26];
  const canvas = el("canvas.gantt", { role: "img", "aria-label": "Timeline of the run" });
  const critical = new Set(timeline.critical);
  const view = { from: timeline.begin, to: Math.max(timeline.end, timeline.begin + 1) };
  let boxes = [];

  function draw() {
    const scale = devicePixelRatio || 1;
    const width = canvas.clientWidth || 900;
    const full = top + rows * (height + 2) + 22;
    canvas.width = width * scale;
    canvas.height = full * scale;
    canvas.style.height = `${full}px`;
    const paint = canvas.getContext("2d");
    paint.scale(scale, scale);
    paint.clearRect(0, 0, width, full);
    paint.font = "11px system-ui, sans-serif";
    const x = (ms) => left + ((ms - view.from) / (view.to - view.from)) * (width - left - 8);
    boxes = [];
    drawAxis(paint, x, view, width, full);
    drawWaiting(paint, x, timeline, view, left, width, top, waitHeight);
    paint.textAlign = "right";
    paint.fillStyle = css("--soft");
    const every = height < 11 ? 8 : 1;
    for (let row = 0; row < rows; row += 1) {
      if (row % every && row !== cacheRow) continue;
      paint.fillText(shortened(names[row], letters), left - 6, top + row * (height + 2) + Math.min(height, 12));
    }
    paint.textAlign = "left";
    const colours = Object.fromEntries(STATES.map((state) => [state, css(`--${state}`)]));
    const ink = css("--ink");
    for (const bar of placed) {
      const { at } = bar;
      const [from, to] = [Math.max(x(spans.start[at]), left), Math.min(x(spans.end[at]), width - 8)];
      if (to < left || from > width - 8) continue;
      const y = top + bar.row * (height + 2);
      // Bars of one colour are to be told apart.
      const w = Math.max(to - from - (to - from > 4 ? 1 : 0), 1);
      paint.fillStyle = stageColour(data.instances.stage[spans.i[at]]);
      paint.fillRect(from, y, w, height);
      if (spans.state[at] !== "done") {
        paint.fillStyle = colours[spans.state[at]];
        paint.fillRect(from, y, w, Math.max(3, height / 4));
      }
      if (critical.has(spans.i[at])) {
        paint.strokeStyle = ink;
        paint.lineWidth = 2;
        paint.strokeRect(from + 1, y + 1, Math.max(w - 2, 1), height - 2);
      }
      if (w > 46 && height >= 14) {
        paint.save();
        paint.beginPath();
        paint.rect(from, y, w - 4, height);
        paint.clip();
        paint.fillStyle = inkOn(data.instances.stage[spans.i[at]]);
        paint.fillText(data.instances.name[spans.i[at]], from + 5, y + height - 5);
        paint.restore();
      }
      boxes.push({ at, x: from, y, w: Math.max(w, 3), h: height });
    }
    if (cacheRow != null) drawCached(paint, x, width, top + cacheRow * (height + 2));
  }

  /** A thin mark for what was found in the cache at each moment. */
  function drawCached(paint, x, width, y) {
    const marks = new Map();
    cached.at.forEach((after, at) => {
      const place = Math.round(x(timeline.begin + after));
      if (place < left || place > width - 8) return;
      if (!marks.has(place)) marks.set(place, []);
      marks.get(place).push(at);
    });
    paint.fillStyle = css("--cached");
    for (const [place, hits] of marks) {
      paint.fillRect(place, y, 2, height);
      boxes.push({ hits, x: place - 2, y, w: 6, h: height });
    }
  }

  function cachedTip(hits) {
    const [names, more] = [hits.slice(0, 8).map((at) => data.instances.name[cached.i[at]]), hits.length - 8];
    return [...names, more > 0 ? `and ${plural(more, "other")}` : null, `found in the cache ${cached.at[hits[0]] ? `after ${roundTime(cached.at[hits[0]])}` : "at the beginning"}`].filter(Boolean).join("\n");
  }

  canvas.addEventListener("mousemove", (event) => {
    const { left: ox, top: oy } = canvas.getBoundingClientRect();
    const [px, py] = [event.clientX - ox, event.clientY - oy];
    const hit = boxes.findLast((box) => px >= box.x && px <= box.x + box.w && py >= box.y && py <= box.y + box.h);
    if (!hit) return hideTip();
    if (hit.hits) return tip(event, cachedTip(hit.hits));
    const { at } = hit;
    const i = spans.i[at];
    const waited = spans.ready[at] == null ? null : spans.start[at] - spans.ready[at];
    return tip(event, [
      data.instances.name[i], `${STATE_NAMES[spans.state[at]]}, attempt ${spans.attempt[at]}: ${duration(spans.end[at] - spans.start[at])}`,
      waited > 0 ? `waited ${duration(waited)} for resources` : null, plural(spans.cpus[at], "CPU"),
      spans.node[at] ? `on ${spans.node[at]}` : null, spans.gpus[at].length ? `GPU ${spans.gpus[at].join(", ")}` : null, critical.has(i) ? "on the critical path" : null,
    ].filter(Boolean).join("\n"));
  });
  canvas.addEventListener("mouseleave", hideTip);
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    const share = Math.min(1, Math.max(0, (event.offsetX - left) / (canvas.clientWidth - left - 8)));
    const centre = view.from + share * (view.to - view.from);
    const factor = event.deltaY > 0 ? 1.25 : 0.8;
    view.from = Math.max(timeline.begin, centre - (centre - view.from) * factor);
    view.to = Math.min(Math.max(timeline.end, timeline.begin + 1), centre + (view.to - centre) * factor);
    draw();
  }, { passive: false });
  canvas.addEventListener("dblclick", () => { view.from = timeline.begin; view.to = timeline.end; draw(); });
  onRedraw(draw);
  const stages = [...new Set(spans.i.map((i) => data.instances.stage[i]))];
  const legend = el("div.legend", {}, stages.map((stage) => el("span", { style: "cursor:default" }, el("i.box", { style: `background:${stageColour(stage)}` }), data.stages[stage].name)));
  const state = (name, text) => el("span", { style: "cursor:default" }, el("i.box", { style: `background:var(--${name})` }), text);
  if (cacheRow != null) legend.append(state("cached", `found in the cache (${number(cached.i.length)})`));
  if (spans.start.some((start, at) => spans.ready[at] != null && start > spans.ready[at])) legend.append(state("waiting", "ready, and waiting"));
  return el("div", {}, canvas, legend, el("p.soft.small", {}, placed.length ? "Framed bars are the critical path; the area on top shows how many instances were ready and waited for a CPU or a GPU. " : null, el("span.hint", {}, "Shift and the wheel zoom, a double click goes back.")));
}

const stageColour = (stage) => colour(stage);

/** A duration without the parts that are nothing: times on an axis are round. */
const roundTime = (ms) => (ms ? duration(ms).replace(/(\d) (min|h) 0 \w+$/, "$1 $2").replace(".0 s", " s") : "0");

function drawAxis(paint, x, view, width, full) {
  const span = view.to - view.from;
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 144e5, 432e5, 864e5];
  const step = steps.find((each) => span / each <= Math.max(2, width / 110)) ?? span / 5;
  paint.strokeStyle = css("--line");
  paint.fillStyle = css("--soft");
  paint.textAlign = "center";
  for (let at = 0; at <= span; at += step) {
    const place = x(view.from + at);
    paint.beginPath();
    paint.moveTo(place + 0.5, 30);
    paint.lineTo(place + 0.5, full - 18);
    paint.stroke();
    if (place < width - 24) paint.fillText(roundTime(at), place, full - 5);
  }
}

/** How many instances were ready and not yet started, over time. */
function drawWaiting(paint, x, timeline, view, left, width, top, height) {
  const { spans } = timeline;
  const changes = [];
  spans.start.forEach((start, at) => {
    if (spans.ready[at] != null && start > spans.ready[at]) changes.push([spans.ready[at], 1], [start, -1]);
  });
  if (!changes.length) return;
  changes.sort((a, b) => a[0] - b[0]);
  let [now, most] = [0, 1];
  for (const [, change] of changes) { now += change; most = Math.max(most, now); }
  now = 0;
  paint.fillStyle = css("--waiting");
  paint.beginPath();
  paint.moveTo(left, top - 4);
  const bound = (place) => Math.min(Math.max(place, left), width - 8);
  for (const [at, change] of changes) {
    paint.lineTo(bound(x(at)), top - 4 - ((height - 6) * now) / most);
    now += change;
    paint.lineTo(bound(x(at)), top - 4 - ((height - 6) * now) / most);
  }
  paint.lineTo(width - 8, top - 4);
  paint.fill();
  paint.fillStyle = css("--soft");
  paint.textAlign = "right";
  paint.fillText(`${most} wait`, left - 6, top - 6);
}
