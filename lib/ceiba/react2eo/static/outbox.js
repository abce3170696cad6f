// Reactions of this device: shown at once, kept until the server has them, sent once and in order.
//
//   sendReaction(view, "like" | "dislike" | "none", { near })  -> { reaction, pending, subject }, when it is safe on this device
//   presentReaction(view)                                      -> { reaction: "like" | "dislike" | null, pending, subject }
//   removeReaction(view)                                       -> as sendReaction(view, "none")
//   outbox.addEventListener("change" | "sent" | "waiting" | "dropped", (event) => event.detail)
//
// A view is { region, layer, first, last, bounds: [w, s, e, n] } and, where an animation told it, { subject }.
// detail: { key, view, reaction, pending, subject } for "change"; { view, reason, status } for "dropped": the server refused.
import "./sending.js";

const { CHANNEL, add, change, exclusively, flush, read, viewKey } = self.reactionQueue;
const NAME = "react2eo.device";
const TOKEN = /^[\w-]{22,64}$/;
const SYNC = "react2eo-reactions";
const SAME = ["region", "layer", "first", "last"];
const ALIKE = 0.6;
const OFFLINE_MS = 30_000;

export const outbox = new EventTarget();
export { viewKey };

let timer = 0;
let device = null;

function random(bytes) {
  return crypto.getRandomValues(new Uint8Array(bytes));
}

// crypto.randomUUID() is missing where the page does not come by HTTPS.
function makeId() {
  const bytes = random(16);
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const text = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return text.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function makeToken() {
  return btoa(String.fromCharCode(...random(24))).replaceAll("+", "-").replaceAll("/", "_");
}

// Stored twice, because browsers clear localStorage and IndexedDB on different occasions. One tab makes it, the others wait.
export function deviceToken() {
  device ??= exclusively("react2eo-device", async () => {
    const mirror = await read(["settings"], (store, ask) => ask(store("settings").get("device")));
    let token = [readLocal(), mirror].find((each) => TOKEN.test(each ?? ""));
    token ??= makeToken();
    writeLocal(token);
    if (mirror !== token) await change(["settings"], async (store) => { store("settings").put(token, "device"); });
    return token;
  });
  device.catch(() => { device = null; });
  return device;
}

// A browser that blocks localStorage throws on any use of it; the mirror is enough then.
function readLocal() {
  try { return localStorage.getItem(NAME); } catch { return null; }
}

function writeLocal(token) {
  try { localStorage.setItem(NAME, token); } catch { /* see readLocal */ }
}

export async function sendReaction(view, reaction, { near = null } = {}) {
  if (!["like", "dislike", "none"].includes(reaction)) throw new TypeError(`reaction ${reaction}; use like, dislike or none`);
  const known = await findVote(view);
  // A vote is changed where it was made: a little beside it would be another one.
  const about = known?.view ?? view;
  const subject = known?.subject || view.subject;
  const entry = { id: makeId(), device: await deviceToken(), view: about, subject, reaction, near: roundNear(near) };
  const vote = await add(entry);
  const state = describe(vote);
  emit("change", { key: vote.key, view: about, ...state });
  channel.postMessage({ type: "change", key: vote.key, view: about, ...state });
  sendWaiting();
  registerSync();
  return state;
}

export function removeReaction(view, options) {
  return sendReaction(view, "none", options);
}

export async function presentReaction(view) {
  const vote = await findVote(view);
  if (vote) return describe(vote);
  const reaction = view.subject && navigator.onLine !== false ? await askServer(view.subject) : null;
  return { reaction, pending: false, subject: view.subject ?? "" };
}

// What this device has said of a view, or of one that is the same to the eye.
async function findVote(view) {
  const votes = await read(["votes"], (store, ask) => ask(store("votes").getAll()));
  votes.sort((a, b) => b.at - a.at);
  const key = viewKey(view);
  const same = (vote) => vote.key === key;
  const told = (vote) => Boolean(view.subject) && vote.subject === view.subject;
  const near = (vote) => SAME.every((name) => vote.view[name] === view[name]) && overlap(vote.view.bounds, view.bounds) > ALIKE;
  return votes.find(same) ?? votes.find(told) ?? votes.find(near);
}

// Common part of two views, of all that they show.
function overlap(a, b) {
  const common = (Math.min(a[2], b[2]) - Math.max(a[0], b[0])) * (Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  if (a[2] < b[0] || b[2] < a[0] || common <= 0) return 0;
  return common / (area(a) + area(b) - common);
}

function area([west, south, east, north]) {
  return (east - west) * (north - south);
}

// What this device said before its own notes were cleared; unknown where there is no answer.
async function askServer(subject) {
  const token = await deviceToken();
  try {
    const answer = await fetch(`/api/reactions/${subject}`, { headers: { "X-Device": token }, cache: "no-store" });
    return answer.ok ? (await answer.json()).reaction : null;
  } catch {
    return null;
  }
}

export function countWaiting() {
  return read(["queue"], (store, ask) => ask(store("queue").count()));
}

// `now` asks even where a wait is not over: the network has just come back.
export async function sendWaiting({ now = false } = {}) {
  clearTimeout(timer);
  if (navigator.onLine === false) {
    timer = setTimeout(sendWaiting, OFFLINE_MS); // should the browser not tell when the network is back
    return;
  }
  const next = await flush({ now });
  clearTimeout(timer);
  if (next) timer = setTimeout(sendWaiting, Math.max(next - Date.now(), 50));
}

function describe({ reaction, pending, subject }) {
  return { reaction, pending: Boolean(pending), subject };
}

// About 1 km: the server turns it into a cell at once and never needs more.
function roundNear(near) {
  return near && near.map((degrees) => Math.round(degrees * 100) / 100);
}

function emit(type, detail) {
  outbox.dispatchEvent(new CustomEvent(type, { detail }));
}

async function registerSync() {
  try {
    const registration = await navigator.serviceWorker?.getRegistration();
    await registration?.sync?.register(SYNC);
  } catch {
    // Refused where the user allows no work in the background: the next start of the app sends what waits.
  }
}

const channel = new BroadcastChannel(CHANNEL);
channel.onmessage = async ({ data }) => {
  if (data.type === "change") {
    emit("change", data);
  } else if (["sent", "waiting", "dropped"].includes(data.type)) {
    emit(data.type, data);
    if (data.type !== "waiting") emit("change", { key: data.key, view: data.view, ...(await presentReaction(data.view)) });
  }
};
addEventListener("online", () => sendWaiting({ now: true }));
// Timers stand still while a phone shows something else.
addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") sendWaiting(); });
sendWaiting();
