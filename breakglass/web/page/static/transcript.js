// The lines on the page: put in order, a tool and its result made one, prose that grows, earlier and later
// parts, and the scroll position that nothing may move.

import { $, $$, duration, fetchPage, localTimes, make, parse, silence } from "./dom.js";
import { PLACE, at, clock, dayMark, number, putOutput, sayWhen, settle, speaker } from "./lines.js";

const MOST = 3000; // lines on the page; beyond it the earliest go, and come back on scrolling up
const KEPT = 2000;
const AHEAD = 400; // px before a part's end at which the next is fetched
const NEAR = 80; // px from the end that still count as being there

const here = () => document.scrollingElement;
const begins = (nav) => Number($("a", nav).getAttribute("href").match(/\d+/));

export class Transcript {
  /** `on` has `line(line)` for each line that the stream brought, `lines()` after several, `attached()`. */
  constructor(list, { earlier, later, news, on }) {
    Object.assign(this, { list, earlier, later, news, on });
    this.skew = 0; // ms by which this device's clock is ahead of the server's
    this.tools = new Map(); // turn/tool → its line
    this.orphans = new Map(); // turn/tool → the line of a result whose tool is further up
    this.prose = new Map(); // turn/parent → the line of the prose that grows
    this.over = new Set(); // turns of which no more output comes
    this.following = true;
    this.unseen = 0;
    this.waiting = [];
    this.took = 0; // ms that the last insertion cost
    this.newest = 0; // the latest turn seen
    this.from = begins(earlier); // the log's first line on this page: it may have gone into another, and stand nowhere
    this.last = 0; // the highest number seen: a result that has gone into its tool counts too
    this.arrange();
    addEventListener("scroll", () => this.scrolled(), { passive: true });
    addEventListener("resize", () => this.following && this.toEnd());
    news.addEventListener("click", () => this.toEnd());
    for (const nav of [earlier, later]) {
      $("a", nav).addEventListener("click", (event) => { event.preventDefault(); this.more(nav); });
    }
    list.addEventListener("click", (event) => this.clicked(event));
    list.addEventListener("pointerover", (event) => sayWhen(event.target.closest(".n")));
    setInterval(() => this.tick(), 1000);
  }

  /** Whether the end of the log stands on this page: only then what is new belongs under it. */
  get attached() { return this.later.hidden; }

  // --- what arrives ------------------------------------------------------------------------------

  /** Takes one line of the stream; all that arrive within a frame, or while this device is busy, go in together. */
  add(html) {
    this.waiting.push(html);
    if (this.waiting.length === 1) setTimeout(() => this.flush(), Math.max(16, 2 * this.took));
  }

  flush() {
    const began = performance.now();
    this.insert();
    this.took = Math.min(250, performance.now() - began);
  }

  insert() {
    const lines = [...parse(this.waiting.splice(0).join("")).body.children].filter((line) => number(line) > this.last);
    if (!lines.length) return;
    for (const line of lines) {
      if (this.attached) this.place(line, this.list);
      if (lines.length < 20 && !["delta", "text"].includes(line.dataset.kind)) line.classList.add("fresh");
      this.on.line(line);
    }
    this.dress(lines);
    this.on.lines();
    if (this.following) {
      this.trim();
      this.toEnd();
    } else if (this.attached) {
      this.unseen += lines.filter((line) => line.isConnected && line.dataset.kind !== "delta").length;
      this.showNews();
    }
  }

  /** Pairs and marks the lines that came with the page. */
  arrange() {
    const lines = $$("li.line", this.list);
    for (const line of lines) this.place(line, this.list);
    this.dress(lines);
  }

  /** What lines need once they stand: times of here, days, a gutter that is wide enough. */
  dress(lines) {
    for (const line of lines) {
      if (!line.isConnected) continue;
      localTimes(line);
      if (line.parentNode === this.list) dayMark(line);
    }
    this.list.dataset.digits = Math.max(3, String(this.last).length);
  }

  place(line, list) {
    this.last = Math.max(this.last, number(line));
    this.newest = Math.max(this.newest, Number(line.dataset.turn ?? 0));
    const done = PLACE[line.dataset.kind]?.(this, line);
    if (done) return line.remove();
    const inner = line.dataset.parent && this.inner(line);
    if (inner) inner.append(line);
    else if (line.parentNode !== list) list.append(line);
  }

  /** The list under the tool call that started a subagent. */
  inner(line) {
    const tool = this.tools.get(`${line.dataset.turn}/${line.dataset.parent}`);
    if (!tool || tool === line) return null;
    const details = $("details", tool);
    if (!details.dataset.touched && !tool.dataset.outcome) details.open = true;
    return $(":scope > .inner", details) ?? details.appendChild(make("ol", { className: "inner" }));
  }

  /** Puts a result under its call. A shell's comes in pieces, and only the turn's end says which was the last. */
  merge(tool, result) {
    if (number(result) <= (tool.upto ?? 0)) return; // a part that came twice
    tool.newest = result.newest ?? result;
    tool.upto = number(tool.newest);
    for (const output of $$(".output", result)) putOutput($("details", tool), output, result);
    if (!tool.dataset.pieces || !this.runs(tool.dataset.turn)) this.finish(tool);
  }

  finish(tool) {
    const result = tool.newest, details = $("details", tool), out = $(".out", tool);
    const failed = result.dataset.outcome === "error";
    tool.dataset.outcome = result.dataset.outcome;
    out.className = `out ${result.dataset.outcome}`;
    out.replaceChildren(`${duration(at(result) - at(tool))} `,
      make("span", { textContent: failed ? "✗" : "✓", role: "img", ariaLabel: failed ? "failed" : "done" }));
    if (!details.dataset.touched && $(".inner", details)) details.open = false;
  }

  // --- the end of a turn, the clocks -------------------------------------------------------------

  /** Whether a turn goes on, as far as this page can tell: on an older part of the log none does. */
  runs(turn) { return this.attached && Number(turn) === this.newest && !this.over.has(turn); }

  /** The agent has summed up, or the turn is at its end: no more pieces of output come. */
  endPieces(turn) {
    this.over.add(turn);
    for (const tool of this.tools.values()) {
      if (tool.dataset.turn === turn && !tool.dataset.outcome && tool.newest) this.finish(tool);
    }
  }

  endTurn(turn, status) {
    if (status === "ok") this.endPieces(turn);
    this.over.add(turn); // of what was cut off the last piece says nothing
    for (const [name, line] of this.prose) {
      if (line.dataset.turn !== turn) continue;
      line.classList.remove("live");
      this.prose.delete(name);
    }
    for (const tool of this.tools.values()) {
      if (tool.dataset.turn !== turn || tool.dataset.outcome) continue;
      tool.dataset.outcome = "none";
      Object.assign($(".out", tool), { className: "out", textContent: "no result" });
    }
    for (const line of $$(`.permission.open`, this.list)) if (line.dataset.turn === turn) settle(line);
  }

  tick() {
    const now = Date.now() - this.skew;
    for (const tool of this.tools.values()) {
      if (tool.dataset.outcome || !tool.isConnected || !this.runs(tool.dataset.turn)) continue;
      Object.assign($(".out", tool), { className: "out running", textContent: `● ${clock(now - at(tool))}` });
    }
  }

  // --- earlier and later parts -------------------------------------------------------------------

  /** Loads the part that a link leads to, and puts it on its side without moving what is read. */
  async more(nav) {
    const link = $("a", nav);
    if (nav.hidden || nav.dataset.busy) return;
    nav.dataset.busy = "yes";
    const before = nav === this.earlier;
    const doc = await fetchPage(before ? `?before=${this.from}` : `?after=${this.last}`);
    delete nav.dataset.busy;
    link.textContent = `${before ? "Earlier" : "Later"} lines${doc ? "" : ` (${silence()[0]} yet)`}`;
    if (!doc) return void setTimeout(() => this.lookAhead(), 2000);
    const lines = $$("#log > li.line", doc).filter((line) =>
      before ? number(line) < this.from : number(line) > this.last);
    const next = $(`#${nav.id}`, doc);
    this.keeping(() => {
      const second = $("li.line", this.list);
      if (before) this.prepend(lines, begins(next));
      else lines.forEach((line) => this.place(line, this.list));
      nav.hidden = !next || next.hidden || !(lines.length || before);
      this.dress(before && second ? [...lines, second] : lines);
      if (before) this.trimEnd();
      else this.trim();
    });
    if (!before && this.attached) this.on.attached();
    this.lookAhead(); // the part may have been a short one
  }

  isNear(nav) {
    const box = nav.getBoundingClientRect();
    return !nav.hidden && box.bottom > -AHEAD && box.top < innerHeight + AHEAD;
  }

  prepend(lines, from) {
    this.from = from;
    const part = make("ol");
    const { prose, orphans } = this; // what grows or waits further down is not this part's
    Object.assign(this, { prose: new Map(), orphans: new Map() });
    for (const line of lines) this.place(line, part);
    for (const [who, line] of this.prose) { // its finished text may stand in the part below
      if ($$("li.prose:not(.live)", this.list).some((text) => speaker(text) === who)) line.remove();
    }
    this.prose = prose;
    this.list.prepend(...part.childNodes);
    for (const [name, line] of orphans) {
      const before = this.orphans.get(name);
      if (before) this.join(before, line);
      if (before) line.remove();
      else this.orphans.set(name, line);
      this.adopt(name);
    }
  }

  /** Puts what came of a call, and stood alone since the call is further up, under it. */
  adopt(name) {
    const tool = this.tools.get(name), result = this.orphans.get(name);
    if (!tool || !result) return;
    this.orphans.delete(name);
    this.merge(tool, result);
    result.remove();
  }

  /** One more piece of an output whose call is not on this page. */
  join(before, result) {
    before.newest = result.newest ?? result;
    for (const output of $$(".output", result)) putOutput($("details", before), output, result);
  }

  /** Does something above or below, and sees that what is read stays where it is on the screen. */
  keeping(change) {
    const anchor = $$("li.line", this.list).find((line) => line.getBoundingClientRect().bottom > 64);
    const top = anchor?.getBoundingClientRect().top;
    change();
    if (anchor) scrollBy(0, anchor.getBoundingClientRect().top - top);
  }

  /** Keeps the page bounded: the earliest lines go, and the way back to them appears. */
  trim() {
    const lines = this.list.children;
    if (lines.length <= MOST) return;
    for (const line of [...lines].slice(0, lines.length - KEPT)) line.remove();
    for (const map of [this.tools, this.orphans, this.prose])
      for (const [name, line] of map) if (!line.isConnected) map.delete(name);
    this.earlier.hidden = false;
    this.from = number($("li.line", this.list));
  }

  /** The same at the other end, for who reads far up: what is new is then under another part. */
  trimEnd() {
    const lines = [...this.list.children];
    if (lines.length <= MOST) return;
    for (const line of lines.slice(KEPT)) line.remove();
    this.last = number(this.list.lastElementChild);
    this.following = false;
    this.later.hidden = false;
  }

  /** Begins anew from a page fetched again: the log was replaced, or too much was missed. */
  async renew() {
    const doc = await fetchPage(location.pathname);
    if (!doc) return null;
    for (const map of [this.tools, this.orphans, this.prose, this.over]) map.clear();
    this.waiting = [];
    this.list.replaceChildren(...$("#log", doc).childNodes);
    this.earlier.hidden = $("#earlier", doc).hidden;
    this.from = begins($("#earlier", doc));
    this.later.hidden = true;
    this.last = this.newest = 0;
    this.arrange();
    if (this.following) this.toEnd();
    return doc.body.dataset;
  }

  // --- scrolling ---------------------------------------------------------------------------------

  scrolled() {
    const page = here();
    this.following = this.attached && page.scrollHeight - page.scrollTop - page.clientHeight < NEAR;
    if (this.following && this.unseen) this.toEnd();
    this.lookAhead();
  }

  /** Not by an IntersectionObserver: it is silent where a part came and the reader went on within one frame. */
  lookAhead() {
    for (const nav of [this.earlier, this.later]) if (this.isNear(nav)) this.more(nav);
  }

  toEnd() {
    this.unseen = 0;
    this.following = this.attached;
    scrollTo(0, here().scrollHeight);
    this.showNews();
  }

  showNews() {
    this.news.hidden = !this.unseen;
    this.news.textContent = `↓ ${this.unseen} new ${this.unseen === 1 ? "line" : "lines"}`;
  }

  /** Shows a line by its number, opening what it is folded in. Returns whether it is on this page. */
  show(id) {
    const line = document.getElementById(`e${id}`) // or the line that a piece of prose has gone into
      ?? (id >= this.from && id < this.last && $$("li.line", this.list).findLast((one) => number(one) < id));
    if (!line) return false;
    for (let at = line; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    $("details", line)?.setAttribute("open", "");
    line.scrollIntoView({ block: "start" });
    this.scrolled();
    return true;
  }

  // --- small things ------------------------------------------------------------------------------

  async clicked(event) {
    const all = event.target.closest("a.all");
    if (all) {
      event.preventDefault();
      all.textContent = "loading…";
      const doc = await fetchPage(all.getAttribute("href"));
      const part = all.closest(".output, .input, .said, .b");
      const whole = doc && $(`#e${all.dataset.line} .${part.classList[0]}`, doc);
      if (!whole) return void (all.textContent = `not loaded: ${silence()[0]}. Tap to try again.`);
      this.keeping(() => part.replaceChildren(...whole.childNodes));
    }
    const summary = event.target.closest("summary");
    if (summary) summary.parentElement.dataset.touched = "yes";
  }

}
