// What the first picture can do without: keyboard, places, animations, reactions, sharing, and keeping all for offline.

import { followExport } from "./export.js";
import { Feelings } from "./feelings.js";
import { followGround } from "./ground.js";
import { followKeys } from "./keyboard.js";
import { notify } from "./notice.js";
import { keepForOffline } from "./offline.js";
import { followPlaces } from "./places.js";
import { followReactions } from "./reactions.js";
import { followShare } from "./share.js";
import { state } from "./state.js";
import { pick, say } from "./words.js";

const GREETED = "react2eo.greeted";
const LASTS_MS = 8000;

/** Begin all of it; `app` is { map, player, sheet, viewOf, takeProducts }. */
export function begin(app) {
  followKeys(app);
  followGround(app);
  if (!state.embedded) {
    const feelings = new Feelings(app);
    followPlaces(app);
    followShare(app);
    followExport(app);
    followReactions({ ...app, showFeelings: () => feelings.toggle(true) });
    greet(app);
    keepForOffline({ onUpdate: (take) => notify(say("new_version"), { stay: true, action: { text: say("update"), run: take } }) });
  }
  document.documentElement.dataset.whole = "yes";
}

// What this is, in one sentence, on the first visit of a device.
function greet({ sheet }) {
  // In the panel it stands already; and what is being said now is of more use.
  if (sheet.isPanel || document.querySelector("#notice.is-there")) return;
  try {
    if (localStorage.getItem(GREETED)) return;
    localStorage.setItem(GREETED, "yes");
  } catch {
    return; // blocked storage: better no greeting than one each time
  }
  notify(pick(state.theme.text), { lasts_ms: LASTS_MS });
  document.addEventListener("pointerdown", () => notify(""), { once: true });
}
