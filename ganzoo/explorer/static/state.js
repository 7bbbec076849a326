// The state of the page, which is in the fragment of its address, so that a link shows it again.

export const ROW = 100; // difference between the seeds of neighbouring rows of the plane
export const MAX_COORDINATE = 1e9;
const NUMBERS = ["x", "y", "psi", "seed", "mix"];

// The part of a state that a picture shows, as the server reads it; null and defaults are left out.
export function query(state) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    if (value !== null && value !== undefined && value !== "") params.set(name, value);
  }
  return params;
}

export function parse(text) {
  const state = {};
  for (const [name, value] of new URLSearchParams(text)) {
    if (!NUMBERS.includes(name)) state[name] = value;
    else if (value !== "" && Number.isFinite(Number(value))) state[name] = Number(value);
  }
  return state;
}

// The address holds the state and the favourites, each of which is a state of its own.
export function read() {
  const params = new URLSearchParams(location.hash.slice(1));
  const favourites = params.getAll("favourite").map(parse);
  params.delete("favourite");
  return { state: parse(params.toString()), favourites };
}

let timer = null;
export function write(state, favourites) {
  clearTimeout(timer); // browsers limit how often the address may change
  timer = setTimeout(() => {
    const params = query(state);
    for (const each of favourites) params.append("favourite", query(each).toString());
    history.replaceState(null, "", `${location.pathname}#${params}`);
  }, 150);
}

export const round = (value) => Math.round(value * 1000) / 1000;
export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
export const seedAt = (x, y) => Math.floor(x + 0.5) + ROW * Math.floor(y + 0.5);
export const isWhole = (state) => Number.isInteger(state.x) && Number.isInteger(state.y);
export const randomSeed = () => Math.floor(Math.random() * 10000);
