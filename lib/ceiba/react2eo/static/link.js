// The address of a view: #region=…&layer=…&years=2016..2020&at=lat,lng,zoom. It stays in the browser: what follows # is never sent.

import { state } from "./state.js";
import { language } from "./words.js";

const KEYS = ["theme", "region", "layer", "years", "year", "at", "opacity", "language", "feelings"];

/** What the address asks for; anything that is not understood is left out. */
export function readLink(address = location) {
  const asked = new URLSearchParams(address.search);
  for (const [key, value] of new URLSearchParams(address.hash.slice(1))) asked.set(key, value);
  const wish = Object.fromEntries(KEYS.filter((key) => asked.has(key)).map((key) => [key, asked.get(key)]));
  const [first, last] = (wish.years ?? "").split("..");
  const at = (wish.at ?? "").split(",").map(Number);
  return {
    ...wish,
    first,
    last: last ?? first,
    at: at.length === 3 && at.every(Number.isFinite) && Math.abs(at[0]) <= 85.06 ? { center: [at[0], at[1]], zoom: at[2] } : null,
    opacity: /^\d{1,3}$/.test(wish.opacity ?? "") ? Math.min(Number(wish.opacity), 100) / 100 : 1,
  };
}

/** Query text of the present view, without anything about the person. */
export function writeLink(map) {
  const { lat, lng } = map.getCenter();
  const parts = {
    // The first theme is what an address without one opens, from what the page has asked for already.
    ...(state.theme.name === state.themes[0].name ? {} : { theme: state.theme.name }),
    region: state.region.name,
    layer: state.layer.name,
    years: `${state.first}..${state.last}`,
    at: `${lat.toFixed(5)},${lng.toFixed(5)},${Number(map.getZoom().toFixed(2))}`,
    language: language.now,
  };
  if (!state.playing && state.layer.periods.includes(state.period) && state.layer.periods.length > 1) parts.year = state.period;
  if (state.opacity < 1) parts.opacity = Math.round(state.opacity * 100);
  return Object.entries(parts).map(([key, value]) => `${key}=${encodeURIComponent(value).replaceAll("%2C", ",")}`).join("&");
}

/** Address of the present view in the app. */
export function fullAddress(map) {
  return `${location.origin}/#${writeLink(map)}`;
}

/** A page's snippet that shows the present view. */
export function embedSnippet(map, title) {
  const address = `${location.origin}/embed?${writeLink(map)}`.replaceAll("&", "&amp;");
  return `<iframe src="${address}" title="${title.replaceAll('"', "&quot;")}" width="100%" height="480" style="border:0" loading="lazy" allowfullscreen></iframe>`;
}

/** Keep the address of the page that of the view, so that a reload opens the same. */
export function followView(map) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(() => history.replaceState(null, "", `#${writeLink(map)}`), 400);
  };
}
