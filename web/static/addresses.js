// Where other programs find a table. A link alone would not carry the key: so they are to be copied, or fetched here.

import { number } from "./format.js";
import { base, download } from "./session.js";
import { Copy, html } from "./view.js";

const MOST_ITEMS = 10_000;

export function ItemsButton({ name, rows }) {
  const get = () => download(`features/collections/${name}/items?limit=${MOST_ITEMS}`, `${name}.geojson`);
  return html`<button type="button" onClick=${get}>Download ${rows > MOST_ITEMS ? `the first ${number(MOST_ITEMS)} rows as ` : ""}GeoJSON</button>`;
}

export function Addresses({ name }) {
  const features = new URL("features", base).href;
  const collection = `${features}/collections/${name}`;
  const addresses = [
    ["QGIS", features, "Add Layer › WFS / OGC API – Features, with a header x-functions-key under Authentication"],
    ["Items", `${collection}/items`, "OGC API Features: bbox, limit, filter"],
    ["Tiles", `${collection}/tiles/WebMercatorQuad/{z}/{x}/{y}`, "Mapbox vector tiles"],
  ];
  return html`<details><summary>Use it elsewhere: QGIS, items, tiles</summary><dl class="addresses">${addresses.map(([title, url, hint]) => html`<div key=${title}>
    <dt>${title}</dt><dd><code>${url}</code> <${Copy} text=${url} label=${`Copy the address: ${title}`} /><span class="help">${hint}</span></dd></div>`)}</dl></details>`;
}
