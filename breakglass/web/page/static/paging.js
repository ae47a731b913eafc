// The part of the log on the page, and the scroll position. Earlier and later parts are loaded when the user scrolls near
// them, and removed when the page grows too long. The scroll position follows the end, or stays where the user reads.

import { $, $$, fetchPage, make, unreachable } from "./browser.js";
import { lineNumber, speaker } from "./line_kinds.js";

const MAX_LINES = 3000; // lines on the page; beyond that, lines are removed until KEPT are left
const KEPT = 2000;
const AHEAD = 400; // px before the end of a part at which the next one is loaded
const RETRY = 2000; // ms
const NEAR = 80; // px from the end that still count as the end

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
    const doc = await fetchPage(before ? `?before=${this.from}` : `?after=${transcript.last}`);
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
  /** `news`: the button that counts new lines. `showsEnd()`: whether the page shows the end of the log. */
  constructor({ list, news, showsEnd, scrolled }) {
    Object.assign(this, { list, news, showsEnd });
    this.following = true; // whether the page scrolls down with new lines
    this.unseen = 0; // new lines below what the user reads
    addEventListener("scroll", () => { this.update(); scrolled(); }, { passive: true });
    addEventListener("resize", () => this.following && this.toEnd());
    news.addEventListener("click", () => this.toEnd());
  }

  update() {
    const { scrollHeight, scrollTop, clientHeight } = page();
    this.following = this.showsEnd() && scrollHeight - scrollTop - clientHeight < NEAR;
    if (this.following && this.unseen) this.toEnd();
  }

  toEnd() {
    this.unseen = 0;
    this.following = this.showsEnd();
    scrollTo(0, page().scrollHeight);
    this.showUnseen();
  }

  addUnseen(count) {
    this.unseen += count;
    this.showUnseen();
  }

  showUnseen() {
    this.news.hidden = !this.unseen;
    this.news.textContent = `↓ ${this.unseen} new ${this.unseen === 1 ? "line" : "lines"}`;
  }

  /** Runs `change`, which adds or removes lines, and keeps the first visible line where it is on the screen. */
  keep(change) {
    const anchor = $$("li.line", this.list).find((line) => line.getBoundingClientRect().bottom > 64);
    const top = anchor?.getBoundingClientRect().top;
    change();
    if (anchor) scrollBy(0, anchor.getBoundingClientRect().top - top);
  }
}
