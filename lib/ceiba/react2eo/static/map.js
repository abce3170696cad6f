// The map: bare ground with a graticule, the outline of the region, and a pane for the frames.

import { state } from "./state.js";

const L = window.L;
const WORLD = [[-85, -540], [85, 540]];
const SPACING = [45, 30, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];
const LINE_PX = 130;

/** Make the map in `element`; `reach` are the parts of the page that cover it. */
export function makeMap(element, reach) {
  const map = L.map(element, {
    zoomControl: false, attributionControl: false, fadeAnimation: false, zoomSnap: 0.25, zoomDelta: 1, wheelPxPerZoomLevel: 90,
    minZoom: 2, maxZoom: 18, maxBounds: WORLD, maxBoundsViscosity: 0.8, keyboard: true, zoomAnimation: !stillPreferred(), inertia: !stillPreferred(),
  });
  map.createPane("ground").style.zIndex = 150;
  map.createPane("lines").style.zIndex = 160;
  map.createPane("frames").style.zIndex = 200;
  map.createPane("outline").style.zIndex = 350;
  for (const name of ["ground", "lines", "frames", "outline"]) map.getPane(name).style.pointerEvents = "none";
  map.setView([20, -95], 4);
  const lines = L.layerGroup([], { pane: "lines" }).addTo(map);
  const drawLines = () => drawGraticule(map, lines);
  map.on("moveend", drawLines);
  map.on("movestart", () => { if (!map.fitting) map.fitted = false; });
  map.reach = reach;
  return map;
}

export function stillPreferred() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** Corners of a region for Leaflet. */
export function cornersOf([west, south, east, north]) {
  return L.latLngBounds([[south, west], [north, east]]);
}

/** Show the whole region in the part of the map that nothing covers. */
export function fitRegion(map, region, { animate = false } = {}) {
  const { top, right, bottom, left } = map.reach();
  const edge = 16;
  map.fitting = true; // this move is ours, not the reader's
  map.fitBounds(cornersOf(region.bounds), {
    paddingTopLeft: [left + edge, top + edge], paddingBottomRight: [right + edge, bottom + edge], animate: animate && !stillPreferred(), maxZoom: 17,
  });
  map.fitting = false;
  map.fitted = true;
}

let outline = null;

/** Draw the border of the region. */
export function drawOutline(map, region) {
  outline?.remove();
  outline = L.rectangle(cornersOf(region.bounds), { pane: "outline", interactive: false, fill: false, weight: 1.5, className: "outline" }).addTo(map);
}

/** What can be seen of the region, [west, south, east, north]: the part of the map that nothing covers, cut to the region. */
export function visibleBounds(map) {
  const { top, right, bottom, left } = map.reach();
  const size = map.getSize();
  const seen = L.latLngBounds(
    map.containerPointToLatLng([left, Math.max(size.y - bottom, top + 1)]), map.containerPointToLatLng([Math.max(size.x - right, left + 1), top]),
  );
  const [west, south, east, north] = state.region.bounds;
  const cut = [Math.max(west, seen.getWest()), Math.max(south, seen.getSouth()), Math.min(east, seen.getEast()), Math.min(north, seen.getNorth())];
  const apart = cut[0] >= cut[2] || cut[1] >= cut[3];
  return (apart ? state.region.bounds : cut).map((degrees) => Number(degrees.toFixed(6)));
}

/** Whether any of the region is on the screen. */
export function regionInView(map) {
  return map.getBounds().intersects(cornersOf(state.region.bounds));
}

function drawGraticule(map, lines) {
  const bounds = map.getBounds().pad(0.2);
  const perDegree = map.getSize().x / Math.max(map.getBounds().getEast() - map.getBounds().getWest(), 1e-9);
  const step = SPACING.findLast?.((each) => each * perDegree >= LINE_PX) ?? [...SPACING].reverse().find((each) => each * perDegree >= LINE_PX) ?? SPACING[0];
  const [south, north] = [Math.max(bounds.getSouth(), -85), Math.min(bounds.getNorth(), 85)];
  const style = { pane: "lines", interactive: false, weight: 1, className: "graticule" };
  const drawn = [];
  for (let x = Math.ceil(bounds.getWest() / step) * step; x <= bounds.getEast(); x += step) drawn.push(L.polyline([[south, x], [north, x]], style));
  for (let y = Math.ceil(south / step) * step; y <= north; y += step) drawn.push(L.polyline([[y, bounds.getWest()], [y, bounds.getEast()]], style));
  lines.clearLayers();
  for (const line of drawn.slice(0, 80)) lines.addLayer(line);
}
