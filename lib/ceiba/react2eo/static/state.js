// What is shown now, in one place: modules change it with change() and hear of it with watch().

const told = new EventTarget();

export const state = {
  embedded: document.documentElement.dataset.mode === "embed",
  theme: null, // of /api/products
  themes: [],
  regions: [],
  external: [],
  region: null,
  layer: null,
  first: "", // texts of periods
  last: "",
  period: "", // the one on the map
  playing: false,
  waiting: false,
  speed: 1,
  opacity: 1,
};

/** Set some of the state and tell those who watch any of it. */
export function change(values) {
  const changed = Object.keys(values).filter((key) => state[key] !== values[key]);
  if (!changed.length) return;
  Object.assign(state, values);
  told.dispatchEvent(new CustomEvent("change", { detail: new Set(changed) }));
}

/** Call `listener` after a change of any of these keys; "language" is told by words(). */
export function watch(keys, listener) {
  told.addEventListener("change", ({ detail }) => { if (keys.some((key) => detail.has(key))) listener(state); });
}

/** Tell those who watch "language" that the words are others. */
export function tellLanguage() {
  told.dispatchEvent(new CustomEvent("change", { detail: new Set(["language"]) }));
}

/** Periods of the layer between the two thumbs. */
export function chosenPeriods() {
  const periods = state.layer?.periods ?? [];
  return periods.slice(periods.indexOf(state.first), periods.indexOf(state.last) + 1);
}

/** Take a layer of a region, keeping the years that it shares with those shown. */
export function chooseLayer(region, layer, { first = state.first, last = state.last } = {}) {
  const { periods } = layer;
  const start = periods.find((period) => period >= first) ?? periods[0];
  const end = periods.findLast?.((period) => period <= last) ?? periods.filter((period) => period <= last).pop() ?? periods.at(-1);
  const whole = !first || !last || start > end;
  change({
    region,
    layer,
    first: whole ? periods[0] : start,
    last: whole ? periods.at(-1) : end,
  });
}
