// Every row accounted for: read = loaded + rejected, by reason; and what was changed on the way.

import { count, number } from "./format.js";
import { mapUrl } from "./routes.js";
import { download } from "./session.js";
import { html } from "./view.js";

const CHANGES = {
  repaired: "invalid shapes were repaired",
  promoted: "single shapes became Multi shapes, as the column holds them",
  flattened: "shapes lost their third dimension or measure",
  stripped_nuls: "values had NUL characters removed",
  replaced_bytes: "values had bytes that are no UTF-8 replaced",
};

export const rejectedRows = (rows) => Object.values(rows.rejected).reduce((sum, each) => sum + each, 0);

/** What the upload tasks tell so far, when the job has no receipt of its own. */
export function rowsOfTasks(tasks) {
  const uploaded = tasks.map((task) => task.result).filter((result) => result && result.rows_read !== undefined);
  if (!uploaded.length) return null;
  const rows = { read: 0, loaded: 0, rejected: {} };
  for (const result of uploaded) {
    rows.read += result.rows_read;
    rows.loaded += result.rows_loaded;
    for (const [reason, rejected] of Object.entries(result.rejected)) rows.rejected[reason] = (rows.rejected[reason] || 0) + rejected;
  }
  return rows;
}

export function Receipt({ rows, remedies }) {
  const rejected = rejectedRows(rows);
  const changes = Object.entries(CHANGES).filter(([name]) => rows[name]);
  return html`
    <p class="equation"><span><b>${number(rows.read)}</b> read</span><span class="sign">=</span>
      <span class="loaded"><b>${number(rows.loaded)}</b> loaded</span><span class="sign">+</span>
      <span class=${rejected ? "rejected" : "none"}><b>${number(rejected)}</b> rejected</span></p>
    <div class="split" aria-hidden="true"><span class="loaded" style=${{ flexGrow: rows.loaded }}></span>${
      rejected > 0 && html`<span class="rejected" style=${{ flexGrow: rejected }}></span>`}</div>
    ${rejected > 0 && html`<${Reasons} rejected=${rows.rejected} remedies=${remedies} />`}
    ${changes.length > 0 && html`<ul class="changes">${changes.map(([name, text]) => html`<li key=${name}><b>${number(rows[name])}</b> ${text}</li>`)}</ul>`}`;
}

function Reasons({ rejected, remedies }) {
  const sorted = Object.entries(rejected).sort((one, other) => other[1] - one[1]);
  return html`<ul class="reasons" aria-label="Rejected rows by reason">${sorted.map(([reason, rows]) => html`<li key=${reason}>
    <b>${number(rows)}</b><span><code>${reason}</code> <span class="muted">${remedies[reason] ? `the row ${remedies[reason].meaning}` : ""}</span></span></li>`)}</ul>`;
}

export function RejectLinks({ job, table, rejected }) {
  const path = `jobs/rejects/${job.job_id}?limit=10000`;
  const name = `rejects-${table || job.job_id.slice(0, 8)}`;
  return html`<p class="links">
    <a class="button" href=${mapUrl(table, job.job_id)}>See ${count(rejected, "rejected row")} on the map</a>
    <button type="button" onClick=${() => download(path, `${name}.csv`, { Accept: "text/csv" })}>CSV</button>
    <button type="button" onClick=${() => download(path, `${name}.geojson`)}>GeoJSON</button>
  </p>`;
}
