// Rows that were not loaded: their shapes, where their defects are, and the list of them.

import { count, number } from "./format.js";
import { useRemedies } from "./remedies.js";
import { ask } from "./session.js";
import { html } from "./view.js";

const MOST = 1000;
const LISTED = 100;

/** {features, more}; none for a job that keeps no rejects, or whose rejects are forgotten. */
export async function loadRejects(jobId, signal) {
  try {
    const told = await ask(`jobs/rejects/${jobId}?limit=${MOST}`, { signal });
    return { features: told.features.map(asSelected), more: told.links.length > 0 };
  } catch (problem) {
    if (problem.status === 404) return { features: [], more: false };
    throw problem;
  }
}

function asSelected({ id, geometry, properties }) {
  const { reason, detail, location, attributes } = properties;
  return { id, geometry, location, reason, detail, attributes, heading: `Row ${number(id)}, rejected` };
}

export function Rejects({ rejects, shown, show, selected, select }) {
  const remedies = useRemedies();
  const { features, more } = rejects;
  const placed = features.filter(hasPlace).length;
  const byReason = Object.entries(Object.groupBy(features, (feature) => feature.reason)).sort((one, other) => other[1].length - one[1].length);
  return html`<section aria-labelledby="rejects"><h2 id="rejects">${more ? `The first ${number(features.length)} rejected rows` : count(features.length, "rejected row")}</h2>
    <p class="check"><input id="show-rejects" type="checkbox" checked=${shown} onChange=${(event) => show(event.target.checked)} />
      <label for="show-rejects">Show them on the map</label></p>
    ${placed < features.length && html`<p class="help">${count(features.length - placed, "row has", "rows have")} no place on earth to be shown at.</p>`}
    ${byReason.map(([reason, rows]) => html`<details key=${reason} open=${byReason.length === 1 || rows.includes(selected)}>
      <summary><code>${reason}</code> <span class="muted">${number(rows.length)}</span></summary>
      ${remedies[reason] && html`<p class="help">The row: ${remedies[reason].meaning}.</p>`}
      <ul class="reject-list">${rows.slice(0, LISTED).map((feature) => html`<li key=${feature.id}>
        <button type="button" aria-pressed=${selected === feature ? "true" : "false"} onClick=${() => select(feature)}>Row ${number(feature.id)}<small>${feature.detail || (hasPlace(feature) ? "" : "no place")}</small></button></li>`)}</ul>
      ${rows.length > LISTED && html`<p class="help">${number(rows.length - LISTED)} more are on the map.</p>`}</details>`)}</section>`;
}

export const hasPlace = (feature) => Boolean(feature.location || feature.geometry);

/** GeoJSON of the shapes, and of the places of their defects. Outlines are lines of their own: what has no area is drawn
    all the same. */
export function rejectSources({ features }) {
  const shaped = features.filter((feature) => feature.geometry);
  const shapes = shaped.map((feature) => drawn(feature, feature.geometry));
  const outlines = shaped.flatMap((feature) => rings(feature.geometry).map((ring) => drawn(feature, { type: "LineString", coordinates: ring })));
  const defects = features.filter((feature) => feature.location).map((feature) => drawn(feature, { type: "Point", coordinates: feature.location }));
  return { shapes: { type: "FeatureCollection", features: [...shapes, ...outlines] }, defects: { type: "FeatureCollection", features: defects } };
}

const drawn = (feature, geometry) => ({ type: "Feature", geometry, properties: { row: feature.id } });

function rings({ type, coordinates, geometries }) {
  if (type === "Polygon") return coordinates;
  if (type === "MultiPolygon") return coordinates.flat();
  return type === "GeometryCollection" ? geometries.flatMap(rings) : [];
}
