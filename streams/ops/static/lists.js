// Figures, notices, alerts, dead letters, models, labels: what is no chart.

function renderNotices() {
  const said = [];
  const { contact } = meta;
  if (meta.notice) said.push([meta.notice, ""]);
  if (contact.fault) said.push([`No news from the broker since ${contact.last ? `${moment(contact.last, serverNow())} UTC` : "this worker began"} (${contact.fault}). What follows is what was known then; the page goes on by itself when the broker is back.`, "bad"]);
  if (meta.models.some((one) => one.simulated)) said.push(["A model here was trained on simulated images only: its verdicts say nothing about true generators.", ""]);
  for (const [topic, why] of Object.entries(meta.waits)) if (!contact.fault) said.push([`${topic} is not read: ${why}`, "bad"]);
  if (meta.cut.length) said.push([`There was more than is read at once: only the latest records of ${meta.cut.join(" and ")} are counted in throughput, latency and dead letters.`, ""]);
  const unread = Object.entries(meta.unreadable);
  if (unread.length) said.push([`Not readable: ${unread.map(([topic, n]) => `${number(n)} records of ${topic}`).join(", ")}.`, ""]);
  if (meta.no_pictures && seen.verdicts.size) said.push([meta.no_pictures, ""]);
  const mark = JSON.stringify(said);
  if ($("notices").dataset.mark === mark) return;
  $("notices").dataset.mark = mark;
  replace($("notices"), ...said.map(([text, kind]) => el("p", { class: `notice ${kind}` }, text)));
}

function renderFigures(windows) {
  const now = serverNow();
  const last = windows.findLast((w) => known(w.raw_ai));
  const far = windows.findLast((w) => w.distance);
  const points = byTime(seen.points, (p) => p.t);
  const latest = points.filter((p) => p.t >= now - Math.max(600000, 2 * (meta.rates.step || 0)));
  const minutes = latest.length ? Math.max(1, (now - latest[0].t) / 60000) : 0;
  const timed = points.findLast((p) => p.latency);
  const letters = meta.letters.reduce((sum, one) => sum + one.count, 0);
  const figures = [];
  const add = (name, value, more, kind) => figures.push(el("div", {}, el("dt", {}, name), el("dd", { class: `value ${kind || ""}` }, value), el("dd", { class: "more" }, more)));
  if (!last) add("AI share", "–", "no window yet");
  else if (last.correction?.ai) add("AI share, corrected", percent(last.correction.ai[0]), `${between(last.correction.ai, percent)}; raw ${percent(last.raw_ai)}`);
  else if (spoiled(last)) add("AI share, raw", percent(last.raw_ai), "the correction is void", "open");
  else add("AI share, raw", percent(last.raw_ai), last.correction ? statusWords(last.correction) : "not corrected");
  if (!far) add("Drift", "–", "no reference to compare with, or too few images");
  else add("Drift", { drifting: "drifting", steady: "steady", too_few: "too few images" }[far.distance.state] || "–", `KL ${decimals(far.distance.kl[0])}, threshold ${meta.threshold}`, far.distance.state === "drifting" ? "bad" : "");
  add("Verdicts a minute", latest.length ? decimals(latest.reduce((sum, p) => sum + allOf(p), 0) / minutes, minutes && latest.length ? 1 : 0) : "–", latest.length ? `over the last ${Math.round(minutes)} min` : "none lately");
  add("Latency, p95", timed ? duration(timed.latency[1]) : "–", timed ? `p50 ${duration(timed.latency[0])}, p99 ${duration(timed.latency[2])}` : "no verdict in the range");
  const scoring = meta.behind[0];
  add("Scoring lag", scoring && known(scoring.messages) ? compact.format(scoring.messages) : "–", scoring ? (known(scoring.messages) ? (scoring.messages ? `messages; ${duration(1000 * scoring.seconds)}` : "nothing waits") : scoring.why) : "not asked yet");
  add("Dead letters", number(letters), letters ? "in this time range" : "none in this time range", letters ? "open" : "");
  replace($("figures"), ...figures);
}

function renderNews(alerts, from, to) {
  const now = serverNow();
  const items = [];
  for (const a of alerts) {
    if (a.t1 < from || a.t1 > to) continue;
    const slow = a.statistic === "page_hinkley_confidence";
    const what = a.state === "resolved" ? "resolved" : slow ? "slow drift" : "drift";
    const figure = slow ? `mean confidence moves: ${decimals(a.value[0])} passes ${a.threshold}` : `KL ${decimals(a.value[0])}${between(a.value, decimals) ? ` (${between(a.value, decimals)})` : ""}, threshold ${a.threshold}, on ${a.basis} shares`;
    items.push({ t: a.t1, node: el("li", {}, el("span", { class: `tag ${a.state === "resolved" ? "real" : "bad"}` }, what), el("p", {}, `${tenantWords(a.tenant)}, ${a.window ? specWords(a.window) : ""} window ${span(a, now)} UTC: ${figure}`),
      el("p", { class: "quiet" }, `${a.state === "resolved" ? "" : `more ${plain(a.grown || "–")}, less ${plain(a.shrunk || "–")}; `}${number(a.images)} images${a.report ? `; report: ${a.report}` : ""}`)) });
  }
  for (const c of seen.candidates.values()) {
    if (c.t1 < from || c.t1 > to) continue;
    items.push({ t: c.t1, node: el("li", {}, el("span", { class: "tag open" }, "new generator?"), el("p", {}, `${tenantWords(c.tenant)}, window ${span(c, now)} UTC: ${number(c.images)} of ${number(c.rejected)} rejected images are like one another (cohesion ${decimals(c.cohesion, 2)})${c.nearest ? `, nearest to ${plain(c.nearest)}` : ""}`),
      c.pictures.length ? el("div", { class: "strip" }, ...c.pictures.map((token, i) => el("img", { src: `/api/thumbnail/${token}`, alt: `Exemplar ${i + 1}`, loading: "lazy", width: 56, height: 56 }))) : null) });
  }
  items.sort((a, b) => b.t - a.t);
  const mark = JSON.stringify([items.length, ...[...seen.alerts.keys()], ...[...seen.candidates.values()].map((c) => [c.id, c.images]), Math.floor(from / 600000), meta.tenant]);
  const section = $("news");
  if (section.dataset.mark === mark) return;
  section.dataset.mark = mark;
  const list = items.length ? el("ul", { class: "items" }, ...items.slice(0, 60).map((one) => one.node)) : el("p", { class: "empty" }, "No alert and no candidate in this time range.");
  replace(section, section.querySelector("h2"), items.length ? el("div", { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": "h-news" }, list) : list);
}

const tenantWords = (name) => (name === "*" ? "All tenants" : name);

function bar(share) {
  return el("span", { class: "bar" }, draw("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }, draw("rect", { width: 100 * share, height: 10 })));
}

// Draws a section's list anew where it says something else than before.
function body(section, mark, make) {
  const said = JSON.stringify(mark);
  if (section.dataset.mark === said) return;
  section.dataset.mark = said;
  replace(section, section.querySelector("h2"), make());
}

function renderLetters() {
  const most = Math.max(1, ...meta.letters.map((one) => one.count));
  body($("letters"), meta.letters, () => meta.letters.length
    ? el("div", { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": "h-letters" }, table("By error code, in this time range.", [{ name: "Code" }, { name: "count", n: true }, { name: "" }, { name: "last" }], meta.letters.map((one) => [el("code", {}, one.code), number(one.count), bar(one.count / most), moment(one.last, serverNow())])))
    : el("p", { class: "empty" }, "No dead letter in this time range."));
}

function renderModels() {
  body($("models"), meta.models, () => meta.models.length
    ? el("div", { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": "h-models" }, table("Those of the verdicts that were read.", [{ name: "Version" }, { name: "kind" }, { name: "trained on", long: true }, { name: "verdicts", n: true }, { name: "last" }], meta.models.map((one) => [one.version, one.kind, one.training_data || "–", number(one.verdicts), moment(one.last, serverNow())])))
    : el("p", { class: "empty" }, "No verdict has been read yet."));
}

function renderLabels() {
  const labels = meta.labels;
  $("labels").hidden = !labels;
  if (!labels) return;
  body($("labels"), labels, () => el("div", { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": "h-labels" }, table(`${number(labels.outcomes)} labelled outcomes. Recall is among labelled images only.`, [{ name: "Class" }, { name: "precision", n: true }, { name: "95 % interval", n: true }, { name: "recall", n: true }, { name: "95 % interval", n: true }, { name: "labelled of the class", n: true }],
    labels.rows.map((row) => [plain(row.name), percent(row.precision?.[0]), between(row.precision, percent) || "–", percent(row.recall?.[0]), between(row.recall, percent) || "–", number(row.labelled)]), "rows")));
}
