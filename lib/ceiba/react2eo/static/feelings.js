// The map of everybody's reactions: hexagons colored by the share of likes, with numbers on tap and a list of the same.

import { make } from "./elements.js";
import { cornersOf, fitRegion } from "./map.js";
import { state, watch } from "./state.js";
import { aboutAddress, number, say } from "./words.js";

const L = window.L;
const EDGE_PX = 12;
// From dislike to like; told apart with any kind of color vision.
const COLORS = ["#a8430c", "#e08a4f", "#efe9dc", "#5fb3ad", "#0a6e69"];

export class Feelings {
  constructor({ map, sheet, player }) {
    Object.assign(this, { map, sheet, player, shown: false, cells: null });
    this.box = document.getElementById("feelings-box");
    this.button = document.getElementById("feelings");
    map.createPane("feelings").style.zIndex = 450;
    this.button.addEventListener("click", () => this.toggle());
    document.getElementById("show-feelings").addEventListener("click", () => this.toggle(true));
    watch(["region", "layer", "language"], () => { if (this.shown) this.load(); });
  }

  toggle(on = !this.shown) {
    this.shown = on;
    this.button.setAttribute("aria-pressed", String(on));
    this.box.hidden = !on;
    document.documentElement.classList.toggle("shows-feelings", on);
    if (on) {
      this.played = state.playing;
      this.player.pause();
      this.sheet.set("half");
      this.load();
      this.box.scrollIntoView({ block: "start" });
    } else {
      this.cells?.remove();
      this.sheet.set("peek");
      fitRegion(this.map, state.region);
      if (this.played) this.player.play();
    }
  }

  async load() {
    const asked = new URLSearchParams({ region: state.region.name, layer: state.layer.name, format: "geojson" });
    this.box.replaceChildren(make("p", { text: say("loading") }));
    let found;
    try {
      const answer = await fetch(`/api/reactions/cells?${asked}`);
      if (!answer.ok) throw new Error(`cells: ${answer.status}`);
      found = await answer.json();
    } catch {
      if (this.shown) this.box.replaceChildren(this.heading(), make("p", { class: "message", role: "status", text: say("feelings_failed") }));
      return;
    }
    if (this.shown) this.draw(found.features ?? []);
  }

  draw(features) {
    this.cells?.remove();
    if (!features.length) {
      this.box.replaceChildren(this.heading(), make("div", { id: "feelings-empty", class: "message" },
        make("b", { text: say("feelings_empty") }), make("p", { text: say("feelings_rule") }), make("a", { href: aboutAddress(), text: say("about") })));
      return;
    }
    const detail = make("p", { id: "feelings-detail", role: "status", "aria-live": "polite", text: say("feelings_tap") });
    const choose = (feature) => {
      detail.textContent = describe(feature.properties);
      this.cells.eachLayer((cell) => cell.getElement()?.classList.toggle("is-chosen", cell.feature === feature));
    };
    const finest = Math.max(...features.map(({ properties }) => properties.resolution ?? 0));
    // Where a region is no more, its rest has no shape; it still stands in the list.
    this.cells = L.geoJSON(features.filter((feature) => feature.geometry), {
      pane: "feelings",
      // A coarse unit holds what is not in the finer ones within it.
      style: ({ properties }) => ({ fillColor: colorOf(properties.share), fillOpacity: properties.resolution === finest ? 0.78 : 0.45, color: "#ffffff", weight: 2, className: "cell" }),
      onEachFeature: (feature, cell) => cell.on("click", () => choose(feature)),
    }).addTo(this.map);
    const { top, left, bottom } = this.map.reach();
    this.map.fitBounds(cornersOf(state.region.bounds).extend(this.cells.getBounds()), {
      paddingTopLeft: [left + EDGE_PX, top + EDGE_PX], paddingBottomRight: [EDGE_PX, bottom + EDGE_PX], animate: false,
    });
    const items = [...features].sort((a, b) => b.properties.devices - a.properties.devices).map((feature) => make("li", {},
      make("button", { type: "button", on: { click: () => choose(feature) } }, spot(feature.properties.share), describe(feature.properties))));
    this.box.replaceChildren(this.heading(), this.legend(), detail,
      make("details", { class: "fold" }, make("summary", { text: say("feelings_list", { count: number(features.length) }) }), make("ol", { id: "feelings-list" }, ...items)),
      make("p", { class: "fine", text: say("feelings_rule") }), make("a", { href: aboutAddress(), class: "row", text: say("about") }));
  }

  heading() {
    const hide = make("button", { type: "button", class: "secondary slim", text: say("hide"), on: { click: () => this.toggle(false) } });
    return make("div", { class: "headed" }, make("h2", { text: say("feelings") }), hide);
  }

  legend() {
    const ramp = make("div", { class: "ramp" });
    ramp.style.background = `linear-gradient(90deg, ${COLORS.join(", ")})`;
    return make("div", { id: "feelings-legend" }, ramp, make("div", { class: "ends" },
      make("span", { text: say("all_dislike") }), make("span", { text: say("half_half") }), make("span", { text: say("all_like") })));
  }
}

function describe({ share, interval_low: low, interval_high: high, devices, cell }) {
  const percent = (value) => number(value * 100);
  const text = say("feelings_cell", { share: percent(share), low: percent(low), high: percent(high), devices: number(devices) });
  return cell ? text : `${say("feelings_rest")} ${text}`;
}

function spot(share) {
  const patch = make("span", { class: "patch" });
  patch.style.background = colorOf(share);
  return patch;
}

/** Color of a share of likes, 0 to 1. */
export function colorOf(share) {
  const at = Math.min(Math.max(share, 0), 1) * (COLORS.length - 1);
  const low = Math.min(Math.floor(at), COLORS.length - 2);
  const parts = [COLORS[low], COLORS[low + 1]].map((color) => [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16)));
  return `rgb(${parts[0].map((part, index) => Math.round(part + (parts[1][index] - part) * (at - low))).join(" ")})`;
}
