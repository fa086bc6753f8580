// When each task ran, side by side: how parallel the work was, and what held it up.

import { duration, words } from "./format.js";
import { now } from "./session.js";
import { html } from "./view.js";

const LANE = 14;
const GAP = 4;
const STAGE_GAP = 12;
const WIDTH = 1000;

export function Timeline({ job }) {
  const begun = job.tasks.filter((task) => task.started_at);
  if (!begun.length) return html`<p class="muted">No task has begun yet.</p>`;
  const start = Date.parse(job.run_started_at);
  const end = Math.max(start + 1, ...begun.map(endOf));
  const across = (time) => (WIDTH * (time - start)) / (end - start);
  let top = 0;
  const bars = [];
  const stages = [];
  for (const [number, stage] of Object.entries(job.progress.stages)) {
    const lanes = packed(begun.filter((task) => task.stage === Number(number)));
    const height = Math.max(lanes.length, 1) * (LANE + GAP) - GAP;
    stages.push({ name: words(stage.name), height });
    for (const [lane, tasks] of lanes.entries()) {
      for (const task of tasks) bars.push({ task, x: across(Date.parse(task.started_at)), to: across(endOf(task)), y: top + lane * (LANE + GAP) });
    }
    top += height + STAGE_GAP;
  }
  const height = top - STAGE_GAP;
  return html`<figure class="timeline">
    <div class="timeline-names" aria-hidden="true">${stages.map((stage, index) => html`<span key=${index} style=${{ height: `${stage.height}px`, marginBottom: `${STAGE_GAP}px` }}>${stage.name}</span>`)}</div>
    <svg viewBox=${`0 0 ${WIDTH} ${height}`} preserveAspectRatio="none" style=${{ height: `${height}px` }} role="img" aria-label=${inWords(job, begun)}>
      ${bars.map(({ task, x, to, y }) => html`<rect key=${task.task_id} class=${`bar ${task.status}`} x=${x} y=${y} width=${Math.max(to - x, 2)} height=${LANE} rx="2"><title>${hint(task)}</title></rect>`)}
    </svg>
    <figcaption class="muted"><span>0 s</span><span>${duration((end - start) / 2000)}</span><span>${duration((end - start) / 1000)}</span></figcaption>
  </figure>`;
}

const endOf = (task) => (task.finished_at ? Date.parse(task.finished_at) : now());

/** Tasks that do not overlap share a lane. */
function packed(tasks) {
  const lanes = [];
  for (const task of [...tasks].sort((one, other) => Date.parse(one.started_at) - Date.parse(other.started_at))) {
    const free = lanes.find((lane) => endOf(lane[lane.length - 1]) <= Date.parse(task.started_at));
    if (free) free.push(task);
    else lanes.push([task]);
  }
  return lanes;
}

const hint = (task) => `Task ${task.task_index + 1} of stage ${task.stage}: ${task.status}, ${duration((endOf(task) - Date.parse(task.started_at)) / 1000)}`;

function inWords(job, begun) {
  const lanes = Object.entries(job.progress.stages).map(([number, stage]) => {
    const tasks = begun.filter((task) => task.stage === Number(number));
    return `${words(stage.name)}: ${tasks.length} tasks, up to ${packed(tasks).length} at a time`;
  });
  return `Timeline. ${lanes.join(". ")}.`;
}
