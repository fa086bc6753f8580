// How far a job is: a bar of its stages, rows per second, and when it will be done.

import { between, count, duration, number, words } from "./format.js";
import { html } from "./view.js";

/** One piece for each stage, filled as far as its tasks are done. */
export function StageBar({ job }) {
  const stages = job.progress.stages;
  const pieces = Array.from({ length: job.total_stages }, (_, index) => stages[index + 1]);
  const percent = job.progress.percent;
  return html`<div class="stage-bar" role="progressbar" aria-label="Progress" aria-valuemin="0" aria-valuemax="100"
      aria-valuenow=${percent} aria-valuetext=${`${percent} percent, ${summary(job)}`}>
    ${pieces.map((stage, index) => html`<span class="stage-piece" key=${index}>
      <span class=${`stage-fill ${pieceClass(job, stage)}`} style=${{ width: `${filled(stage) * 100}%` }}></span>
    </span>`)}
  </div>`;
}

const filled = (stage) => (stage ? stage.completed / stage.total : 0);

function pieceClass(job, stage) {
  if (stage && stage.failed) return "failed";
  if (job.status === "cancelled") return "cancelled";
  return stage && stage.completed === stage.total ? "done" : "going";
}

/** Rows a second since the upload began, and the seconds left of the stage that is at work: both averages, so that they
    do not jump. */
export function pace(job) {
  const stage = job.progress.stages[job.stage];
  if (!stage || job.status !== "processing" || stage.completed === stage.total) return { rate: null, left: null };
  const elapsed = between(stage.started_at);
  const rate = job.progress.rows_loaded && elapsed > 0.5 ? job.progress.rows_loaded / elapsed : null;
  const rest = job.progress.rows_total - job.progress.rows_loaded;
  if (rate && rest > 0) return { rate, left: rest / rate };
  return { rate, left: stage.completed && elapsed > 0.5 ? (elapsed / stage.completed) * (stage.total - stage.completed) : null };
}

export function paceInWords(job) {
  const { rate, left } = pace(job);
  const parts = [];
  const { rows_loaded: loaded, rows_total: total } = job.progress;
  if (loaded) parts.push(`${number(loaded)}${total ? ` of ${number(total)}` : ""} rows`);
  if (rate) parts.push(`${number(Number(rate.toPrecision(3)))} rows/s`);
  if (left !== null) parts.push(`about ${duration(left)} left of this stage`);
  return parts.join(" · ");
}

/** upload_chunks: 5 of 10 chunks -> Upload chunks: 5 of 10 chunks */
export const summary = (job) => job.progress.summary.replace(/^[a-z_]+(?=:)/, words);

/** Each stage with its tasks, in words. */
export function StageList({ job }) {
  const { stages } = job.progress;
  return html`<ol class="stages">${Array.from({ length: job.total_stages }, (_, index) => {
    const stage = stages[index + 1];
    if (!stage) return html`<li key=${index} class="waiting"><span class="stage-name">Stage ${index + 1}</span><span class="muted">not begun</span></li>`;
    const done = stage.completed === stage.total;
    return html`<li key=${index} class=${stage.failed ? "failed" : done ? "done" : "going"}>
      <span class="stage-name">${words(stage.name)}</span>
      <span class="muted">${stageInWords(stage)}</span>
      <span class="muted stage-time">${duration(between(stage.started_at, done || job.finished_at ? stage.updated_at : null))}</span>
    </li>`;
  })}</ol>`;
}

function stageInWords(stage) {
  const waiting = stage.queued + stage.pending;
  const parts = [stage.total === stage.completed ? count(stage.total, "task") : `${number(stage.completed)} of ${count(stage.total, "task")}`];
  if (stage.processing) parts.push(`${number(stage.processing)} at work`);
  if (waiting) parts.push(`${number(waiting)} waiting`);
  if (stage.failed) parts.push(`${number(stage.failed)} failed`);
  return parts.join(", ");
}

