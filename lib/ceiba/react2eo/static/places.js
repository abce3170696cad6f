// Choosing a place: regions, themes, and the reader's own place, which is asked for only after a tap and never leaves the phone.

import { icon, make, openDialog } from "./elements.js";
import { cornersOf, fitRegion } from "./map.js";
import { chooseLayer, state } from "./state.js";
import { periodText, pick, say } from "./words.js";

const L = window.L;
const PATIENCE_MS = 12_000;
const DEGREE_KM = 111.2;
let mark = null;

export function followPlaces({ map, takeProducts }) {
  const open = () => openPlaces(map, takeProducts);
  for (const id of ["place", "locate", "change-place"]) document.getElementById(id).addEventListener("click", open);
}

function openPlaces(map, takeProducts) {
  const message = make("p", { class: "message", role: "status", hidden: true });
  const list = make("div", { class: "cards" });
  const near = make("button", { id: "near-me", type: "button", class: "card near" },
    icon("locate"), make("span", {}, make("b", { text: say("near_me") }), make("small", { text: say("near_me_reason") })));
  const listed = (order = state.regions) => list.replaceChildren(...order.map((region) => makeCard(region, () => take(map, region))));
  near.addEventListener("click", async () => {
    near.classList.add("is-busy");
    const found = await locate();
    near.classList.remove("is-busy");
    if (found.place) goTo(map, found.place, { message, listed });
    else tell(message, say(found.reason === "denied" ? "place_denied" : "place_unknown"));
  });
  listed();
  openDialog("places", { title: say("choose_place"), close: say("close"), content: [near, message, list, ...makeThemes(map, takeProducts)] });
}

function makeCard(region, choose) {
  const spans = region.layers.map((layer) => [layer.periods[0], layer.periods.at(-1)]);
  const first = spans.map((span) => span[0].slice(0, 4)).sort()[0];
  const last = spans.map((span) => span[1].slice(-4)).sort().at(-1);
  const years = first === last ? first : periodText(`${first}--${last}`);
  const kind = say(region.simulated ? "simulated_data" : "real_data");
  const chosen = region === state.region;
  return make("button", { type: "button", class: "card", "data-region": region.name, "aria-current": chosen ? "true" : null, on: { click: choose } },
    icon(chosen ? "check" : "pin"), make("span", {}, make("b", { text: pick(region.title) }), make("small", { text: `${years} · ${kind}` })));
}

function makeThemes(map, takeProducts) {
  if (state.themes.length < 2) return [];
  const buttons = state.themes.map((theme) => make("button", {
    type: "button", class: "tab", "data-theme": theme.name, "aria-pressed": String(theme.name === state.theme.name), text: pick(theme.title),
    on: { click: () => takeTheme(theme.name, map, takeProducts) },
  }));
  return [make("h3", { text: say("themes") }), make("div", { class: "chips" }, ...buttons)];
}

async function takeTheme(name, map, takeProducts) {
  const answer = await fetch(`/api/products?theme=${encodeURIComponent(name)}`).catch(() => null);
  if (!answer?.ok) {
    tell(document.querySelector("#places .message"), say("needs_network"));
    return;
  }
  takeProducts(await answer.json());
  const region = state.regions.find((each) => each.name === state.region.name) ?? state.regions.find((each) => each.name === state.theme.region);
  if (region) take(map, region);
}

function take(map, region) {
  document.getElementById("places").close();
  const layer = region.layers.find((each) => each.name === state.layer.name);
  chooseLayer(region, layer ?? region.layers.find((each) => each.periods.length > 1) ?? region.layers[0]);
  fitRegion(map, region);
}

/** Ask the phone where it is; answers { place: [longitude, latitude] } or { reason }. */
export function locate() {
  return new Promise((resolve) => {
    if (!navigator.geolocation) {
      resolve({ reason: "missing" });
      return;
    }
    navigator.geolocation.getCurrentPosition(
      ({ coords }) => resolve({ place: [coords.longitude, coords.latitude] }),
      (error) => resolve({ reason: error.code === error.PERMISSION_DENIED ? "denied" : "unknown" }),
      { maximumAge: 300_000, timeout: PATIENCE_MS },
    );
  });
}

function goTo(map, [longitude, latitude], { message, listed }) {
  const here = L.latLng(latitude, longitude);
  const holding = state.regions.filter((region) => cornersOf(region.bounds).contains(here));
  if (!holding.length) {
    const away = (region) => here.distanceTo(cornersOf(region.bounds).getCenter());
    listed([...state.regions].sort((a, b) => away(a) - away(b)));
    tell(message, say("place_outside"));
    return;
  }
  const extent = ({ bounds: [west, south, east, north] }) => (east - west) * (north - south);
  const region = holding.sort((a, b) => extent(a) - extent(b))[0];
  take(map, region);
  showMark(map, here);
  // Far from the whole region at once: nearer, but so that the address of the view does not tell the place itself.
  const [west, south, east, north] = region.bounds;
  if ((north - south) * DEGREE_KM > 40) map.setView(roundWithin([latitude, longitude], [[south, west], [north, east]]), Math.max(map.getZoom() + 2, 10));
}

function showMark(map, here) {
  mark?.remove();
  mark = L.circleMarker(here, { radius: 8, className: "here", pane: "outline", interactive: false }).addTo(map);
}

function roundWithin(point, [least, most]) {
  return point.map((degrees, axis) => Math.min(Math.max(Math.round(degrees * 10) / 10, least[axis]), most[axis]));
}

function tell(message, text) {
  message.hidden = false;
  message.textContent = text;
}
