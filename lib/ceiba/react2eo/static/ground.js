// What lies below the data: the land of the world in outline, and maps of others that the deployment offers.

import { make } from "./elements.js";
import { cornersOf } from "./map.js";
import { state, watch } from "./state.js";
import { pick, say } from "./words.js";

const L = window.L;
// The outline is of the whole world; nearer than this its coast would be beside the true one.
const OUTLINE_ZOOM = 8;

export function followGround({ map }) {
  drawLand(map);
  offerOthers(map);
}

async function drawLand(map) {
  const answer = await fetch("/app/vendor/world-atlas/land.json").catch(() => null);
  if (!answer?.ok) return; // the bare ground is enough
  const rings = await answer.json();
  const land = L.polygon(rings.map((ring) => [ring.map(([longitude, latitude]) => [latitude, longitude])]), { pane: "ground", interactive: false, weight: 1, className: "land" });
  const fit = () => {
    const wanted = map.getZoom() < OUTLINE_ZOOM;
    if (wanted !== map.hasLayer(land)) (wanted ? land.addTo(map) : land.remove());
    document.documentElement.classList.toggle("is-near", !wanted);
  };
  map.on("zoomend", fit);
  fit();
}

function offerOthers(map) {
  const field = document.getElementById("ground-field");
  const choice = document.getElementById("ground");
  const credit = document.getElementById("ground-credit");
  let shown = null;
  const list = () => {
    field.hidden = !state.external.length;
    choice.replaceChildren(make("option", { value: "", text: say("ground_none") }), ...state.external.map((each) => make("option", { value: each.name, text: wordsOf(each.title) })));
    choice.value = shown?.name ?? "";
  };
  choice.addEventListener("change", () => {
    shown?.layer.remove();
    const chosen = state.external.find((each) => each.name === choice.value);
    shown = chosen && { name: chosen.name, layer: makeLayer(chosen).addTo(map) };
    credit.hidden = !chosen;
    credit.textContent = chosen ? [chosen.attribution, chosen.terms].filter(Boolean).map(wordsOf).join(". ") : "";
  });
  watch(["external", "language"], list);
  list();
}

function makeLayer({ tiles, zooms, bounds }) {
  const [least, most] = zooms ?? [0, 18];
  return L.tileLayer(tiles, { pane: "ground", minZoom: least, maxNativeZoom: most, maxZoom: 18, bounds: bounds ? cornersOf(bounds) : undefined });
}

// Names of others are often the same in every language, and then one text.
function wordsOf(texts) {
  return typeof texts === "string" ? texts : pick(texts);
}
