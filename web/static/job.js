// One job: how far it is, what came of it, what went wrong and what helps.

import { ago, between, bytes, count, duration, extent, moment, number, tableOf, words } from "./format.js";
import { TYPE_NAMES, jobName } from "./jobs.js";
import { StageBar, StageList, paceInWords, summary } from "./progress.js";
import { Addresses, ItemsButton } from "./addresses.js";
import { Receipt, RejectLinks, rejectedRows, rowsOfTasks } from "./receipt.js";
import { useRemedies } from "./remedies.js";
import { mapUrl, urlTo } from "./routes.js";
import { ask } from "./session.js";
import { Timeline } from "./timeline.js";
import { Badge, Copy, Facts, Loading, ProblemNotice, Title, html, useEffect, useKeyWish, usePolled, useRef, useState } from "./view.js";

const OPEN = ["queued", "processing"];
const SHOWN_TASKS = 50;

export function JobPage({ jobId, needKey }) {
  const { data: job, problem, reload } = usePolled(
    (signal) => ask(`jobs/status/${encodeURIComponent(jobId)}?verbose=true`, { signal }),
    (seen) => (OPEN.includes(seen.status) ? 1 : null),
    [jobId],
  );
  const remedies = useRemedies();
  useKeyWish(problem, needKey);
  if (problem && problem.status === 404) {
    return html`<${Title} text="No such job" /><p>There is no job of this id. <a href=${urlTo("jobs")}>All jobs</a></p>`;
  }
  return html`
    <p class="crumb"><a href=${urlTo("jobs")}>Jobs</a></p>
    ${problem && !problem.needsKey && html`<${ProblemNotice} problem=${problem} />`}
    ${job ? html`<${Job} job=${job} remedies=${remedies} reload=${reload} />` : !problem && html`<${Loading} what="the job" />`}`;
}

function Job({ job, remedies, reload }) {
  const table = tableOf(job.parameters);
  const rows = rowsOf(job);
  const rejected = rows ? rejectedRows(rows) : 0;
  const published = job.status === "completed" && job.job_type === "process_vector";
  return html`
    <div class="page-head"><div><${Title} text=${jobName(job)} /><${Subtitle} job=${job} /></div><${Actions} job=${job} reload=${reload} table=${published ? table : null} /></div>
    <${Announcer} job=${job} />
    ${OPEN.includes(job.status) && html`<${Progress} job=${job} />`}
    ${job.error && html`<${JobError} job=${job} remedies=${remedies} />`}
    ${rows && !OPEN.includes(job.status) && html`<section class="card" aria-labelledby="receipt"><h2 id="receipt">${published ? "Receipt" : "Rows, as far as it came"}</h2>
      <${Receipt} rows=${rows} remedies=${remedies} />
      ${rejected > 0 && job.links.rejects && html`<${RejectLinks} job=${job} table=${table} rejected=${rejected} />`}</section>`}
    ${job.result_data && html`<${Outcome} result=${job.result_data} job=${job} />`}
    <section class="card" aria-labelledby="timeline"><h2 id="timeline">Timeline</h2>
      <${StageList} job=${job} /><${Timeline} job=${job} /></section>
    <${Tasks} tasks=${job.tasks} />
    ${job.run > 1 && html`<${Runs} job=${job} />`}
    <details class="card"><summary><h2>Request</h2></summary><pre tabindex="0">${JSON.stringify(job.parameters, null, 2)}</pre></details>`;
}

function Subtitle({ job }) {
  const took = job.finished_at ? `took ${duration(between(job.run_started_at, job.finished_at))}` : `for ${duration(between(job.run_started_at))}`;
  return html`<p class="subtitle"><${Badge} status=${job.status} />
    <span>${TYPE_NAMES[job.job_type] || job.job_type}</span>
    <time datetime=${job.run_started_at} title=${moment(job.run_started_at)}>${ago(job.run_started_at)}</time>
    <span>${took}</span>${job.run > 1 && html`<span>run ${job.run}</span>`}
    <span class="id"><code title=${job.job_id}>${job.job_id.slice(0, 12)}…</code> <${Copy} text=${job.job_id} label="Copy the job's id" /></span></p>`;
}

const rowsOf = (job) => (job.result_data && job.result_data.rows && job.result_data.rows.read !== undefined ? job.result_data.rows : rowsOfTasks(job.tasks));

/** Says once, and only then, that the job has ended. */
function Announcer({ job }) {
  const before = useRef(job.status);
  const [said, setSaid] = useState("");
  useEffect(() => {
    if (before.current !== job.status) setSaid(`The job is ${job.status}.`);
    before.current = job.status;
  }, [job.status]);
  return html`<p class="hidden" role="status">${said}</p>`;
}

function Actions({ job, reload, table }) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  const act = async (what) => {
    setBusy(true);
    setProblem(null);
    try {
      await ask(`jobs/${what}/${job.job_id}`, { method: "POST" });
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
    reload();
  };
  const open = OPEN.includes(job.status);
  return html`<div class="actions">
    ${table && html`<a class="button primary" href=${mapUrl(table)}>Map</a>`}
    ${open && html`<button type="button" class="danger" disabled=${busy} onClick=${() => act("cancel")}>Cancel the job</button>`}
    ${["failed", "cancelled"].includes(job.status) && html`<button type="button" class="primary" disabled=${busy} onClick=${() => act("retry")}>Try again</button>`}
    ${problem && html`<${ProblemNotice} problem=${problem} />`}
  </div>`;
}

function Progress({ job }) {
  return html`<section class="card" aria-labelledby="progress"><h2 id="progress">Progress</h2>
    <div class="progress-line"><b class="percent">${Math.floor(job.progress.percent)} %</b><span class="muted">${summary(job)}</span></div>
    <${StageBar} job=${job} />
    <p class="pace">${paceInWords(job) || " "}</p>
    <${Diagnosis} jobId=${job.job_id} /></section>`;
}

function Diagnosis({ jobId }) {
  const [told, setTold] = useState(null);
  const look = async (event) => event.target.open && setTold(await ask(`jobs/diagnosis/${jobId}`));
  return html`<details onToggle=${look}><summary>What is it waiting for?</summary>
    ${told && html`<p>${sentence(told.reason)}</p><${Facts} of=${[
      ["Next try", told.next_retry_at && moment(told.next_retry_at)],
      ["A worker was last heard", told.lease_age_seconds !== null && `${duration(told.lease_age_seconds)} ago`],
      ["It is given up after", duration(told.worker_given_up_after_seconds)],
      ["Messages waiting", told.queues.messages && Object.entries(told.queues.messages).map(([name, depth]) => `${name} ${depth}`).join(", ")],
    ]} />`}</details>`;
}

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

function JobError({ job, remedies }) {
  const { code, message } = job.error;
  const { meaning, remedy, happens } = remedies[code] || {};
  return html`<section class="notice ${job.status === "failed" ? "danger" : "neutral"}" aria-labelledby="error">
    <h2 id="error" class="notice-title">${job.status === "cancelled" ? "Cancelled" : `It failed: ${(meaning || words(code)).split(";")[0]}`}</h2>
    <p>${sentence(message.replace(/\.$/, ""))}</p>
    ${(remedy || happens) && job.status === "failed" && html`<p class="remedy"><b>${remedy ? "What helps" : "What happens"}</b> ${sentence(remedy || happens)}</p>`}
    <p class="code-line"><code>${code}</code>${job.stage_name && html` in <code>${job.stage_name}</code>`}</p></section>`;
}

function Outcome({ result, job }) {
  if (!result.table) return html`<details class="card" open><summary><h2>Result</h2></summary><pre tabindex="0">${JSON.stringify(result, null, 2)}</pre></details>`;
  const { table, source, replaced } = result;
  const name = `${table.schema}.${table.name}`;
  return html`<section class="card" aria-labelledby="table"><h2 id="table">Table</h2>
    ${result.degraded && html`<div class="notice warning"><p class="notice-title">Without a catalog entry</p><p>${result.degraded_reason}</p></div>`}
    <${Facts} of=${[
      ["Table", html`<code>${name}</code>`], ["Geometry", `${table.geometry_type}, EPSG:${table.srid}`], ["Extent", extent(table.bbox)],
      ["Source", `${source.driver}, ${bytes(source.bytes)}`], ["CRS of the source", `${source.crs} (${source.crs_found_in})`], ["Layer", source.layer],
      ["Replaced", replaced && `${number(replaced.rows_before)} rows before, ${number(replaced.rows_after)} now`],
      ["STAC item", result.stac && html`<code>${result.stac.collection}/${result.stac.item_id}</code>`],
    ]} />
    <p class="links"><a class="button" href=${mapUrl(name)}>Map</a><${ItemsButton} name=${name} rows=${result.rows.loaded} /></p>
    <${Addresses} name=${name} />
    <details><summary>${count(table.columns.length, "column")}${table.renamed.length ? `, ${table.renamed.length} renamed` : ""}</summary><${Columns} table=${table} /></details></section>`;
}

export function Columns({ table }) {
  const reasons = Object.fromEntries([...(table.renamed || []).map((each) => [each.name, each.reason]), ...(table.notes || []).map((each) => [each.name, each.note])]);
  return html`<div class="scroll"><table><thead><tr><th scope="col">Column</th><th scope="col">Type</th><th scope="col">In the file</th><th scope="col">Note</th></tr></thead>
    <tbody>${table.columns.map((column) => html`<tr key=${column.name}><th scope="row"><code>${column.name}</code></th><td>${column.pg_type}</td>
      <td>${column.source}</td><td>${reasons[column.name] || (column.examples || []).join(", ")}</td></tr>`)}</tbody></table></div>`;
}

function Tasks({ tasks }) {
  const [all, setAll] = useState(false);
  const failedFirst = [...tasks].sort((one, other) => (other.status === "failed") - (one.status === "failed"));
  const shown = all ? tasks : failedFirst.slice(0, SHOWN_TASKS);
  return html`<details class="card"><summary><h2>Tasks</h2> <span class="muted">${number(tasks.length)}</span></summary>
    <div class="scroll" tabindex="0" role="region" aria-label="Tasks"><table>
      <thead><tr><th scope="col">Task</th><th scope="col">Status</th><th scope="col" class="right">Tries</th><th scope="col" class="right">Rows</th><th scope="col" class="right">Rows/s</th><th scope="col" class="right">Took</th><th scope="col">Error</th></tr></thead>
      <tbody>${shown.map((task) => html`<${TaskRow} key=${task.task_id} task=${task} />`)}</tbody></table></div>
    ${shown.length < tasks.length && html`<p class="more"><button type="button" onClick=${() => setAll(true)}>Show all ${number(tasks.length)} tasks</button></p>`}</details>`;
}

function TaskRow({ task }) {
  const result = task.result || {};
  const error = task.status === "completed" ? null : task.error;
  return html`<tr><th scope="row">${words(task.task_type)} ${task.task_index + 1}</th><td><${Badge} status=${task.status === "pending" ? "queued" : task.status} /></td>
    <td class="right">${task.attempt}</td><td class="right">${number(result.rows_loaded)}</td>
    <td class="right">${result.rows_per_second ? number(Math.round(result.rows_per_second)) : "–"}</td>
    <td class="right">${task.started_at ? duration(between(task.started_at, task.finished_at)) : "–"}</td>
    <td>${error ? html`<code>${error.code}</code> ${error.message}` : task.not_before && task.status !== "processing" ? `next try ${moment(task.not_before)}` : ""}</td></tr>`;
}

function Runs({ job }) {
  return html`<section class="card" aria-labelledby="runs"><h2 id="runs">Earlier runs</h2><div class="scroll"><table>
    <thead><tr><th scope="col">Run</th><th scope="col">Ended</th><th scope="col">When</th><th scope="col">Took</th><th scope="col">Error</th></tr></thead>
    <tbody>${job.runs.filter((run) => run.run < job.run).map((run) => html`<tr key=${run.run}><th scope="row">${run.run}</th><td><${Badge} status=${run.status} /></td>
      <td>${moment(run.finished_at)}</td><td>${duration(between(run.started_at, run.finished_at))}</td><td>${run.error ? html`<code>${run.error.code}</code> ${run.error.message}` : ""}</td></tr>`)}</tbody></table></div></section>`;
}
