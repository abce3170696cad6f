// Like and dislike: shown at once, kept by the outbox until the server has them, changed or removed by another tap.

import { icon, make } from "./elements.js";
import { notify } from "./notice.js";
import { outbox, presentReaction, sendReaction } from "./outbox.js";
import { locate } from "./places.js";
import { watch } from "./state.js";
import { say } from "./words.js";

const FEELINGS = [["dislike", "sad"], ["like", "smile"]];
let near = null;

/** Keep the buttons of the sheet right; `showFeelings` opens the map of everybody's reactions. */
export function followReactions({ map, viewOf, showFeelings }) {
  const buttons = FEELINGS.map(([name]) => document.getElementById(name));
  const view = () => viewOf(map);
  const mark = async () => press(buttons, (await presentReaction(view())).reaction);
  for (const button of buttons) {
    button.addEventListener("click", async () => {
      if (await react(view(), buttons, button.id)) notify(thanks(), { action: { text: say("see_feelings"), run: showFeelings } });
    });
  }
  watch(["region", "layer", "first", "last"], mark);
  map.on("moveend", mark);
  outbox.addEventListener("change", mark);
  outbox.addEventListener("dropped", () => notify(say("reaction_refused")));
  followNear(document.getElementById("tell-near"));
  mark();
}

/** The two buttons for one view, as below an animation. */
export function makeFeelButtons(view) {
  const words = make("p", { role: "status", class: "fine" });
  const buttons = FEELINGS.map(([name, drawing]) => make("button", { type: "button", class: `feel is-${name}`, "data-reaction": name, "aria-pressed": "false" },
    icon(drawing), make("span", { text: say(name) })));
  for (const button of buttons) {
    button.addEventListener("click", async () => { words.textContent = (await react(view, buttons, button.dataset.reaction)) ? thanks() : say("removed"); });
  }
  presentReaction(view).then(({ reaction }) => press(buttons, reaction));
  return make("div", {}, make("div", { class: "pair" }, ...buttons), words);
}

// Answers the reaction that stands now, or null where it was taken back.
async function react(view, buttons, wanted) {
  const pressed = buttons.find((button) => button.getAttribute("aria-pressed") === "true");
  const before = pressed ? pressed.dataset.reaction ?? pressed.id : null;
  const reaction = before === wanted ? "none" : wanted;
  press(buttons, reaction === "none" ? null : reaction);
  try {
    await sendReaction(view, reaction, { near });
  } catch (error) {
    press(buttons, before);
    notify(say("reaction_refused"));
    throw error;
  }
  return reaction === "none" ? null : reaction;
}

function press(buttons, reaction) {
  for (const button of buttons) button.setAttribute("aria-pressed", String((button.dataset.reaction ?? button.id) === reaction));
}

function thanks() {
  return say(navigator.onLine ? "thanks" : "thanks_later");
}

// The place is kept in this page alone, and given away with a reaction only while the switch is on.
function followNear(box) {
  box.addEventListener("change", async () => {
    near = null;
    if (!box.checked) return;
    const found = await locate();
    near = found.place ?? null;
    if (near) return;
    box.checked = false;
    notify(say(found.reason === "denied" ? "place_denied" : "place_unknown"));
  });
}
