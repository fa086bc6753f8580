// Load a file: put it there, look at it, say what is to become of it, submit.

import { bytes, count, duration, extent, number, rounded, words } from "./format.js";
import { Columns } from "./job.js";
import { useRemedies } from "./remedies.js";
import { go, urlTo } from "./routes.js";
import { ask } from "./session.js";
import { upload } from "./upload.js";
import { Facts, Loading, ProblemNotice, Title, html, useEffect, useKeyWish, usePolled, useRef, useState } from "./view.js";

const LONGEST_NAME = 57;
const NONE = {};

export function SubmitPage({ needKey }) {
  const [source, setSource] = useState(null);
  const { problem } = usePolled((signal) => ask("readyz", { signal }), () => null, []);
  useKeyWish(problem, needKey);
  return html`<${Title} text="Load a file" />
    ${source
      ? html`<${Plan} source=${source} another=${() => setSource(null)} />`
      : html`<${Source} found=${setSource} />`}`;
}

/** Step one: where the bytes are. found({blob_name, container_name?, size?}). */
function Source({ found }) {
  const [sending, setSending] = useState(null);
  const [problem, setProblem] = useState(null);
  const [over, setOver] = useState(false);
  const stop = useRef(null);
  const send = async (file) => {
    stop.current = new AbortController();
    setProblem(null);
    setSending({ name: file.name, sent: 0, size: file.size });
    try {
      const stored = await upload(file, (sent) => setSending({ name: file.name, sent, size: file.size }), stop.current.signal);
      found(stored);
    } catch (error) {
      if (error.name !== "AbortError") setProblem(error);
    }
    setSending(null);
  };
  const dropped = (event) => {
    event.preventDefault();
    setOver(false);
    if (event.dataTransfer.files.length) send(event.dataTransfer.files[0]);
  };
  if (sending) return html`<${Sending} ...${sending} stop=${() => stop.current.abort()} />`;
  return html`
    <${ProblemNotice} problem=${problem} />
    <section class="card" aria-labelledby="choose"><h2 id="choose">Choose a file</h2>
      <div class=${`drop ${over ? "over" : ""}`} onDragOver=${(event) => { event.preventDefault(); setOver(true); }} onDragLeave=${() => setOver(false)} onDrop=${dropped}>
        <label class="button primary" for="file">Choose a file</label>
        <input id="file" type="file" class="hidden" onChange=${(event) => event.target.files.length && send(event.target.files[0])} />
        <p class="muted">or drop it here. CSV, Excel, GeoPackage, GeoJSON, Shapefile (zipped), FlatGeobuf, GeoParquet, GML, GPX, KML, File Geodatabase (zipped).</p>
      </div>
      <details><summary>It is in the container already</summary>
        <form class="row" onSubmit=${(event) => { event.preventDefault(); found({ blob_name: new FormData(event.target).get("blob").trim() }); }}>
          <div class="field"><label for="blob">Name of the blob</label><input id="blob" name="blob" required placeholder="folder/parcels.gpkg" /></div>
          <button type="submit">Look at it</button></form></details>
    </section>`;
}

function Sending({ name, sent, size, stop }) {
  const percent = Math.floor((100 * sent) / size);
  return html`<section class="card" aria-labelledby="sending"><h2 id="sending">Uploading ${name}</h2>
    <progress max="100" value=${percent} aria-label="Upload">${percent} %</progress>
    <p class="muted">${bytes(sent)} of ${bytes(size)}</p><button type="button" onClick=${stop}>Stop</button></section>`;
}

/** Step two and three: the plan, which follows what is asked for, and the submission. */
function Plan({ source, another }) {
  const named = source.blob_name.split("/").pop();
  const [request, setRequest] = useState({ blob_name: source.blob_name, ...(source.container_name ? { container_name: source.container_name } : {}), table_name: tableName(named) });
  const [look, setLook] = useState(null);
  const [problem, setProblem] = useState(null);
  const [looking, setLooking] = useState(true);
  const remedies = useRemedies();
  useEffect(() => {
    const control = new AbortController();
    setLooking(true);
    ask("jobs/inspect/process_vector", { json: request, signal: control.signal })
      .then((told) => {
        const proposal = Object.entries(told.candidates ? told.candidates.proposed : NONE).filter(([name]) => request[name] === undefined);
        setProblem(null);
        setLook(told);
        setLooking(false);
        // What is proposed is taken, and shown as chosen: the next look tells what comes of it.
        if (proposal.length && told.refusals.some((refusal) => refusal.code === "csv_geometry_missing")) setRequest({ ...request, ...Object.fromEntries(proposal) });
      })
      .catch((error) => {
        if (error.name === "AbortError") return;
        setProblem(error);
        setLooking(false);
      });
    return () => control.abort();
  }, [request]);
  const change = (name, value) => {
    const { [name]: _before, ...others } = request;
    setRequest(value === "" || value === false || value === undefined ? others : { ...others, [name]: value });
  };
  const submit = async (event) => {
    event.preventDefault();
    try {
      const told = await ask("jobs/submit/process_vector", { json: request });
      go(urlTo("jobs", told.job_id));
    } catch (error) {
      setProblem(error);
    }
  };
  const ready = look && look.would_be_accepted && !looking;
  return html`
    <div class="file-line"><span><b>${named}</b> <span class="muted">${source.size ? bytes(source.size) : ""}</span></span><button type="button" class="quiet" onClick=${another}>Another file</button></div>
    <p class="hidden" role="status">${looking ? "Looking at the file" : look ? verdict(look) : ""}</p>
    <${ProblemNotice} problem=${problem} />
    <form onSubmit=${submit} class="plan" aria-busy=${looking ? "true" : "false"}>
      <section class="card" aria-labelledby="target"><h2 id="target">What it becomes</h2><${Fields} request=${request} look=${look} change=${change} /></section>
      ${look && html`<${Verdict} look=${look} remedies=${remedies} change=${change} />`}
      <div class="submit-line">
        <button type="submit" class="primary" disabled=${!ready}>${look && look.submission === "already_completed" ? "Show the finished job" : "Submit"}</button>
        <span class="muted">${looking ? "Looking at the file …" : look ? estimate(look) : ""}</span>
      </div>
      ${look ? html`<${Findings} look=${look} />` : looking && html`<${Loading} what="a look at the file" />`}
    </form>`;
}

const verdict = (look) => (look.would_be_accepted ? "It would be accepted" : `It would be refused: ${count(look.refusals.length, "reason")}`);

function estimate(look) {
  if (!look.would_be_accepted || !look.estimate || !look.estimate.rows) return "";
  const { rows, rows_found_in: from, seconds, chunks } = look.estimate;
  return `${from === "estimated" ? "about " : ""}${from === "estimated" ? rounded(rows) : number(rows)} rows in ${count(chunks, "chunk")}, about ${duration(seconds)}`;
}

function Verdict({ look, remedies, change }) {
  return html`
    ${look.refusals.map((refusal) => html`<div class="notice danger" key=${refusal.code + refusal.parameter}>
      <p class="notice-title">${(remedies[refusal.code] || NONE).meaning ? sentence(remedies[refusal.code].meaning) : words(refusal.code)}</p>
      <p>${refusal.code === "invalid_parameters" && refusal.parameter ? html`<code>${refusal.parameter}</code> ` : ""}${sentence(refusal.message)}</p>
      ${refusal.code === "table_exists" ? html`<p><button type="button" onClick=${() => change("overwrite", true)}>Replace the table</button></p>`
        : refusal.parameter && document.getElementById(`p-${refusal.parameter}`) && html`<p><button type="button" onClick=${() => document.getElementById(`p-${refusal.parameter}`).focus()}>Change ${words(refusal.parameter).toLowerCase()}</button></p>`}
      <p class="code-line"><code>${refusal.code}</code>${refusal.by === "job" ? " the job would fail with it" : ""}</p></div>`)}
    ${(look.warnings || []).map((warning) => html`<div class="notice warning" key=${warning.code + warning.message}><p>${warning.message}</p><p class="code-line"><code>${warning.code}</code></p></div>`)}
    ${look.would_be_accepted && html`<div class="notice good"><p class="notice-title">${look.submission === "already_completed" ? "This very load was completed before" : "It can be loaded"}</p>
      ${!look.complete && html`<p>Not all of it could be looked at in time.</p>`}</div>`}`;
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function Fields({ request, look, change }) {
  const names = look ? sourceColumns(look) : [];
  const layers = look && look.source && look.source.layers.length > 1 ? look.source.layers : [];
  const isTable = look && look.candidates && (["lat", "lon", "wkt", "wkb"].some((kind) => look.candidates[kind].length) || request.lat_name || request.wkt_column);
  return html`<div class="fields">
    <${Text} name="table_name" label="Table" request=${request} change=${change} required help="lower case letters, digits and _" />
    <${Text} name="title" label="Title" request=${request} change=${change} help="for people, on the map and in the catalog" />
    ${layers.length > 0 && html`<${Select} name="layer_name" label="Layer" request=${request} change=${change} none="Choose a layer" options=${layers.map((layer) => [layer.name, `${layer.name}${layer.features === null ? "" : ` (${number(layer.features)})`}`])} />`}
    ${isTable && html`
      <${Select} name="lat_name" label="Latitude" request=${request} change=${change} none="–" options=${names} />
      <${Select} name="lon_name" label="Longitude" request=${request} change=${change} none="–" options=${names} />
      <${Select} name="wkt_column" label="WKT" request=${request} change=${change} none="–" options=${names} />`}
    <${Text} name="source_crs" label="CRS of the file" request=${request} change=${change} help=${look && look.source && look.source.crs ? `found: ${look.source.crs}` : "e.g. EPSG:25832"} />
    <${Text} name="attribution" label="Attribution" request=${request} change=${change} help="who is to be named, e.g. © City of Bremen" />
    <div class="field check"><input id="p-overwrite" type="checkbox" checked=${Boolean(request.overwrite)} onChange=${(event) => change("overwrite", event.target.checked)} />
      <label for="p-overwrite">Replace the table if it is there</label></div>
  </div>`;
}

function sourceColumns(look) {
  const kinds = look.candidates ? ["lat", "lon", "wkt", "wkb"].flatMap((kind) => look.candidates[kind].map((each) => each.column)) : [];
  const columns = look.table && look.table.columns ? look.table.columns.map((column) => column.source) : [];
  return [...new Set([...kinds, ...columns])].map((name) => [name, name]);
}

function Text({ name, label, request, change, help, required }) {
  return html`<div class="field"><label for=${`p-${name}`}>${label}</label>
    <input id=${`p-${name}`} value=${request[name] || ""} required=${required} autocomplete="off" spellcheck="false" aria-describedby=${`h-${name}`}
      onChange=${(event) => change(name, event.target.value.trim())} /><span id=${`h-${name}`} class="help">${help}</span></div>`;
}

function Select({ name, label, request, change, options, none }) {
  const known = options.some(([value]) => value === request[name]) || !request[name] ? options : [[request[name], request[name]], ...options];
  return html`<div class="field"><label for=${`p-${name}`}>${label}</label>
    <select id=${`p-${name}`} value=${request[name] || ""} onChange=${(event) => change(name, event.target.value)}>
      <option value="">${none}</option>${known.map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}</select></div>`;
}

function Findings({ look }) {
  const { source, table, geometry, sample } = look;
  if (!source) return null;
  const types = Object.entries((geometry && geometry.types) || NONE).map(([type, rows]) => `${type} ${number(rows)}`).join(", ");
  const rejected = Object.entries((geometry && geometry.rejected) || NONE).map(([reason, rows]) => `${reason} ${number(rows)}`).join(", ");
  return html`<section class="card" aria-labelledby="found"><h2 id="found">What is in it</h2>
    <${Facts} of=${[
      ["Format", source.driver], ["Layer", source.layer], ["CRS", source.crs && `${source.crs} (${source.crs_found_in})`],
      ["Encoding", source.encoding && `${source.encoding.name}${source.encoding.confidence < 0.9 ? ", likely" : ""}`], ["Delimiter", source.delimiter === "\t" ? "tab" : source.delimiter],
      ["Becomes", table && table.geometry_type], ["Shapes", types], ["Invalid, to be repaired", geometry && geometry.invalid ? number(geometry.invalid) : null],
      ["Would be rejected", rejected], ["Extent", look.extent && extent(look.extent.bbox)], ["Looked at", sample && `${count(sample.rows, "row")}${sample.is_whole ? ", all there are" : ""}`],
    ]} />
    ${table && table.columns && html`<h3>${count(table.columns.length, "column")}</h3><${Columns} table=${table} />`}</section>`;
}

/** A name that the table may have, made of the file's. */
export function tableName(file) {
  const plain = file.replace(/\.[^.]+$/, "").normalize("NFKD").toLowerCase().replace(/[^a-z0-9_]+/g, "_").replace(/^_+|_+$/g, "");
  return (/^[a-z_]/.test(plain) ? plain : `t_${plain}`).slice(0, LONGEST_NAME);
}
