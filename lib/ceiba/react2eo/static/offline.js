// Keeps the app and what was seen for times without network, and tells of new versions.
//
//   keepForOffline({ onUpdate })   after the first picture is shown: it loads the app's files once more, from the browser's cache
//   onUpdate(take)                 a new version is ready; take() changes to it and loads the page again
const WORKER = "/sw.js";
const SEEN = /^\/(tiles|api\/animations|api\/products|api\/words)\b/;

const seen = new Set();

export async function keepForOffline({ onUpdate = () => undefined } = {}) {
  // Missing where the page does not come by HTTPS, and in some private windows.
  if (!navigator.serviceWorker) return null;
  const container = navigator.serviceWorker;
  const observer = watchLoading();
  let controlled = Boolean(container.controller);
  container.addEventListener("controllerchange", () => {
    // The first worker takes over a page of its own version; any later one brings other files.
    if (controlled) location.reload();
    controlled = true;
  });
  const registration = await container.register(WORKER, { updateViaCache: "none" });
  watchUpdates(registration, onUpdate);
  const { active } = await container.ready;
  await activated(active);
  observer.disconnect();
  active.postMessage({ type: "seen", addresses: [...seen] });
  await askToStay();
  return registration;
}

function watchLoading() {
  const note = (entries) => {
    for (const { name } of entries) {
      const url = new URL(name);
      if (url.origin === location.origin && SEEN.test(url.pathname)) seen.add(name);
    }
  };
  const observer = new PerformanceObserver((list) => note(list.getEntries()));
  observer.observe({ type: "resource", buffered: true });
  return observer;
}

function activated(worker) {
  if (worker.state === "activated") return Promise.resolve();
  return new Promise((resolve) => {
    worker.addEventListener("statechange", () => { if (worker.state === "activated") resolve(); });
  });
}

function watchUpdates(registration, onUpdate) {
  const offer = (worker) => onUpdate(() => worker.postMessage({ type: "take" }));
  if (registration.waiting && navigator.serviceWorker.controller) offer(registration.waiting);
  registration.addEventListener("updatefound", () => {
    const worker = registration.installing;
    worker.addEventListener("statechange", () => {
      if (worker.state === "installed" && navigator.serviceWorker.controller) offer(worker);
    });
  });
}

// Only where nothing is asked of the user: Chromium decides alone, and an installed app has been chosen already.
async function askToStay() {
  const quiet = navigator.userAgentData || navigator.standalone || matchMedia("(display-mode: standalone)").matches;
  if (quiet && navigator.storage?.persist && !(await navigator.storage.persisted())) await navigator.storage.persist();
}
