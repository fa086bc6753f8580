// A file into the container: through the app, in blocks, so that no door of the storage account need be open to browsers.

import { ask, base, keyHeaders, Problem, problemOf } from "./session.js";

const AT_ONCE = 3;
const TRIES = 4;

/** Resolves to {container_name, blob_name, size}. told(bytes sent). Throws Problem, or AbortError. */
export async function upload(file, told, signal) {
  const place = await ask("uploads", { json: { file_name: file.name, size: file.size }, signal });
  const size = place.blocks.max_bytes;
  const blocks = Math.ceil(file.size / size);
  let next = 0;
  let sent = 0;
  const worker = async () => {
    while (next < blocks) {
      const number = next;
      next += 1;
      const block = file.slice(number * size, (number + 1) * size);
      await put(below(place.blocks.url.replace("{number}", number)), block, signal);
      sent += block.size;
      told(sent);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return ask(below(place.finish.url), { json: { blocks, size: file.size }, signal });
}

/** The app may name itself by an address that a proxy hides: the path below its own base is what counts. */
const below = (url) => new URL(url.slice(url.indexOf("uploads/")), base).href;

async function put(url, block, signal) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const answer = await fetch(url, { method: "PUT", body: block, headers: keyHeaders(), signal });
      if (answer.ok) return;
      throw new Problem(answer.status, await problemOf(answer));
    } catch (error) {
      const final = signal.aborted || (error.status && error.status < 500);
      if (final || attempt === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500 * 2 ** attempt));
    }
  }
}
