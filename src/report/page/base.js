"use strict";
// Small helpers. Text enters the page as text alone: nothing here takes HTML.

/** What people have chosen, so that it stays when the page is drawn again. */
const ui = {};

const $ = (id) => document.getElementById(id);

/** An element with attributes and children; texts become text nodes. */
function el(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const node = document.createElement(name);
  if (classes.length) node.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return node;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value != null) node.setAttribute(key, value);
  }
  node.append(...children.flat().filter((child) => child != null));
  return node;
}

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const PALETTE = ["#4269d0", "#e8743b", "#3ca951", "#d6405b", "#8a63d2", "#1f9aa6", "#b8860b", "#e377c2", "#7a8590", "#6b8e23"];
/** The same darker, or lighter on dark paper. */
const DEEP = ["#1b3a8a", "#a8481a", "#12692a", "#8a1530", "#4e2a94", "#0b6670", "#7a5a00", "#a83a86", "#3f4a55", "#3f5a10"];
const PALE = ["#9db4f0", "#f3b48c", "#93d6a0", "#f0a0ae", "#c4aef0", "#8fd6de", "#e6cf7a", "#f2bfe6", "#b9c3cc", "#bcd68c"];
const onDark = matchMedia("screen and (prefers-color-scheme: dark)");
const colour = (index) => [...PALETTE, ...(onDark.matches ? PALE : DEEP)][index % 20];
/** Colour of writing on it. */
const inkOn = (index) => (onDark.matches && index % 20 >= PALETTE.length ? "#10151c" : "#ffffff");

/** A number with the digits that count. */
function number(value) {
  if (value == null || Number.isNaN(value)) return "–";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en");
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return value.toPrecision(4).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
}

/** A number in a column: with all of its digits that count, so that columns are easy to compare. */
function measured(value) {
  if (value == null || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  return Number.isInteger(value) || size < 1e-3 || size >= 1e4 ? number(value) : value.toPrecision(4);
}

/** A difference, with its sign. */
const signed = (value) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${measured(Math.abs(value))}`;

/** A long text, of which the beginning is shown until it is clicked. */
const clamped = (text) => el("div.lines.clamp", { title: text, onclick: (event) => event.currentTarget.classList.toggle("clamp") }, text);

/** A text in words; lines that follow are the differences of two texts, with a sign before each that is in one of them alone. */
function difference(text) {
  const [first, ...lines] = text.split("\n");
  if (!lines.length) return clamped(text);
  const margin = Math.min(...lines.filter((line) => line.trim()).map((line) => line.match(/^ */)[0].length));
  const kind = (line) => ({ "+": "up", "-": "down" })[line[margin]] ?? "soft";
  return [first, el("pre", {}, lines.map((line) => el(`span.${kind(line)}`, {}, `${line.slice(margin)}\n`)))];
}

/** Whether a name is short enough for one line. */
const isShort = (name) => typeof name === "string" && name.length <= 40;

function duration(ms) {
  if (ms == null) return "–";
  const s = Math.floor(ms / 1000);
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (s < 60) return `${s}.${Math.floor((ms % 1000) / 100)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

function bytes(count) {
  if (count == null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) { count /= 1024; unit += 1; }
  return `${unit ? count.toFixed(1) : count} ${units[unit]}`;
}

const time = (ms) => (ms == null ? "–" : new Date(ms).toISOString().replace("T", " ").slice(0, 19) + " UTC");
const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

/** Shows a tip beside the pointer. */
function tip(event, text) {
  const box = $("tip");
  box.hidden = !text;
  if (!text) return;
  box.textContent = text;
  const { offsetWidth: width, offsetHeight: height } = box;
  box.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - width - 6))}px`;
  box.style.top = `${Math.max(4, event.clientY + 18 + height > innerHeight ? event.clientY - height - 10 : event.clientY + 18)}px`;
}
const hideTip = () => { $("tip").hidden = true; };

/** A section with its heading, which the navigation names. */
function section(title, ...children) {
  const id = title.toLowerCase().replace(/[^a-z]+/g, "-");
  return el("section.card", { id }, el("h2", {}, title), children);
}

/** A table that sorts by its headings and shows its first rows, more on demand. */
function table(columns, rows, { shown = 50, sort = null } = {}) {
  const state = { by: sort, up: false, shown };
  const box = el("div.scroll");
  const isNumber = columns.map((column, at) => column.num ?? rows.some((row) => typeof raw(row[at]) === "number"));
  function raw(cell) { return cell && typeof cell === "object" && "sort" in cell ? cell.sort : cell; }
  function show(cell) {
    if (cell && typeof cell === "object" && "sort" in cell) return cell.show;
    return typeof cell === "number" ? measured(cell) : cell ?? "";
  }
  function draw() {
    const order = rows.slice();
    if (state.by != null) {
      order.sort((a, b) => {
        const [x, y] = [raw(a[state.by]), raw(b[state.by])];
        if (x == null || y == null) return (x == null) - (y == null);
        return (x < y ? -1 : x > y ? 1 : 0) * (state.up ? 1 : -1);
      });
    }
    const head = columns.map((column, at) => el(`th.sort${isNumber[at] ? ".num" : ""}`, {
      title: column.help,
      onclick: () => { state.up = state.by === at ? !state.up : !isNumber[at]; state.by = at; draw(); },
    }, column.title ?? column, state.by === at ? (state.up ? " ▲" : " ▼") : ""));
    const body = order.slice(0, state.shown).map((row) => el("tr", {}, row.map((cell, at) => el(`td${isNumber[at] ? ".num" : at === 0 ? (isShort(cell) ? ".nowrap" : ".name") : columns[at].wide ? ".wide" : columns[at].nowrap ? ".nowrap" : ""}`, {}, show(cell)))));
    const more = rows.length > state.shown
      ? el("p", {}, el("button", { onclick: () => { state.shown *= 4; draw(); } }, `Show more (${plural(rows.length - state.shown, "row")} left)`)) : null;
    box.replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, body)), ...(more ? [more] : []));
  }
  draw();
  return box;
}
