// What the first picture can do without: keyboard, places, animations, reactions, sharing.

import { followKeys } from "./keyboard.js";

/** Begin all of it; `app` is { map, player, sheet, viewOf }. */
export function begin(app) {
  followKeys(app);
}
