// The part of the log on the page, and the scroll position. Earlier and later parts are loaded when the user scrolls near
// them, and removed when the page grows too long. The scroll position follows the end, or stays where the user reads.

import { $, $$, fetchPage, make, unreachable } from "./browser.js";
import { lineNumber, speaker } from "./line_kinds.js";

const MAX_LINES = 3000; // lines on the page; beyond that, lines are removed until KEPT are left
const KEPT = 2000;
const AHEAD = 400; // px before the end of a part at which the next one is loaded
const RETRY = 2000; // ms
const TOP = 64; // px: what is above is behind the bar
const NEAR = 80; // px from the end that still count as the end

/** The query of a part of the log, as the filter of this page shows it. */
export function part(query = "") {
  const { show } = document.body.dataset, both = [query, show && `show=${show}`].filter(Boolean).join("&");
  return both && `?${both}`;
}

export const firstLine = (nav) => Number($("a", nav).getAttribute("href").match(/\d+/));

export class Paging {
  /** `earlier`, `later`: the elements with the links to the parts before and after. `endLoaded()`: the end was loaded. */
  constructor(transcript, { earlier, later, endLoaded }) {
    Object.assign(this, { transcript, list: transcript.list, earlier, later, endLoaded });
    // The log's first line on this page. It may have been merged into another line and have no element of its own.
    this.from = firstLine(earlier);
    for (const nav of [earlier, later]) {
      $("a", nav).addEventListener("click", (event) => { event.preventDefault(); this.load(nav); });
    }
  }

  /** Loads the parts near the screen. An IntersectionObserver misses a part that appears and disappears within one frame. */
  loadNear() {
    for (const nav of [this.earlier, this.later]) if (this.isNear(nav)) this.load(nav);
  }

  isNear(nav) {
    const box = nav.getBoundingClientRect();
    return !nav.hidden && box.bottom > -AHEAD && box.top < innerHeight + AHEAD;
  }

  /** Loads the part that a link leads to, and adds it without moving what the user reads. */
  async load(nav) {
    const link = $("a", nav);
    if (nav.hidden || nav.dataset.busy) return;
    nav.dataset.busy = "yes";
    const { transcript } = this, before = nav === this.earlier;
    const doc = await fetchPage(part(before ? `before=${this.from}` : `after=${transcript.last}`));
    delete nav.dataset.busy;
    link.textContent = `${before ? "Earlier" : "Later"} lines${doc ? "" : ` (not loaded yet: ${unreachable()[0]})`}`;
    if (!doc) return void setTimeout(() => this.loadNear(), RETRY);
    const lines = $$("#log > li.line", doc).filter((line) =>
      before ? lineNumber(line) < this.from : lineNumber(line) > transcript.last);
    const next = $(`#${nav.id}`, doc);
    transcript.scroll.keep(() => {
      const second = $("li.line", this.list);
      if (before) this.prepend(lines, firstLine(next));
      else lines.forEach((line) => transcript.place(line, this.list));
      if (!before) transcript.last = Number(doc.body.dataset.last); // a filter has read further than it shows
      nav.hidden = !next || next.hidden || !(lines.length || before);
      transcript.finishLines(before && second ? [...lines, second] : lines);
      if (before) this.trimEnd();
      else this.trimStart();
    });
    if (!before && transcript.showsEnd) this.endLoaded();
    this.loadNear(); // the part may be short
  }

  prepend(lines, from) {
    this.from = from;
    const { transcript } = this, part = make("ol"), growing = transcript.prose;
    transcript.prose = new Map(); // prose that still grows belongs to the part below
    transcript.toolCalls.addEarlierPart(() => {
      for (const line of lines) transcript.place(line, part);
      for (const [who, line] of transcript.prose) { // the finished text may be in the part below
        if ($$("li.prose:not(.live)", this.list).some((text) => speaker(text) === who)) line.remove();
      }
      this.list.prepend(...part.childNodes);
    });
    transcript.prose = growing;
  }

  /** Removes the first lines of a page that is too long. The link to earlier lines appears. */
  trimStart() {
    const lines = this.list.children;
    if (lines.length <= MAX_LINES) return;
    for (const line of [...lines].slice(0, lines.length - KEPT)) line.remove();
    const { prose, toolCalls } = this.transcript;
    for (const map of [toolCalls.calls, toolCalls.orphans, prose])
      for (const [key, line] of map) if (!line.isConnected) map.delete(key);
    this.earlier.hidden = false;
    this.from = lineNumber($("li.line", this.list));
  }

  /** Removes the last lines of a page that is too long. The page then no longer shows the end of the log. */
  trimEnd() {
    const lines = [...this.list.children];
    if (lines.length <= MAX_LINES) return;
    for (const line of lines.slice(KEPT)) line.remove();
    this.transcript.last = lineNumber(this.list.lastElementChild);
    this.transcript.scroll.following = false;
    this.later.hidden = false;
  }
}

const page = () => document.scrollingElement;

export class ScrollPosition {
  /** `news`: the button that leads to the end. `showsEnd()`: whether the page shows the end of the log; see `isWriting`. */
  constructor({ list, news, showsEnd, isWriting, scrolled }) {
    Object.assign(this, { list, news, showsEnd, isWriting });
    this.following = true; // whether the page scrolls down with new lines
    this.unseen = 0; // new lines below what the user reads
    this.place = null; // the first line on the screen and its top, in px
    this.width = innerWidth;
    addEventListener("scroll", () => { this.update(); scrolled(); }, { passive: true });
    addEventListener("resize", () => this.resized());
    news.addEventListener("click", () => (showsEnd() ? this.toEnd() : $("#later .to-end").click()));
  }

  update() {
    const { scrollHeight, scrollTop, clientHeight } = page();
    this.following = this.showsEnd() && scrollHeight - scrollTop - clientHeight < NEAR;
    if (this.following && this.unseen) return this.toEnd();
    this.notePlace();
    this.showWayToEnd();
  }

  notePlace() {
    const line = this.firstVisible();
    this.place = line && { number: lineNumber(line), top: line.getBoundingClientRect().top };
  }

  /** A rotated phone lays out the lines again. Only the height changes often, while an address bar moves. */
  resized() {
    if (this.following) this.toEnd();
    else if (this.width !== innerWidth && this.place) this.restore(this.place);
    this.width = innerWidth;
  }

  /** Puts a line where it was on the screen. Returns whether it is on this page. */
  restore({ number, top }) {
    const line = document.getElementById(`e${number}`)?.closest("#log > .line");
    if (!line) return false;
    scrollBy(0, line.getBoundingClientRect().top - top);
    this.update();
    return true;
  }

  /** Returns the first line on the screen, undefined below the last one. */
  firstVisible() {
    const lines = this.list.children;
    let from = 0, to = lines.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (lines[middle].getBoundingClientRect().bottom > TOP) to = middle;
      else from = middle + 1;
    }
    return lines[from]?.matches(".day") ? lines[from + 1] : lines[from];
  }

  toEnd() {
    this.unseen = 0;
    this.following = this.showsEnd();
    scrollTo(0, page().scrollHeight);
    this.showWayToEnd();
  }

  addUnseen(count) {
    this.unseen += count;
    this.showWayToEnd();
  }

  /** Shows the button that leads to the end: for new lines, for prose that grows below, and if the end is a screen away. */
  showWayToEnd() {
    const { scrollHeight, scrollTop, clientHeight } = page(), isWriting = this.isWriting();
    const isFar = !this.showsEnd() || scrollHeight - scrollTop > 2 * clientHeight;
    this.news.hidden = this.following || !(this.unseen || isWriting || isFar);
    this.news.textContent = this.unseen ? `↓ ${this.unseen} new ${this.unseen === 1 ? "line" : "lines"}`
      : isWriting ? "↓ Writing…" : "↓ To the end";
  }

  /** Runs `change`, which adds or removes lines, and keeps the first visible line where it is on the screen. */
  keep(change) {
    const anchor = this.firstVisible();
    const top = anchor?.getBoundingClientRect().top;
    change();
    if (anchor) scrollBy(0, anchor.getBoundingClientRect().top - top);
  }
}
