// Asking the app: where it is, the function key, and its answers as JSON or as a Problem.

export const base = new URL("../", import.meta.url);
const STORED = "x-functions-key";
const NO_KEY = 401;
let clockAhead = 0;

takeKeyFromAddress();

/** A key may come once in the fragment, which no server is told: #key=... */
function takeKeyFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (given === null) return;
  setKey(given);
  history.replaceState(null, "", location.pathname + location.search);
}

export function setKey(key) {
  sessionStorage.setItem(STORED, key.trim());
}

export function forgetKey() {
  sessionStorage.removeItem(STORED);
}

export const hasKey = () => sessionStorage.getItem(STORED) !== null;

export function keyHeaders() {
  const key = sessionStorage.getItem(STORED);
  return key ? { "x-functions-key": key } : {};
}

/** What the app refused, as problem+json tells it; `needsKey` when it wants another key. */
export class Problem extends Error {
  constructor(status, told) {
    super(told.detail || told.title || `The app answered ${status}.`);
    this.status = status;
    this.code = told.code || null;
    this.errors = told.errors || [];
    this.jobId = told.job_id || null;
    this.needsKey = status === NO_KEY;
  }
}

/** The answer's JSON. Throws Problem, or TypeError when nobody answers. */
export async function ask(path, options = {}) {
  return (await fetchFrom(path, options)).json();
}

export async function fetchFrom(path, { json, headers, ...options } = {}) {
  const body = json === undefined ? {} : { method: "POST", body: JSON.stringify(json) };
  const type = json === undefined ? {} : { "Content-Type": "application/json" };
  const answer = await fetch(new URL(path, base), {
    cache: "no-store",
    ...body,
    ...options,
    headers: { ...keyHeaders(), ...type, ...headers },
  });
  const date = Date.parse(answer.headers.get("Date"));
  if (date) clockAhead = date - Date.now();
  if (!answer.ok) throw new Problem(answer.status, await problemOf(answer));
  return answer;
}

export async function problemOf(answer) {
  try {
    return await answer.json();
  } catch {
    return {};
  }
}

/** The app's clock, to the second: the browser's may be wrong. */
export function now() {
  return Date.now() + clockAhead;
}

/** Let the user keep what an endpoint answers. */
export async function download(path, name, headers) {
  const answer = await fetchFrom(path, { headers });
  const url = URL.createObjectURL(await answer.blob());
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
