// The charts of this page: what each is made of, and how it is said in words and in its table.

function makeCharts() {
  const share = (tick, most) => (known(most) ? `${Number((100 * tick).toFixed(1))} %` : percent(tick));
  charts.share = new Chart($("share"), {
    id: "share", caption: "AI share by window", form: share,
    describe: (data) => `AI share over time: ${describeLast(data.rows, (w) => (w.correction?.ai ? `corrected ${percent(w.correction.ai[0])}, raw ${percent(w.raw_ai)}` : `raw ${percent(w.raw_ai)}`))}. The table below has every window.`,
    heads: [{ name: "Window" }, { name: "images", n: true }, { name: "raw", n: true }, { name: "corrected", n: true }, { name: "95 % interval", n: true }, { name: "correction", long: true }, { name: "reference", n: true }, { name: "raw reference", n: true }],
    row: (w) => [span(w, serverNow()), number(w.images), percent(w.raw_ai), w.correction?.ai ? percent(w.correction.ai[0]) : "–", between(w.correction?.ai, percent) || "–", w.correction ? statusWords(w.correction) : "–", percent(expectedAi(w)), percent(w.reference_ai)],
  });
  charts.distance = new Chart($("distance"), {
    id: "distance", caption: "Distance by window", form: (v, most) => (known(most) ? String(Number(v.toFixed(3))) : decimals(v)),
    describe: (data) => `KL divergence from the reference over time: ${describeLast(data.rows, (w) => `${decimals(w.distance.kl[0])} nats, ${w.distance.state || "no state"}`)}. The table below has every window.`,
    heads: [{ name: "Window" }, { name: "KL (nats)", n: true }, { name: "95 % interval", n: true }, { name: "on" }, { name: "JS distance", n: true }, { name: "PSI", n: true }, { name: "chi-square p", n: true }, { name: "state" }],
    row: (w) => [span(w, serverNow()), decimals(w.distance.kl[0]), between(w.distance.kl, decimals) || "–", w.distance.basis, decimals(w.distance.js?.[0]), decimals(w.distance.psi?.[0]), known(w.distance.p) ? (w.distance.p < 0.001 ? "< 0.001" : w.distance.p.toFixed(3)) : "–", w.distance.state || "–"],
  });
  const pointHead = { name: "From" };
  const at = (p) => moment(p.t, serverNow());
  charts.throughput = new Chart($("throughput"), {
    id: "throughput", height: 170, caption: "Verdicts by minute", form: (v, most) => (known(most) ? compact.format(v) : decimals(v, 1)),
    describe: (data) => `Verdicts a minute: ${describeLast(data.rows, (p) => decimals(allOf(p) / (p.step / 60000), 1))} at the end.`,
    heads: [pointHead, { name: "a minute", n: true }, { name: "AI", n: true }, { name: "real", n: true }, { name: "undecided", n: true }, { name: "dead letters", n: true }],
    row: (p) => [at(p), decimals(allOf(p) / (p.step / 60000), 1), number(p.verdicts.ai_generated || 0), number(p.verdicts.real || 0), number(undecidedOf(p)), number(p.letters)],
  });
  charts.latency = new Chart($("latency"), {
    id: "latency", height: 170, caption: "Latency by minute", form: (v) => duration(v),
    describe: (data) => `Milliseconds from taking in to verdict: ${describeLast(data.rows, (p) => `median ${duration(p.latency[0])}, 95th percentile ${duration(p.latency[1])}`)} at the end.`,
    heads: [pointHead, { name: "p50", n: true }, { name: "p95", n: true }, { name: "p99", n: true }],
    row: (p) => [at(p), ...p.latency.map(duration)],
  });
  charts.lag = new Chart($("lag"), {
    id: "lag", height: 170, caption: "Lag by minute", form: (v) => compact.format(v),
    describe: (data) => `Messages behind: ${describeLast(data.rows, (p) => Object.entries(p.lag).map(([g, n]) => `${g} ${n}`).join(", "))} at the end.`,
    heads: [pointHead, { name: "scoring", n: true }, { name: "drift", n: true }],
    row: (p) => [at(p), ...groups().map((g) => number(p.lag[g]))],
  });
}

const describeLast = (rows, words) => (rows.length ? words(rows[rows.length - 1]) : "nothing yet");
const allOf = (p) => Object.values(p.verdicts).reduce((a, b) => a + b, 0);
const undecidedOf = (p) => allOf(p) - (p.verdicts.ai_generated || 0) - (p.verdicts.real || 0);
const groups = () => (meta.behind.length ? meta.behind.map((one) => one.group) : [...new Set([...seen.points.values()].flatMap((p) => Object.keys(p.lag)))]).slice(0, 2);

function statusWords(correction) {
  const words = { ok: "holds", unguarded: "not tested: no calibration profile", void: "void", too_few: "too few images" }[correction.status] || plain(correction.status);
  return correction.reason ? `${words}: ${plain(correction.reason)}` : words;
}

// Points of the chart from windows; a gap where a window is missing.
function windowPoints(windows, of) {
  let last = null;
  return windows.map((w) => {
    const estimate = of(w) || [null, null, null];
    const gap = last !== null && w.t0 - last > 0.75 * (w.t1 - w.t0);
    last = w.t1;
    return { t: (w.t0 + w.t1) / 2, half: (w.t1 - w.t0) / 2, v: estimate[0], low: estimate[1], high: estimate[2], gap };
  });
}

function spells(windows, is, kind) {
  const found = [];
  for (const w of windows) {
    if (!is(w)) continue;
    const last = found[found.length - 1];
    if (last && w.t0 <= last.t1 + 1000) last.t1 = Math.max(last.t1, w.t1);
    else found.push({ t0: w.t0, t1: w.t1, kind });
  }
  return found;
}

// What a window's best shares are compared with: corrected shares with the corrected reference, where there is one.
const expectedAi = (w) => (w.correction?.ai ? w.expected_ai ?? w.reference_ai : w.reference_ai);
const spoiled = (w) => w.correction && w.correction.status === "void";

function renderShare(windows, from, to) {
  const points = windowPoints(windows, (w) => w.correction?.ai);
  const highest = Math.max(0.02, ...windows.flatMap((w) => [w.raw_ai || 0, w.correction?.ai?.[0] || 0, expectedAi(w) || 0])) * 1.6;
  charts.share.render({
    from, to, rows: windows, top: 0.02, highest, most: 1.0001,
    nothing: "No window has closed in this time range.",
    lines: [
      { kind: "reference", name: windows.some((w) => known(expectedAi(w))) ? "its reference" : "", aside: true, points: windowPoints(windows, (w) => (known(expectedAi(w)) ? [expectedAi(w)] : null)) },
      { kind: "raw", name: "raw", points: windowPoints(windows, (w) => (known(w.raw_ai) ? [w.raw_ai] : null)) },
      { kind: "accent", name: "corrected, with interval", band: true, points },
    ],
    shades: spells(windows, spoiled, "void"),
    extras: windows.some(spoiled) ? [{ kind: "void", name: "correction void: no mix of the known classes explains the answers" }] : [],
  });
}

function renderDistance(windows, alerts, from, to) {
  const measured = windows.filter((w) => w.distance && known(w.distance.kl[0]));
  const points = windowPoints(measured, (w) => w.distance.kl);
  const drifting = spells(measured, (w) => w.distance.state === "drifting", "alarm");
  const highest = Math.max(meta.threshold, ...points.map((p) => p.v)) * 1.6;
  charts.distance.render({
    from, to, rows: measured, top: meta.threshold * 1.3, highest,
    nothing: windows.length ? "No reference to compare with, or too few images: deeptrace drift reference build makes one." : "No window has closed in this time range.",
    lines: [
      { kind: "threshold", name: `threshold ${meta.threshold}`, aside: true, points: [{ t: from, v: meta.threshold }, { t: to, v: meta.threshold }] },
      { kind: "accent", name: "KL, with interval", band: true, points },
    ],
    shades: drifting,
    marks: alerts.filter((a) => (!a.window || a.window === meta.window) && a.tenant === meta.tenant && a.t1 >= from && a.t1 <= to).map((a) => ({ t: a.t1, state: a.state })),
    extras: drifting.length ? [{ kind: "alarm", name: "episode of drift" }] : [],
  });
}

function renderClasses(windows, from, to) {
  const last = windows.findLast((w) => w.correction?.shares || w.raw);
  const section = $("classes");
  let body = section.querySelector(".scroll");
  if (!body) {
    body = el("div", { class: "scroll free", tabindex: "0", role: "region", "aria-labelledby": "h-classes" });
    section.append(body);
  }
  if (!last) return replace(body, el("p", { class: "empty" }, "No window has closed in this time range."));
  const corrected = Boolean(last.correction?.shares);
  const of = (w, name) => (corrected ? w.correction?.shares?.[name] : known(w.raw?.[name]) ? [w.raw[name], null, null] : w.raw ? [0, null, null] : null);
  const shares = corrected ? Object.fromEntries(Object.entries(last.correction.shares).map(([name, e]) => [name, e[0]])) : last.raw;
  const normal = corrected ? last.expected || last.reference : last.reference;
  const names = [...new Set([...Object.keys(shares), ...Object.keys(normal || {}), ...Object.keys(last.raw || {})])].sort((a, b) => (shares[b] ?? last.raw?.[b] ?? 0) - (shares[a] ?? last.raw?.[a] ?? 0));
  const rows = names.map((name) => {
    const estimate = of(last, name);
    const reference = normal ? normal[name] ?? 0 : null;
    const points = windowPoints(windows, (w) => of(w, name));
    const top = Math.max(0.01, reference || 0, ...points.map((p) => p.v || 0)) * 1.15;
    const off = estimate && known(reference) ? estimate[0] - reference : null;
    const raw = percent(last.raw?.[name] ?? (last.raw ? 0 : null));
    const against = known(off) ? `${off < 0 ? "−" : "+"}${(100 * Math.abs(off)).toFixed(1)} points` : "–";
    return [plain(name), spark(points, reference, from, to, top), ...(corrected ? [percent(estimate?.[0]), between(estimate, percent) || "–", raw] : [raw]), percent(reference), against];
  });
  const words = `Latest window, ${span(last, serverNow())} UTC, ${number(last.images)} images${last.undecided ? `, ${number(last.undecided)} of them undecided` : ""}. ${corrected ? "Corrected for prevalence" : "Raw counts"}${spoiled(last) ? ": the correction is void" : ""}. The line is the time range, dotted: the reference.`;
  replace(body, table(words, [{ name: "Class" }, { name: "over time" }, ...(corrected ? [{ name: "corrected", n: true }, { name: "95 % interval", n: true }] : []), { name: "raw", n: true }, { name: "reference", n: true }, { name: "against it", n: true }], rows, "rows"));
}

function renderRates(from, to) {
  const points = byTime(seen.points, (p) => p.t).filter((p) => p.t + p.step > from && p.t < to);
  const step = meta.rates.step;
  const a = (p, n) => (n || 0) / (p.step / 60000);
  const gaps = (list, of) => list.map((p, i) => ({ t: p.t + p.step / 2, half: p.step / 2, v: of(p), gap: i > 0 && p.t - list[i - 1].t > 2.5 * step }));
  const counted = points.filter((p) => allOf(p) || p.letters);
  charts.throughput.render({
    from, to, rows: counted, top: 1, nothing: "No verdict in this time range.",
    lines: counted.some((p) => p.letters) ? [{ kind: "bad", name: "dead letters", points: gaps(counted, (p) => a(p, p.letters)) }] : [],
    stack: { points: counted, step, layers: [
      { kind: "real", name: "real", of: (p) => a(p, p.verdicts.real) },
      { kind: "ai", name: "AI", of: (p) => a(p, p.verdicts.ai_generated) },
      { kind: "open", name: "inconclusive", of: (p) => a(p, p.verdicts.inconclusive) },
      { kind: "none", name: "not assessable", of: (p) => a(p, p.verdicts.not_assessable) },
    ] },
  });
  const timed = points.filter((p) => p.latency);
  charts.latency.render({
    from, to, rows: timed, top: 10, nothing: "No verdict in this time range.",
    lines: [["p99", "p99"], ["p95", "p95"], ["accent", "median"]].map(([kind, name], i) => ({ kind, name, points: gaps(timed, (p) => p.latency[2 - i]) })),
  });
  const behind = points.filter((p) => Object.keys(p.lag).length);
  charts.lag.render({
    from, to, rows: behind, top: 10, nothing: meta.behind.find((one) => one.why)?.why || "Not known in this time range; it is asked for while the page is open.",
    lines: groups().map((g, i) => ({ kind: i ? "second" : "accent", name: `${g.includes("drift") ? "drift" : "scoring"}, messages`, points: gaps(behind, (p) => p.lag[g]) })),
  });
  const now = meta.behind.filter((one) => known(one.messages)).map((one) => `${one.group}: ${number(one.messages)} messages, ${duration(1000 * one.seconds)}`);
  line($("lag"), now.length ? `Now ${now.join("; ")}.` : "");
  const stages = Object.entries(meta.timing.stages).map(([stage, p]) => [stage.replace("_ms", ""), ...p.map(duration)]);
  const section = $("latency");
  let more = section.querySelector(".stages");
  if (!more) {
    more = el("details", { class: "stages" }, el("summary", {}, "Table: stages of the latest verdicts"), el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Stages of the latest verdicts" }));
    section.append(more);
  }
  replace(more.lastChild, table(`The last ${number(meta.timing.verdicts)} verdicts.`, [{ name: "Stage" }, { name: "p50", n: true }, { name: "p95", n: true }, { name: "p99", n: true }], stages));
}

function line(section, text) {
  let said = section.querySelector(".now");
  if (!said) section.querySelector("h2").after(said = el("p", { class: "quiet now" }));
  said.textContent = text;
}
