// Addresses of the dashboard's pages: /api/ui/jobs, /api/ui/jobs/{job_id}, ...

import { base } from "./session.js";

const root = new URL("ui", base).pathname;
let changed = () => {};

/** Whether the page came by a link of another one: the browser itself says so of the first. */
export let moved = false;

export const urlTo = (...parts) => [root, ...parts.map(encodeURIComponent)].join("/");
export const mapUrl = (table, jobId) =>
  new URL(`map/${encodeURIComponent(table)}`, base).pathname + (jobId ? `?job=${jobId}` : "");

/** The parts of the page's path; the jobs when there are none. */
export function here() {
  const parts = location.pathname.slice(root.length).split("/").filter(Boolean).map(decodeURIComponent);
  return parts.length ? parts : ["jobs"];
}

export function go(url) {
  moved = true;
  history.pushState(null, "", url);
  changed(here());
  scrollTo(0, 0);
}

/** Call back with each new path; links to pages of the dashboard are followed without loading anew. */
export function follow(callback) {
  changed = callback;
  const popped = () => {
    moved = true;
    callback(here());
  };
  const clicked = (event) => {
    const link = event.target.closest("a");
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !plain || link.target || link.hash || link.hasAttribute("download")) return;
    if (link.origin !== location.origin || !isPage(link.pathname)) return;
    event.preventDefault();
    go(link.href);
  };
  addEventListener("popstate", popped);
  document.addEventListener("click", clicked);
  return () => {
    removeEventListener("popstate", popped);
    document.removeEventListener("click", clicked);
  };
}

const isPage = (path) => path === root || path.startsWith(`${root}/`);
