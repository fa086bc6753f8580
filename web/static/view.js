// What all pages are built from. Preact puts every text into a text node: nothing from data is ever parsed as HTML.

import { html, render, useEffect, useMemo, useRef, useState } from "./vendor/htm-3.1.1/standalone.module.js";
import { words } from "./format.js";
import { moved } from "./routes.js";
import { forgetKey, setKey } from "./session.js";

export { html, render, useEffect, useMemo, useRef, useState };

const LONGEST_PAUSE = 15;

/**
 * Load again and again, as long as somebody looks. `pause(data)`: seconds until the next time, null to stop.
 * Returns {data, problem, reload}; the data of before stay while the app does not answer.
 */
export function usePolled(load, pause, dependencies) {
  const [state, setState] = useState({ data: null, problem: null });
  const again = useRef(() => {});
  useEffect(() => {
    const control = new AbortController();
    let timer = 0;
    let failures = 0;
    let next = null;
    const step = async () => {
      clearTimeout(timer);
      try {
        const data = await load(control.signal);
        if (control.signal.aborted) return;
        failures = 0;
        setState({ data, problem: null });
        next = pause(data);
      } catch (problem) {
        if (control.signal.aborted) return;
        failures += 1;
        setState((before) => ({ data: before.data, problem }));
        next = problem.status && problem.status < 500 ? null : Math.min(2 ** failures, LONGEST_PAUSE);
      }
      if (next !== null && !document.hidden) timer = setTimeout(step, next * 1000);
    };
    const wake = () => {
      clearTimeout(timer);
      if (!document.hidden && next !== null) step();
    };
    again.current = step;
    setState({ data: null, problem: null });
    step();
    document.addEventListener("visibilitychange", wake);
    return () => {
      control.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", wake);
    };
  }, dependencies);
  return { ...state, reload: () => again.current() };
}

/** A promise's value, asked for anew when a dependency changes. */
export function useLoaded(load, dependencies) {
  const { data, problem } = usePolled(load, () => null, dependencies);
  return { data, problem };
}

const ICONS = {
  queued: "M8 4.5V8l2.5 1.5",
  processing: "M8 1.5A6.5 6.5 0 0 1 14.5 8",
  completed: "m5 8.2 2.2 2.2L11.2 6",
  failed: "m5.7 5.7 4.6 4.6m0-4.6-4.6 4.6",
  cancelled: "M5 8h6",
};

export function Icon({ status }) {
  return html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
    <circle cx="8" cy="8" r="6.5" class="icon-ring" /><path d=${ICONS[status] || ICONS.queued} class="icon-sign" />
  </svg>`;
}

export const Badge = ({ status }) =>
  html`<span class="badge ${status}"><${Icon} status=${status} />${words(status)}</span>`;

/** What went wrong, and what to do about it. */
export function ProblemNotice({ problem, remedy, children }) {
  if (!problem) return null;
  const away = !problem.status || problem.status >= 500;
  const lists = problem.errors && problem.errors.length > 1;
  return html`<div class="notice ${away ? "warning" : "danger"}" role="alert">
    <p class="notice-title">${away ? "The app does not answer" : "That was refused"}</p>
    ${lists
      ? html`<ul>${problem.errors.map((error) => html`<li><code>${error.parameter}</code> ${error.detail}</li>`)}</ul>`
      : html`<p>${problem.status ? problem.message : "It is asked again in a moment. What you see may be old."}</p>`}
    ${remedy && html`<p>${remedy}</p>`}
    ${children}
    ${problem.code && html`<p class="code-line"><code>${problem.code}</code></p>`}
  </div>`;
}

export function Loading({ what }) {
  return html`<p class="loading" aria-busy="true">Loading ${what} …</p>`;
}

export function Empty({ title, children }) {
  return html`<div class="empty"><p class="empty-title">${title}</p>${children}</div>`;
}

/** A heading that takes the focus when its page is entered from another one, so that screen readers begin there. */
export function Title({ children, text }) {
  const heading = useRef(null);
  useEffect(() => {
    document.title = `${text} – vector-etl`;
  }, [text]);
  useEffect(() => {
    if (moved) heading.current.focus({ preventScroll: true });
  }, []);
  return html`<h1 tabindex="-1" ref=${heading}>${children || text}</h1>`;
}

export function Facts({ of }) {
  const shown = of.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  return html`<dl class="facts">${shown.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

export function Copy({ text, label }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  return html`<button type="button" class="quiet" onClick=${copy} aria-label=${copied ? "Copied" : label}>${copied ? "Copied" : "Copy"}</button>`;
}

/** Asks for the function key when the app wants one. */
export function KeyForm({ wasWrong, onKey }) {
  const submit = (event) => {
    event.preventDefault();
    setKey(new FormData(event.target).get("key"));
    onKey();
  };
  return html`<main class="key-page">
    <form class="card key-form" onSubmit=${submit}>
      <h1>Function key</h1>
      <p>This app shows its jobs and tables to those who hold one of its function keys.</p>
      <label for="key">Key</label>
      <input id="key" name="key" type="password" autocomplete="off" required autofocus aria-describedby="key-help"
             aria-invalid=${wasWrong ? "true" : undefined} />
      ${wasWrong && html`<p class="field-error" role="alert">The app did not take this key.</p>`}
      <p id="key-help" class="muted">On your machine <code>make status</code> names it (<code>FUNCTIONS_KEY</code> in
        <code>.local/stack.env</code>); in Azure it is under “App keys”. It is kept until this tab is closed.</p>
      <button type="submit" class="primary">Continue</button>
    </form>
  </main>`;
}

export function dropKey() {
  forgetKey();
  location.reload();
}


/** Tell the page around it that the app wants a key. */
export function useKeyWish(problem, needKey) {
  useEffect(() => {
    if (problem && problem.needsKey) needKey();
  }, [problem]);
}
