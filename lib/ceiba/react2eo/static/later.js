// What the first picture can do without: keyboard, places, animations, reactions, sharing, and keeping all for offline.

import { followKeys } from "./keyboard.js";
import { notify } from "./notice.js";
import { keepForOffline } from "./offline.js";
import { say } from "./words.js";

/** Begin all of it; `app` is { map, player, sheet, viewOf }. */
export function begin(app) {
  followKeys(app);
  keepForOffline({ onUpdate: (take) => notify(say("new_version"), { stay: true, action: { text: say("update"), run: take } }) });
}
