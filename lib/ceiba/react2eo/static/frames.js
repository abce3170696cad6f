// Frames: one Leaflet layer a period, loaded hidden and shown only when every tile of the view is there and decoded.
//
// The frame on the map stays until the next one is whole: there is no blank in between, however slow the network. Frames that
// were loaded stay for the next round, as many as memory allows. When the map moves they are dropped (the browser still has their
// tiles), and only the one that is seen follows the move.

import { cornersOf } from "./map.js";

const L = window.L;
const TILES_AT_MOST = 360;
const FRAMES_AT_MOST = 40;
const FINEST_ZOOM = 18;
const EQUATOR_M_PER_PX = 156_543;

export class Frames {
  constructor(map) {
    this.map = map;
    this.pool = new Map();
    this.shown = null;
    this.swaps = 0;
    this.moving = false;
    this.onBroken = () => {};
    map.on("movestart", () => { this.moving = true; this.dropHidden(); });
    map.on("moveend", () => { this.moving = false; });
  }

  /** Load a frame, hidden; answers "ready", "failed" (a tile did not come) or "stopped" (by `signal`). */
  async prepare(layer, period, signal) {
    while (!signal?.aborted) {
      await this.rest(signal);
      if (signal?.aborted) break;
      const frame = this.attach(layer, period);
      const outcome = await Promise.race([frame.done, stopped(signal)]);
      if (outcome === "failed") this.drop(frame);
      if (outcome !== "dropped") return outcome;
    }
    return "stopped";
  }

  /** Whether a frame could be shown at once. */
  isReady(layer, period) {
    const frame = this.pool.get(keyOf(layer, period));
    return Boolean(frame?.ready && !frame.layer.isLoading());
  }

  /** Put a prepared frame on the map in the place of the one there. */
  show(layer, period) {
    const frame = this.pool.get(keyOf(layer, period));
    if (!frame || frame === this.shown) return Boolean(frame);
    // One task, so that the browser paints both changes together.
    frame.layer.getContainer().classList.add("is-shown");
    this.shown?.layer.getContainer()?.classList.remove("is-shown");
    const before = this.shown;
    this.shown = frame;
    this.swaps += 1;
    if (before && this.pool.get(before.key) !== before) before.layer.remove();
    if (before?.source !== frame.source) this.dropHidden();
    return true;
  }

  /** Wait until the map rests and the frame on it is whole: what is seen comes before what is not. */
  async rest(signal) {
    while ((this.moving || this.shown?.layer.isLoading()) && !signal?.aborted) await pause(60);
  }

  attach(layer, period) {
    const key = keyOf(layer, period);
    const known = this.pool.get(key);
    if (known) {
      this.pool.delete(key);
      this.pool.set(key, known); // the last used is the last to go
      return known;
    }
    this.makeRoom();
    const tiles = L.tileLayer(layer.tiles.replace("{period}", period), {
      pane: "frames", bounds: cornersOf(layer.bounds), className: `frame ${layer.kind === "classes" ? "is-crisp" : ""}`, maxZoom: FINEST_ZOOM,
      maxNativeZoom: finestUseful(layer), updateWhenIdle: true, updateWhenZooming: false, keepBuffer: 1,
    });
    const frame = { key, source: layer.tiles, layer: tiles, ready: false, failed: false };
    frame.done = new Promise((resolve) => { frame.finish = resolve; });
    tiles.on("tileerror", () => { frame.failed = true; });
    tiles.on("loading", () => { frame.failed = false; });
    tiles.on("load", () => this.settle(frame));
    this.pool.set(key, frame);
    tiles.addTo(this.map);
    // Nothing of the layer is in view: an empty picture is the right one.
    if (!tiles.isLoading()) this.settle(frame);
    return frame;
  }

  async settle(frame) {
    if (!frame.failed) await decoded(frame.layer.getContainer());
    frame.ready = !frame.failed;
    frame.finish(frame.failed ? "failed" : "ready");
    if (frame.failed && frame === this.shown) {
      // After a move without network: it stays on the map, and is asked for anew as if it were not there.
      this.pool.delete(frame.key);
      this.onBroken();
    }
  }

  makeRoom() {
    const each = Math.max(this.shown?.layer.getContainer()?.querySelectorAll("img").length ?? 1, 1);
    const room = Math.min(Math.max(Math.floor(TILES_AT_MOST / each), 3), FRAMES_AT_MOST);
    for (const frame of this.pool.values()) {
      if (this.pool.size < room) return;
      if (frame !== this.shown) this.drop(frame);
    }
  }

  dropHidden() {
    for (const frame of [...this.pool.values()]) if (frame !== this.shown) this.drop(frame);
  }

  drop(frame) {
    if (frame === this.shown) return;
    this.pool.delete(frame.key);
    frame.layer.remove();
    frame.finish("dropped");
  }
}

// A picture that is loaded and not yet decoded would be painted a moment late. A broken one is told by "tileerror".
function decoded(container) {
  const pictures = [...(container?.querySelectorAll("img") ?? [])];
  return Promise.race([Promise.allSettled(pictures.map((picture) => picture.decode())), pause(1500)]);
}

function keyOf(layer, period) {
  return `${layer.tiles}\n${period}`;
}

// Tiles finer than the data hold nothing more and cost the reader's megabytes; the browser enlarges them as well.
function finestUseful(layer) {
  const [, south, , north] = layer.bounds;
  const atEquator = layer.resolution_m / Math.cos(((south + north) / 2) * (Math.PI / 180));
  return Math.min(Math.max(Math.ceil(Math.log2(EQUATOR_M_PER_PX / atEquator)), 3), FINEST_ZOOM);
}

function pause(ms) {
  return new Promise((resolve) => { setTimeout(resolve, ms); });
}

const stops = new WeakMap();

// One promise a signal, however often it is raced against.
function stopped(signal) {
  if (!signal) return new Promise(() => {});
  if (!stops.has(signal)) {
    stops.set(signal, new Promise((resolve) => { signal.addEventListener("abort", () => resolve("stopped"), { once: true }); }));
  }
  return stops.get(signal);
}
