"use strict";
// The live page: the report's sections, drawn again from fresh data when something has happened.
{
  const token = new URLSearchParams(location.search).get("token") ?? "";
  const state = { timer: null, last: 0, failed: 0, seen: "", mark: null, waits: false };

  /** Last values of the metrics that tell most. */
  function telling(data, metrics) {
    const known = data.metric_order.filter((name) => name in metrics);
    return [...known, ...Object.keys(metrics).filter((name) => !known.includes(name))].slice(0, 4).map((name) => `${name} ${number(metrics[name])}`).join(", ");
  }

  /** Progress, estimates and messages of what runs now. */
  function live(data) {
    const box = $("live");
    const running = data.live.running.map((each) => {
      const share = each.total ? Math.min(1, each.done / each.total) : null;
      const took = data.made - each.since;
      const words = [
        each.total ? `${number(each.done)} of ${number(each.total)} ${each.unit}` : each.done ? `${number(each.done)} ${each.unit}` : null,
        each.node ? `on ${each.node}` : null, duration(took), each.left == null ? null : `about ${duration(each.left)} left`,
      ].filter(Boolean).join(" · ");
      return el("div.now", {}, el("span", {}, each.instance), share == null ? el("span") : el("progress", { max: 1, value: share }),
        el("span", {}, words), el("span.soft", {}, telling(data, each.metrics)));
    });
    const logs = data.live.running.filter((each) => each.log.length).map((each) => el("details", { "data-log": each.instance, open: openLogs.has(each.instance), ontoggle: (event) => { if (event.target.open) openLogs.add(each.instance); else openLogs.delete(each.instance); } }, el("summary.small", {}, `log of ${each.instance}`), el("pre", {}, each.log.join("\n"))));
    const { done, total, eta, waiting } = data.live;
    const waits = waiting.length ? el("details", { open: state.waits, ontoggle: (event) => { state.waits = event.target.open; } }, el("summary.small", {}, `${plural(waiting.length, "instance")}${waiting.length === 100 ? " or more" : ""} waiting`), el("ul.plain", {}, waiting.map((each) => el("li", {}, el("span.mono", {}, each.instance), ` waits ${each.why}`)))) : "";
    box.replaceChildren(el("h2", {}, "Now"),
      el("p", {}, el("progress", { max: Math.max(total, 1), value: done, style: "width:220px;vertical-align:middle" }), ` ${plural(done, "instance")} of ${number(total)} up to date`, eta != null && data.run?.outcome === "running" ? `, about ${duration(eta)} left` : ""),
      ...(running.length ? running : [el("p.soft", {}, data.run?.outcome === "running" ? "Nothing runs at this moment." : "No run is going on. The page goes on with the next one.")]), waits, ...logs,
      data.live.messages.length ? el("ul.plain", {}, data.live.messages.map((text) => el("li", {}, text))) : "");
  }
  const openLogs = new Set();

  /** Buttons that ask the run for something, where this page may. */
  function controls(data) {
    $("controls").hidden = !data.live.controls || data.run?.outcome !== "running";
    $("stop").textContent = data.live.stopping ? "Stop at once" : "Stop the run";
  }
  async function ask(path, said) {
    try {
      const answer = await fetch(`${path}?token=${encodeURIComponent(token)}`, { method: "POST" });
      $("answer").textContent = answer.ok ? said : (await answer.text()) || `refused (${answer.status})`;
    } catch (error) {
      $("answer").textContent = `The program that serves this page does not answer (${error.message}).`;
    }
  }

  async function refresh() {
    state.timer = null;
    state.last = performance.now();
    try {
      const answer = await fetch(`data?token=${encodeURIComponent(token)}`);
      if (!answer.ok) throw new Error(String(answer.status));
      const data = await answer.json();
      const shown = data.version;
      // What was drawn for people to work with is left alone until something in it is other.
      if (shown !== state.seen && !$("main").contains(document.activeElement)) {
        state.seen = shown;
        const place = scrollY;
        show(data);
        $("foot").replaceChildren(`Live, from ${data.program}. The page loads nothing but what this program serves.`);
        scrollTo(0, place);
      }
      live(data);
      controls(data);
      document.documentElement.dataset.outcome = data.run?.outcome ?? "none";
      document.documentElement.dataset.updates = Number(document.documentElement.dataset.updates ?? 0) + 1;
      say("");
      // The data may be a little older than the news: then it is asked for again.
      if (state.mark != null && data.mark !== state.mark) state.timer ??= setTimeout(refresh, 500);
    } catch (error) {
      say(`The program that serves this page does not answer (${error.message}).`);
    }
  }
  const say = (text) => { $("connection").textContent = text; };

  /** Draws soon, and not more often than four times a second. */
  function soon() {
    if (state.timer == null) state.timer = setTimeout(refresh, Math.max(0, 250 - (performance.now() - state.last)));
  }

  $("nav").after(el("div.page", {}, el("p.soft.small", { id: "connection" }),
    el("p.controls", { id: "controls", hidden: true },
      el("button", { id: "stop", title: "As Ctrl-C does: stages that run may save their state; a second time stops them at once.", onclick: () => ask("stop", "The run was asked to stop.") }, "Stop the run"),
      el("button", { id: "keep-going", title: "From now on a failure stops only what depends on it.", onclick: () => ask("keep-going", "The run was asked to go on after failures.") }, "Keep going after failures"),
      el("span.soft", { id: "answer" })),
    el("section.card", { id: "live" })));
  const events = new EventSource(`events?token=${encodeURIComponent(token)}`);
  events.addEventListener("message", (event) => { state.mark = event.data; soon(); });
  events.addEventListener("error", () => say("The connection was lost; trying again."));
  events.addEventListener("open", soon);
  setInterval(() => { if (document.documentElement.dataset.outcome === "running") soon(); }, 2000);
}
