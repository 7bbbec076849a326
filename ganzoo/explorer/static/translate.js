// Translation: the image to translate, the reference, and the strip of all domains.

import { Place, upload } from "./pictures.js";
import { query } from "./state.js";

const $ = (id) => document.getElementById(id);
let strip = [];

export function setUp(status, { update, fail }) {
  const { controls } = status;
  const give = async (file, name) => {
    if (!file) return;
    try {
      update({ [name]: await upload(file) });
    } catch (problem) {
      fail(problem.message);
    }
  };
  for (const [id, name] of [["upload", "source"], ["reference-upload", "reference"]]) {
    $(id).addEventListener("change", (event) => {
      give(event.target.files[0], name);
      event.target.value = "";
    });
  }
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("over");
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) document.body.classList.remove("over");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("over");
    const onReference = controls.looks && $("look-controls").contains(event.target);
    give(event.dataTransfer.files[0], onReference ? "reference" : "source");
  });
  $("reference-off").addEventListener("click", () => update({ reference: null }));
  offer(status, update);
  fillStrip(controls, update);
}

function offer(status, update) {
  $("offered").hidden = status.offered.length === 0;
  const fill = () => {
    if ($("offered-list").childElementCount) return;
    $("offered-list").append(...status.offered.map(({ name, domain }, index) => {
      const button = Object.assign(document.createElement("button"), { type: "button", title: domain });
      button.append(Object.assign(new Image(), { src: `/images/${name}`, alt: `Image ${index + 1}, ${domain}`, loading: "lazy" }));
      button.addEventListener("click", (event) => update({ [event.shiftKey && status.controls.looks ? "reference" : "source"]: name }));
      return button;
    }));
  };
  $("offered").addEventListener("toggle", fill);
  if (status.offered.length) $("offered").open = true;
}

// A picture of each domain, or of each direction, in the look of the state.
function fillStrip(controls, update) {
  const choices = controls.looks
    ? controls.domains.map((domain) => ({ domain }))
    : controls.directions.map((_, number) => ({ direction: String(number) }));
  strip = choices.map((choice, number) => {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    const name = choice.domain ?? controls.directions[number].join(" to ");
    const image = Object.assign(new Image(), { alt: name });
    button.append(image, name);
    button.addEventListener("click", () => update(choice));
    return { choice, button, place: new Place(`strip-${number}`, image) };
  });
  $("strip").replaceChildren(...strip.map((each) => each.button));
}

export function showStrip(state) {
  $("strip").hidden = !state.source || strip.length < 2;
  for (const { choice, button, place } of strip) {
    const [name, value] = Object.entries(choice)[0];
    button.setAttribute("aria-pressed", String(state[name] === value));
    if (!$("strip").hidden) place.show(query({ ...state, ...choice }));
  }
}

export function showImages(state, controls) {
  for (const [id, name] of [["source", state.source], ["reference", controls.looks ? state.reference : null]]) {
    $(id).hidden = !name;
    if (name && $(id).dataset.name !== name) {
      $(id).src = `/images/${name}`;
      $(id).alt = id === "source" ? "The image to translate" : "The reference image";
      $(id).dataset.name = name;
    }
  }
  $("reference-off").hidden = !state.reference;
}
