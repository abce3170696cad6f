// The legend with words, the sentence of what is seen, and where the data come from.

import { state, watch } from "./state.js";
import { number, pick, say } from "./words.js";

/** Keep title, sentence, legend and source right. */
export function followLegend({ title, text, legend, source, badge }) {
  watch(["layer", "region", "language"], () => {
    const { layer, region } = state;
    title.textContent = pick(layer.title);
    text.textContent = pick(layer.text);
    legend.replaceChildren(...drawLegend(layer));
    badge.textContent = say(region.simulated ? "simulated_data" : "real_data");
    // The badge says "real data" already.
    source.textContent = [pick(layer.source).replace(`${badge.textContent}: `, ""), ...(pick(layer.credits) || [])].join(". ");
    badge.classList.toggle("is-simulated", region.simulated);
  });
}

/** Elements of a layer's legend. */
export function drawLegend({ legend, resolution_m: resolution }) {
  const size = make("p", "fine");
  size.textContent = resolution > 0 ? say("pixel_size", { meters: number(resolution) }) : "";
  if (legend.kind === "classes") return [drawClasses(legend.classes), size];
  if (legend.kind === "scale") return [drawScale(legend), size];
  return [size];
}

function drawClasses(classes) {
  const list = make("ul", "classes");
  for (const each of classes) {
    const item = make("li");
    const patch = make("span", "patch");
    patch.style.background = each.color;
    item.append(patch, pick(each));
    list.append(item);
  }
  return list;
}

function drawScale({ stops, units, words }) {
  const scale = make("div", "scale");
  const ramp = make("div", "ramp");
  ramp.style.background = `linear-gradient(90deg, ${stops.map((stop) => stop.color).join(", ")})`;
  const [low, high] = [stops[0].value, stops.at(-1).value];
  const ends = make("div", "ends");
  for (const [word, value] of [[words?.low, low], [words?.high, high]]) {
    const end = make("span");
    const figure = make("b");
    figure.textContent = `${number(value, 2)}${units ? ` ${units}` : ""}`;
    end.append(pick(word) || say(value === low ? "low" : "high"), " ", figure);
    ends.append(end);
  }
  scale.append(ramp, ends);
  return scale;
}

function make(tag, className = "") {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}
