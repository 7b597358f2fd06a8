"use strict";
// Draws a report from its data. Texts of the experiment are never taken for HTML.
(() => {
  const root = document.documentElement;
  root.dataset.errors = "";
  addEventListener("error", (e) => { root.dataset.errors += e.message + "\n"; });
  const D = JSON.parse(document.getElementById("data").textContent);
  const main = document.querySelector("main");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const palette = {
    light: ["#0067b8", "#c2410c", "#0a7a45", "#8e24aa", "#b8860b", "#00838f", "#c2185b", "#4e5bd4", "#5d4037", "#607d1b"],
    dark: ["#5db3ff", "#ff9a62", "#4fc98a", "#d58cf0", "#e6c04c", "#4dd0e1", "#ff80ab", "#a3adff", "#c8a99a", "#b5d35c"],
  };
  const color = (i) => palette[dark.matches ? "dark" : "light"][i % 10];
  const dash = (i) => [[], [6, 3], [2, 3], [10, 3, 2, 3]][Math.floor(i / 10) % 4];
  const charts = [];

  const el = (tag, attrs = {}, ...kids) => {
    const e = document.createElement(tag);
    for (const [k, v] of Object.entries(attrs)) e.setAttribute(k, v);
    e.append(...kids);
    return e;
  };
  const svg = (tag, attrs = {}, text) => {
    const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [k, v] of Object.entries(attrs)) e.setAttribute(k, v);
    if (text !== undefined) e.textContent = text;
    return e;
  };
  const num = (v) => {
    if (v === null || v === undefined) return "";
    const a = Math.abs(v);
    return String(a !== 0 && a < 1e-3 ? v.toExponential(2) : a >= 1000 ? Math.round(v) : Number(v.toPrecision(4)));
  };
  const metric = (name) => D.metrics.findIndex((m) => m.name === name);
  const mean = (s, name) => { const e = s.means[metric(name)]; return e ? e[0] : null; };

  function table(head, rows) {
    const t = el("table"), h = el("tr");
    for (const c of head) h.append(el("th", {}, c));
    t.append(el("thead", {}, h));
    const body = el("tbody");
    for (const r of rows) {
      const tr = el("tr");
      for (const c of r) tr.append(el("td", {}, typeof c === "number" || c === null || c === undefined ? num(c) : c));
      body.append(tr);
    }
    t.append(body);
    return el("div", { class: "scroll" }, t);
  }

  // section adds a heading, a figure, and the same numbers as a table.
  function section(id, title, note, head, rows) {
    const s = el("section", { id }, el("h2", {}, title), el("p", {}, note));
    const figure = el("figure");
    const details = el("details", {}, el("summary", {}, "the numbers as a table"));
    const fill = () => { if (details.children.length === 1) details.append(table(head, rows)); };
    if (head.length * rows.length < 20000) fill(); else details.addEventListener("toggle", fill);
    s.append(figure, details);
    main.append(s);
    return figure;
  }

  // plot draws lines over x. A line without a single value is left out.
  function plot(id, title, note, o, x, lines) {
    lines = lines.filter((l) => l.y.some((v) => v !== null && v !== undefined));
    if (lines.length === 0 || x.length === 0) return;
    const figure = section(id, title, note, [o.x, ...lines.map((l) => l.label)], x.map((v, k) => [o.tell ? o.tell(v) : v, ...lines.map((l) => l.y[k])]));
    const axis = { stroke: () => css("--fg"), grid: { stroke: () => css("--line"), width: 1 }, ticks: { stroke: () => css("--line"), width: 1 } };
    const u = new uPlot({
      width: Math.max(320, figure.clientWidth - 26), height: 280, scales: { x: { time: false }, y: { range: (_, lo, hi) => [Math.min(0, lo), hi > 0 ? hi * 1.05 : 1] } },
      axes: [
        { ...axis, label: o.x, ...(o.splits ? { splits: () => o.splits, values: (_, s) => s.map(o.tell) } : {}) },
        { ...axis, label: o.y, size: 64 },
      ],
      series: [
        { label: o.x, value: (_, v) => (v === null ? "-" : o.tell ? o.tell(v) : num(v)) },
        ...lines.map((l) => ({
          label: l.label, width: l.plain ? 1 : 2, dash: l.plain ? [4, 4] : dash(l.color), stroke: () => (l.plain ? css("--dim") : color(l.color)),
          points: { show: x.length < 40 }, value: (_, v) => (v === null ? "-" : num(v)),
        })),
      ],
    }, [x, ...lines.map((l) => l.y)], figure);
    figure.dataset.points = String(lines.reduce((n, l) => n + l.y.filter((v) => v !== null).length, 0));
    charts.push({ u, figure });
  }

  // overview draws each strategy's means with their intervals, a column for a metric.
  function overview() {
    const shown = ["goodput", "denied", "throttled", "wait_p95", "latency_p99", "jain"].filter((n) => D.strategies.some((s) => mean(s, n) !== null)).slice(0, 5);
    const all = shown.map(metric), rows = D.strategies;
    const figure = section("overview", "Strategies", "Means over the replicas with 95 % intervals. Every strategy met the same arrivals.",
      ["strategy", ...D.metrics.map((m) => m.name + (m.unit ? " (" + m.unit + ")" : ""))],
      rows.map((s) => [s.name, ...s.means.map((e) => (e ? num(e[0]) + " ± " + num(e[1] - e[0]) : ""))]));
    const left = 190, wide = 168, high = 24, width = left + wide * all.length, height = high * rows.length + 44;
    const pic = svg("svg", { viewBox: `0 0 ${width} ${height}`, width: "100%", role: "img", style: `max-width:${width}px;min-width:640px` });
    all.forEach((m, c) => {
      const x0 = left + c * wide, ends = rows.map((s) => (s.means[m] ? s.means[m][1] : 0));
      const top = Math.max(...ends, 1e-9), at = (v) => x0 + (Math.max(0, v) / top) * (wide - 28);
      pic.append(svg("text", { x: x0, y: 16, "font-weight": 600 }, D.metrics[m].name + " " + D.metrics[m].unit));
      pic.append(svg("line", { class: "grid", x1: x0, x2: x0, y1: 24, y2: height - 20 }));
      pic.append(svg("text", { class: "dim", x: x0, y: height - 4 }, "0"), svg("text", { class: "dim", x: at(top), y: height - 4, "text-anchor": "end" }, num(top)));
      rows.forEach((s, r) => {
        const e = s.means[m], y = 38 + r * high;
        if (c === 0) pic.append(svg("text", { x: 0, y: y + 4 }, s.name.length > 28 ? s.name.slice(0, 27) + "…" : s.name));
        if (!e) return;
        const g = svg("g", { "data-color": r });
        g.append(svg("title", {}, `${s.name}: ${num(e[0])} (${num(2 * e[0] - e[1])} to ${num(e[1])})`));
        g.append(svg("line", { x1: x0, x2: at(e[0]), y1: y, y2: y, "stroke-width": 7, "stroke-opacity": 0.35 }));
        g.append(svg("line", { x1: at(2 * e[0] - e[1]), x2: at(e[1]), y1: y, y2: y, "stroke-width": 2 }));
        g.append(svg("circle", { cx: at(e[0]), cy: y, r: 4 }));
        pic.append(g);
      });
    });
    figure.append(pic);
    figure.dataset.points = String(rows.length * all.length);
  }
  const paint = () => {
    for (const g of document.querySelectorAll("svg g")) { g.setAttribute("stroke", color(+g.dataset.color)); g.setAttribute("fill", color(+g.dataset.color)); }
  };

  const each = (pick) => D.strategies.map((s, i) => ({ label: s.name, color: i, y: pick(s) }));
  const times = (n) => Array.from({ length: n }, (_, k) => k * D.step);

  function rates() {
    const t = times(D.strategies[0].rates.offered.length);
    const offered = { label: "offered", plain: true, y: D.strategies[0].rates.offered };
    const one = (name, title, note) => plot(name, title, note, { x: "s", y: "1/s" }, t, [...(name === "admitted" ? [offered] : []), ...each((s) => s.rates[name])]);
    one("good", "Good answers over time", "Answered well within the caller's patience, a second.");
    one("admitted", "Admitted over time", "Attempts that were sent to the upstreams, a second.");
    one("throttled", "Throttled over time", "Attempts that the upstreams answered with 429, a second.");
    one("denied", "Denied over time", "Operations that were denied here, a second.");
    const inSystem = D.strategies.some((s) => s.in_system.some((v) => v > 0));
    if (inSystem) plot("in-system", "Requests in the system", "The most in each step: waiting here, on the way, or between tries.", { x: "s", y: "requests" }, t, each((s) => s.in_system));
    for (const [k, name] of D.upstreams.entries()) {
      if (D.strategies.some((s) => s.queue[k].some((v) => v > 0))) plot("queue-" + k, "Queue of " + name, "The longest in each step, before the servers of the upstream.", { x: "s", y: "requests" }, t, each((s) => s.queue[k]));
    }
  }

  function waits() {
    const longest = D.strategies.reduce((a, s) => (s.waits.length > a.length ? s.waits : a), []);
    const q = longest.map((p) => p[1]).filter((v) => v < 1), nines = (v) => -Math.log10(1 - v);
    const share = (v) => Number(((1 - 10 ** -v) * 100).toFixed(3)) + " %";
    plot("waits", "Waits", "How long good requests were held here: so many of them no longer than that. The right end is the slowest ten thousandth.",
      { x: "share", y: "ms", tell: share, splits: [0.5, 0.9, 0.99, 0.999, 0.9999].map(nines) }, q.map(nines),
      each((s) => q.map((_, k) => (k < s.waits.length ? s.waits[k][0] : null))));
  }

  function fairness() {
    const n = Math.max(0, ...D.strategies.map((s) => s.keys.length));
    if (n < 2) return;
    plot("fairness", "Fairness", "The share of each key's requests that were answered well; keys in the order of the script, those that ask most first where they follow Zipf's law.",
      { x: "key", y: "share" }, times(n).map((v) => v / D.step), each((s) => Array.from({ length: n }, (_, k) => (k < s.keys.length && s.keys[k][0] > 0 ? s.keys[k][1] / s.keys[k][0] : null))));
  }

  // sweeps draws metrics over the first numeric parameter, a line for each
  // combination of the others.
  function sweeps() {
    for (const from of new Set(D.strategies.map((s) => s.from).filter(Boolean))) {
      const swept = D.strategies.filter((s) => s.from === from), names = Object.keys(swept[0].point);
      const numeric = names.find((k) => swept.every((s) => typeof s.point[k] === "number") && new Set(swept.map((s) => s.point[k])).size > 1) || names[0];
      const at = (s) => s.point[numeric], xs = [...new Set(swept.map(at))], isNumber = typeof xs[0] === "number";
      if (isNumber) xs.sort((a, b) => a - b);
      const rest = (s) => names.filter((k) => k !== numeric).map((k) => k + "=" + s.point[k]).join(", ") || from;
      const groups = [...new Set(swept.map(rest))];
      for (const name of ["goodput", "throttled", "denied", "wait_p95", "latency_p99", "jain"]) {
        const x = isNumber ? xs : xs.map((_, k) => k);
        plot("sweep-" + from + "-" + name, name + " of " + from + " by " + numeric, D.metrics[metric(name)].doc,
          { x: numeric, y: D.metrics[metric(name)].unit, ...(isNumber ? {} : { splits: x, tell: (v) => String(xs[v]) }) }, x,
          groups.map((g, i) => ({ label: g, color: i, y: xs.map((v) => { const s = swept.find((s) => at(s) === v && rest(s) === g); return s ? mean(s, name) : null; }) })));
      }
    }
  }

  function head() {
    main.append(el("h1", {}, D.name), el("p", {}, D.about));
    if (D.partial) main.append(el("p", { class: "note" }, "The result is not whole: " + D.partial));
    for (const t of D.thresholds) main.append(el("div", { class: t.ok ? "ok" : "bad" }, `${t.ok ? "✓" : "✗"} ${t.metric} ${t.condition} (${t.strategy}: ${num(t.value)})`));
    for (const s of D.strategies) if (s.faults) main.append(el("p", { class: "note" }, `${s.name}: its policy failed ${s.faults} times and had no opinion then. The first: ${s.fault}`));
  }

  function tail() {
    main.append(el("h2", {}, "What the numbers mean"), table(["metric", "unit", "better", "meaning"], D.metrics.map((m) => [m.name, m.unit, m.better || "", m.doc])));
    main.append(el("h2", {}, "The script"), el("p", {}, D.seeds), el("pre", {}, D.script));
  }

  head(); overview(); rates(); waits(); fairness(); sweeps(); tail(); paint();
  dark.addEventListener("change", () => { paint(); for (const c of charts) c.u.redraw(); });
  new ResizeObserver(() => { for (const c of charts) c.u.setSize({ width: Math.max(320, c.figure.clientWidth - 26), height: 280 }); }).observe(main);
  // #only=ID shows one figure, for pictures.
  const only = document.getElementById(decodeURIComponent(location.hash.replace(/^#only=/, "")));
  if (location.hash.startsWith("#only=") && only) { document.body.classList.add("only"); only.classList.add("chosen"); }
  root.dataset.scheme = dark.matches ? "dark" : "light";
  root.dataset.charts = String(document.querySelectorAll("figure").length);
  root.dataset.empty = String([...document.querySelectorAll("figure")].filter((f) => !(+f.dataset.points > 0)).length);
})();
