// What an error code means and what helps, as docs/errors.md says: remedies.json is made of it.

import { base } from "./session.js";
import { useLoaded } from "./view.js";

let asked = null;

/** {code: {meaning, remedy}}; empty until it is there. */
export function useRemedies() {
  const { data } = useLoaded(remedies, []);
  return data || {};
}

function remedies() {
  asked = asked || fetch(new URL("static/remedies.json", base)).then((answer) => answer.json());
  return asked;
}
