// The list of sessions, beside a session and on its own page: refreshed while it is visible, filtered as the user types.

import { $, $$, askForPage, prefix, sayLoggedOut } from "./browser.js";
import { Outbox, connectPromptField, toNewSession } from "./sending.js";
import { hhmm, showLocalTimes } from "./text.js";

const INTERVAL = 5_000; // ms between two refreshes: the list is small, and the link may be weak

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
    if (document.hidden || this.busy || !this.list.checkVisibility()) return;
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

/** Starts the page that lists the sessions and begins a new one. */
export function startListPage() {
  const badge = $("#badge"), form = $("#box"), notice = $("#notice");
  let lastAnswer = new Date(document.body.dataset.now);
  const refreshed = ({ doc, isLoggedOut }) => {
    const wasLoggedOut = badge.dataset.state === "stopped";
    badge.dataset.state = doc ? "live" : isLoggedOut ? "stopped" : "offline";
    if (doc) lastAnswer = new Date();
    badge.textContent = doc ? "Live" : isLoggedOut ? "Logged out" : `Offline · as of ${hhmm(lastAnswer)}`;
    if (isLoggedOut && !wasLoggedOut) sayLoggedOut(notice);
    if (doc && wasLoggedOut) notice.replaceChildren();
  };
  new SessionList($("#sessions"), { refreshed }).refresh();
  const outbox = new Outbox({ name: "new", list: $("#outbox"), send: toNewSession });
  const field = connectPromptField(form, "new", (prompt, preset) => {
    const { agent, model } = form.elements;
    outbox.add({ prompt, agent: preset?.dataset.agent || agent.value, model: model.checkVisibility() ? model.value.trim() : "" });
  });
  if (location.hash === "#prompt") field.focus();
}
