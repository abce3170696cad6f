// Tabs: one a content of the region, each with a spot of its colors.

import { chooseLayer, state, watch } from "./state.js";
import { pick } from "./words.js";

const COMPOSITE_SPOT = "conic-gradient(#2f7d4f, #b58a5a, #2b6cb0, #2f7d4f)";

/** Fill the row of tabs and keep it right. */
export function followTabs(row, panel) {
  const draw = () => {
    row.replaceChildren(...state.region.layers.map((layer) => makeTab(layer, panel.id)));
    mark(row, panel);
  };
  watch(["region", "language"], draw);
  watch(["layer"], () => mark(row, panel));
  row.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) take(tab.dataset.layer);
  });
  row.addEventListener("keydown", (event) => {
    const tabs = [...row.children];
    const at = tabs.indexOf(document.activeElement);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    event.stopPropagation();
    const tab = tabs[(to + tabs.length) % tabs.length];
    take(tab.dataset.layer);
    tab.focus();
  });
}

function take(name) {
  chooseLayer(state.region, state.region.layers.find((layer) => layer.name === name));
}

function makeTab(layer, panel) {
  const tab = document.createElement("button");
  tab.type = "button";
  tab.id = `tab-${layer.name}`;
  tab.className = "tab";
  tab.dataset.layer = layer.name;
  tab.setAttribute("role", "tab");
  tab.setAttribute("aria-controls", panel);
  tab.title = pick(layer.title);
  const spot = document.createElement("span");
  spot.className = "spot";
  spot.style.background = spotOf(layer.legend);
  tab.append(spot, pick(layer.short));
  return tab;
}

function mark(row, panel) {
  for (const tab of row.children) {
    const chosen = tab.dataset.layer === state.layer.name;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    if (!chosen) continue;
    panel.setAttribute("aria-labelledby", tab.id);
    // scrollIntoView would also move the page on some phones.
    row.scrollTo({ left: tab.offsetLeft - (row.clientWidth - tab.offsetWidth) / 2 });
  }
}

function spotOf(legend) {
  if (legend.kind === "scale") return `linear-gradient(90deg, ${legend.stops.map((stop) => stop.color).join(", ")})`;
  if (legend.kind !== "classes") return COMPOSITE_SPOT;
  const colors = legend.classes.slice(0, 6).map((each) => each.color);
  return `conic-gradient(${colors.map((color, at) => `${color} ${(at * 360) / colors.length}deg ${((at + 1) * 360) / colors.length}deg`).join(", ")})`;
}
