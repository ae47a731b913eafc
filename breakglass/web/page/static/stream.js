// The stream of events, and the badge that shows the stream's state.
//
// How this works: EventSource's own retry cannot be made faster, and EventSource does not notice a dead connection. So
// this module closes and opens each connection itself, and continues after the last line that arrived. Keepalives in SSE
// comments are hidden from scripts, so the page's stream sends `keepalive` events instead. Two missing keepalives mean that
// the connection is dead.

import { hhmm, hhmmss } from "./text.js";

const OPENING = 10_000; // ms until the first event of a connection
const RETRY = 800; // longest pause in ms between two attempts while the page is visible, plus or minus a quarter
const RETRY_HIDDEN = 15_000;
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
    this.state = "behind"; // live, behind, lost, stopped
    this.attempts = 0;
    addEventListener("online", () => this.open());
    addEventListener("offline", () => this.open()); // loopback may still work: try
    addEventListener("pageshow", (event) => event.persisted && this.open());
    addEventListener("pagehide", () => this.close());
    let network = navigator.connection?.type; // the event is also sent for every new estimate of the speed
    navigator.connection?.addEventListener?.("change", () => {
      if (network !== navigator.connection.type) this.open();
      network = navigator.connection.type;
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.source ? this.check(1.2) : this.open();
    });
    document.addEventListener("resume", () => this.open());
    setInterval(() => this.check(), 1000);
  }

  /** Sets the line after which the next connection continues. */
  continueAfter(last, end = this.end) {
    Object.assign(this, { last, end, ts: "" });
  }

  open() {
    if (this.source) this.state = "lost"; // until the new connection has its first event
    this.close();
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
      Object.assign(this, { end: last, keepalive: keepalive * 1000, state: "behind" });
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
    listen("caught-up", () => { this.state = "live"; this.on.caughtUp(); });
    listen("reset", () => { this.state = "behind"; this.close(); this.on.reset(); });
    listen("keepalive", () => {});
    source.onerror = () => source === this.source && this.fail(source.readyState === EventSource.CLOSED);
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
    this.close();
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
    const limit = this.isOpen ? missing * this.keepalive : OPENING;
    if (this.source && silent > limit) this.open();
    this.show();
  }

  show() {
    const [state, text] = this.status();
    if (this.badge.textContent !== text) this.badge.textContent = text;
    this.badge.dataset.state = state;
  }

  /** Returns what the badge shows: its state, for the style, and its text. */
  status() {
    if (this.state === "live") return ["live", "Live"];
    if (this.state === "behind") {
      const missing = this.end - this.last;
      return ["behind", missing > 0 ? `Catching up · ${missing}` : "Catching up"];
    }
    if (this.state === "stopped") return ["offline", this.reason];
    if (!navigator.onLine) return ["offline", `Offline · as of ${hhmm(this.lastAnswer)}`];
    return ["lost", `Reconnecting · since ${hhmmss(this.lastAnswer)}`];
  }
}
