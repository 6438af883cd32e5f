// The latest verdicts: rows are kept by id, so that pictures load once and focus stays

const verdictRows = new Map();
const FIRST_VERDICTS = 15;
let allVerdicts = false;
const VERDICT_WORDS = { ai_generated: ["AI", "ai"], real: ["real", "real"], inconclusive: ["inconclusive", "open"], not_assessable: ["not assessable", "none"] };

function renderVerdicts() {
  const section = $("verdicts");
  const latest = byTime(seen.verdicts, (v) => -v.at);
  if (!latest.length) {
    verdictRows.clear();
    return body(section, meta.tenant, () => el("p", { class: "empty" }, meta.tenant === "*" ? "No verdict has been read yet." : "None of the latest verdicts is of this tenant."));
  }
  let rows = section.querySelector("tbody");
  if (!rows) {
    section.dataset.mark = "rows";
    verdictRows.clear();
    const heads = ["Image", "Overlay", "Image id", "Verdict", "Source", "Confidence", "Time", "Took", "Why, model"];
    rows = el("tbody", { role: "rowgroup" });
    replace(section, section.querySelector("h2"), el("div", { class: "scroll free", tabindex: "0", role: "region", "aria-labelledby": "h-verdicts" },
      el("table", { class: "stack", role: "table" }, el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...heads.map((name) => el("th", { scope: "col", role: "columnheader", class: name === "Took" || name === "Confidence" ? "n" : null }, name)))), rows)),
      el("button", { class: "more", type: "button", on: { click: () => { allVerdicts = true; renderVerdicts(); } } }));
  }
  const wanted = new Set(latest.map((v) => v.id));
  for (const [id, row] of verdictRows) if (!wanted.has(id)) { row.remove(); verdictRows.delete(id); }
  let before = rows.firstElementChild;
  for (const v of latest) {
    let row = verdictRows.get(v.id);
    if (row && tokenIsOld(row, v)) {
      if (row === before) before = row.nextElementSibling;
      row.remove();
      row = null;
    }
    if (!row) verdictRows.set(v.id, row = verdictRow(v));
    if (row === before) before = row.nextElementSibling;
    else rows.insertBefore(row, before);
  }
  latest.forEach((v, i) => { verdictRows.get(v.id).hidden = !allVerdicts && i >= FIRST_VERDICTS; });
  const more = section.querySelector(".more");
  more.hidden = allVerdicts || latest.length <= FIRST_VERDICTS;
  more.textContent = `Show all ${latest.length}`;
}

// A picture that was not loaded yet, being out of sight, cannot be once its token has expired.
function tokenIsOld(row, v) {
  return row.dataset.token !== String(v.picture) && [...row.querySelectorAll("img")].some((image) => !image.complete || !image.naturalWidth);
}

function picture(kind, token, alt) {
  return el("img", { class: "thumb", src: `/api/${kind}/${token}`, alt, loading: "lazy", decoding: "async", width: 52, height: 52 });
}

function verdictRow(v) {
  const [word, kind] = VERDICT_WORDS[v.verdict] || [plain(v.verdict), "none"];
  const look = (image, name) => el("button", { class: "look", type: "button", "aria-label": name, on: { click: () => closeUp(seen.verdicts.get(v.id) || v) } }, image);
  const cell = (value, kindOf) => el("td", { role: "cell", class: kindOf || null }, value);
  return el("tr", { role: "row", "data-token": v.picture ?? "null" },
    cell(v.picture ? look(picture("thumbnail", v.picture, ""), `Details of ${v.image}`) : el("span", { class: "nothing" }, "–"), "p1"),
    cell(v.overlay ? look(picture("overlay", v.overlay, ""), `Overlay of ${v.image}`) : el("span", { class: "nothing" }, "–"), "p2"),
    el("th", { scope: "row", role: "rowheader", class: "long w" }, v.image, v.tenant !== meta.tenant ? el("span", { class: "quiet" }, ` ${v.tenant}`) : null),
    cell(el("span", { class: `tag ${kind}` }, word)),
    cell(v.source ? plain(v.source) : "–"),
    cell(percent(v.confidence), "n"),
    cell(clock(v.at, true)),
    cell(duration(v.ms), "n took"),
    cell([v.reasons.map(plain).join(", "), v.model].filter(Boolean).join(" · "), "long w"));
}

function closeUp(v) {
  const [word] = VERDICT_WORDS[v.verdict] || [plain(v.verdict)];
  const facts = [["Verdict", word], ["Source", v.source ? plain(v.source) : "–"], ["Confidence", percent(v.confidence)], ["Tenant", v.tenant], ["Time", `${day(v.at)} ${clock(v.at, true)} UTC`], ["Took", duration(v.ms)], ["Size", v.size.join(" × ")], ["Model", v.model], ["Outcome", v.id]];
  if (v.reasons.length) facts.push(["Withheld for", v.reasons.map(plain).join(", ")]);
  if (v.novelty) facts.push(["Novelty", `${decimals(v.novelty[0], 2)}, threshold ${decimals(v.novelty[1], 2)}${v.nearest ? `, nearest to ${plain(v.nearest)}` : ""}`]);
  $("h-closer").textContent = v.image;
  replace($("closer-body"),
    el("div", { class: "closeup" },
      v.picture ? el("figure", {}, el("img", { src: `/api/thumbnail/${v.picture}`, alt: "The image" }), el("figcaption", {}, "the image, small")) : null,
      v.overlay ? el("figure", {}, el("img", { src: `/api/overlay/${v.overlay}`, alt: "The overlay" }), el("figcaption", {}, "where the CNN branch looked")) : el("p", { class: "quiet" }, `Overlay: ${plain(v.explanation)}.`)),
    el("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value ?? "–"))])),
    Object.keys(v.probabilities).length ? table("Probabilities", [{ name: "Class" }, { name: "probability", n: true }], Object.entries(v.probabilities).map(([name, p]) => [plain(name), percent(p)])) : null);
  $("closer").showModal();
}
