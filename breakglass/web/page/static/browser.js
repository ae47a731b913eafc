// What the scripts use of the browser: elements of the page, and stored values. Markup and script addresses enter the
// document only through this module.

const trusted = { createHTML: (html) => html, createScriptURL: (url) => url };
// The page's Content-Security-Policy requires Trusted Types. What passes here comes from our own server, which has
// escaped it.
const policy = globalThis.trustedTypes?.createPolicy("breakglass", trusted) ?? trusted;

/** The path under which a proxy publishes this server; "" without one. */
export const root = document.body.dataset.root;

export const $ = (selector, within = document) => within.querySelector(selector);
export const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

/** Returns a separate document: nothing in it runs or loads. */
export const parse = (html) => new DOMParser().parseFromString(policy.createHTML(html), "text/html");

export const scriptURL = (url) => policy.createScriptURL(url);

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const memory = new Map(); // for browsers that forbid storage, or where it is full: lasts as long as the page

/** What this browser remembers: drafts, unsent prompts, settings. */
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
