// The map of one published table, and of the rows that a job rejected.

import { Legend, StyleChoice, useColumnStyle } from "./map-style.js";
import { Rejects, loadRejects } from "./map-rejects.js";
import { TableMap } from "./map-canvas.js";
import { Addresses, ItemsButton } from "./addresses.js";
import { count, extent, moment, number } from "./format.js";
import { urlTo } from "./routes.js";
import { ask, hasKey } from "./session.js";
import { Empty, KeyForm, Loading, ProblemNotice, html, render, useEffect, useLoaded, useRef, useState } from "./view.js";

const NAME = decodeURIComponent(location.pathname.split("/map/").pop().replace(/\/$/, ""));
const JOB = /^[0-9a-f]{64}$/.test(new URLSearchParams(location.search).get("job")) ? new URLSearchParams(location.search).get("job") : null;

function Page() {
  const [keys, setKeys] = useState(0);
  const { data, problem } = useLoaded(load, [keys]);
  useEffect(() => {
    document.title = `${data && data.table && data.table.title ? data.table.title : NAME} – map`;
  }, [data]);
  if (problem && problem.needsKey) return html`<${KeyForm} wasWrong=${hasKey()} onKey=${() => setKeys(keys + 1)} />`;
  if (problem) return html`<main><h1>${NAME}</h1><${ProblemNotice} problem=${problem} /></main>`;
  if (!data) return html`<main><${Loading} what="the table" /></main>`;
  if (!data.table && !data.rejects.features.length) return html`<${Nothing} />`;
  return html`<${Map} ...${data} />`;
}

/** The table is not there when its job failed: its rejects are shown then. Who has no key sees no rejects. */
async function load(signal) {
  const table = await ask(`tables/${encodeURIComponent(NAME)}`, { signal }).catch((problem) => {
    if (problem.status === 404) return null;
    throw problem;
  });
  const jobId = JOB || (table && table.job_id);
  const rejects = jobId && hasKey() ? await loadRejects(jobId, signal) : { features: [], more: false };
  return { table, jobId, rejects };
}

function Nothing() {
  return html`<main><h1>${NAME}</h1><${Empty} title="There is no such table">
    <p>It was not published, or was taken back. ${JOB ? html`Its <a href=${urlTo("jobs", JOB)}>job</a> rejected no row that could be shown.` : html`<a href=${urlTo("tables")}>What is published</a>`}</p><//></main>`;
}

function Map({ table, jobId, rejects }) {
  const [selected, setSelected] = useState(null);
  const [note, setNote] = useState("");
  const [rejectsShown, showRejects] = useState(Boolean(JOB) || !table);
  const style = useColumnStyle(table);
  const place = useRef(null);
  const map = useRef(null);
  useEffect(() => {
    map.current = new TableMap(place.current, { table, rejects, select: setSelected, note: setNote });
    return () => map.current.remove();
  }, []);
  useEffect(() => map.current.paint(style.paint), [style.paint]);
  useEffect(() => map.current.showRejects(rejectsShown), [rejectsShown]);
  useEffect(() => map.current.highlight(selected), [selected]);
  return html`<div class="map-layout">
    <main class="map-panel">
      <div><p class="crumb-line"><a href=${urlTo("tables")}>Tables</a>${jobId && hasKey() && html` · <a href=${urlTo("jobs", jobId)}>Job</a>`}</p>
        <h1>${(table && table.title) || NAME}</h1>${table && table.title && html`<code class="muted">${NAME}</code>`}</div>
      ${!table && html`<div class="notice warning"><p>The table is not published. Shown are the rows that the job rejected.</p></div>`}
      ${table && table.description && html`<p>${table.description}</p>`}
      <div aria-live="polite">${selected && html`<${Selected} feature=${selected} close=${() => setSelected(null)} />`}</div>
      ${table && html`<section aria-labelledby="style"><h2 id="style">Style</h2><${StyleChoice} table=${table} style=${style} /><${Legend} style=${style} table=${table} /></section>`}
      ${rejects.features.length > 0 && html`<${Rejects} rejects=${rejects} shown=${rejectsShown} show=${showRejects} selected=${selected}
        select=${(feature) => { showRejects(true); setSelected(feature); map.current.flyTo(feature); }} />`}
      ${table && html`<${TableFacts} table=${table} fit=${() => map.current.fit()} />`}
    </main>
    <div class="map-area"><div class="map-canvas" ref=${place}></div><div class="cross"></div>
      ${note && html`<p class="map-note" role="status">${note}</p>`}
      ${table && table.attribution && html`<p class="attribution">${table.attribution}</p>`}</div>
  </div>`;
}

function Selected({ feature, close }) {
  const attributes = Object.entries(feature.attributes).filter(([name]) => name !== "etl_batch_id");
  return html`<section aria-labelledby="selected"><div class="selected-head"><h2 id="selected">${feature.heading}</h2>
      <button type="button" class="quiet" onClick=${close}>Close</button></div>
    ${feature.reason && html`<div class="notice danger"><p><code>${feature.reason}</code> ${feature.detail}</p></div>`}
    <dl class="attributes">${attributes.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${shown(value)}</dd></div>`)}</dl></section>`;
}

const shown = (value) => (value === null || value === undefined ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value));

function TableFacts({ table, fit }) {
  const facts = [
    ["Rows", number(table.rows)], ["Geometry", table.geometry_type], ["CRS", `EPSG:${table.srid}`], ["Published", moment(table.published_at)],
    ["Extent", html`${extent(table.bbox)} <button type="button" class="quiet" onClick=${fit}>Show all</button>`],
    ["License", table.license], ["Attribution", table.attribution], ["Keywords", (table.keywords || []).join(", ")],
  ].filter(([, value]) => value);
  return html`<section aria-labelledby="facts"><h2 id="facts">Table</h2>
    <dl class="facts">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    <details><summary>${count(table.columns.length, "column")}</summary><ul>${table.columns.map((column) => html`<li key=${column.name}><code>${column.name}</code> <span class="muted">${column.pg_type}</span></li>`)}</ul></details>
    <p class="links"><${ItemsButton} name=${NAME} rows=${table.rows} /></p><${Addresses} name=${NAME} /></section>`;
}

render(html`<${Page} />`, document.getElementById("app"));
