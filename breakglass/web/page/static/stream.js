// The stream, and the badge that is computed from it alone.
//
// EventSource's own retry cannot be hurried, and it cannot tell silence from peace: so every stream is ours to end
// and to open again, at the line after the last one that came. Keepalives are comments, which EventSource
// hides, so the page's stream beats: two beats missed is a dead stream.

import { hhmm, hhmmss } from "./dom.js";

const OPENING = 10_000; // ms that a connection may take to say its first word
const RETRY = 800; // ms at most between two tries while somebody looks, give or take a quarter
const RETRY_HIDDEN = 15_000;
const TS = / data-ts="([^"]*)"/;

export class Stream {
  /**
   * `on` has `line(html)`, `missed(count)` as a connection begins, `caughtUp()`, `reset()`, `clock(now)` with the
   * server's time, and `refused()`: the server answered, but with no stream.
   */
  constructor({ url, last, end, beat, heard, badge, on }) {
    Object.assign(this, { url, last, end, badge, on });
    this.beat = beat * 1000;
    this.ts = ""; // of the line that came last: after a power loss its number may be another's, and that is a reset
    this.heard = heard; // Date of the last word of the server
    this.state = "behind"; // live, behind, lost, over
    this.tries = 0;
    addEventListener("online", () => this.open());
    addEventListener("offline", () => this.open()); // loopback may still work: ask
    addEventListener("pageshow", (event) => event.persisted && this.open());
    addEventListener("pagehide", () => this.close());
    let carrier = navigator.connection?.type; // the event comes for every new guess of the speed, too
    navigator.connection?.addEventListener?.("change", () => {
      if (carrier !== navigator.connection.type) this.open();
      carrier = navigator.connection.type;
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.source ? this.look(1.2) : this.open();
    });
    document.addEventListener("resume", () => this.open());
    setInterval(() => this.look(), 1000);
  }

  /** Goes on after that line when it is opened next. */
  place(last, end = this.end) {
    Object.assign(this, { last, end, ts: "" });
  }

  open() {
    if (this.source) this.state = "lost"; // true from here on, until the new one speaks
    this.close();
    this.opened = Date.now();
    this.said = false; // whether this connection has said anything yet
    const ts = this.ts && `&ts=${encodeURIComponent(this.ts)}`;
    const source = this.source = new EventSource(`${this.url}?after=${this.last}${ts}`);
    const hear = (name, then) => source.addEventListener(name, (event) => {
      if (source !== this.source) return;
      this.heard = new Date();
      this.said = true;
      this.tries = 0;
      if (this.state === "lost") this.state = "behind";
      then(event);
      this.show();
    });
    hear("hello", (event) => {
      const { last, beat, now } = JSON.parse(event.data);
      Object.assign(this, { end: last, beat: beat * 1000, state: "behind" });
      this.on.clock(now);
      this.on.missed(last - this.last);
    });
    hear("message", (event) => {
      const id = Number(event.lastEventId);
      if (id <= this.last) return; // never twice
      this.last = id;
      this.ts = TS.exec(event.data)?.[1] ?? "";
      this.end = Math.max(this.end, id);
      this.on.line(event.data);
    });
    hear("caught-up", () => { this.state = "live"; this.on.caughtUp(); });
    hear("reset", () => { this.state = "behind"; this.close(); this.on.reset(); });
    hear("beat", () => {});
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
    const pause = document.hidden ? RETRY_HIDDEN : Math.min(RETRY, 125 * 2 ** this.tries++);
    this.again(pause * (0.75 + Math.random() / 2));
    if (refused) this.on.refused();
  }

  /** No stream is to be had until something happens: nothing is tried, and the badge says why. */
  leave(why) {
    this.close();
    Object.assign(this, { state: "over", why });
    this.show();
  }

  again(pause) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), pause);
  }

  /** Once a second, and with less patience when somebody looks again: is the stream alive? */
  look(beats = 2) {
    const silent = Date.now() - (this.said ? this.heard : this.opened);
    const limit = this.said ? beats * this.beat : OPENING;
    if (this.source && silent > limit) this.open();
    this.show();
  }

  show() {
    const [state, text] = this.says();
    if (this.badge.textContent !== text) this.badge.textContent = text;
    this.badge.dataset.state = state;
  }

  says() {
    if (this.state === "live") return ["live", "Live"];
    if (this.state === "behind") {
      const missing = this.end - this.last;
      return ["behind", missing > 0 ? `Catching up · ${missing}` : "Catching up"];
    }
    if (this.state === "over") return ["offline", this.why];
    if (!navigator.onLine) return ["offline", `Offline · as of ${hhmm(this.heard)}`];
    return ["lost", `Reconnecting · since ${hhmmss(this.heard)}`];
  }
}
