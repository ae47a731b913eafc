// Sends what the user enters: prompts, answers, Stop, and the withdrawal of a queued prompt.
//
// A prompt is either in the log or visibly not sent. From the tap until its 202 response this browser stores it
// with its idempotency key. It is sent again with the same key until the server accepts or refuses it.

import { $, $$, callAPI, make, prefix, stored, timeout, unreachable } from "./browser.js";

const RETRY = 5_000; // ms until a failed prompt is sent again, unless an event causes that earlier
const LOCK_TIMEOUT = 35_000; // ms to wait for another window: it sends one prompt, in two requests of 15 s at most

/** The unsent prompts of one page, in order. Each is sent when the one before it has arrived. */
export class Outbox {
  /** `send(entry)` resolves to {status, body, arrived}. `arrived`: the entry need not be shown any longer. */
  constructor({ name, list, send }) {
    Object.assign(this, { list, send, name: `outbox:${name}` });
    addEventListener("online", () => this.sendAll());
    document.addEventListener("visibilitychange", () => document.hidden || this.sendAll());
    addEventListener("storage", (event) => event.key === this.name && this.show());
    this.statuses = new Map(); // key → what is shown beside the prompt
    this.show();
    this.sendAll();
  }

  get entries() { return stored.get(this.name) ?? []; }
  set entries(entries) { stored.set(this.name, entries.length ? entries : null); this.show(); }

  add(entry) {
    this.entries = [...this.entries, { key: newKey(), ...entry }];
    this.sendAll();
  }

  remove(key) {
    const { files } = this.entries.find((entry) => entry.key === key) ?? {};
    if (files) forgetFiles(files);
    this.statuses.delete(key);
    this.entries = this.entries.filter((entry) => entry.key !== key);
  }

  /** The first entry that the server has not accepted. */
  get next() { return this.entries.find((entry) => !entry.line); }

  /** Sends the unsent prompts. Called when sending might work again. */
  async sendAll() {
    if (this.busy || !this.next) return;
    this.busy = true;
    clearTimeout(this.timer);
    const wasSent = await withLock(this.name, () => this.sendNext());
    this.busy = false;
    if (wasSent) this.sendAll();
  }

  /** Resolves to whether a prompt was accepted. */
  async sendNext() {
    const entry = this.next;
    if (!entry) return false; // another window has sent it
    this.setStatus(entry.key, "Sending…");
    const { status, body, arrived } = await this.send(entry);
    if (status !== 202) this.failed(entry.key, status, body);
    else if (arrived) this.remove(entry.key);
    else this.accepted(entry.key, body.turn ?? body.queued);
    return status === 202;
  }

  /** The server recorded the prompt as this line. The entry stays until the page shows the line. */
  accepted(key, line) {
    this.statuses.set(key, "Sent");
    this.entries = this.entries.map((entry) => (entry.key === key ? { ...entry, line } : entry));
  }

  /** The page shows every line up to `last`. */
  caughtUp(last) {
    this.entries = this.entries.filter((entry) => !(entry.line <= last));
    this.sendAll();
  }

  failed(key, status, answer) {
    const reason = answer.detail ?? answer.title ?? `the server answered ${status}`;
    const [cause, whatIs] = unreachable();
    if (status === 0) this.setStatus(key, `Not sent: ${cause}. It will be sent when ${whatIs} back.`, true);
    else if (status === 409) this.setStatus(key, `Not sent yet: ${reason}`, true);
    else if (status === 402) this.setStatus(key, `Not sent: ${reason}`, true, true);
    else if (status === 401) this.setStatus(key, "Not sent: you are logged out. It is kept and will be sent after you log in.", true);
    else this.setStatus(key, `Not sent: ${reason}`, true);
    if (status === 0 || status === 409 || status >= 500) this.timer = setTimeout(() => this.sendAll(), RETRY);
  }

  again(key) {
    if (this.over) this.entries = this.entries.map((entry) => (entry.key === key ? { ...entry, over: true } : entry));
    this.sendAll();
  }

  /** The log has a prompt with this key. So it has arrived, even if the response was lost. */
  arrived(key) {
    if (this.entries.some((entry) => entry.key === key)) this.remove(key);
  }

  /** `over`: the budget of the day is spent, so that the prompt needs a second tap. */
  setStatus(key, text, hasButtons, over = false) {
    this.over = over;
    this.statuses.set(key, text);
    this.withButtons = hasButtons ? key : null;
    this.show();
  }

  show() {
    this.list.replaceChildren(...this.entries.map((entry) => {
      const status = this.statuses.get(entry.key) ?? (entry.line ? "Sent" : "Waiting");
      const item = make("li", {}, make("p", { textContent: [entry.prompt, ...(entry.files ?? []).map(({ name }) => name)].join(" · ") }), make("span", { role: "status", textContent: status }));
      if (this.withButtons === entry.key) {
        item.append(make("button", { type: "button", textContent: this.over ? "Send anyway" : "Try now", onclick: () => this.again(entry.key) }),
          make("button", { type: "button", textContent: "Discard", onclick: () => this.remove(entry.key) }));
      }
      return item;
    }));
  }
}

/** crypto.randomUUID exists only in secure contexts. */
function newKey() {
  const hex = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`;
}

/**
 * Runs `work` under a lock that all windows share. Without the lock it runs too: plain http has no locks, and a suspended
 * window may hold one. The idempotency key prevents a second turn.
 */
async function withLock(name, work) {
  try {
    return await navigator.locks.request(name, { signal: AbortSignal.timeout(LOCK_TIMEOUT) }, work);
  } catch {
    return work();
  }
}

/** Returns a function that sends a prompt to a session. While a turn runs, the server queues it. */
export const toSession = (session) => async ({ key, prompt, agent, model, files, steer, over }) => {
  const sent = files && await import("./files.js").then(({ sendFiles }) => sendFiles(session, files), () => ({ status: 0, body: {} }));
  if (sent && sent.status !== 201) return sent;
  const body = { prompt, queue: true, ...(agent && { agent }), ...(model && { model }), ...(sent && { files: sent.paths }), ...(steer && { steer }), ...(over && { over_budget: true }) };
  const answer = await callAPI("POST", `/api/sessions/${session}/turns`, body, { "idempotency-key": key });
  if (files && answer.status === 202) forgetFiles(files);
  return { ...answer, arrived: document.getElementById(`e${answer.body.turn ?? answer.body.queued}`) !== null };
};

/** Creates a session, sends the prompt to it and opens it. */
export async function toNewSession({ key, prompt, agent, model, target, files, over }) {
  const created = await callAPI("POST", "/api/sessions", { agent, ...(model && { model }), ...(target && { target }) }, { "idempotency-key": key });
  if (created.status !== 201) return created;
  const sent = await toSession(created.body.id)({ key, prompt, files, over });
  if (sent.status === 202) location.assign(`${prefix}/sessions/${created.body.id}#end`);
  return { ...sent, arrived: true };
}

// --- forms -----------------------------------------------------------------------------------------

const hasKeyboard = matchMedia("(pointer: fine)").matches; // a phone's Enter is the only key for a new line
const enterSends = () => stored.get("enter-sends") ?? hasKeyboard;

const forgetFiles = (files) => import("./files.js").then(({ forget }) => forget(files), () => {});

/** Photos and files: chosen, pasted or dropped. Returns a function that resolves to `{files}` of this prompt, or to `{}`. */
function connectFiles(form, name) {
  const say = (text) => { $("#notice").textContent = text; };
  let chosen;
  const add = async (files) => {
    chosen ??= import("./files.js").then(({ ChosenFiles }) => new ChosenFiles(form, name, say));
    await chosen.then((own) => own.add(files), () => { chosen = null; say("Not added: without a network, this page cannot take files."); });
  };
  for (const input of $$("[type=file]", form)) input.addEventListener("change", () => {
    add([...input.files]);
    input.value = "";
    for (const menu of $$(".menu[open]", form)) menu.open = false;
  });
  const receive = (event, data) => {
    if (form.hidden || !data?.files.length) return;
    event.preventDefault();
    add([...data.files]);
  };
  form.addEventListener("paste", (event) => receive(event, event.clipboardData));
  addEventListener("dragover", (event) => event.dataTransfer?.types.includes("Files") && event.preventDefault());
  addEventListener("drop", (event) => receive(event, event.dataTransfer));
  if (stored.get(`files:${name}`)) add([]);
  return async () => {
    const files = chosen ? await chosen.then((own) => own.takeAll(), () => []) : [];
    return files.length ? { files } : {};
  };
}

/** The field for a prompt. Its draft survives a reload, its height follows the text. `submit(prompt, more)` sends it. */
export function connectPromptField(form, name, submit) {
  const field = $("textarea", form), draft = `draft:${name}`;
  if (!field.value) field.value = stored.get(draft) ?? "";
  const changed = () => {
    stored.set(draft, field.value || null);
    if (!CSS.supports("field-sizing", "content")) {
      field.style.height = "auto";
      field.style.height = `${field.scrollHeight + 2}px`;
    }
    form.dispatchEvent(new Event("changed"));
  };
  field.addEventListener("input", changed);
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    if (!event.ctrlKey && !event.metaKey && (event.shiftKey || event.altKey || !enterSends())) return;
    event.preventDefault();
    form.requestSubmit($(".send", form));
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const prompt = field.value;
    if (!prompt.trim()) return void field.focus();
    const steer = event.submitter?.name === "steer";
    field.value = "";
    takeFiles().then((more) => submit(prompt, { ...more, ...(steer && { steer }) }));
    changed();
  });
  const takeFiles = connectFiles(form, name);
  connectPresets(form, field);
  showHowToSend(form, field);
  changed();
  return field;
}

/** A ready prompt fills the field. What the user has written stays above it. */
function connectPresets(form, field) {
  const links = $$("a[data-text]", form), { agent } = form.elements;
  for (const link of links) link.addEventListener("click", (event) => {
    event.preventDefault();
    const { text } = link.dataset, isReplaced = !field.value.trim() || links.some((one) => one.dataset.text === field.value);
    field.value = isReplaced ? text : `${field.value}\n\n${text}`;
    if (agent && link.dataset.agent) agent.value = link.dataset.agent;
    for (const menu of $$(".menu[open]", form)) menu.open = false;
    field.dispatchEvent(new Event("input"));
    if (hasKeyboard) field.focus(); // a phone's keyboard would hide the page
  });
}

/** Says below the field what Enter does, and connects the menu's button that changes it. */
function showHowToSend(form, field) {
  const how = make("p", { id: "how", className: "meta" }), other = hasKeyboard ? "Ctrl+Enter sends" : "The button sends";
  const show = () => {
    how.textContent = enterSends() ? "Enter sends · Shift+Enter: new line" : `Enter: new line · ${other}`;
    field.enterKeyHint = enterSends() ? "send" : "enter";
    for (const button of $$("[data-do=enter]")) button.ariaPressed = String(enterSends());
  };
  for (const button of $$("[data-do=enter]")) {
    button.hidden = form.hidden;
    button.addEventListener("click", () => { stored.set("enter-sends", !enterSends()); show(); });
  }
  field.setAttribute("aria-describedby", "how");
  form.append(how);
  show();
}

/** The buttons of a question. The question closes when the log has its answer, not when the answer was sent. */
export function connectAnswers(form, session, say) {
  document.addEventListener("input", ({ target }) => {
    const other = target.matches(".decision textarea") && target.value && $(".other", target.closest(".decision"));
    if (other) other.checked = true;
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { name, value } = event.submitter, card = event.submitter.closest(".card");
    const buttons = $$("button", card);
    for (const button of buttons) button.disabled = true;
    say({ refuse: "Refusing…", choose: "Sending the answer…" }[name] ?? "Allowing…");
    const message = $(".reason", card)?.value.trim();
    const body = { request: value, allow: name !== "refuse", ...(message && { message }), ...(name === "allow_session" && { for_session: true }),
      ...(name === "choose" && { answers: chosenAnswers(card) }) };
    const answer = await callAPI("POST", `/api/sessions/${session}/answers`, body);
    if (answer.status === 202) return say("");
    for (const button of buttons) button.disabled = false;
    $(".proposed", card).dispatchEvent(new Event("scroll")); // what was not read to its end stays without permission
    say(`Not answered: ${failure(answer)}`);
  });
}

/** Returns what is chosen and typed in a question's card, by the id of each choice. The names are those of the form. */
function chosenAnswers(card) {
  const answers = {};
  for (const field of $$(".decision :is(:checked, textarea, [type=password])", card)) {
    const [, id] = JSON.parse(field.name.slice(field.name.indexOf(":") + 1));
    const text = field.matches(":checked") ? field.value && JSON.parse(field.value) : field.value;
    if (text.trim()) (answers[id] ??= []).push(text);
  }
  return answers;
}

/** Withdrawing a queued prompt puts its text back into the field, below what the user has written there. */
export function connectWithdraw(form, session, field, say) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const line = event.submitter.value;
    const prompt = await fetchPrompt(session, line).catch(() => null);
    if (prompt === null) return say("Not withdrawn: its text cannot be loaded now.");
    const { status, body } = await callAPI("DELETE", `/api/sessions/${session}/queue/${line}`);
    if (status !== 200) return say(`Not withdrawn: ${status === 0 ? `${unreachable()[0]}.` : body.detail ?? status}`);
    say(field.value ? "Withdrawn. The prompt is below your draft." : "");
    field.value = field.value ? `${field.value}\n\n${prompt}` : prompt;
    field.dispatchEvent(new Event("input"));
  });
}

/**
 * Returns the prompt of a line of the log. The page does not have it: it folds long text and marks hidden characters.
 * Reads no further than that line.
 */
async function fetchPrompt(session, line) {
  const url = `${prefix}/api/sessions/${session}/events?after=${line - 1}`;
  const response = await fetch(url, { signal: timeout() });
  if (!response.ok) throw new Error(response.statusText);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let read = "", part = {};
  while (!part.done && !read.includes("\n")) {
    part = await reader.read();
    read += part.value ?? "";
  }
  reader.cancel();
  return JSON.parse(read.split("\n", 1)[0]).text;
}

/** The Stop button. The page shows the turn as stopped only when the log does. */
export function connectStop(form, session, say) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.submitter;
    button.disabled = true;
    say("Stopping…");
    const answer = await callAPI("POST", `/api/sessions/${session}/cancel`, {});
    button.disabled = false;
    if (answer.status !== 200) say(`Not stopped: ${failure(answer)}`);
    else say(answer.body.cancelled ? "" : "No turn was running.");
  });
}

/** Returns why a request failed. */
function failure({ status, body }) {
  const [cause, whatIs] = unreachable();
  if (status === 0) return `${cause}. Tap again when ${whatIs} back.`;
  return body.detail ?? `the server answered ${status}`;
}
