// The list of sessions, beside a session and on its own page: refreshed while it is visible, filtered as the user types.

import { $, $$, askForPage, isShown, keepPage, live, prefix, sayLoggedOut } from "./browser.js";
import { Outbox, connectPromptField, toNewSession } from "./sending.js";
import { hhmm, showLocalTimes } from "./text.js";

const INTERVAL = 5_000; // ms between two refreshes: the list is small, and the link may be weak
const LATE = 8_000; // ms after an answer: the next one should have come

export class SessionList {
  /** `current`: the id of the session on this page. `refreshed({doc, isLoggedOut})` is called after each refresh. */
  constructor(list, { current, refreshed = () => {} }) {
    Object.assign(this, { list, current, refreshed });
    this.query = $("input[type=search]");
    this.query.addEventListener("input", () => this.filter());
    this.query.form.addEventListener("submit", (event) => this.isComplete() && event.preventDefault());
    for (const name of ["online", "pageshow"]) addEventListener(name, () => this.refresh());
    document.addEventListener("visibilitychange", () => this.refresh());
    setInterval(() => this.refresh(), INTERVAL);
    showLocalTimes(list);
    this.filter();
  }

  async refresh() {
    if (document.hidden || this.busy || !isShown(this.list)) return;
    this.busy = true;
    const answer = await askForPage(`${prefix}/${location.pathname === `${prefix}/` ? location.search : ""}`);
    this.busy = false;
    this.refreshed(answer);
    const fresh = answer.doc && $("#sessions", answer.doc);
    if (!fresh) return;
    const row = this.current && $$("li", fresh).find((one) => one.dataset.id === this.current);
    if (row) $("a", row).setAttribute("aria-current", "page");
    const focused = this.list.contains(document.activeElement) && document.activeElement.closest("li")?.dataset.id;
    this.list.replaceChildren(...fresh.childNodes);
    if (focused) $("a", $$("li", this.list).find((one) => one.dataset.id === focused) ?? this.list)?.focus();
    showLocalTimes(this.list);
    this.filter();
  }

  /** Whether every session is in the list. If not, a search must ask the server. */
  isComplete() {
    return !$(".more", this.list) && !new URLSearchParams(location.search).has("q");
  }

  filter() {
    const words = this.query.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = $$("li[data-id]", this.list), noMatch = $(".no-match", this.list);
    for (const row of rows) {
      const title = $(".title", row).textContent.toLowerCase();
      row.hidden = !words.every((word) => title.includes(word));
    }
    if (!noMatch) return;
    noMatch.hidden = rows.some((row) => !row.hidden);
    $("a", noMatch).href = `${prefix}/?archived=1&q=${encodeURIComponent(this.query.value)}`;
  }
}

/** A connection that is open while the server lives. Its end is seen at once; the next refresh may be seconds away. */
class Pulse {
  constructor(ended) {
    this.ended = ended;
    addEventListener("pagehide", () => this.close());
    document.addEventListener("visibilitychange", () => document.hidden && this.close());
  }

  open() {
    if (this.source || document.hidden || Date.now() < this.next) return;
    this.next = Date.now() + INTERVAL; // a proxy may end each connection at once
    this.source = new EventSource(`${prefix}/alive`);
    this.source.onerror = () => { this.close(); this.ended(); };
  }

  close() {
    this.source?.close();
    this.source = null;
  }
}

/** Starts the page that lists the sessions and begins a new one. */
export function startListPage() {
  const badge = $("#badge"), form = $("#box"), notice = $("#notice");
  let answer = null, lastAnswer = new Date(document.body.dataset.now), wasLeft = false;
  const showState = () => {
    if (!answer) return; // the text of the server holds
    const isLate = wasLeft || Date.now() - lastAnswer > LATE;
    badge.dataset.state = answer.isLoggedOut ? "stopped" : !answer.doc ? "offline" : isLate ? "lost" : "live";
    badge.textContent = { live, stopped: "Logged out", lost: `As of ${hhmm(lastAnswer)}` }[badge.dataset.state]
      ?? `Offline · as of ${hhmm(lastAnswer)}`;
  };
  const refreshed = (newAnswer) => {
    if (newAnswer.isLoggedOut && !answer?.isLoggedOut) sayLoggedOut(notice);
    if (newAnswer.doc && answer?.isLoggedOut) notice.replaceChildren();
    answer = newAnswer;
    wasLeft = false;
    if (answer.doc) {
      lastAnswer = new Date();
      pulse.open();
    } else pulse.next = 0; // no proxy, but the server has ended the connection
    showState();
  };
  // The browser may show this page later as it was left.
  addEventListener("pagehide", () => { wasLeft = true; showState(); });
  document.addEventListener("visibilitychange", showState);
  setInterval(showState, 1000);
  const list = new SessionList($("#sessions"), { refreshed }), pulse = new Pulse(() => list.refresh());
  list.refresh();
  const outbox = new Outbox({ name: "new", list: $("#outbox"), send: toNewSession });
  const field = connectPromptField(form, "new", (prompt, more) => {
    const { agent, model, target } = form.elements;
    outbox.add({ prompt, ...more, agent: agent.value, model: isShown(model) ? model.value.trim() : "", target: target?.value });
  });
  if (location.hash === "#prompt") field.focus();
  if (!navigator.serviceWorker?.controller && !location.search) keepPage(); // the first visit: the worker has not seen it
}
