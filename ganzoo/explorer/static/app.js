// The page of `ganzoo explore`: connects the controls with the state, and the state with the picture.

import * as favouriteList from "./favourites.js";
import { Place, showWords } from "./pictures.js";
import { draggable, drawMap, within } from "./plane.js";
import * as addresses from "./state.js";
import * as translation from "./translate.js";

const $ = (id) => document.getElementById(id);
const POLL = 3000; // ms between questions about the run
const WARMING = 500; // the same while it is being loaded
const NAMED_LAYERS = { coarse: [0, 3], middle: [4, 7], fine: [8, Infinity] };

let status = null;
let state = {};
let favourites = [];
const picture = new Place("main", $("picture"), { done: showCommand, failed: fail });

// ---- state -------------------------------------------------------------------------------------

function defaults() {
  const { controls } = status;
  if (controls.translates) {
    const source = status.offered[0]?.name ?? null;
    return controls.looks
      ? { source, domain: controls.domains[0], seed: 0, reference: null, psi: 1 }
      : { source, direction: "0" };
  }
  return {
    x: 0,
    y: 0,
    ...(controls.classes.length ? { class: controls.classes[0] } : {}),
    ...(controls.style_layers ? { psi: 0.7, noise: "const", mix: null, layers: null } : {}),
  };
}

// Take over what a state, say from an address, says about the controls that this model has.
function adopt(given) {
  const known = defaults();
  for (const name of Object.keys(known)) if (given[name] !== undefined) known[name] = given[name];
  if ("x" in known) Object.assign(known, { x: within(known.x), y: within(known.y) });
  if (known.class !== undefined && !status.controls.classes.includes(known.class)) known.class = status.controls.classes[0];
  if (known.domain !== undefined && !status.controls.domains.includes(known.domain)) known.domain = status.controls.domains[0];
  if (known.mix !== null && known.layers === null) known.layers = layersText([0, 3]);
  return known;
}

function update(change) {
  favouriteList.stop();
  Object.assign(state, change);
  show();
}

function updateFavourites(found) {
  favouriteList.stop();
  favourites = found;
  showFavourites();
}

function show() {
  showControls();
  if (!status.controls.translates || state.source) {
    if (!favouriteList.playing()) picture.show(addresses.query(state));
  } else fail("Choose an image to translate, or drop one on the page.");
  if (status.controls.translates) {
    translation.showImages(state, status.controls);
    translation.showStrip(state);
  } else {
    drawMap($("plane"), state, favourites);
  }
  favouriteList.showWalk(favourites, state, !status.controls.translates);
  addresses.write(state, favourites);
}

function describe(shown) {
  const { controls } = status;
  if (controls.translates) {
    if (!controls.looks) return `translated ${controls.directions[Number(shown.direction)]?.join(" to ")}`;
    const look = shown.reference ? "look of the reference" : `look of seed ${shown.seed}, psi ${shown.psi}`;
    return `translated to ${shown.domain}, ${look}`;
  }
  const place = addresses.isWhole(shown)
    ? `seed ${addresses.seedAt(shown.x, shown.y)}`
    : `between seeds, at ${shown.x}, ${shown.y}`;
  const parts = [place];
  if (shown.class !== undefined) parts.push(`class ${shown.class}`);
  if (controls.style_layers) parts.push(`psi ${shown.psi}`, `${shown.noise} noise`);
  if (shown.mix !== null && shown.mix !== undefined) parts.push(`layers ${shown.layers} of seed ${shown.mix}`);
  return parts.join(", ");
}

function showCommand(command, asked) {
  const shown = adopt(addresses.parse(asked));
  $("picture").alt = `${status.model}: ${describe(shown)}`;
  $("caption").textContent = describe(shown);
  $("caption").classList.remove("wrong");
  showWords($("command"), command);
  $("save").href = $("picture").src;
}

function fail(problem) {
  $("caption").textContent = problem;
  $("caption").classList.add("wrong");
}

// ---- controls ----------------------------------------------------------------------------------

function layersText([first, last]) {
  return first === last ? String(first) : `${first}-${Math.min(last, status.controls.style_layers - 1)}`;
}

function layerRange() {
  const [first, last = first] = String(state.layers ?? "0").split("-").map(Number);
  return [first, last];
}

function setValue(id, value) {
  if (document.activeElement !== $(id) || $(id).type !== "number") $(id).value = value;
}

function showControls() {
  const { controls } = status;
  if (!controls.translates && addresses.isWhole(state)) setValue("seed", addresses.seedAt(state.x, state.y));
  else if (!controls.translates) setValue("seed", "");
  if (state.psi !== undefined) {
    $("psi").value = state.psi;
    $("psi-value").textContent = Number(state.psi).toFixed(2);
  }
  for (const name of ["noise", "class", "domain", "direction"]) if (state[name] !== undefined) $(name).value = state[name];
  if (state.seed !== undefined) setValue("look-seed", state.seed);
  $("mixing").checked = state.mix !== null && state.mix !== undefined;
  $("mix-settings").hidden = !$("mixing").checked;
  if ($("mixing").checked) {
    const [first, last] = layerRange();
    setValue("mix", state.mix);
    setValue("first", first);
    setValue("last", last);
  }
}

function fillSelect(id, names, values = names) {
  $(id).replaceChildren(...names.map((name, index) => new Option(name, values[index])));
}

function whenWhole(id, use) {
  $(id).addEventListener("input", () => {
    const value = Number($(id).value);
    if ($(id).value !== "" && Number.isSafeInteger(value) && value >= 0) use(value);
  });
}

const toSeed = (seed) => update({ x: seed % addresses.ROW, y: Math.floor(seed / addresses.ROW) });
const step = (dx, dy) => update({ x: addresses.round(within(state.x + dx)), y: addresses.round(within(state.y + dy)) });
const jump = (dx, dy) => update({ x: within(Math.floor(state.x + 0.5) + dx), y: within(Math.floor(state.y + 0.5) + dy) });
const snap = () => jump(0, 0);
const changePsi = (by) => update({ psi: addresses.round(addresses.clamp(state.psi + by, -1, 1.5)) });
function random() {
  if (status.controls.translates) update({ seed: addresses.randomSeed(), reference: null });
  else toSeed(addresses.randomSeed());
}

function keep() {
  if (status.controls.translates && !state.source) return;
  if (favourites.length >= favouriteList.MAX) return fail("The list of favourites is full. Remove one to add another.");
  updateFavourites([...favourites, { ...state }]);
}

function showFavourites() {
  favouriteList.showList(favourites, {
    choose: (favourite) => update({ ...adopt(favourite) }),
    remove: (index) => {
      updateFavourites(favourites.filter((_, other) => other !== index));
      $("keep").focus();
    },
    describe,
    copy,
  });
  show();
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select it"; // no permission: the line can be selected by a click
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function play() {
  if (favouriteList.stop()) show();
  else if (!$("walk").hidden) favouriteList.play(favourites, state, picture, describeWalk);
}

function describeWalk() {
  $("picture").alt = `${status.model}: walk between ${favourites.length} favourites`;
  $("caption").textContent = `walk between ${favourites.length} favourites`;
  $("caption").classList.remove("wrong");
}

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input:not([type=checkbox]), select, code") && event.key !== "Escape") return;
  const { controls } = status;
  const move = controls.translates ? undefined : MOVES[event.key];
  const actions = { r: controls.translates && !controls.looks ? undefined : random, f: keep, p: play };
  if (!controls.translates) actions.s = snap;
  if (state.psi !== undefined) Object.assign(actions, { "+": () => changePsi(0.05), "=": () => changePsi(0.05), "-": () => changePsi(-0.05) });
  const action = actions[event.key.toLowerCase()];
  if (move) event.shiftKey ? jump(...move) : step(move[0] / 10, move[1] / 10);
  else if (action) action();
  else return;
  event.preventDefault();
}

// Set what depends on the controls of the run, which change when training grows the networks.
function fitControls() {
  const { controls } = status;
  const generates = !controls.translates;
  const shown = {
    "plane-controls": generates, "source-controls": !generates, "look-controls": !generates, "domain-label": controls.looks,
    "direction-label": !generates && !controls.looks, looks: controls.looks, "style-controls": controls.style_layers || controls.looks,
    "noise-label": controls.style_layers, "class-controls": controls.classes.length, "mix-controls": controls.style_layers,
    "plane-keys": generates, "psi-keys": controls.style_layers || controls.looks,
  };
  for (const [id, visible] of Object.entries(shown)) $(id).hidden = !visible;
  $("frame").classList.toggle("draggable", generates);
  if (!generates) $("frame").setAttribute("aria-label", "Picture");
  fillSelect("class", controls.classes);
  fillSelect("domain", controls.domains);
  fillSelect("direction", controls.directions.map((pair) => pair.join(" to ")), controls.directions.map((_, number) => String(number)));
  for (const id of ["first", "last"]) $(id).max = controls.style_layers - 1;
  const ranges = Object.entries(NAMED_LAYERS).filter(([, [first]]) => first < controls.style_layers);
  $("named-layers").replaceChildren(...ranges.map(([name, range]) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: name });
    button.addEventListener("click", () => update({ layers: layersText(range) }));
    return button;
  }));
}

function setUp() {
  const generates = !status.controls.translates;
  fitControls();
  whenWhole("seed", toSeed);
  whenWhole("look-seed", (seed) => update({ seed, reference: null }));
  whenWhole("mix", (mix) => update({ mix }));
  for (const id of ["first", "last"]) {
    whenWhole(id, () => {
      const [first, last] = [Number($("first").value), Number($("last").value)];
      if (first <= last && last < status.controls.style_layers) update({ layers: layersText([first, last]) });
    });
  }
  $("psi").addEventListener("input", () => update({ psi: Number($("psi").value) }));
  for (const name of ["noise", "class", "domain", "direction"]) {
    $(name).addEventListener("change", () => update({ [name]: $(name).value }));
  }
  $("mixing").addEventListener("change", () => {
    update($("mixing").checked ? { mix: addresses.randomSeed(), layers: layersText([0, 3]) } : { mix: null, layers: null });
  });
  for (const [id, action] of Object.entries({ snap, random, "look-random": random, keep, play })) $(id).addEventListener("click", action);
  $("mix-random").addEventListener("click", () => update({ mix: addresses.randomSeed() }));
  $("copy").addEventListener("click", () => copy($("command").textContent, $("copy")));
  for (const button of document.querySelectorAll(".export")) {
    button.addEventListener("click", () => favouriteList.save(favourites, state, button.value, button));
  }
  for (const id of ["steps", "fps"]) $(id).addEventListener("change", () => update({}));
  if (generates) {
    for (const id of ["frame", "plane"]) draggable($(id), () => ({ x: state.x, y: state.y }), (x, y) => update({ x, y }));
  } else {
    translation.setUp(status, { update, fail });
  }
  addEventListener("keydown", onKey);
  addEventListener("hashchange", restore);
}

function restore() {
  const found = addresses.read();
  state = adopt(found.state);
  updateFavourites(found.favourites.slice(0, favouriteList.MAX).map(adopt));
}

// ---- the run -----------------------------------------------------------------------------------

// Training has saved a checkpoint.
function showNewer(controls) {
  if (JSON.stringify(controls) !== JSON.stringify(status.controls)) fitControls();
  state = adopt(state);
  favourites = favourites.map(adopt);
  showFavourites();
}

function showStatus(found) {
  document.title = `${found.name} · ganzoo explore`;
  $("title").textContent = found.name;
  $("facts").textContent = `${found.model}, ${found.data}, ${found.size} px, ${Number(found.kimg.toPrecision(4))} kimg${found.training ? ", in training" : ""}`;
  $("report").hidden = !found.report;
  $("message").textContent = found.message;
}

async function poll() {
  let wait = POLL;
  try {
    const response = await fetch("/status");
    if (!response.ok) throw new Error(await response.text());
    const found = await response.json();
    const former = status;
    if (former !== null && former.name !== found.name) return location.reload(); // the port now serves another run
    showStatus(found);
    if (!found.ready) {
      wait = WARMING;
    } else {
      status = found;
      if (former === null) {
        setUp();
        $("main").hidden = false;
        restore();
      } else if (former.checkpoint !== found.checkpoint) {
        showNewer(former.controls);
      }
    }
  } catch (problem) {
    $("message").textContent = problem instanceof TypeError ? "The server does not answer. Is `ganzoo explore` still running?" : problem.message;
  }
  setTimeout(poll, wait);
}

const address = new URL(location.href);
if (address.searchParams.has("token")) { // it is in a cookie from now on
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
}
poll();
