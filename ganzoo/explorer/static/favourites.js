// The list of favourites, and the walk between them.

import { Newest, Place, showWords, text } from "./pictures.js";
import { query } from "./state.js";

const $ = (id) => document.getElementById(id);
export const MAX = 64; // favourites, as the server has it
let count = 0; // of places for thumbnails

export function showList(favourites, { choose, remove, describe, copy }) {
  $("favourites-note").textContent = note(favourites.length);
  const items = favourites.map((favourite, index) => {
    const item = document.createElement("li");
    const show = document.createElement("button");
    const image = document.createElement("img");
    const code = document.createElement("code");
    const row = document.createElement("div");
    const [copying, removing] = ["Copy", "Remove"].map((name) => Object.assign(document.createElement("button"), { type: "button", textContent: name }));
    Object.assign(show, { type: "button", className: "show" });
    image.alt = `Favourite ${index + 1}: ${describe(favourite)}`;
    show.append(image);
    show.addEventListener("click", () => choose(favourite));
    copying.setAttribute("aria-label", `Copy the command of favourite ${index + 1}`);
    copying.addEventListener("click", () => copy(code.textContent, copying));
    removing.setAttribute("aria-label", `Remove favourite ${index + 1}`);
    removing.addEventListener("click", () => remove(index));
    row.className = "row";
    row.append(copying, removing);
    item.append(show, code, row);
    count += 1;
    new Place(`favourite-${count}`, image, {
      done: (command) => showWords(code, command),
      failed: (problem) => { code.textContent = problem; },
    }).show(query(favourite));
    return item;
  });
  $("list").replaceChildren(...items);
}

function note(length) {
  if (length === 0) return "None yet. A favourite remembers the picture with its settings.";
  return length < MAX ? "" : `The list is full: ${MAX} favourites. Remove one to add another.`;
}

function walkQuery(favourites, state, format) {
  const params = new URLSearchParams({ steps: $("steps").value, fps: $("fps").value, format });
  favourites.forEach((each, index) => {
    const look = index === 0 ? { ...each, psi: state.psi, noise: state.noise } : each;
    params.append("stop", query(look).toString() || "x=0");
  });
  return params;
}

let commandOf = ""; // the walk whose command is shown, or was asked for last

const walkCommand = new Newest(async (asked) => {
  try {
    showWords($("walk-command"), await text(`/command?${asked}`));
  } catch (problem) {
    $("walk-command").textContent = problem.message;
    commandOf = "";
  }
});

export function showWalk(favourites, state, generates) {
  $("walk").hidden = !generates || favourites.length < 2;
  const wanted = $("walk").hidden ? "" : walkQuery(favourites, state, "webp").toString();
  if (wanted === "" || wanted === commandOf) return;
  commandOf = wanted;
  walkCommand.want(wanted);
}

async function render(favourites, state, format, signal) {
  $("walk-message").textContent = `Rendering ${favourites.length * Number($("steps").value)} frames ...`;
  const response = await fetch(`/walk?${walkQuery(favourites, state, format)}`, { signal });
  if (!response.ok) throw new Error(await response.text());
  return URL.createObjectURL(await response.blob());
}

let walk = null; // that is rendered to be played, or played: then it has a `url`

export const playing = () => walk !== null && walk.url !== null;

// Stop playing or rendering a walk, and return whether there was one.
export function stop() {
  if (walk === null) return false;
  walk.rendering.abort();
  if (walk.url === null) $("walk-message").textContent = "";
  else URL.revokeObjectURL(walk.url);
  walk = null;
  $("play").setAttribute("aria-pressed", "false");
  $("play").textContent = "Play";
  return true;
}

// Play the walk in the place of the picture, and call `started`.
export async function play(favourites, state, picture, started) {
  const mine = { rendering: new AbortController(), url: null };
  walk = mine;
  $("play").setAttribute("aria-pressed", "true");
  $("play").textContent = "Stop";
  try {
    const url = await render(favourites, state, "webp", mine.rendering.signal);
    if (walk !== mine) return URL.revokeObjectURL(url);
    walk.url = url;
    picture.lend();
    picture.image.src = url;
    $("walk-message").textContent = "";
    started();
  } catch (problem) {
    if (walk !== mine) return;
    stop();
    $("walk-message").textContent = problem.message;
  }
}

export async function save(favourites, state, format, button) {
  button.disabled = true;
  try {
    const url = await render(favourites, state, format);
    Object.assign(document.createElement("a"), { href: url, download: `walk.${format}` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    $("walk-message").textContent = `Saved walk.${format}.`;
  } catch (problem) {
    $("walk-message").textContent = problem.message;
  }
  button.disabled = false;
}
