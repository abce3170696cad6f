// The service worker, served at /sw.js. The server writes two things before it: `SHELL` (version and files of the app, with
// their digests) and sending.js, which defines `self.reactionQueue`. Nothing here may be asked for from another origin.
"use strict";

const SHELL_CACHE = `react2eo-shell-${SHELL.version}`;
const KEPT_CACHE = "react2eo-kept";
const FRESH_CACHE = "react2eo-fresh";
const KEPT_AT_MOST = 2_000;
const KEPT_BYTES_AT_MOST = 60e6;
const ONE_BYTES_AT_MOST = 10e6;
const FRESH_AT_MOST = 30;
const AT_ONCE = 6;
// Shown at once as they were last seen, and asked for again behind that.
const FRESH = ["/api/products", "/api/words", "/about", "/manifest.webmanifest"];
const KEPT = ["/tiles/", "/api/animations/"];

const { change, exclusively, flush, read } = self.reactionQueue;
let trimming = null;

self.addEventListener("install", (event) => event.waitUntil(keepShell()));
self.addEventListener("activate", (event) => event.waitUntil(takeOver()));
self.addEventListener("message", (event) => {
  if (event.data.type === "take") event.waitUntil(self.skipWaiting());
  if (event.data.type === "seen") event.waitUntil(keepSeen(event.data.addresses));
});
self.addEventListener("sync", (event) => {
  if (event.tag === "react2eo-reactions") event.waitUntil(sendInBackground());
});
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (request.mode === "navigate") event.respondWith(answerNavigation(event, url));
  else if (url.pathname in SHELL.files) event.respondWith(answerShell(url.pathname, request));
  else if (isKept(url)) event.respondWith(answerKept(event));
  else if (FRESH.includes(url.pathname)) event.respondWith(answerFresh(event));
});

// All files or none: one whose digest is another belongs to another version, and the next try gets that one whole.
async function keepShell() {
  const cache = await caches.open(SHELL_CACHE);
  try {
    await Promise.all(
      Object.entries(SHELL.files).map(async ([path, integrity]) => {
        const answer = await fetch(path, { cache: "no-cache", credentials: "same-origin", integrity });
        if (!answer.ok) throw new Error(`${path}: HTTP ${answer.status}`);
        await cache.put(path, answer);
      }),
    );
  } catch (error) {
    await caches.delete(SHELL_CACHE);
    throw error;
  }
}

async function takeOver() {
  for (const name of await caches.keys()) {
    if (name.startsWith("react2eo-shell-") && name !== SHELL_CACHE) await caches.delete(name);
  }
  await self.clients.claim();
}

async function answerNavigation(event, url) {
  // A new version that waits is taken when the app starts anew and nothing else of it is open: no page ever sees two versions.
  if (url.pathname === "/" && self.registration.waiting && (await self.clients.matchAll()).length < 2) {
    self.registration.waiting.postMessage({ type: "take" });
    return new Response("", { headers: { Refresh: "0", "Content-Type": "text/html" } });
  }
  if (url.pathname === "/") return answerShell("/", event.request);
  try {
    return await (FRESH.includes(url.pathname) ? answerFresh(event) : fetch(event.request));
  } catch (error) {
    const page = await findShell("/");
    if (page) return page;
    throw error;
  }
}

async function findShell(path) {
  return (await caches.open(SHELL_CACHE)).match(path, { ignoreVary: true });
}

async function answerShell(path, request) {
  return (await findShell(path)) ?? fetch(request);
}

function isKept(url) {
  return KEPT.some((start) => url.pathname.startsWith(start));
}

// What may be kept for ever says so itself; errors and what can still change never do.
function isImmutable(answer) {
  return answer.status === 200 && answer.type === "basic" && /\bimmutable\b/.test(answer.headers.get("Cache-Control") ?? "");
}

async function answerKept(event) {
  const cache = await caches.open(KEPT_CACHE);
  const known = await cache.match(event.request.url, { ignoreVary: true });
  if (known) return known;
  const answer = await fetch(event.request);
  if (isImmutable(answer)) event.waitUntil(keep(cache, event.request.url, answer.clone()));
  return answer;
}

async function keep(cache, url, answer) {
  const bytes = Number(answer.headers.get("Content-Length")) || (await answer.clone().blob()).size;
  if (bytes > ONE_BYTES_AT_MOST) return;
  try {
    await cache.put(url, answer);
  } catch (error) {
    if (error.name !== "QuotaExceededError") throw error;
    await trimKept(0.5);
    return;
  }
  await change(["kept"], async (store) => { store("kept").put({ url, bytes, at: Date.now() }); });
  // Once for the many tiles of a view.
  trimming ??= new Promise((resolve) => { setTimeout(resolve, 1_000); }).then(() => { trimming = null; return trimKept(1); });
  await trimming;
}

// The oldest go first, until the share of what is allowed is left.
function trimKept(share) {
  return exclusively("react2eo-trimming", async () => {
    const entries = await read(["kept"], (store, ask) => ask(store("kept").getAll()));
    entries.sort((a, b) => b.at - a.at);
    let count = 0;
    let bytes = 0;
    const old = entries.filter((entry) => {
      count += 1;
      bytes += entry.bytes;
      return count > share * KEPT_AT_MOST || bytes > share * KEPT_BYTES_AT_MOST;
    });
    if (!old.length) return;
    const cache = await caches.open(KEPT_CACHE);
    await Promise.all(old.map((entry) => cache.delete(entry.url, { ignoreVary: true })));
    await change(["kept"], async (store) => { for (const entry of old) store("kept").delete(entry.url); });
  });
}

async function answerFresh(event) {
  const cache = await caches.open(FRESH_CACHE);
  const known = await cache.match(event.request.url, { ignoreVary: true });
  const asked = fetch(event.request).then(async (answer) => {
    if (answer.status === 200 && answer.type === "basic") await keepFresh(cache, event.request.url, answer.clone());
    return answer;
  });
  if (!known) return asked.catch((error) => findSimilar(cache, event.request.url, error));
  event.waitUntil(asked.catch(() => undefined)); // without network what was seen last is all there is
  return known;
}

// Without network another theme's list is better than none.
async function findSimilar(cache, url, error) {
  const similar = await cache.match(url, { ignoreVary: true, ignoreSearch: true });
  if (similar) return similar;
  throw error;
}

async function keepFresh(cache, url, answer) {
  await cache.put(url, answer);
  const keys = await cache.keys();
  await Promise.all(keys.slice(0, Math.max(keys.length - FRESH_AT_MOST, 0)).map((key) => cache.delete(key)));
}

// What a first visit saw was loaded before this worker; the browser's own cache still has it.
async function keepSeen(addresses) {
  const kept = await caches.open(KEPT_CACHE);
  const fresh = await caches.open(FRESH_CACHE);
  const waiting = [...new Set(addresses)].map((address) => new URL(address, location.origin));
  const work = async () => {
    for (let url = waiting.pop(); url; url = waiting.pop()) {
      if (url.origin !== location.origin) continue;
      const cache = isKept(url) ? kept : FRESH.includes(url.pathname) ? fresh : null;
      if (!cache || (await cache.match(url.href, { ignoreVary: true }))) continue;
      try {
        const answer = await fetch(url.href, { cache: "force-cache", credentials: "same-origin" });
        if (cache === kept && isImmutable(answer)) await keep(kept, url.href, answer);
        if (cache === fresh && answer.status === 200) await keepFresh(fresh, url.href, answer);
      } catch (error) {
        if (error instanceof TypeError) return; // no network: the rest would fail alike
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

async function sendInBackground() {
  // The browser asks again, later and later, as long as this fails.
  if (await flush()) throw new Error("some reactions still wait");
}
