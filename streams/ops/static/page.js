// The page: figures, charts, lists. `render` draws all of it from what is known; it is cheap, so nothing is kept in step by hand.

const charts = {};
let drawing = false;

function start() {
  readAddress();
  makeControls();
  makeCharts();
  changed = (whole) => { if (whole) fillControls(); later(); };
  document.addEventListener("visibilitychange", later);
  setInterval(tick, 1000);
  load();
}

// Draws once a frame at most, and not at all in a tab that nobody sees.
function later() {
  if (drawing || document.hidden) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; render(); });
}

function tick() {
  $("clock").textContent = meta ? `${clock(serverNow(), true)} UTC` : "";
  if (view.range !== "custom" && Math.floor(Date.now() / 1000) % 15 === 0) later();
}

// ---- controls

function makeControls() {
  $("tenant").addEventListener("change", (event) => { view.tenant = event.target.value; view.window = ""; go(); });
  $("window").addEventListener("change", (event) => { view.window = event.target.value; go(); });
  for (const radio of document.querySelectorAll("input[name=range]")) {
    radio.checked = radio.value === view.range;
    radio.addEventListener("change", () => {
      view.range = radio.value;
      $("custom").hidden = view.range !== "custom";
      if (view.range !== "custom") go();
      else if (!view.from) $("from").value = new Date(serverNow() - RANGES["6h"]).toISOString().slice(0, 16);
    });
  }
  $("custom").hidden = view.range !== "custom";
  if (view.from) $("from").value = new Date(view.from).toISOString().slice(0, 16);
  if (view.to) $("to").value = new Date(view.to).toISOString().slice(0, 16);
  $("controls").addEventListener("submit", (event) => {
    event.preventDefault();
    view.from = Date.parse(`${$("from").value}Z`) || null;
    view.to = Date.parse(`${$("to").value}Z`) || null;
    if (view.to && view.from && view.to <= view.from) [view.from, view.to] = [view.to, view.from];
    go();
  });
}

function go() {
  writeAddress();
  $("status").textContent = "Reading.";
  load();
}

function fillSelect(select, values, chosen, words) {
  const mark = JSON.stringify(values);
  if (select.dataset.mark !== mark) {
    select.dataset.mark = mark;
    select.replaceChildren(...values.map((value) => el("option", { value }, words(value))));
  }
  select.value = chosen;
}

function fillControls() {
  const tenants = meta.tenants.includes(meta.tenant) ? meta.tenants : [...meta.tenants, meta.tenant];
  fillSelect($("tenant"), tenants, meta.tenant, (name) => (name === "*" ? "All together" : name));
  fillSelect($("window"), meta.specs.length ? meta.specs : [""], meta.window || "", (name) => (name ? specWords(name) : "none yet"));
  view.window = meta.window || view.window;
}

function specWords(name) {
  const [size, step] = name.split("/");
  const word = (text) => text.replace(/^(\d+)([smhd])$/, (_, n, unit) => `${n} ${{ s: "s", m: "min", h: "h", d: "d" }[unit]}`);
  return step ? `${word(size)}, every ${word(step)}` : word(size);
}

// ---- drawing

function render() {
  renderState();
  if (!meta) return;
  const [from, to] = rangeShown();
  const windows = byTime(seen.windows, (w) => w.t0).filter((w) => w.t1 > from && w.t0 < to).map((w) => ({ ...w, t: (w.t0 + w.t1) / 2 }));
  const alerts = byTime(seen.alerts, (a) => a.t1);
  renderNotices();
  renderFigures(windows);
  const start = windows.length ? Math.min(...windows.map((w) => w.t0)) : from;
  // A day's window begins before the range does: it is shown whole.
  renderShare(windows, Math.min(from, start), to);
  renderDistance(windows, alerts, Math.min(from, start), to);
  renderClasses(windows, Math.min(from, start), to);
  renderNews(alerts, from, to);
  renderRates(from, to);
  renderLetters();
  renderModels();
  renderLabels();
  renderVerdicts();
  $("foot").textContent = `Known since ${moment(meta.history, serverNow())} UTC. All times are UTC.${meta.windows_left_out ? ` ${meta.windows_left_out} windows of this range are not drawn: choose longer windows or a shorter range.` : ""}`;
}

function renderState() {
  const fault = meta && meta.contact.fault;
  const words = lost ? `The worker is not reached since ${clock(lost)} UTC; trying again.` : fault ? "The broker does not answer." : meta?.contact.last ? "Live." : meta ? "Waiting for the broker." : "Reading the topics.";
  if ($("status").textContent !== words) $("status").textContent = words;
  $("lamp").className = `lamp ${lost || fault ? "ill" : meta?.contact.last ? "well" : ""}`;
}

start();
