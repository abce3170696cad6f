// The years: a slider with two thumbs, the mark of the year on the map, and the year in large.

import { change, chosenPeriods, state, watch } from "./state.js";
import { periodText, say } from "./words.js";

// Not needed to ask for the first tiles, so it may come after what is.
const sliderCode = import("./vendor/nouislider/nouislider.min.mjs");
let create = null;

/** Keep slider, large year and status for screen readers right; answers a function that waits for the slider. */
export function followYears({ slider, single, ends, large, status }) {
  const cursor = document.createElement("div");
  cursor.className = "cursor";
  let shownFor = null;

  const build = () => {
    const { periods } = state.layer;
    slider.noUiSlider?.destroy();
    slider.hidden = ends.hidden = periods.length < 2;
    single.hidden = periods.length > 1;
    single.closest("#transport").classList.toggle("is-single", periods.length < 2);
    single.textContent = say("one_period", { period: periodText(periods[0]) });
    shownFor = state.layer;
    tellEnds([state.first, state.last]);
    if (periods.length < 2 || !create) return;
    const name = { to: (value) => periodText(periods[Math.round(value)]), from: Number };
    create(slider, {
      start: [periods.indexOf(state.first), periods.indexOf(state.last)], step: 1, connect: true, behaviour: "drag-tap", animate: false,
      range: { min: 0, max: periods.length - 1 }, ariaFormat: name, keyboardDefaultStep: 1,
      handleAttributes: [{ "aria-label": say("first_year") }, { "aria-label": say("last_year") }],
    });
    slider.noUiSlider.on("update", (values) => tellEnds(values.map((value) => periods[Math.round(value)])));
    slider.noUiSlider.on("set", (values) => {
      const [first, last] = values.map((value) => periods[Math.round(value)]);
      change({ first, last });
    });
    slider.querySelector(".noUi-base").append(cursor);
  };
  const tellEnds = ([first, last]) => {
    ends.children[0].textContent = periodText(first);
    ends.children[1].textContent = periodText(last);
  };
  const mark = () => {
    const { layer, period, playing, waiting } = state;
    large.value.textContent = period ? periodText(period) : "";
    large.box.classList.toggle("is-waiting", waiting);
    large.box.classList.toggle("is-empty", !period);
    large.box.classList.toggle("is-long", period.length > 4);
    const at = layer.periods.indexOf(period);
    cursor.hidden = at < 0;
    cursor.style.left = `${(at / Math.max(layer.periods.length - 1, 1)) * 100}%`;
    // While it plays, a voice that names every year would never be silent.
    status.textContent = playing ? "" : say("status_year", { period: periodText(period) });
  };
  watch(["layer", "language"], () => { build(); mark(); });
  watch(["first", "last"], () => {
    if (shownFor !== state.layer || !slider.noUiSlider) return;
    const at = [state.first, state.last].map((period) => state.layer.periods.indexOf(period));
    if (slider.noUiSlider.get(true).some((value, thumb) => Math.round(value) !== at[thumb])) slider.noUiSlider.set(at, false);
  });
  watch(["period", "playing", "waiting"], mark);
  return async () => {
    ({ create } = await sliderCode);
    build();
    mark();
  };
}

/** Buttons to play, step and change speed. */
export function followButtons({ play, before, after, speed, opacity }, player) {
  play.addEventListener("click", () => player.toggle());
  before.addEventListener("click", () => player.step(-1));
  after.addEventListener("click", () => player.step(1));
  speed.addEventListener("change", () => change({ speed: Number(new FormData(speed).get("speed")) }));
  opacity.addEventListener("input", () => change({ opacity: Number(opacity.value) / 100 }));
  const mark = () => {
    const many = chosenPeriods().length > 1;
    for (const button of [play, before, after]) button.disabled = !many;
    play.setAttribute("aria-label", say(state.playing ? "pause" : "play"));
    play.title = play.getAttribute("aria-label");
    play.classList.toggle("is-playing", state.playing);
    opacity.value = Math.round(state.opacity * 100);
    opacity.setAttribute("aria-valuetext", `${opacity.value} %`);
  };
  watch(["playing", "layer", "first", "last", "language", "opacity"], mark);
  mark();
}
