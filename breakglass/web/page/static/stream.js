// The stream of events, and the badge that shows the stream's state.
//
// How this works: EventSource's own retry cannot be made faster, and EventSource does not notice a dead connection. So
// this module closes and opens each connection itself, and continues after the last line that arrived. Keepalives in SSE
// comments are hidden from scripts, so the page's stream sends `keepalive` events instead. Two missing keepalives mean that
// the connection is dead.
//
// Over HTTP/1.1 all tabs of a browser share six connections to the server, so only TABS of them keep a stream. Another one
// polls: it opens a stream, reads what it missed, and closes it. Each tab writes only its own entry into localStorage, and
// all sort the entries in the same way. So they agree without a lock, which plain http does not have.

import { live } from "./browser.js";
import { hhmm, hhmmss } from "./text.js";

const OPENING = 10_000; // ms until the first event of a connection
const RETRY = 800; // longest pause in ms between two attempts while the page is visible, plus or minus a quarter
const RETRY_HIDDEN = 15_000;
const POLL = 2_000; // ms between two polls of a visible tab; a hidden one waits RETRY_HIDDEN
const TABS = 3;
const TAB = "tab:"; // begins the name of an entry
const RENEWAL = 10_000; // ms
const LIFETIME = 90_000; // ms: a hidden tab's timers may run only once a minute
const TS = / data-ts="([^"]*)"/;

export class Stream {
  /**
   * `last` is the last line on the page, and `end` the last line of the log. `keepalive` is the seconds between
   * two keepalives. `lastAnswer` is the time of the server's last answer. `on` has these functions: `line(html)`;
   * `missed(count)` at the start of a connection; `caughtUp()`; `reset()`; `clock(now)` with the server's time;
   * `refused()`, if the server answered, but not with a stream.
   */
  constructor({ url, last, end, keepalive, lastAnswer, badge, on }) {
    Object.assign(this, { url, last, end, badge, on });
    this.keepalive = keepalive * 1000;
    this.ts = ""; // time of the last line: after a power loss another line may have its number, which means a reset
    this.lastAnswer = lastAnswer; // a Date
    this.state = "behind"; // live, polling, behind, lost, stopped
    this.attempts = 0;
    this.slot = new Slot(() => this.slotChanged());
    addEventListener("online", () => this.open());
    addEventListener("offline", () => this.open()); // loopback may still work: try
    addEventListener("pageshow", (event) => event.persisted && this.reconnect());
    addEventListener("pagehide", () => this.disconnect());
    addEventListener("unanswered", () => this.state === "live" && this.open()); // a request of this page had no answer
    let network = navigator.connection?.type; // the event is also sent for every new estimate of the speed
    navigator.connection?.addEventListener?.("change", () => {
      if (network !== navigator.connection.type) this.open();
      network = navigator.connection.type;
    });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.check(1.2);
      this.reconnect();
    });
    document.addEventListener("freeze", () => this.disconnect());
    document.addEventListener("resume", () => this.reconnect());
    setInterval(() => this.check(), 1000);
  }

  /** Sets the line after which the next connection continues. */
  continueAfter(last, end = this.end) {
    Object.assign(this, { last, end, ts: "" });
  }

  /** Opens a connection if there is none: several events tell that the page is used again. */
  reconnect() {
    if (!this.source) this.open();
  }

  open() {
    if (this.source) this.state = "lost"; // until the new connection has its first event
    this.close();
    this.slot.claim();
    this.opened = Date.now();
    this.isOpen = false; // whether this connection has had an event
    const ts = this.ts && `&ts=${encodeURIComponent(this.ts)}`;
    const source = this.source = new EventSource(`${this.url}?after=${this.last}${ts}`);
    const listen = (name, handle) => source.addEventListener(name, (event) => {
      if (source !== this.source) return;
      this.lastAnswer = new Date();
      this.isOpen = true;
      this.attempts = 0;
      if (this.state === "lost") this.state = "behind";
      handle(event);
      this.show();
    });
    listen("start", (event) => {
      const { last, keepalive, now } = JSON.parse(event.data);
      Object.assign(this, { end: last, keepalive: keepalive * 1000 });
      if (this.state !== "polling") this.state = "behind";
      this.on.clock(now);
      this.on.missed(last - this.last);
    });
    listen("message", (event) => {
      const id = Number(event.lastEventId);
      if (id <= this.last) return; // this line is already on the page
      this.last = id;
      this.ts = TS.exec(event.data)?.[1] ?? "";
      this.end = Math.max(this.end, id);
      this.on.line(event.data);
    });
    listen("caught-up", () => { this.keepOrPoll(); this.on.caughtUp(); });
    listen("reset", () => { this.state = "behind"; this.close(); this.on.reset(); });
    listen("keepalive", () => {});
    source.onerror = () => source === this.source && this.fail(source.readyState === EventSource.CLOSED);
    this.show();
  }

  /** Keeps the connection, or closes it until the next poll. */
  keepOrPoll() {
    if (this.slot.isOurs()) return void (this.state = "live");
    this.close();
    this.state = "polling";
    this.retryAfter(document.hidden ? RETRY_HIDDEN : POLL);
  }

  slotChanged() {
    if (this.state === "live" && this.source) this.keepOrPoll();
    else if (this.state === "polling" && !this.source && this.slot.isOurs()) this.open();
    this.show();
  }

  /**
   * Another tab may have the stream, until this page is used again. The browser may show the page then as it was left,
   * so from now on the badge is not "Live".
   */
  disconnect() {
    this.close();
    this.slot.release();
    if (this.state !== "stopped") this.state = "lost";
    this.show();
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  fail(refused) {
    this.close();
    this.state = "lost";
    this.show();
    const pause = document.hidden ? RETRY_HIDDEN : Math.min(RETRY, 125 * 2 ** this.attempts++);
    this.retryAfter(pause * (0.75 + Math.random() / 2));
    if (refused) this.on.refused();
  }

  /** Makes no more attempts, because all would fail. The badge shows the reason. */
  stop(reason) {
    this.disconnect();
    Object.assign(this, { state: "stopped", reason });
    this.show();
  }

  retryAfter(pause) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), pause);
  }

  /** Opens a new connection if this one has been silent for too long. Called every second, and when the page is shown. */
  check(missing = 2) {
    const silent = Date.now() - (this.isOpen ? this.lastAnswer : this.opened);
    const limit = this.isOpen && this.state !== "polling" ? missing * this.keepalive : OPENING;
    if (this.source && silent > limit) this.open();
    else if (this.state === "polling" && !this.isOpen && silent > 2 * POLL) this.state = "lost"; // this poll has no answer
    this.slot.renewIfDue();
    this.show();
  }

  show() {
    const [state, text] = this.status();
    if (this.badge.textContent !== text) this.badge.textContent = text;
    this.badge.dataset.state = state;
  }

  /** Returns what the badge shows: its state, for the style, and its text. */
  status() {
    if (this.state === "live" && this.source?.readyState === EventSource.OPEN) return ["live", live];
    if (this.state === "polling") return ["polling", `Updated every ${POLL / 1000} s`];
    if (this.state === "behind") {
      const missing = this.end - this.last;
      return ["behind", missing > 0 ? `Catching up · ${missing}` : "Catching up"];
    }
    if (this.state === "stopped") return ["offline", this.reason];
    if (!navigator.onLine) return ["offline", `Offline · as of ${hhmm(this.lastAnswer)}`];
    return ["lost", `Reconnecting · since ${hhmmss(this.lastAnswer)}`];
  }
}

/** A tab's claim to keep a stream. */
class Slot {
  /** `changed()` is called when an entry has changed. */
  constructor(changed) {
    this.key = TAB + Math.random();
    this.shown = Date.now();
    addEventListener("storage", ({ key }) => (!key || key.startsWith(TAB)) && changed());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.shown = Date.now();
      this.renew();
      changed();
    });
  }

  claim() {
    this.claimed = true;
    this.renew();
  }

  release() {
    this.claimed = false;
    try { localStorage.removeItem(this.key); } catch { /* no storage */ }
  }

  renew() {
    if (!this.claimed) return;
    this.renewed = Date.now();
    try {
      localStorage.setItem(this.key, JSON.stringify([document.hidden, this.shown, this.renewed]));
    } catch { /* no storage: no entry, and no stream */ }
  }

  renewIfDue() {
    if (Math.abs(Date.now() - this.renewed) > RENEWAL) this.renew();
  }

  /** Whether this tab may keep a stream: visible tabs first, then those that were shown last. */
  isOurs() {
    // In HTTP/2 and HTTP/3 one connection carries all streams.
    if (/^h[23]/.test(performance.getEntriesByType("navigation")[0]?.nextHopProtocol)) return true;
    try {
      if (!localStorage.getItem(this.key)) this.renew(); // a logout has cleared the storage
      return Object.keys(localStorage).filter((key) => key.startsWith(TAB)).map(entry)
        .filter(({ age }) => age < LIFETIME)
        .sort((a, b) => a.hidden - b.hidden || b.shown - a.shown || (a.key < b.key ? -1 : 1))
        .slice(0, TABS).some(({ key }) => key === this.key);
    } catch {
      return false;
    }
  }
}

function entry(key) {
  const [hidden, shown, renewed] = JSON.parse(localStorage.getItem(key)) ?? [];
  const age = Math.abs(Date.now() - renewed);
  if (!(age < LIFETIME)) localStorage.removeItem(key);
  return { key, hidden, shown, age };
}
