// Finding and making elements. Markup and script addresses enter the document only through this module.

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
