// Access to the browser: elements of the page, requests to the server, and stored values. Markup and script addresses
// enter the document only through this module.

const trusted = { createHTML: (html) => html, createScriptURL: (url) => url };
// The page's Content-Security-Policy requires Trusted Types. Everything that passes here comes from our own server, which
// has escaped it.
const policy = globalThis.trustedTypes?.createPolicy("breakglass", trusted) ?? trusted;

/** The path of the pages of these sessions. For the copy of another host, it is below `home`. */
export const prefix = document.body.dataset.prefix;

/** The path under which a proxy publishes this server; "" without one. */
export const home = document.body.dataset.static.replace(/\/static\/.*/, "");

/** What a badge says while the server answers. A copy is only as new as what the host has sent. */
export const live = prefix === home ? "Live" : "Copy";

export const $ = (selector, within = document) => within.querySelector(selector);
export const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

/** Whether an element takes part in the layout. `checkVisibility` is too new for iOS 16. */
export const isShown = (element) => element.getClientRects().length > 0;

/** Returns a separate document: nothing in it runs or loads. */
export const parse = (html) => new DOMParser().parseFromString(policy.createHTML(html), "text/html");

export const scriptURL = (url) => policy.createScriptURL(url);

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const TIMEOUT = 15_000; // ms
export const timeout = () => AbortSignal.timeout(TIMEOUT);

/** Sends JSON. Resolves to {status, body}; status 0 means that no answer came, see `unreachable`. */
export async function callAPI(method, url, body, headers = {}) {
  try {
    const response = await fetch(prefix + url, {
      method, body: body && JSON.stringify(body), signal: timeout(),
      headers: { "content-type": "application/json", accept: "application/json", "x-csrf-token": globalThis.csrf(), ...headers },
    });
    if (response.status === 401) forgetPages();
    return { status: response.status, body: await response.json().catch(() => ({})) };
  } catch {
    dispatchEvent(new Event("unanswered"));
    return { status: 0, body: {} };
  }
}

/** Deletes the stored transcripts: this browser is not logged in any more, perhaps because its device was stolen. */
export const forgetPages = () => globalThis.caches?.delete("pages");

/** Returns why no answer came, and the beginning of "… back": "the server is", or "you are" without a network. */
export const unreachable = () =>
  (navigator.onLine ? ["the server cannot be reached", "the server is"] : ["no network", "you are"]);

/**
 * Fetches one of our pages. Resolves to {doc, isLoggedOut}. `doc` is its document, null without a network or without a
 * login. Without a login, the server redirects to the login page.
 */
export async function askForPage(url) {
  try {
    const response = await fetch(url, { signal: timeout(), headers: { accept: "text/html" } });
    const isLoggedOut = response.redirected && new URL(response.url).pathname === `${home}/login`;
    if (isLoggedOut) forgetPages();
    return { doc: response.ok && !response.redirected ? parse(await response.text()) : null, isLoggedOut };
  } catch {
    return { doc: null, isLoggedOut: false };
  }
}

/** Fetches one of our pages. Resolves to its document, or to null without a network or without a login. */
export const fetchPage = async (url) => (await askForPage(url)).doc;

/** Says in `notice` that the login has ended, with a link that leads back here after the next login. */
export function sayLoggedOut(notice) {
  const href = `${home}/login?next=${encodeURIComponent(location.pathname)}`;
  notice.replaceChildren("Not logged in any more. What you wrote is kept. ", make("a", { href, textContent: "Log in" }));
}

const memory = new Map(); // used if the browser forbids storage or its storage is full; lasts as long as the page

/** The values that this browser stores: drafts, unsent prompts, settings. */
export const stored = {
  get(key) {
    if (memory.has(key)) return memory.get(key);
    try { return JSON.parse(localStorage.getItem(key)); } catch { return null; }
  },
  set(key, value) {
    try {
      if (value === null) localStorage.removeItem(key);
      else localStorage.setItem(key, JSON.stringify(value));
      memory.delete(key);
    } catch {
      memory.set(key, value);
    }
  },
};

const pages = globalThis.caches?.open("pages").catch(() => {}); // opened before it is used: a page that is left has no time

/** Stores the page as it is now, for reading without a network. The service worker serves it. */
export async function keepPage() {
  const copy = document.documentElement.cloneNode(true);
  for (const element of $$("dialog, .copy, #announcement", copy)) element.remove(); // the scripts create these again
  $("#notice", copy)?.replaceChildren();
  const html = `<!doctype html>${copy.outerHTML}`;
  const response = new Response(html, { headers: { "content-type": "text/html; charset=utf-8" } });
  await (await pages)?.put(location.pathname, response).catch(() => {});
}
