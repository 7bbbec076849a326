"use strict";
const SVG = "http://www.w3.org/2000/svg", WIDTH = 480, HEIGHT = 220, LEFT = 52, RIGHT = 10, TOP = 12, BOTTOM = 24;
const charts = [];
let range = null; // kimg that all charts show; null: all
const marks = JSON.parse((document.getElementById("marks") || { textContent: "[]" }).textContent);

const read = (section) => JSON.parse(section.querySelector('script[type="application/json"]').textContent);
const format = (value) => String(Number(value.toPrecision(4)));

function element(parent, name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

function html(parent, name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

for (const section of document.querySelectorAll(".sheets")) {
  const input = section.querySelector("input");
  if (!input) continue;
  const sheets = read(section), image = section.querySelector(".sample"), caption = section.querySelector(".at");
  input.value = sheets.length - 1; // browsers restore the position of a page that is loaded again
  input.addEventListener("input", () => {
    const [kimg, url] = sheets[input.value];
    image.src = url;
    image.alt = `${section.dataset.title} at ${kimg} kimg`;
    caption.textContent = `${kimg} kimg`;
    input.setAttribute("aria-valuetext", caption.textContent);
  });
}

// Steps of 1, 2 or 5 times a power of 10.
function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((each) => each * power >= rough) * power, found = [];
  for (let index = Math.ceil(low / step); index * step <= high && found.length < 20; index++) found.push(index * step);
  return found;
}

function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
  if (!(low < high)) { const half = Math.abs(low) * 0.1 || 1; low -= half; high += half; }
  return [low, high];
}

class Chart {
  constructor(section) {
    this.data = read(section);
    this.number = charts.length;
    this.xs = [...new Set(this.data.curves.flatMap((curve) => curve.points.map((point) => point[0])))]
      .sort((one, other) => one - other);
    this.full = extent(this.xs);
    this.cursor = null;
    const parent = section.querySelector(".chart");
    this.svg = element(parent, "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", tabindex: 0,
      role: "img", "aria-label": `${this.data.title} over kimg. Arrow keys read values; a table follows.` });
    this.legend = html(parent, "div", "legend");
    this.legend.setAttribute("aria-live", "polite");
    const tools = html(parent, "div", "tools");
    for (const [sign, label, act] of [["+", "Zoom in", () => this.zoom(0.5)], ["−", "Zoom out", () => this.zoom(2)],
      ["↺", "Show all", () => show(null)]]) {
      const button = html(tools, "button", "", sign);
      button.type = "button";
      button.setAttribute("aria-label", `${label}: ${this.data.title}`);
      button.addEventListener("click", act);
    }
    this.listen();
    this.draw();
    new ResizeObserver(() => this.draw()).observe(this.svg);
  }

  get shown() { return range || this.full; }
  x(kimg) { return LEFT + ((kimg - this.shown[0]) / (this.shown[1] - this.shown[0])) * (this.width - LEFT - RIGHT); }
  kimg(event) {
    const box = this.svg.getBoundingClientRect(), at = (event.clientX - box.left - LEFT) / (this.width - LEFT - RIGHT);
    return this.shown[0] + Math.min(1, Math.max(0, at)) * (this.shown[1] - this.shown[0]);
  }

  listen() {
    this.svg.addEventListener("pointermove", (event) => {
      this.cursor = this.nearest(this.kimg(event));
      this.draw(this.start === undefined ? null : this.kimg(event));
    });
    this.svg.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch") return; // a finger scrolls and reads values; buttons zoom
      this.start = this.kimg(event);
      this.svg.setPointerCapture(event.pointerId);
    });
    this.svg.addEventListener("pointerup", (event) => {
      const [from, to] = [this.start, this.kimg(event)].sort((one, other) => one - other), began = this.start;
      this.start = undefined;
      if (began !== undefined && to - from > (this.shown[1] - this.shown[0]) / 50) show([from, to]);
      else this.draw();
    });
    this.svg.addEventListener("pointercancel", () => { this.start = undefined; });
    this.svg.addEventListener("pointerleave", () => { this.cursor = null; this.draw(); });
    this.svg.addEventListener("dblclick", () => show(null));
    this.svg.addEventListener("keydown", (event) => {
      const act = { ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1), "+": () => this.zoom(0.5),
        "=": () => this.zoom(0.5), "-": () => this.zoom(2), 0: () => show(null), Escape: () => show(null) }[event.key];
      if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      act();
    });
  }

  nearest(kimg) {
    return this.xs.reduce((best, each) => (Math.abs(each - kimg) < Math.abs(best - kimg) ? each : best));
  }

  step(by) {
    const inside = this.xs.filter((each) => each >= this.shown[0] && each <= this.shown[1]);
    if (!inside.length) return;
    const at = inside.indexOf(this.cursor);
    this.cursor = inside[at < 0 ? inside.length - 1 : Math.min(inside.length - 1, Math.max(0, at + by))];
    this.draw();
  }

  zoom(factor) {
    const [low, high] = this.shown, middle = this.cursor ?? (low + high) / 2, half = ((high - low) * factor) / 2;
    if (half * 2 >= this.full[1] - this.full[0]) show(null);
    else if (half * 2 > (this.full[1] - this.full[0]) / 1e4) show([middle - half, middle + half]);
  }

  draw(dragged = null) {
    this.width = Math.max(200, this.svg.clientWidth || WIDTH);
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    const [low, high] = this.shown;
    const seen = this.data.curves.flatMap((curve) => curve.points.filter(([x]) => x >= low && x <= high).map(([, y]) => y));
    const [bottom, top] = extent(seen.length ? seen : [0]);
    const y = (value) => HEIGHT - BOTTOM - ((value - bottom) / (top - bottom)) * (HEIGHT - TOP - BOTTOM);
    this.svg.replaceChildren();
    for (const value of ticks(bottom, top, 4)) {
      element(this.svg, "line", { class: "grid", x1: LEFT, x2: this.width - RIGHT, y1: y(value), y2: y(value) });
      element(this.svg, "text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, format(value));
    }
    for (const value of ticks(low, high, 5))
      element(this.svg, "text", { x: this.x(value), y: HEIGHT - 8, "text-anchor": "middle" }, format(value));
    const ends = []; // of the last label in each line of labels
    for (const { kimg, kind, label } of marks.filter((mark) => mark.kimg >= low && mark.kimg <= high)) {
      const x = this.x(kimg), foot = HEIGHT - BOTTOM;
      if (kind !== "stage") {
        const shape = kind === "best" ? `M${x} ${foot}l6-7l-6-7l-6 7z` : `M${x - 5} ${foot}h10l-5-8z`;
        element(element(this.svg, "path", { class: kind, d: shape }), "title", {}, label);
        continue;
      }
      element(this.svg, "line", { class: "mark", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM });
      const line = ends.concat(x).findIndex((end) => end <= x); // below a label that this one would cover
      const text = element(this.svg, "text", { x: x + 3, y: TOP + 8 + 12 * line }, label);
      ends[line] = x + 6 + text.getComputedTextLength();
    }
    this.data.curves.forEach((curve, index) => this.curve(curve, index, y));
    if (dragged !== null) {
      const [from, to] = [this.x(this.start), this.x(dragged)].sort((one, other) => one - other);
      element(this.svg, "rect", { class: "zone", x: from, y: TOP, width: to - from, height: HEIGHT - TOP - BOTTOM });
    }
    if (this.cursor !== null && this.cursor >= low && this.cursor <= high)
      element(this.svg, "line", { class: "cursor", x1: this.x(this.cursor), x2: this.x(this.cursor), y1: TOP,
        y2: HEIGHT - BOTTOM });
    this.label();
  }

  curve(curve, index, y) {
    const [low, high] = this.shown, points = curve.points;
    // With the neighbours outside, so that lines go on to the edge, where they are cut.
    const inside = points.filter(([x], at) => (points[at + 1] || [x])[0] >= low && (points[at - 1] || [x])[0] <= high);
    const path = inside.map(([x, value], at) =>
      `${at ? "L" : "M"}${this.x(x).toFixed(1)} ${y(value).toFixed(1)}`).join("");
    const drawn = element(this.svg, "path", { class: `curve c${curve.colour % 8}`, d: inside.length === 1 ? `${path}h.1` : path,
      "stroke-linecap": "round" });
    if (curve.colour >= 8) drawn.setAttribute("stroke-dasharray", "5 3");
    if (inside.length === 1) drawn.setAttribute("stroke-width", "6");
    const box = element(this.svg, "clipPath", { id: `clip${this.number}-${index}` });
    element(box, "rect", { x: LEFT - 4, y: 0, width: this.width - LEFT - RIGHT + 8, height: HEIGHT });
    drawn.setAttribute("clip-path", `url(#${box.id})`);
  }

  label() {
    this.legend.replaceChildren();
    if (this.cursor !== null) html(this.legend, "span", "", `${format(this.cursor)} kimg`);
    this.data.curves.forEach((curve) => {
      const item = html(this.legend, "span", "");
      html(item, "span", `key c${curve.colour % 8}`, curve.colour >= 8 ? "┅" : "━");
      const point = this.cursor === null ? undefined : curve.points.find(([x]) => x === this.cursor);
      html(item, "span", "name", curve.name).title = curve.name;
      if (point) item.append(` ${format(point[1])}`);
    });
  }
}

function show(wanted) {
  range = wanted;
  for (const chart of charts) chart.draw();
}

for (const section of document.querySelectorAll(".panel")) charts.push(new Chart(section));
