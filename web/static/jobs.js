// The list of jobs: newest first, filtered, live.

import { ago, between, count, duration, number, tableOf, words } from "./format.js";
import { StageBar, paceInWords, summary } from "./progress.js";
import { urlTo } from "./routes.js";
import { ask } from "./session.js";
import { Badge, Empty, Loading, ProblemNotice, Title, html, useKeyWish, usePolled, useState } from "./view.js";

const STATUSES = ["queued", "processing", "completed", "failed", "cancelled"];
const TYPES = ["process_vector", "unpublish_vector", "hello_world"];
const PAGE = 30;

export const TYPE_NAMES = { process_vector: "Load", unpublish_vector: "Take back", hello_world: "Greeting" };

export function JobsPage({ needKey }) {
  const [filters, setFilters] = useState(filtersOfAddress());
  const [pages, setPages] = useState(1);
  const { data, problem } = usePolled((signal) => listed(filters, pages, signal), nextLook, [filters, pages]);
  useKeyWish(problem, needKey);
  const choose = (name, value) => {
    const chosen = { ...filters, [name]: value };
    keepInAddress(chosen);
    setPages(1);
    setFilters(chosen);
  };
  return html`
    <div class="page-head"><${Title} text="Jobs" /><a class="button primary" href=${urlTo("load")}>Load a file</a></div>
    <form class="filters" aria-label="Filters" onSubmit=${(event) => event.preventDefault()}>
      <${Choice} name="status" label="Status" value=${filters.status} options=${STATUSES.map((status) => [status, words(status)])} choose=${choose} />
      <${Choice} name="job_type" label="Type" value=${filters.job_type} options=${TYPES.map((type) => [type, TYPE_NAMES[type]])} choose=${choose} />
    </form>
    ${problem && !problem.needsKey && html`<${ProblemNotice} problem=${problem} />`}
    ${data ? html`<${JobList} data=${data} filtered=${Boolean(filters.status || filters.job_type)} more=${() => setPages(pages + 1)} />` : !problem && html`<${Loading} what="the jobs" />`}`;
}

function Choice({ name, label, value, options, choose }) {
  const id = `filter-${name}`;
  return html`<div class="field inline"><label for=${id}>${label}</label>
    <select id=${id} value=${value} onChange=${(event) => choose(name, event.target.value)}>
      <option value="">All</option>
      ${options.map(([key, text]) => html`<option key=${key} value=${key}>${text}</option>`)}
    </select></div>`;
}

function JobList({ data, filtered, more }) {
  if (!data.jobs.length && filtered) return html`<${Empty} title="No job is like that"><p>Choose other filters.</p><//>`;
  if (!data.jobs.length) {
    return html`<${Empty} title="No jobs yet"><p>Load a CSV, GeoPackage, Shapefile, GeoJSON or another vector file, and follow it here.</p>
      <p><a class="button primary" href=${urlTo("load")}>Load a file</a></p><//>`;
  }
  return html`<ol class="job-list">${data.jobs.map((job) => html`<${JobRow} key=${job.job_id} job=${job} />`)}</ol>
    ${data.next && html`<p class="more"><button type="button" onClick=${more}>Show older jobs</button></p>`}`;
}

function JobRow({ job }) {
  const took = job.finished_at ? `took ${duration(between(job.run_started_at, job.finished_at))}` : `for ${duration(between(job.run_started_at))}`;
  return html`<li class="job-row">
    <${Badge} status=${job.status} />
    <div class="job-what"><a class="job-name" href=${urlTo("jobs", job.job_id)}>${jobName(job)}</a>
      <span class="muted">${TYPE_NAMES[job.job_type] || job.job_type}${job.parameters.blob_name ? ` · ${fileName(job)}` : ""}${job.run > 1 ? ` · run ${job.run}` : ""}</span></div>
    <div class="job-how">${job.progress
      ? html`<${StageBar} job=${job} /><span class="muted">${paceInWords(job) || summary(job)}</span>`
      : html`<span>${outcome(job)}</span>`}</div>
    <div class="job-when muted"><time datetime=${job.created_at} title=${job.created_at}>${ago(job.created_at)}</time><span>${took}</span></div>
  </li>`;
}

export const jobName = (job) => tableOf(job.parameters) || words(job.job_type);
export const fileName = (job) => job.parameters.blob_name.split("/").pop();

function outcome(job) {
  if (job.status === "failed") return html`<code>${job.error.code}</code> in ${words(job.stage_name || "").toLowerCase()}`;
  const rows = job.result_data && job.result_data.rows;
  if (!rows) return "";
  if (typeof rows === "number") return count(rows, "row");
  const rejected = Object.values(rows.rejected || {}).reduce((sum, each) => sum + each, 0);
  return html`${count(rows.loaded, "row")}${rejected ? html`, <span class="warn-text">${number(rejected)} rejected</span>` : ""}`;
}

/** As many pages as are shown, so that what has moved to the next page is not lost. */
async function listed(filters, pages, signal) {
  const jobs = [];
  let after = null;
  for (let page = 0; page < pages; page += 1) {
    const query = new URLSearchParams({ limit: PAGE });
    for (const [name, value] of Object.entries(filters)) if (value) query.set(name, value);
    if (after) query.set("after", after);
    const told = await ask(`jobs?${query}`, { signal });
    jobs.push(...told.jobs);
    after = told.next;
    if (!after) break;
  }
  return { jobs, next: after };
}

const nextLook = ({ jobs }) => (jobs.some((job) => job.progress) ? 1.5 : 5);

function filtersOfAddress() {
  const query = new URLSearchParams(location.search);
  const status = STATUSES.includes(query.get("status")) ? query.get("status") : "";
  return { status, job_type: TYPES.includes(query.get("job_type")) ? query.get("job_type") : "" };
}

function keepInAddress(filters) {
  const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value));
  history.replaceState(null, "", location.pathname + (query.size ? `?${query}` : ""));
}
