// Prompts, answers and Stop. A prompt is in the log or visibly not: from the tap until its 202 it is kept in
// this browser with its idempotency key, and sent again with the same key until the server has said one or the other.

import { $, $$, api, kept, make, root, silence, uuid } from "./dom.js";

const AGAIN = 5_000; // ms until what could not be sent is tried once more, where nothing else calls for it
const LONGEST = 35_000; // ms that a window takes at most to send one: two requests, of 15 s each

/** The box: a draft that survives, height that follows the text, Ctrl or Cmd and Enter. */
export function writes(form, name, submit) {
  const text = $("textarea", form), draft = `draft:${name}`;
  if (!text.value) text.value = kept.get(draft) ?? "";
  const changed = () => {
    kept.set(draft, text.value || null);
    if (!CSS.supports("field-sizing", "content")) {
      text.style.height = "auto";
      text.style.height = `${text.scrollHeight + 2}px`;
    }
    form.dispatchEvent(new Event("changed"));
  };
  text.addEventListener("input", changed);
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit($(".send", form));
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const preset = event.submitter?.name === "preset" ? event.submitter : null;
    const prompt = preset ? preset.dataset.text : text.value;
    if (!prompt.trim()) return void text.focus();
    if (!preset) text.value = "";
    submit(prompt, preset);
    changed();
  });
  changed();
  return text;
}

/** What is on its way, in order: the next goes when the one before has arrived. */
export class Outbox {
  /** `send(entry)` resolves to {status, body, arrived}: `arrived`, nothing needs to be shown of it any more. */
  constructor({ name, list, send }) {
    Object.assign(this, { list, send, name: `outbox:${name}` });
    addEventListener("online", () => this.go());
    document.addEventListener("visibilitychange", () => document.hidden || this.go());
    addEventListener("storage", (event) => event.key === this.name && this.show());
    this.said = new Map(); // key → why it is still here
    this.show();
    this.go();
  }

  get entries() { return kept.get(this.name) ?? []; }
  set entries(entries) { kept.set(this.name, entries.length ? entries : null); this.show(); }

  put(entry) {
    this.entries = [...this.entries, { key: uuid(), ...entry }];
    this.go();
  }

  drop(key) {
    this.said.delete(key);
    this.entries = this.entries.filter((entry) => entry.key !== key);
  }

  /** The first that the server has not got. */
  get next() { return this.entries.find((entry) => !entry.taken); }

  /** Sends what waits. Called at any sign that it might work now. */
  async go() {
    if (this.busy || !this.next) return;
    this.busy = true;
    clearTimeout(this.timer);
    const went = await alone(this.name, () => this.sendNext());
    this.busy = false;
    if (went) this.go();
  }

  /** Resolves to whether it went. */
  async sendNext() {
    const entry = this.next;
    if (!entry) return false; // another window has sent it meanwhile
    this.say(entry.key, "Sending…");
    const { status, body, arrived } = await this.send(entry);
    if (status !== 202) this.failed(entry.key, status, body);
    else if (arrived) this.drop(entry.key);
    else this.accepted(entry.key, body.turn ?? body.queued);
    return status === 202;
  }

  /** The server has it, as this line; it leaves the box when the line is here. */
  accepted(key, line) {
    this.said.set(key, "Sent");
    this.entries = this.entries.map((entry) => (entry.key === key ? { ...entry, taken: line } : entry));
  }

  /** All up to line `last` is here. */
  caughtUp(last) {
    this.entries = this.entries.filter((entry) => !(entry.taken <= last));
    this.go();
  }

  failed(key, status, answer) {
    const why = answer.detail ?? answer.title ?? `the server answered ${status}`;
    const [silent, who] = silence();
    if (status === 0) this.say(key, `Not sent: ${silent}. It will go when ${who} back.`, true);
    else if (status === 409) this.say(key, `Not sent yet: ${why}`, true);
    else if (status === 401) this.say(key, "Not sent: you are logged out. It is kept; log in and it will go.", true);
    else this.say(key, `Not sent: ${why}`, true);
    if (status === 0 || status === 409 || status >= 500) this.timer = setTimeout(() => this.go(), AGAIN);
  }

  /** A prompt of ours stands in the log: whatever we thought of it, it has arrived. */
  seen(key) {
    if (this.entries.some((entry) => entry.key === key)) this.drop(key);
  }

  say(key, words, choices) {
    this.said.set(key, words);
    this.choices = choices ? key : null;
    this.show();
  }

  show() {
    this.list.replaceChildren(...this.entries.map((entry) => {
      const line = make("li", {}, make("p", { textContent: entry.prompt }),
        make("span", { role: "status", textContent: this.said.get(entry.key) ?? (entry.taken ? "Sent" : "Waiting") }));
      if (this.choices === entry.key) {
        line.append(make("button", { type: "button", textContent: "Try now", onclick: () => this.go() }),
          make("button", { type: "button", textContent: "Discard", onclick: () => this.drop(entry.key) }));
      }
      return line;
    }));
  }
}

/**
 * Does the work while no other window does any of that name. It goes on without a lock where the browser has none (plain
 * http), or a window that was put to sleep holds it: a key that comes twice begins nothing twice.
 */
async function alone(name, work) {
  try {
    return await navigator.locks.request(name, { signal: AbortSignal.timeout(LONGEST) }, work);
  } catch {
    return work();
  }
}

/** The two buttons of a question. It vanishes when its answer stands in the log, not when it was sent. */
export function answers(form, session, say) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { name, value } = event.submitter;
    const buttons = $$("button", event.submitter.closest(".card"));
    for (const button of buttons) button.disabled = true;
    say(name === "refuse" ? "Refusing…" : "Allowing…");
    const body = { request: value, allow: name !== "refuse", ...(name === "allow_session" && { for_session: true }) };
    const { status, body: answer } = await api("POST", `/api/sessions/${session}/answers`, body);
    if (status === 202) return say("");
    for (const button of buttons) button.disabled = false;
    const [silent, who] = silence();
    say(status === 0 ? `Not answered: ${silent}. Tap again when ${who} back.`
      : `Not answered: ${answer.detail ?? `the server answered ${status}`}`);
  });
}

/** A prompt that waits is taken back, and stands in the box again, below what is written there. */
export function withdraws(form, session, box, say) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const line = event.submitter.value;
    const prompt = await textOf(session, line).catch(() => null);
    if (prompt === null) return say("Not taken back: its text cannot be fetched now.");
    const { status, body } = await api("DELETE", `/api/sessions/${session}/queue/${line}`);
    if (status !== 200) return say(`Not taken back: ${status === 0 ? `${silence()[0]}.` : body.detail ?? status}`);
    say(box.value ? "Taken back: it stands below your draft." : "");
    box.value = box.value ? `${box.value}\n\n${prompt}` : prompt;
    box.dispatchEvent(new Event("input"));
  });
}

/** The text of a line of the log: the page folds what is long, and marks what is hidden. Reads no further than that line. */
async function textOf(session, line) {
  const url = `${root}/api/sessions/${session}/events?after=${line - 1}`;
  const answer = await fetch(url, { signal: AbortSignal.timeout(15_000) });
  if (!answer.ok) throw new Error(answer.statusText);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let read = "", part = {};
  while (!part.done && !read.includes("\n")) {
    part = await reader.read();
    read += part.value ?? "";
  }
  reader.cancel();
  return JSON.parse(read.split("\n", 1)[0]).text;
}

/** Stop: one tap, and it shows that it worked when the log says so. */
export function stops(form, session, say) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.submitter;
    button.disabled = true;
    say("Stopping…");
    const { status, body } = await api("POST", `/api/sessions/${session}/cancel`, {});
    button.disabled = false;
    const [silent, who] = silence();
    if (status === 0) say(`Not stopped: ${silent}. Tap again when ${who} back.`);
    else if (status !== 200) say(`Not stopped: ${body.detail ?? `the server answered ${status}`}`);
    else say(body.cancelled ? "" : "Nothing was running.");
  });
}

/** Sends a prompt to a session; while a turn runs it waits there for its end. */
export const toSession = (session) => async ({ key, prompt }) => {
  const body = { prompt, queue: true };
  const answer = await api("POST", `/api/sessions/${session}/turns`, body, { "idempotency-key": key });
  return { ...answer, arrived: document.getElementById(`e${answer.body.turn ?? answer.body.queued}`) !== null };
};

/** Makes a session, sends it the prompt and goes there. */
export async function toNewSession({ key, prompt, agent, model }) {
  const made = await api("POST", "/api/sessions", { agent, ...(model && { model }) }, { "idempotency-key": key });
  if (made.status !== 201) return made;
  const sent = await toSession(made.body.id)({ key, prompt });
  if (sent.status === 202) location.assign(`${root}/sessions/${made.body.id}#end`);
  return { ...sent, arrived: true };
}
