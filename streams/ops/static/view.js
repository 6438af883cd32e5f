// What is looked at, what is known of it, and how that is kept up to date: one snapshot, then changes by server-sent events.

const RANGES = { "1h": 3600000, "6h": 21600000, "24h": 86400000 };
const ANEW_MS = 240000; // a fresh snapshot now and then: tokens of pictures hold for five minutes at least, and what is old should go
const AGAIN_MS = 5000;

const view = { tenant: "*", window: "", range: "6h", from: null, to: null };
const seen = { windows: new Map(), alerts: new Map(), candidates: new Map(), verdicts: new Map(), points: new Map() };
let meta = null; // the rest of the newest answer
let events = null;
let lost = null; // since when the worker is not reached
let asked = 0;
let anew = 0;
let changed = () => {};

function readAddress() {
  const said = new URLSearchParams(location.hash.slice(1));
  view.tenant = said.get("tenant") || "*";
  view.window = said.get("window") || "";
  view.range = RANGES[said.get("range")] || said.get("range") === "custom" ? said.get("range") : "6h";
  view.from = Number(said.get("from")) || null;
  view.to = Number(said.get("to")) || null;
}

function writeAddress() {
  const said = new URLSearchParams({ tenant: view.tenant, range: view.range });
  if (view.window) said.set("window", view.window);
  if (view.range === "custom") {
    if (view.from) said.set("from", view.from);
    if (view.to) said.set("to", view.to);
  }
  history.replaceState(null, "", `#${said}`);
}

const serverNow = () => (meta ? meta.now + (Date.now() - meta.heard) : Date.now());

function rangeShown() {
  if (view.range === "custom") return [view.from || serverNow() - RANGES["6h"], view.to || serverNow()];
  const to = serverNow();
  return [to - RANGES[view.range], to];
}

function question() {
  const said = new URLSearchParams({ tenant: view.tenant });
  if (view.window) said.set("window", view.window);
  if (view.range === "custom") {
    if (view.from) said.set("since", view.from);
    if (view.to) said.set("until", view.to);
  } else {
    said.set("since", Math.round(serverNow() - RANGES[view.range]));
  }
  return said;
}

function take(answer, whole) {
  if (whole) for (const held of Object.values(seen)) held.clear();
  meta = { ...answer, heard: Date.now() };
  for (const one of answer.windows) seen.windows.set(one.id, one);
  for (const one of answer.alerts) seen.alerts.set(one.id, one);
  for (const one of answer.candidates) seen.candidates.set(one.id, one);
  for (const one of answer.verdicts) seen.verdicts.set(one.id, one);
  for (const one of answer.rates.points) seen.points.set(one.t, { ...one, step: answer.rates.step });
  lost = null;
  bound(seen.verdicts, (one) => one.at, 150);
  bound(seen.windows, (one) => one.t1, 2000);
  bound(seen.points, (one) => one.t, 600);
  bound(seen.alerts, (one) => one.t1, 300);
  changed(whole);
}

function bound(held, age, most) {
  if (held.size <= most) return;
  for (const [id] of [...held].sort((a, b) => age(b[1]) - age(a[1])).slice(most)) held.delete(id);
}

async function load() {
  const mine = ++asked;
  clearTimeout(anew);
  if (events) events.close();
  events = null;
  try {
    const answer = await fetch(`/api/state?${question()}`, { cache: "no-store", credentials: "same-origin" });
    if (!answer.ok) throw new Error(`the worker answered ${answer.status}`);
    const state = await answer.json();
    if (mine !== asked) return; // somebody chose another view meanwhile
    take(state, true);
    follow();
    anew = setTimeout(load, ANEW_MS);
  } catch {
    if (mine !== asked) return;
    lost = lost || Date.now();
    changed(false);
    anew = setTimeout(load, AGAIN_MS);
  }
}

function follow() {
  const said = question();
  said.set("after", `${meta.name}-${meta.revision}`);
  const mine = events = new EventSource(`/api/events?${said}`);
  mine.addEventListener("change", (event) => take(JSON.parse(event.data), false));
  mine.addEventListener("state", (event) => take(JSON.parse(event.data), true));
  mine.addEventListener("open", () => { if (lost) { lost = null; changed(false); } });
  mine.addEventListener("error", () => {
    if (events !== mine) return;
    lost = lost || Date.now();
    changed(false);
    if (mine.readyState === EventSource.CLOSED) { clearTimeout(anew); anew = setTimeout(load, AGAIN_MS); }
  });
}

const byTime = (held, age) => [...held.values()].sort((a, b) => age(a) - age(b));
