"use strict";
// The key stays in this tab: it is kept in sessionStorage, and taken once from the fragment, which is never sent.

const KEPT = "x-functions-key";
const form = document.getElementById("ask");
const problem = document.getElementById("problem");

function takeFromFragment() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (!given) return;
  sessionStorage.setItem(KEPT, given);
  history.replaceState(null, "", location.pathname + location.search);
}

function withKey(request) {
  // Only to where this page came from.
  const key = sessionStorage.getItem(KEPT);
  if (key && new URL(request.url, location.href).origin === location.origin) request.headers["x-functions-key"] = key;
  return request;
}

async function show() {
  const { url, headers } = withKey({ url: "openapi.json", headers: {} });
  const answer = await fetch(url, { headers });
  if (!answer.ok) return ask(answer.status === 401 ? "" : `The app answered ${answer.status}.`);
  form.hidden = true;
  SwaggerUIBundle({
    spec: await answer.json(),
    dom_id: "#api",
    deepLinking: false,
    validatorUrl: null,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    requestInterceptor: withKey,
  });
}

function ask(why) {
  problem.textContent = why || (sessionStorage.getItem(KEPT) ? "The key was not accepted." : "");
  form.hidden = false;
  form.elements.key.focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEPT, form.elements.key.value);
  show();
});

takeFromFragment();
show();
