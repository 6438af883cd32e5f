// Charts over time, by hand: lines with gaps, bands, stacked areas, shading, a reading under the pointer. Each has a table behind it.

const MARGIN = { left: 46, right: 12, top: 10, bottom: 22 };
const MOST_ROWS = 300;
const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880].map((m) => m * 60000);

function niceTicks(most) {
  if (!(most > 0)) return [0, 1];
  const rough = most / 3;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((k) => k * size).find((s) => most / s <= 4) || 10 * size;
  const ticks = [];
  for (let k = 0; k * step < most + step * 0.999; k += 1) ticks.push(k * step);
  return ticks;
}

function path(points, x, y) {
  let d = "";
  let pen = false;
  for (const p of points) {
    if (!known(p.v)) { pen = false; continue; }
    if (p.gap) pen = false;
    d += `${pen ? "L" : "M"}${x(p.t).toFixed(1)} ${y(p.v).toFixed(1)}`;
    pen = true;
  }
  return d;
}

function bandPath(points, x, y) {
  let d = "";
  let run = [];
  const close = () => {
    if (run.length === 1) run = [{ ...run[0], t: run[0].t - run[0].half }, { ...run[0], t: run[0].t + run[0].half }];
    if (run.length) {
      d += "M" + run.map((p) => `${x(p.t).toFixed(1)} ${y(p.high).toFixed(1)}`).join("L");
      d += "L" + run.toReversed().map((p) => `${x(p.t).toFixed(1)} ${y(p.low).toFixed(1)}`).join("L") + "Z";
    }
    run = [];
  };
  for (const p of points) {
    if (p.gap) close();
    if (known(p.low) && known(p.high)) run.push(p);
    else close();
  }
  close();
  return d;
}

// Areas on top of one another, in steps; each layer has a value for each point.
function stackPaths(points, layers, x, y, step) {
  const base = points.map(() => 0);
  return layers.map((layer) => {
    let d = "";
    points.forEach((p, i) => {
      const value = layer.of(p);
      if (!value) return;
      const left = x(p.t), right = x(p.t + step), low = y(base[i]);
      base[i] += value;
      d += `M${left.toFixed(1)} ${low.toFixed(1)}V${y(base[i]).toFixed(1)}H${right.toFixed(1)}V${low.toFixed(1)}Z`;
    });
    return draw("path", { d, class: `a ${layer.kind}` });
  });
}

class Chart {
  // `spec` has: describe(data) -> text, form(value) -> text, heads and row(point) of the table, caption.
  constructor(host, spec) {
    this.spec = spec;
    this.box = el("div", { class: "chart" });
    this.readout = el("p", { class: "readout", "aria-hidden": "true" });
    this.legend = el("ul", { class: "legend" });
    this.body = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": spec.caption });
    this.details = el("details", {}, el("summary", {}, `Table: ${spec.caption}`), this.body);
    this.details.addEventListener("toggle", () => this.fillTable());
    host.append(this.legend, this.box, this.readout, this.details);
    this.box.addEventListener("pointermove", (event) => this.read(event));
    this.box.addEventListener("pointerleave", () => this.unread());
    new ResizeObserver(() => { if (this.data && Math.abs(this.box.clientWidth - this.width) > 1) this.render(this.data); }).observe(this.box);
  }

  // `data`: from, to, top (least top of the scale), lines [{kind, name, points}], bands, shades, marks, stack {layers, points, step}, rows.
  render(data) {
    this.data = data;
    this.fillTable();
    this.drawLegend();
    const width = this.width = Math.max(240, this.box.clientWidth);
    const height = this.spec.height || 200;
    const { left, right, top, bottom } = MARGIN;
    const values = [data.top || 0];
    for (const line of data.lines) for (const p of line.points) if (known(p.v)) values.push(p.v, Math.min(known(p.high) ? p.high : 0, data.highest ?? Infinity));
    if (data.stack) for (const p of data.stack.points) values.push(data.stack.layers.reduce((sum, layer) => sum + (layer.of(p) || 0), 0));
    let ticks = niceTicks(Math.max(...values) * 1.04);
    if (data.most) ticks = ticks.filter((t) => t <= data.most);
    const most = ticks[ticks.length - 1] || 1;
    const x = this.x = (t) => left + (width - left - right) * (t - data.from) / Math.max(1, data.to - data.from);
    const y = this.y = (v) => height - bottom - (height - top - bottom) * Math.min(v, most * 1.02) / most;
    if (!data.lines.some((line) => !line.aside && line.points.some((p) => known(p.v))) && !(data.stack && data.stack.points.length)) {
      replace(this.legend);
      this.names = null;
      replace(this.box, el("p", { class: "empty" }, data.nothing || "Nothing in this time range."));
      this.readout.textContent = "";
      return;
    }
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": this.spec.describe(data) });
    const pattern = `hatch-${this.spec.id}`;
    svg.append(draw("defs", {}, draw("pattern", { id: pattern, width: 7, height: 7, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, draw("line", { x1: 0, y1: 0, x2: 0, y2: 7, class: "hatch" })),
      draw("clipPath", { id: `clip-${this.spec.id}` }, draw("rect", { x: left, y: 0, width: width - left - right, height: height - bottom + 1 }))));
    for (const tick of ticks) {
      svg.append(draw("line", { x1: left, x2: width - right, y1: y(tick), y2: y(tick), class: tick ? "gridline" : "axis" }));
      const label = draw("text", { x: left - 7, y: y(tick) + 4, "text-anchor": "end" });
      label.textContent = this.spec.form(tick, most);
      svg.append(label);
    }
    this.timeTicks(svg, data, height, width);
    const inside = draw("g", { "clip-path": `url(#clip-${this.spec.id})` });
    for (const shade of data.shades || []) {
      const at = x(shade.t0), wide = Math.max(2, x(shade.t1) - at);
      inside.append(draw("rect", { x: at, y: top, width: wide, height: height - top - bottom, class: shade.kind === "void" ? null : "alarm", fill: shade.kind === "void" ? `url(#${pattern})` : null }));
    }
    if (data.stack) inside.append(...stackPaths(data.stack.points, data.stack.layers, x, y, data.stack.step));
    for (const line of data.lines) if (line.band) inside.append(draw("path", { d: bandPath(line.points, x, y), class: "band" }));
    for (const line of data.lines) {
      inside.append(draw("path", { d: path(line.points, x, y), class: `l ${line.kind}` }));
      if (line.points.length < 45 && !line.aside) for (const p of line.points) if (known(p.v)) inside.append(draw("circle", { cx: x(p.t), cy: y(p.v), r: 2.4, class: `dot ${line.kind}` }));
    }
    for (const mark of data.marks || []) {
      const at = x(mark.t), up = mark.state === "raised";
      inside.append(draw("path", { d: up ? `M${at - 5} ${top + 9}h10l-5 -9z` : `M${at - 5} ${top}h10l-5 9z`, class: `mark ${mark.state}` }));
    }
    this.hair = draw("line", { y1: top, y2: height - bottom, class: "hair", visibility: "hidden" });
    svg.append(inside, this.hair);
    replace(this.box, svg);
  }

  timeTicks(svg, data, height, width) {
    const step = TIME_STEPS.find((s) => (data.to - data.from) / s <= width / 85) || TIME_STEPS[TIME_STEPS.length - 1];
    for (let t = Math.ceil(data.from / step) * step; t <= data.to; t += step) {
      const at = this.x(t);
      if (at < MARGIN.left + 14 || at > width - 16) continue;
      const label = draw("text", { x: at, y: height - 5, "text-anchor": "middle" });
      label.textContent = t % 86400000 === 0 ? dayWords(t) : clock(t);
      svg.append(draw("line", { x1: at, x2: at, y1: height - MARGIN.bottom, y2: height - MARGIN.bottom + 4, class: "axis" }), label);
    }
  }

  drawLegend() {
    const items = [];
    for (const line of this.data.lines) if (line.name) items.push([line.name, draw("line", { x1: 1, x2: 25, y1: 5, y2: 5, class: `l ${line.kind}` })]);
    for (const layer of this.data.stack ? this.data.stack.layers : []) items.push([layer.name, draw("rect", { x: 6, width: 12, height: 10, class: `a ${layer.kind}` })]);
    for (const extra of this.data.extras || []) {
      if (extra.kind === "void") items.push([extra.name, draw("g", {}, draw("rect", { x: 3, width: 20, height: 10, class: "ground" }), ...[6, 12, 18].map((at) => draw("line", { x1: at, x2: at + 5, y1: 10, y2: 0, class: "hatch" })))]);
      else items.push([extra.name, draw("rect", { x: 3, width: 20, height: 10, class: extra.kind })]);
    }
    const names = items.map(([name]) => name).join("|");
    if (names === this.names) return;
    this.names = names;
    replace(this.legend, ...items.map(([name, sample]) => el("li", {}, draw("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" }, sample), name)));
  }

  read(event) {
    if (!this.data || !this.hair) return;
    const box = this.box.getBoundingClientRect();
    const t = this.data.from + (event.clientX - box.left - MARGIN.left) / (box.width - MARGIN.left - MARGIN.right) * (this.data.to - this.data.from);
    let nearest = null;
    for (const row of this.data.rows) if (!nearest || Math.abs(row.t - t) < Math.abs(nearest.t - t)) nearest = row;
    if (!nearest) return;
    this.hair.setAttribute("x1", this.x(nearest.t));
    this.hair.setAttribute("x2", this.x(nearest.t));
    this.hair.setAttribute("visibility", "visible");
    const cells = this.spec.row(nearest, this.data);
    this.readout.textContent = this.spec.heads.map((h, i) => (i === 0 ? cells[0] : `${h.name} ${cells[i]}`)).filter((text, i) => i === 0 || !text.endsWith(" –")).join(" · ");
  }

  unread() {
    this.readout.textContent = "";
    if (this.hair) this.hair.setAttribute("visibility", "hidden");
  }

  fillTable() {
    if (!this.details.open || !this.data) return;
    const rows = this.data.rows.toReversed();
    const left = rows.length - MOST_ROWS;
    replace(this.body, table(left > 0 ? `The latest ${MOST_ROWS}; ${left} older ones are not listed.` : "", this.spec.heads, rows.slice(0, MOST_ROWS).map((row) => this.spec.row(row, this.data))));
  }
}

// A line without axes, for a cell of a table.
function spark(points, reference, from, to, top) {
  const width = 144, height = 28;
  const x = (t) => 1 + (width - 2) * (t - from) / Math.max(1, to - from);
  const y = (v) => height - 2 - (height - 4) * Math.min(1, v / (top || 1));
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, class: "spark", "aria-hidden": "true", preserveAspectRatio: "none" });
  svg.append(draw("path", { d: bandPath(points, x, y), class: "band" }));
  if (known(reference)) svg.append(draw("line", { x1: 0, x2: width, y1: y(reference), y2: y(reference), class: "l reference" }));
  svg.append(draw("path", { d: path(points, x, y), class: "l accent" }));
  return svg;
}
