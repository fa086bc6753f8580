// MapLibre with the table's vector tiles, on a plain world: nothing is loaded from anywhere else.

import * as maplibre from "./vendor/maplibre-gl-6.17.0/maplibre-gl.mjs";
import { rejectSources } from "./map-rejects.js";
import { theme } from "./map-style.js";
import { number } from "./format.js";
import { base, keyHeaders } from "./session.js";

const COLOURS = {
  light: { sea: "#e9eef2", land: "#fafbfb", coast: "#c3ccd4", grid: "#d8e0e6", outline: "#ffffff", picked: "#17212b", reject: "#c2410c" },
  dark: { sea: "#10161c", land: "#1c2630", coast: "#3a4855", grid: "#222d37", outline: "#10161c", picked: "#ffffff", reject: "#ff8a5c" },
}[theme];
// The outline of the world is coarse: it fades before that shows.
const WORLD_FADES = [5, 8];
// Beyond, tiles of this level are drawn larger: they hold every coordinate to a few decimetres.
const DEEPEST_TILES = 16;
const LAYERS = ["table-fill", "table-line", "table-point"];
const REJECT_LAYERS = ["reject-fill", "reject-line", "reject-point", "reject-defect"];
const NEAR = 4;
const LOADING = "Loading …";

export class TableMap {
  constructor(container, { table, rejects, select, note }) {
    this.table = table;
    this.rejects = rejects;
    this.select = select;
    this.ready = [];
    this.map = new maplibre.Map({
      container,
      style: { version: 8, sources: {}, layers: [{ id: "sea", type: "background", paint: { "background-color": COLOURS.sea } }] },
      bounds: this.bounds(),
      fitBoundsOptions: { padding: 40, maxZoom: 15 },
      attributionControl: false,
      maxZoom: 22,
      dragRotate: false,
      pitchWithRotate: false,
      touchPitch: false,
      transformRequest: (url) => ({ url, headers: url.startsWith(base.href) ? keyHeaders() : {} }),
    });
    // For tests, and for the curious at the console.
    container.map = this.map;
    this.map.touchZoomRotate.disableRotation();
    this.map.addControl(new maplibre.NavigationControl({ showCompass: false }), "top-right");
    this.map.addControl(new maplibre.ScaleControl(), "bottom-left");
    this.map.getCanvas().setAttribute("aria-label", "Map. Arrow keys move it, plus and minus zoom, Enter shows what is in its middle.");
    this.map.on("error", ({ error }) => note(error && error.status === 404 ? "The table is not there any more." : "Some of it could not be loaded. Move the map to try again."));
    this.map.on("movestart", () => note(""));
    note(LOADING);
    this.map.once("idle", () => note((said) => (said === LOADING ? "" : said)));
    this.map.on("load", () => this.draw());
    this.map.on("click", (event) => this.pick(event.point));
    this.map.getCanvas().addEventListener("keydown", (event) => event.key === "Enter" && this.pick(this.map.project(this.map.getCenter())));
    for (const layer of [...LAYERS, ...REJECT_LAYERS]) {
      this.map.on("mouseenter", layer, () => this.cursor("pointer"));
      this.map.on("mouseleave", layer, () => this.cursor(""));
    }
  }

  remove() {
    this.map.remove();
  }

  cursor(kind) {
    this.map.getCanvas().style.cursor = kind;
  }

  /** Now, or as soon as the layers are there. */
  whenDrawn(act) {
    if (this.ready) this.ready.push(act);
    else act();
  }

  draw() {
    this.drawWorld();
    if (this.table) this.drawTable();
    this.drawRejects();
    const waiting = this.ready;
    this.ready = null;
    for (const act of waiting) act();
  }

  drawWorld() {
    const fading = (most) => ["interpolate", ["linear"], ["zoom"], WORLD_FADES[0], most, WORLD_FADES[1], 0];
    this.map.addSource("land", { type: "geojson", data: { type: "FeatureCollection", features: [] } });
    this.map.addSource("grid", { type: "geojson", data: graticule() });
    this.map.addLayer({ id: "land", type: "fill", source: "land", paint: { "fill-color": COLOURS.land, "fill-opacity": fading(1) } });
    this.map.addLayer({ id: "coast", type: "line", source: "land", paint: { "line-color": COLOURS.coast, "line-width": 0.7, "line-opacity": fading(1) } });
    this.map.addLayer({ id: "grid", type: "line", source: "grid", paint: { "line-color": COLOURS.grid, "line-width": 0.6 } });
    fetch(new URL("static/vendor/world-atlas-2.0.2/land-110m.json", base))
      .then((answer) => answer.json())
      .then((world) => this.map.getSource("land").setData(unwrapped(globalThis.topojson.feature(world, "land"))));
  }

  drawTable() {
    const tiles = new URL(`features/collections/${this.table.name}/tiles/WebMercatorQuad/`, base).href;
    this.map.addSource("table", { type: "vector", tiles: [`${tiles}{z}/{x}/{y}`], maxzoom: DEEPEST_TILES, bounds: worldly(this.table.bbox) });
    const from = { source: "table", "source-layer": "default" };
    const picked = { "line-color": COLOURS.picked, "line-width": 2.5 };
    const none = ["==", ["get", "id"], -1];
    this.map.addLayer({ id: "table-fill", type: "fill", ...from, filter: isA("Polygon"), paint: { "fill-opacity": 0.78 } });
    this.map.addLayer({ id: "table-edge", type: "line", ...from, filter: isA("Polygon"), paint: { "line-color": COLOURS.outline, "line-width": ["interpolate", ["linear"], ["zoom"], 2, 0.4, 12, 1.2] } });
    this.map.addLayer({ id: "table-line", type: "line", ...from, filter: isA("LineString"), layout: { "line-cap": "round", "line-join": "round" }, paint: { "line-width": ["interpolate", ["linear"], ["zoom"], 4, 1, 14, 3] } });
    this.map.addLayer({ id: "table-point", type: "circle", ...from, filter: isA("Point"), paint: { "circle-radius": ["interpolate", ["linear"], ["zoom"], 2, 3, 12, 6], "circle-stroke-color": COLOURS.outline, "circle-stroke-width": 0.8 } });
    this.map.addLayer({ id: "picked-line", type: "line", ...from, filter: none, paint: picked });
    this.map.addLayer({ id: "picked-point", type: "circle", ...from, filter: none, paint: { "circle-radius": 8, "circle-color": "transparent", "circle-stroke-color": COLOURS.picked, "circle-stroke-width": 2.5 } });
  }

  drawRejects() {
    const { shapes, defects } = rejectSources(this.rejects);
    this.map.addSource("shapes", { type: "geojson", data: shapes });
    this.map.addSource("defects", { type: "geojson", data: defects });
    const hidden = { visibility: "none" };
    const dot = { "circle-radius": 5, "circle-color": COLOURS.reject, "circle-stroke-color": COLOURS.outline, "circle-stroke-width": 1.5 };
    this.map.addLayer({ id: "reject-fill", type: "fill", source: "shapes", filter: isA("Polygon"), layout: hidden, paint: { "fill-color": COLOURS.reject, "fill-opacity": 0.25 } });
    this.map.addLayer({ id: "reject-line", type: "line", source: "shapes", filter: isA("LineString"), layout: hidden, paint: { "line-color": COLOURS.reject, "line-width": 1.8, "line-dasharray": [3, 1.5] } });
    this.map.addLayer({ id: "reject-point", type: "circle", source: "shapes", filter: isA("Point"), layout: hidden, paint: dot });
    this.map.addLayer({ id: "reject-defect", type: "circle", source: "defects", layout: hidden, paint: dot });
    this.map.addLayer({ id: "picked-reject", type: "circle", source: "defects", filter: ["==", ["get", "row"], -1], paint: { ...dot, "circle-radius": 9, "circle-color": "transparent", "circle-stroke-color": COLOURS.picked } });
  }

  paint(colour) {
    if (!this.table) return;
    this.whenDrawn(() => {
      this.map.setPaintProperty("table-fill", "fill-color", colour);
      this.map.setPaintProperty("table-line", "line-color", colour);
      this.map.setPaintProperty("table-point", "circle-color", colour);
    });
  }

  showRejects(shown) {
    this.whenDrawn(() => {
      for (const layer of REJECT_LAYERS) this.map.setLayoutProperty(layer, "visibility", shown ? "visible" : "none");
    });
  }

  /** The feature at the place, rejects before others, with all that the tile holds of it. */
  pick(point) {
    if (this.ready) return;
    const box = [[point.x - NEAR, point.y - NEAR], [point.x + NEAR, point.y + NEAR]];
    const [reject] = this.map.queryRenderedFeatures(box, { layers: REJECT_LAYERS });
    if (reject) return this.select(this.rejects.features.find((feature) => feature.id === reject.properties.row));
    const [found] = this.table ? this.map.queryRenderedFeatures(box, { layers: LAYERS }) : [];
    return this.select(found ? { id: found.properties.id, attributes: found.properties, heading: `Row ${number(found.properties.id)}` } : null);
  }

  highlight(feature) {
    this.whenDrawn(() => {
      const isReject = Boolean(feature && feature.reason);
      this.map.setFilter("picked-reject", ["==", ["get", "row"], isReject ? feature.id : -1]);
      if (!this.table) return;
      for (const layer of ["picked-line", "picked-point"]) this.map.setFilter(layer, ["all", ["==", ["get", "id"], feature && !isReject ? feature.id : -1], isA("Point", layer === "picked-line")]);
    });
  }

  flyTo(feature) {
    if (feature.location) this.map.easeTo({ center: feature.location, zoom: Math.max(this.map.getZoom(), 6) });
    else if (feature.geometry) this.map.fitBounds(boundsOf([feature]), { padding: 80, maxZoom: 15 });
  }

  fit() {
    this.map.fitBounds(this.bounds(), { padding: 40, maxZoom: 15 });
  }

  bounds() {
    if (this.table) return worldly(this.table.bbox);
    return boundsOf(this.rejects.features) || [-170, -60, 170, 75];
  }
}

const isA = (type, not = false) => {
  const same = ["==", ["geometry-type"], type];
  return not ? ["!", same] : same;
};

/** Mercator ends before the poles. */
function worldly([west, south, east, north]) {
  const degree = (value) => Math.max(-85, Math.min(85, value));
  return [Math.max(-180, west), degree(south), Math.min(180, east), degree(north)];
}

/** West, south, east, north of shapes and defects; null when there are none. */
function boundsOf(features) {
  const places = features.flatMap(({ geometry, location }) => [...(location ? [location] : []), ...(geometry ? [...positions(geometry.coordinates || geometry.geometries)] : [])]);
  if (!places.length) return null;
  const box = [180, 90, -180, -90];
  for (const [lon, lat] of places) {
    box[0] = Math.min(box[0], lon);
    box[1] = Math.min(box[1], lat);
    box[2] = Math.max(box[2], lon);
    box[3] = Math.max(box[3], lat);
  }
  return worldly(box);
}

function* positions(nested) {
  if (typeof nested[0] === "number") yield nested;
  else for (const inner of nested) yield* positions(inner.coordinates || inner.geometries || inner);
}

/** The outlines go on beyond 180 degrees, instead of leaping around the world; the one around the pole is closed there. */
function unwrapped({ features }) {
  const polygons = features.flatMap(({ geometry }) => geometry.coordinates).map((rings) => rings.map(unwrappedRing));
  return { type: "Feature", properties: {}, geometry: { type: "MultiPolygon", coordinates: polygons } };
}

function unwrappedRing(ring) {
  let turn = 0;
  const line = ring.map(([lon, lat], index) => {
    if (index && Math.abs(lon - ring[index - 1][0]) > 180) turn += lon < ring[index - 1][0] ? 360 : -360;
    return [lon + turn, lat];
  });
  const closed = turn ? [...line, [line.at(-1)[0], -90], [line[0][0], -90], line[0]] : line;
  // Back to where most of it is, so that holes stay in what they are holes of.
  const shift = 360 * Math.round(closed.reduce((sum, [lon]) => sum + lon, 0) / closed.length / 360);
  return closed.map(([lon, lat]) => [lon - shift, lat]);
}

/** Every thirty degrees. */
function graticule() {
  const lines = [];
  for (let lon = -180; lon <= 180; lon += 30) lines.push(Array.from({ length: 35 }, (_, index) => [lon, -85 + index * 5]));
  for (let lat = -60; lat <= 60; lat += 30) lines.push([[-180, lat], [180, lat]]);
  return { type: "Feature", properties: {}, geometry: { type: "MultiLineString", coordinates: lines } };
}
