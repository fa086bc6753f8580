// The dashboard: which page the address asks for, and what stands around it.

import { JobPage } from "./job.js";
import { JobsPage } from "./jobs.js";
import { QueuesPage } from "./queues.js";
import { base, hasKey } from "./session.js";
import { SubmitPage } from "./submit.js";
import { TablesPage } from "./tables.js";
import { Empty, KeyForm, Title, dropKey, html, render, useEffect, useState } from "./view.js";
import { follow, here, urlTo } from "./routes.js";

const PAGES = [
  { path: "jobs", name: "Jobs", page: JobsPage },
  { path: "load", name: "Load a file", page: SubmitPage },
  { path: "tables", name: "Tables", page: TablesPage },
  { path: "queues", name: "Queues", page: QueuesPage },
];

function Dashboard() {
  const [path, setPath] = useState(here());
  const [refused, setRefused] = useState(null);
  const [keys, setKeys] = useState(0);
  useEffect(() => follow(setPath), []);
  if (refused) {
    const entered = () => {
      setRefused(null);
      setKeys(keys + 1);
    };
    return html`<${KeyForm} wasWrong=${refused.hadKey} onKey=${entered} />`;
  }
  const needKey = () => setRefused({ hadKey: hasKey() });
  return html`
    <a class="skip" href=${`${location.pathname}#main`} onClick=${skip}>Skip to content</a>
    <header class="top">
      <a class="brand" href=${urlTo("jobs")}><img src=${new URL("static/icon.svg", base).pathname} alt="" width="26" height="26" />vector-etl</a>
      <nav aria-label="Pages"><ul>${PAGES.map(
        (page) => html`<li key=${page.path}><a href=${urlTo(page.path)}
          aria-current=${path[0] === page.path ? "page" : undefined}>${page.name}</a></li>`,
      )}</ul></nav>
      <button type="button" class="quiet sign-out" onClick=${dropKey}>Forget key</button>
    </header>
    <main id="main" tabindex="-1"><${Page} path=${path} needKey=${needKey} key=${`${path.join("/")} ${keys}`} /></main>`;
}

function Page({ path, needKey }) {
  if (path[0] === "jobs" && path[1]) return html`<${JobPage} jobId=${path[1]} needKey=${needKey} />`;
  const found = PAGES.find((page) => page.path === path[0]);
  if (found && path.length === 1) return html`<${found.page} needKey=${needKey} />`;
  return html`<${Title} text="There is no such page" /><${Empty} title="Nothing here">
    <p>Try the <a href=${urlTo("jobs")}>jobs</a>.</p><//>`;
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

render(html`<${Dashboard} />`, document.getElementById("app"));
