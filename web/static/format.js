// Numbers, times and names as people read them.

import { now } from "./session.js";

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const moments = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;

export const number = (value) => (value === null || value === undefined ? "–" : whole.format(value));
export const rounded = (value) => short.format(value);
export const moment = (text) => (text ? moments.format(new Date(text)) : "–");
export const count = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const power = value < 1000 ? 0 : Math.min(Math.floor(Math.log10(value) / 3), units.length - 1);
  return power ? `${(value / 1000 ** power).toPrecision(3)} ${units[power]}` : `${value} bytes`;
}

/** 0.8 s, 12 s, 3 min 20 s, 2 h 5 min */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < MINUTE) return `${Math.round(seconds)} s`;
  if (seconds < HOUR) return pair(seconds, MINUTE, "min", 1, "s");
  if (seconds < DAY) return pair(seconds, HOUR, "h", MINUTE, "min");
  return pair(seconds, DAY, "d", HOUR, "h");
}

function pair(seconds, large, largeName, small, smallName) {
  const rest = Math.floor((seconds % large) / small);
  return `${Math.floor(seconds / large)} ${largeName}${rest ? ` ${rest} ${smallName}` : ""}`;
}

export function ago(text) {
  const seconds = (now() - Date.parse(text)) / 1000;
  if (seconds < 5) return "just now";
  const largest = seconds < MINUTE ? [1, "s"] : seconds < HOUR ? [MINUTE, "min"] : seconds < DAY ? [HOUR, "h"] : [DAY, "d"];
  return `${Math.floor(seconds / largest[0])} ${largest[1]} ago`;
}

export const between = (from, to) => (from ? ((to ? Date.parse(to) : now()) - Date.parse(from)) / 1000 : null);

/** create_stac -> Create STAC */
export function words(name) {
  const spaced = name.replaceAll("_", " ").replace(/\bstac\b/, "STAC").replace(/\bcrs\b/, "CRS");
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

export function extent(bbox) {
  return bbox ? bbox.map((value) => (Math.abs(value) < 1e-9 ? 0 : value).toFixed(4).replace(/\.?0+$/, "")).join(", ") : "–";
}

export function tableOf(parameters) {
  return parameters.table_name ? `${parameters.schema || "geo"}.${parameters.table_name}` : null;
}
