// The few words that all the scripts share.

const trusted = { createHTML: (html) => html, createScriptURL: (url) => url };
// The page's policy asks for Trusted Types: markup and script addresses enter by this one door, and all of
// them come from our own server, which has made them inert.
const policy = globalThis.trustedTypes?.createPolicy("breakglass", trusted) ?? trusted;

/** The path below which a proxy shows this server; "" for none. */
export const root = document.body.dataset.root;

export const $ = (selector, within = document) => within.querySelector(selector);
export const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

/** A document of its own: nothing in it runs or loads. */
export const parse = (html) => new DOMParser().parseFromString(policy.createHTML(html), "text/html");

export const scriptURL = (url) => policy.createScriptURL(url);

export function make(tag, names = {}, ...children) {
  const element = Object.assign(document.createElement(tag), names);
  element.append(...children);
  return element;
}

/** What this browser keeps; where storage is forbidden or full, for as long as the page lives. */
const memory = new Map();
export const kept = {
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

/** crypto.randomUUID is only there in secure contexts. */
export function uuid() {
  const hex = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`;
}

/** Sends JSON. Resolves to {status, body}; status 0 is "nothing answered", see `silence`. */
export async function api(method, url, body, headers = {}) {
  try {
    const answer = await fetch(root + url, {
      method, body: body && JSON.stringify(body), signal: AbortSignal.timeout(15_000),
      headers: { "content-type": "application/json", accept: "application/json", ...headers },
    });
    return { status: answer.status, body: await answer.json().catch(() => ({})) };
  } catch {
    return { status: 0, body: {} };
  }
}

/** Why the server did not answer, and who has to be back before it can. */
export const silence = () => (navigator.onLine ? ["the server cannot be reached", "it is"] : ["no network", "you are"]);

/** Fetches a page of ours. Resolves to its document, or null where there is no network or no leave. */
export async function fetchPage(url) {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(15_000), headers: { accept: "text/html" } });
    return answer.ok && !answer.redirected ? parse(await answer.text()) : null;
  } catch {
    return null;
  }
}

const two = (number) => String(number).padStart(2, "0");
export const hhmm = (date) => `${two(date.getHours())}:${two(date.getMinutes())}`;
export const hhmmss = (date) => `${hhmm(date)}:${two(date.getSeconds())}`;
export const day = (date) => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;

/** The same as `one_line` in text.py. */
export function shorten(text, limit) {
  const line = [...text.trim().split(/\s+/).join(" ")];
  return line.length <= limit ? line.join("") : `${line.slice(0, limit - 1).join("").trimEnd()}…`;
}

/** The same as `duration` in text.py. */
export function duration(ms) {
  const s = Math.max(0, ms) / 1000;
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  const all = Math.round(s), minutes = Math.floor(all / 60);
  if (minutes < 60) return minutes ? `${minutes} min ${all % 60} s` : `${all} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Times of the server in the reader's own zone; the whole of it on hover. */
export function localTimes(root) {
  for (const time of $$("time[datetime]", root)) {
    const date = new Date(time.dateTime);
    if (isNaN(date)) continue;
    if (!time.closest("#sessions")) time.textContent = hhmm(date);
    time.title = `${day(date)} ${hhmmss(date)} (${time.dateTime})`;
  }
}
