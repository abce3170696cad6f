// The app: opens the view that the address asks for, or the region of the theme, and plays it.

import { Frames } from "./frames.js";
import { followLegend } from "./legend.js";
import { followView, fullAddress, readLink } from "./link.js";
import { drawOutline, fitRegion, makeMap, stillPreferred, visibleBounds } from "./map.js";
import { notify } from "./notice.js";
import { Player } from "./player.js";
import { Sheet } from "./sheet.js";
import { change, chooseLayer, state, tellLanguage, watch } from "./state.js";
import { followTabs } from "./tabs.js";
import { chooseLanguage, language, loadWords, pick, say } from "./words.js";
import { followButtons, followYears } from "./years.js";

const find = (id) => document.getElementById(id);
const wish = readLink();

start().catch(async (error) => {
  // The words may be what is missing; the page has this one sentence itself.
  const known = await loadWords(wish.language).then(() => true, () => false);
  const box = find("notice");
  notify(known ? say("cannot_start") : box.dataset.fallback, { stay: true, action: { text: known ? say("try_again") : "↻", run: () => location.reload() } });
  throw error;
});

async function start() {
  const words = loadWords(wish.language);
  takeProducts(await loadProducts(wish.theme));
  if (!state.regions.length) {
    await words;
    notify(say("nothing_yet"), { stay: true });
    return;
  }
  const sheet = new Sheet(find("sheet"), find("handle"), find("panel"), { onResize: () => { placeOverlays(sheet); refit(); } });
  const map = makeMap(find("map"), () => ({ top: find("top").getBoundingClientRect().bottom, right: 0, ...sheet.covers() }));
  // A region that was shown whole stays whole when the sheet grows or the phone is turned.
  const refit = () => { if (map.fitted) fitRegion(map, state.region); };
  map.on("resize", refit);
  const frames = new Frames(map);
  let tellFirst;
  const firstFrame = new Promise((resolve) => { tellFirst = resolve; });
  const player = new Player(frames, {
    onFailure: () => { tellMissing(frames); tellFirst(); }, onFirstFrame: () => { performance.mark("react2eo-first-frame"); tellFirst(); },
  });
  frames.onBroken = () => tellMissing(frames);
  window.react2eo = {
    state, map, get shown() { return frames.swaps; }, get ready() { return frames.swaps > 0; }, view: () => viewOf(map),
  };
  takeView();
  sheet.set("peek");
  openView(map);
  change({ playing: !stillPreferred() && !wish.year });
  player.restart();
  // A task of its own, so that the first tiles are on their way before the rest is drawn.
  await Promise.all([words, new Promise((resolve) => { setTimeout(resolve, 0); })]);
  followTabs(find("tabs"), find("panel"));
  followLegend({ title: find("layer-title"), text: find("layer-text"), legend: find("legend"), source: find("source"), badge: find("badge") });
  const loadSlider = followYears({
    slider: find("slider"), single: find("single"), ends: find("year-ends"), large: { box: find("year"), value: find("year-value") }, status: find("status"),
  });
  followButtons({ play: find("play"), before: find("before"), after: find("after"), speed: find("speed"), opacity: find("opacity") }, player);
  followRest(map, sheet);
  tellLanguage();
  const slider = loadSlider();
  // All else can wait for the first picture, or the news that there is none.
  await Promise.all([firstFrame, slider]);
  performance.mark("react2eo-usable");
  const { begin } = await import("./later.js");
  begin({ map, player, sheet, viewOf, takeProducts });
}

/** The view as reactions and animations are told of it. */
export function viewOf(map) {
  return { region: state.region.name, layer: state.layer.name, first: state.first, last: state.last, bounds: visibleBounds(map) };
}

async function loadProducts(theme) {
  const answer = await fetch(theme ? `/api/products?theme=${encodeURIComponent(theme)}` : "/api/products");
  if (answer.status === 404 && theme) return loadProducts("");
  if (!answer.ok) throw new Error(`products: ${answer.status}`);
  return answer.json();
}

function takeProducts({ theme, themes, regions, external = [], dashboards = false }) {
  for (const region of regions) for (const layer of region.layers) layer.bounds = region.bounds;
  change({ theme, themes, regions, external });
  document.documentElement.style.setProperty("--brand", theme.color);
  find("analysts").hidden = !dashboards;
}

function takeView() {
  const region = state.regions.find((each) => each.name === (wish.region ?? state.theme.region)) ?? state.regions[0];
  const layer = region.layers.find((each) => each.name === wish.layer) ?? bestLayer(region);
  chooseLayer(region, layer, { first: wish.first, last: wish.last });
  if (layer.periods.includes(wish.year)) change({ period: wish.year });
  change({ opacity: wish.opacity });
}

function openView(map) {
  if (wish.at) map.setView(wish.at.center, wish.at.zoom, { animate: false });
  else fitRegion(map, state.region);
  drawOutline(map, state.region);
}

// The first content that has something to play.
function bestLayer(region) {
  return region.layers.find((layer) => layer.periods.length > 1) ?? region.layers[0];
}

function followRest(map, sheet) {
  const remember = state.embedded ? () => {} : followView(map);
  map.on("moveend", remember);
  watch(["region", "layer", "first", "last", "playing", "language", "opacity"], remember);
  watch(["opacity"], () => { map.getPane("frames").style.opacity = state.opacity; });
  map.getPane("frames").style.opacity = state.opacity;
  watch(["region", "language", "theme"], () => {
    find("place-name").textContent = pick(state.region.title);
    find("theme-title").textContent = pick(state.theme.title);
    find("theme-text").textContent = pick(state.theme.text);
    document.title = `${pick(state.theme.title)} · ${pick(state.region.title)}`;
    find("language").textContent = language.now === "es" ? "EN" : "ES";
    find("language").setAttribute("aria-label", say("other_language"));
    find("language").lang = language.now === "es" ? "en" : "es";
  });
  watch(["region", "layer", "language"], () => {
    const asked = new URLSearchParams({ region: state.region.name, layer: state.layer.name, language: language.now });
    find("analysts").href = `/dashboards/reactions?${asked}`;
  });
  watch(["region"], () => { drawOutline(map, state.region); fitRegion(map, state.region); });
  find("language").addEventListener("click", () => { chooseLanguage(language.now === "es" ? "en" : "es"); tellLanguage(); notify(""); });
  find("nearer").addEventListener("click", () => map.zoomIn());
  find("farther").addEventListener("click", () => map.zoomOut());
  find("open-full").addEventListener("click", (event) => { event.currentTarget.href = fullAddress(map); });
  // Somebody put another link into the address bar.
  addEventListener("hashchange", () => location.reload());
  addEventListener("offline", () => notify(say("offline")));
  addEventListener("online", () => notify(say("online_again")));
}

// What floats over the map keeps clear of the sheet.
function placeOverlays(sheet) {
  const { left, bottom } = sheet.covers();
  document.documentElement.style.setProperty("--covered-left", `${left}px`);
  document.documentElement.style.setProperty("--covered-bottom", `${bottom}px`);
}

function tellMissing(frames) {
  const missing = frames.shown?.source === state.layer.tiles ? "offline_years" : "offline_layer";
  notify(say(navigator.onLine ? "slow_network" : missing), { stay: !navigator.onLine });
}
