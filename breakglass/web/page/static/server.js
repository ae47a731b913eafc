// Requests to the server.

import { parse, root } from "./browser.js";

const TIMEOUT = 15_000; // ms
export const timeout = () => AbortSignal.timeout(TIMEOUT);

/** Sends JSON. Resolves to {status, body}; status 0 means that no answer came, see `unreachable`. */
export async function callAPI(method, url, body, headers = {}) {
  try {
    const response = await fetch(root + url, {
      method, body: body && JSON.stringify(body), signal: timeout(),
      headers: { "content-type": "application/json", accept: "application/json", ...headers },
    });
    return { status: response.status, body: await response.json().catch(() => ({})) };
  } catch {
    return { status: 0, body: {} };
  }
}

/** Returns why no answer came, and what must come back before one can. */
export const unreachable = () =>
  (navigator.onLine ? ["the server cannot be reached", "the server is"] : ["no network", "you are"]);

/** Fetches one of our pages. Resolves to its document, or to null without a network or without a login. */
export async function fetchPage(url) {
  try {
    const response = await fetch(url, { signal: timeout(), headers: { accept: "text/html" } });
    return response.ok && !response.redirected ? parse(await response.text()) : null;
  } catch {
    return null;
  }
}
