// The plane of seeds: a map around the current point, and dragging on the map and on the picture.

import { MAX_COORDINATE, ROW, clamp, round } from "./state.js";

const SVG = "http://www.w3.org/2000/svg";
const REACH = 2.5; // half the side of the map, in seeds
const SPEED = 1 / 160; // seeds per px when dragging the picture
const SNAP = 0.04; // this close to a seed, dragging stops at it

function element(name, attributes, content = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = content;
  return made;
}

export function drawMap(map, state, favourites) {
  const { x, y } = state;
  const parts = [];
  for (let row = Math.floor(y - REACH); row <= Math.ceil(y + REACH); row += 1) {
    parts.push(element("line", { x1: -REACH, x2: REACH, y1: row - y, y2: row - y }));
    for (let column = Math.floor(x - REACH); column <= Math.ceil(x + REACH); column += 1) {
      if (row === Math.floor(y - REACH)) parts.push(element("line", { x1: column - x, x2: column - x, y1: -REACH, y2: REACH }));
      const inside = column >= 0 && row >= 0;
      parts.push(element("circle", { cx: column - x, cy: row - y, r: 0.06, class: inside ? "seed" : "outside" }));
      if (inside) parts.push(element("text", { x: column - x, y: row - y + 0.34 }, String(column + ROW * row)));
    }
  }
  for (const each of favourites) {
    parts.push(element("circle", { cx: each.x - x, cy: each.y - y, r: 0.11, class: "favourite" }));
  }
  parts.push(element("circle", { cx: 0, cy: 0, r: 0.17, class: "here" }));
  map.replaceChildren(...parts);
}

const snapped = (value) => (Math.abs(value - Math.round(value)) < SNAP ? Math.round(value) : round(value));
export const within = (value) => clamp(value, 0, MAX_COORDINATE);

// Call `move(x, y)` while the element is dragged. On the map, the plane follows the pointer.
export function draggable(target, where, move, enabled = () => true) {
  let start = null;
  target.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !enabled()) return;
    const speed = target instanceof SVGElement ? (2 * REACH) / target.getBoundingClientRect().width : SPEED;
    start = { ...where(), left: event.clientX, top: event.clientY, speed };
    target.setPointerCapture(event.pointerId);
    target.classList.add("dragging");
  });
  target.addEventListener("pointermove", (event) => {
    if (start === null) return;
    start.moved = true;
    const x = start.x - (event.clientX - start.left) * start.speed;
    const y = start.y - (event.clientY - start.top) * start.speed;
    move(within(snapped(x)), within(snapped(y)));
  });
  for (const name of ["pointerup", "pointercancel"]) {
    target.addEventListener(name, (event) => {
      if (start?.moved && event.type === "pointercancel") move(start.x, start.y); // the browser scrolls the page
      start = null;
      target.classList.remove("dragging");
    });
  }
}
