"use strict";
// Elements and words. Texts become text nodes, never markup: tenants, keys and image ids are what strangers sent.

const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);

function el(tag, props, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") made.className = value;
    else if (name === "on") for (const [event, does] of Object.entries(value)) made.addEventListener(event, does);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.filter((one) => one !== null && one !== undefined && one !== false));
  return made;
}

function draw(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes || {})) if (value !== null && value !== undefined) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

const two = (n) => String(n).padStart(2, "0");
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

function clock(t, seconds) {
  const d = new Date(t);
  return `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}${seconds ? `:${two(d.getUTCSeconds())}` : ""}`;
}
function day(t) {
  const d = new Date(t);
  return `${d.getUTCFullYear()}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())}`;
}
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const dayWords = (t) => `${new Date(t).getUTCDate()} ${MONTHS[new Date(t).getUTCMonth()]}`;
// A moment, with its day where that is not today.
const moment = (t, now) => (day(t) === day(now) ? clock(t) : `${day(t)} ${clock(t)}`);
const span = (w, now) => `${moment(w.t0, now)} to ${day(w.t0) === day(w.t1) ? clock(w.t1) : moment(w.t1, now)}`;

const known = (x) => x !== null && x !== undefined;
const number = (x) => (known(x) ? whole.format(x) : "–");
function percent(x) {
  if (!known(x)) return "–";
  const p = 100 * x;
  return `${Math.abs(p) < 9.95 && p !== 0 ? p.toFixed(1) : p.toFixed(0)} %`;
}
function decimals(x, digits = 3) {
  return known(x) ? x.toFixed(digits) : "–";
}
function duration(ms) {
  if (!known(ms)) return "–";
  if (ms === 0) return "0 ms";
  if (ms < 1000) return `${ms < 10 ? Number(ms.toFixed(1)) : Math.round(ms)} ms`;
  if (ms < 120000) return `${Number((ms / 1000).toFixed(ms < 10000 ? 1 : 0))} s`;
  if (ms < 7200000) return `${Math.round(ms / 60000)} min`;
  return `${(ms / 3600000).toFixed(1)} h`;
}
// An estimate is [value, low, high]; older summaries know no interval.
const between = (e, form) => (e && known(e[1]) ? `${form(e[1])} to ${form(e[2])}` : "");
const plain = (name) => String(name).replaceAll("_", " ");

// Replaces children only where something changed, so that focus and selection survive.
function replace(host, ...children) {
  host.replaceChildren(...children.filter((one) => one !== null && one !== undefined && one !== false));
}

function table(caption, heads, rows, kind) {
  const numeric = heads.map((h) => h.n);
  const cell = (value, i, first) =>
    el(first ? "th" : "td", { class: [numeric[i] && "n", heads[i].long && "long"].filter(Boolean).join(" ") || null, scope: first ? "row" : null, role: first ? "rowheader" : "cell", "data-name": first ? null : heads[i].name }, value instanceof Node ? value : String(value ?? "–"));
  return el("table", { class: kind || null, role: "table" },
    caption ? el("caption", {}, caption) : null,
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...heads.map((h, i) => el("th", { scope: "col", role: "columnheader", class: numeric[i] ? "n" : null }, h.name)))),
    el("tbody", { role: "rowgroup" }, ...rows.map((row) => el("tr", { role: "row" }, ...row.map((value, i) => cell(value, i, i === 0))))));
}
