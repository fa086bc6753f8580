// What is published.

import { ago, count, moment } from "./format.js";
import { mapUrl, urlTo } from "./routes.js";
import { ask } from "./session.js";
import { Empty, Loading, ProblemNotice, Title, html, useKeyWish, usePolled } from "./view.js";

export function TablesPage({ needKey }) {
  const { data, problem } = usePolled((signal) => ask("tables", { signal }), () => 10, []);
  useKeyWish(problem, needKey);
  return html`<${Title} text="Tables" />
    ${problem && !problem.needsKey && html`<${ProblemNotice} problem=${problem} />`}
    ${data ? html`<${Tables} tables=${data.tables} />` : !problem && html`<${Loading} what="the tables" />`}`;
}

function Tables({ tables }) {
  if (!tables.length) return html`<${Empty} title="Nothing is published yet"><p><a class="button primary" href=${urlTo("load")}>Load a file</a></p><//>`;
  return html`<ul class="tables">${tables.map((table) => html`<li key=${table.name} class="table-row">
    <div><a class="job-name" href=${mapUrl(table.name)}>${table.title || table.name}</a><code class="muted">${table.name}</code></div>
    <span>${count(table.rows, "row")} of ${table.geometry_type}</span>
    <span class="muted"><time datetime=${table.published_at} title=${moment(table.published_at)}>${ago(table.published_at)}</time> by <a href=${urlTo("jobs", table.job_id)}>its job</a></span></li>`)}</ul>`;
}
