// Colours by a column: a few kinds, or five equal parts of numbers.

import { number, rounded } from "./format.js";
import { ask } from "./session.js";
import { Loading, ProblemNotice, html, useLoaded, useMemo, useState } from "./view.js";

// Okabe and Ito's colours, apart also for the colour-blind, and steps of one hue from little to much.
const KINDS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b3a700", "#7f6fc1"];
const OTHER = "#8a949e";
const STEPS = { light: ["#a9cfe8", "#6fadd6", "#3f88bd", "#1f629b", "#0a3d70"], dark: ["#21527c", "#3377ab", "#5b9ccc", "#97c5e5", "#d9edf9"] };
const PLAIN = { light: "#2f7fd1", dark: "#5aa4ec" };
// More kinds than this, and numbers are shown in steps.
const FEW = 8;

export const theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
const stylable = (column) => !["jsonb", "json", "bytea"].includes(column.pg_type);

/** {column, setColumn, classes, paint, problem, loading}; paint: MapLibre's expression for the colour. */
export function useColumnStyle(table) {
  const [column, setColumn] = useState("");
  const { data, problem } = useLoaded((signal) => (column ? ask(`tables/${encodeURIComponent(table.name)}/columns/${encodeURIComponent(column)}`, { signal }) : null), [column]);
  const summary = data && data.column === column ? data : null;
  const classes = useMemo(() => (summary ? classesOf(summary) : null), [summary]);
  const paint = useMemo(() => (classes ? paintOf(column, classes) : PLAIN[theme]), [classes]);
  return { column, setColumn, summary, classes, paint, problem, loading: Boolean(column) && !summary && !problem };
}

/** Each {label, colour, rows?, value?, from?}. */
function classesOf(summary) {
  const borders = summary.quantiles && summary.distinct_values > FEW ? [...new Set(summary.quantiles)] : null;
  const classes = borders && borders.length > 2 ? stepsOf(borders) : kindsOf(summary);
  return summary.nulls ? [...classes, { label: "no value", colour: OTHER, rows: summary.nulls, isNull: true }] : classes;
}

function stepsOf(borders) {
  const colours = STEPS[theme];
  return borders.slice(0, -1).map((from, index) => {
    const colour = colours[Math.round((index * (colours.length - 1)) / Math.max(borders.length - 2, 1))];
    return { label: `${rounded(from)} – ${rounded(borders[index + 1])}`, colour, from };
  });
}

function kindsOf(summary) {
  const kinds = summary.categories.filter((each) => each.value !== null).slice(0, KINDS.length);
  const classes = kinds.map(({ value, rows }, index) => ({ label: value === "" ? "(empty)" : value, value, rows, colour: KINDS[index] }));
  const others = summary.rows - summary.nulls - kinds.reduce((sum, kind) => sum + kind.rows, 0);
  return others > 0 ? [...classes, { label: "others", rows: others, colour: OTHER }] : classes;
}

function paintOf(column, classes) {
  const value = ["get", column];
  const steps = classes.filter((each) => each.from !== undefined);
  const kinds = classes.filter((each) => each.value !== undefined);
  const known = steps.length
    ? ["step", ["to-number", value], steps[0].colour, ...steps.slice(1).flatMap(({ from, colour }) => [from, colour])]
    : kinds.length ? ["match", ["to-string", value], ...kinds.flatMap((kind) => [kind.value, kind.colour]), OTHER] : OTHER;
  return ["case", ["==", ["typeof", value], "null"], OTHER, known];
}

export function StyleChoice({ table, style }) {
  return html`<div class="field"><label for="style-column">Colour by</label>
    <select id="style-column" value=${style.column} onChange=${(event) => style.setColumn(event.target.value)}>
      <option value="">one colour</option>
      ${table.columns.filter(stylable).map((column) => html`<option key=${column.name} value=${column.name}>${column.name}</option>`)}
    </select></div>`;
}

export function Legend({ style, table }) {
  if (style.problem) return html`<${ProblemNotice} problem=${style.problem} />`;
  if (style.loading) return html`<${Loading} what="its values" />`;
  const round = table.geometry_type.includes("Point") ? "round" : "";
  if (!style.classes) return null;
  return html`<ul class="legend" aria-label=${`Colours of ${style.column}`}>${style.classes.map((each) => html`<li key=${each.label}>
      <span class=${`swatch ${round}`} style=${{ background: each.colour }}></span><span>${each.label}</span>
      <span class="muted right">${each.rows !== undefined && !style.summary.sampled ? number(each.rows) : ""}</span></li>`)}</ul>
    ${style.summary.sampled && html`<p class="help">Made of a sample of ${number(style.summary.rows)} rows.</p>`}`;
}
