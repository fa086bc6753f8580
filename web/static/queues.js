// What waits in the queues, and what the janitors found and did.

import { ago, duration, moment, number, words } from "./format.js";
import { urlTo } from "./routes.js";
import { ask } from "./session.js";
import { Empty, Loading, ProblemNotice, Title, html, useKeyWish, usePolled, useState } from "./view.js";

const JANITORS = {
  task_watchdog: "finds tasks whose worker fell silent, or whose message was lost",
  job_health: "mends jobs that do not move on",
  orphan_detector: "clears what ended jobs left, and reads dead letters",
};

export function QueuesPage({ needKey }) {
  const [acted, setActed] = useState(true);
  const { data, problem, reload } = usePolled((signal) => overview(acted, signal), () => 5, [acted]);
  useKeyWish(problem, needKey);
  return html`<${Title} text="Queues" />
    ${problem && !problem.needsKey && html`<${ProblemNotice} problem=${problem} />`}
    ${data ? html`<${Overview} ...${data} acted=${acted} setActed=${setActed} reload=${reload} />` : !problem && html`<${Loading} what="the queues" />`}`;
}

async function overview(acted, signal) {
  const [told, status, history] = await Promise.all([
    ask("queues", { signal }),
    ask("cleanup/status", { signal }),
    ask(`cleanup/history?limit=50${acted ? "&acted=true" : ""}`, { signal }),
  ]);
  return { ...told, status, history: history.runs };
}

function Overview({ queues, dead_letters: letters, status, history, acted, setActed, reload }) {
  const depth = (messages, most) => (messages >= most ? `${number(most)} or more` : number(messages));
  return html`
    <ul class="figures">
      ${queues.messages ? Object.entries(queues.messages).map(([name, messages]) => html`<li key=${name}><b>${depth(messages, queues.at_most)}</b><span>messages in <code>${name}</code></span></li>`)
        : html`<li class="bad"><b>?</b><span>${queues.problem}</span></li>`}
      <li><b>${number(status.open.jobs)}</b><span>open jobs</span></li><li><b>${number(status.open.tasks)}</b><span>open tasks</span></li>
      <li class=${letters.length ? "bad" : ""}><b>${number(letters.length)}</b><span>unreadable messages</span></li>
    </ul>
    <section class="card" aria-labelledby="janitors"><h2 id="janitors">Janitors</h2><ul class="janitors">
      ${Object.entries(status.janitors).map(([name, run]) => html`<${Janitor} key=${name} name=${name} run=${run} reload=${reload} />`)}</ul></section>
    <section class="card" aria-labelledby="history"><div class="card-head"><h2 id="history">History</h2>
      <span class="check"><input id="acted" type="checkbox" checked=${acted} onChange=${(event) => setActed(event.target.checked)} /><label for="acted">Only runs that did something</label></span></div>
      ${history.length ? html`<${History} runs=${history} />` : html`<${Empty} title=${acted ? "Nothing had to be mended" : "No janitor has run yet"} />`}</section>
    ${letters.length > 0 && html`<${Letters} letters=${letters} />`}`;
}

function Janitor({ name, run, reload }) {
  const [busy, setBusy] = useState(false);
  const send = async () => {
    setBusy(true);
    await ask(`cleanup/run?type=${name}`, { method: "POST" }).catch(() => {});
    setBusy(false);
    reload();
  };
  return html`<li><div><b>${words(name)}</b><span class="muted">${JANITORS[name] || ""}</span>
    <span>${run ? html`ran ${ago(run.finished_at)} in ${duration(run.seconds)}: ${actions(run.actions)}` : "has not run yet"}</span></div>
    <button type="button" disabled=${busy} onClick=${send} aria-label=${`Run now: ${words(name)}`}>Run now</button></li>`;
}

/** An action is a list of ids, or a number. */
function actions(done) {
  const parts = Object.entries(done).map(([name, what]) => `${words(name).toLowerCase()} ${Array.isArray(what) ? number(what.length) : typeof what === "object" ? number(Object.keys(what).length) : what}`);
  return parts.length ? parts.join(", ") : "nothing to do";
}

function History({ runs }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="History of the janitors"><table>
    <thead><tr><th scope="col">When</th><th scope="col">Janitor</th><th scope="col">Did</th><th scope="col">To</th><th scope="col" class="right">Took</th></tr></thead>
    <tbody>${runs.map((run) => html`<tr key=${run.janitor + run.started_at}><th scope="row"><time datetime=${run.started_at}>${moment(run.started_at)}</time></th><td>${words(run.janitor)}</td>
      <td>${actions(run.actions)}</td><td>${jobsOf(run.actions).map((jobId) => html`<a key=${jobId} class="id" href=${urlTo("jobs", jobId)}><code>${jobId.slice(0, 8)}</code></a> `)}</td>
      <td class="right">${duration(run.seconds)}</td></tr>`)}</tbody></table></div>`;
}

function jobsOf(done) {
  const found = JSON.stringify(done).match(/\b[0-9a-f]{64}\b/g) || [];
  return [...new Set(found)].slice(0, 3);
}

function Letters({ letters }) {
  return html`<section class="card" aria-labelledby="letters"><h2 id="letters">Messages that nobody could read</h2>
    <p class="muted">They were put into a queue by something else than this app, and are kept in <code>app.dead_letters</code>.</p>
    <div class="scroll"><table><thead><tr><th scope="col">Found</th><th scope="col">Queue</th><th scope="col">Message</th><th scope="col">Reason</th></tr></thead>
    <tbody>${letters.map((letter) => html`<tr key=${letter.queue + letter.message_id}><th scope="row">${moment(letter.found_at)}</th><td>${letter.queue}</td><td><code>${letter.message_id}</code></td><td>${letter.reason}</td></tr>`)}</tbody></table></div></section>`;
}
