// The search in one session: the form of the menu becomes a bar below the title. Loaded when it is first used.
//
// The server finds the words, so lines that are not on the page are found too. A hit that is not on the page is a link:
// the page with the lines around it continues the search, because the words are in its address.

import { $, $$, make, prefix, timeout, unreachable } from "./browser.js";

const PAUSE = 300; // ms after a key, before the server is asked
const MAX_HITS = 500; // each 50 are one request
const MAX_MARKS = 500; // words marked in one line
const TERMS = /"([^"]*)(?:"|$)|([^\s"]+)/g; // as the server reads a query: words, and phrases in quotes

export class Find {
  constructor(transcript) {
    const form = $("#find"), button = (text, ariaLabel, action) => {
      const made = make("button", { type: "button", textContent: text, ariaLabel, title: ariaLabel });
      made.addEventListener("click", action);
      return made;
    };
    Object.assign(this, { transcript, form, field: form.elements.q, session: form.elements.session.value, menuBelow: form.nextElementSibling });
    this.count = make("output", { ariaLabel: "Hits" });
    this.tools = [this.count, button("↑", "Previous hit", () => this.go(-1)), button("↓", "Next hit", () => this.go(1)),
      button("×", "Close the search", () => this.close())];
    form.addEventListener("keydown", (event) => this.pressed(event));
    this.field.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.search(), PAUSE);
    });
    document.head.append(make("link", { rel: "stylesheet", href: `${document.body.dataset.static}/find.css` }));
  }

  /** Shows the bar, with these words if there are some. */
  open(words) {
    if (!this.form.classList.contains("open")) {
      this.form.classList.add("open");
      this.menuBelow.closest("details").open = false;
      $("main > .bar").after(this.form);
      this.form.append(...this.tools);
    }
    if (words) this.field.value = words;
    this.field.focus({ preventScroll: true });
    this.field.select();
    if (this.field.value !== this.words) this.search();
  }

  close() {
    this.stop?.abort();
    clearTimeout(this.timer);
    this.mark([]);
    for (const tool of this.tools) tool.remove();
    this.form.classList.remove("open");
    this.menuBelow.before(this.form);
    this.words = "";
    $(`#e${this.line} .number`)?.focus({ preventScroll: true });
  }

  pressed(event) {
    if (event.key === "Escape") this.close();
    else if (event.key === "Enter" && event.target === this.field) this.go(event.shiftKey ? -1 : 1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // --- the hits ------------------------------------------------------------------------------------

  async search() {
    const words = this.field.value, { stop } = this, own = new AbortController();
    stop?.abort(); // the server ends a search whose client is gone
    Object.assign(this, { words, stop: own, hits: [], line: 0, isComplete: false });
    this.mark([]);
    this.count.textContent = words.trim() ? "Searching…" : "";
    let after = "";
    while (words.trim() && after !== null && this.hits.length < MAX_HITS) {
      const found = await this.ask(words, after, own);
      if (own.signal.aborted) return;
      if (found.problem) return void (this.count.textContent = found.problem);
      this.hits.unshift(...found.hits.map((hit) => hit.line).reverse());
      after = found.after;
      this.isComplete = after === null;
      if (!this.line && (this.isComplete || this.hits[0] <= this.reading)) this.showFirst();
      this.showCount();
    }
    if (!this.line) this.showFirst();
  }

  /** Asks for the next hits, the newest first. Resolves to them, or to a problem. */
  async ask(words, after, stop) {
    const query = new URLSearchParams({ q: words, session: this.session, ...(after && { after }) });
    const late = timeout();
    late.addEventListener("abort", () => stop.abort());
    try {
      const response = await fetch(`${prefix}/api/search?${query}`, { signal: stop.signal, headers: { accept: "application/json" } });
      const body = await response.json();
      return response.ok ? body : { problem: `Not searched: ${body.detail ?? response.status}` };
    } catch {
      return { problem: `Not searched: ${unreachable()[0]}` };
    }
  }

  /** The number of the first line on the screen. */
  get reading() { return Number(this.transcript.scroll.firstVisible()?.id.slice(1) ?? Infinity); }

  /** The first hit from where the user reads, else the last one. */
  get firstHit() {
    const isLink = new URLSearchParams(location.search).get("find") === this.words;
    const from = (isLink && Number(location.hash.slice(2))) || this.reading;
    return this.hits.find((line) => line >= from) ?? this.hits.at(-1);
  }

  /** Shows the first hit if it is on the page. A page is not left while the user types. */
  showFirst() {
    if (this.firstHit && this.transcript.show(this.firstHit)) this.show(this.firstHit);
  }

  go(step) {
    if (this.field.value !== this.words) {
      clearTimeout(this.timer);
      return void this.search();
    }
    const { hits, line } = this;
    if (hits.length) this.show(line ? hits.at((hits.indexOf(line) + step) % hits.length) : this.firstHit);
  }

  showCount() {
    const { hits, line, isComplete } = this, at = hits.indexOf(line) + 1;
    const all = `${hits.length}${isComplete ? "" : "+"}`;
    if (hits.length) this.count.textContent = at ? `${at} of ${all}` : `${all} ${all === "1" ? "hit" : "hits"}`;
    else if (isComplete) this.count.textContent = "No hits";
  }

  // --- one hit -------------------------------------------------------------------------------------

  show(line) {
    this.line = line;
    this.showCount();
    if (this.transcript.show(line)) return this.showWords(document.getElementById(`e${line}`));
    const find = new URLSearchParams({ around: line, find: this.words });
    location.assign(`${location.pathname}?${find}#e${line}`);
  }

  /** Marks the words in a line, and opens what is folded until they are seen. */
  showWords(element) {
    if (!element) return;
    for (const fold of $$("details", element)) fold.open = true;
    const ranges = rangesOf(element, this.words);
    this.mark(ranges);
    if (ranges.length) return scrollToRange(ranges[0]);
    const links = $$("a.show-all", element), { line } = this;
    const observer = new MutationObserver(() => {
      if ($("a.show-all", element) && !rangesOf(element, this.words).length) return;
      observer.disconnect();
      if (this.line === line) this.showWords(element);
    });
    if (links.length) observer.observe(element, { childList: true, subtree: true });
    for (const link of links) link.click();
  }

  mark(ranges) {
    if (globalThis.Highlight) CSS.highlights.set("found", new Highlight(...ranges)); // too new for iOS 16: no mark there
  }
}

/** Returns the ranges of the words in an element. The server folds more letters, so a hit may have none. */
function rangesOf(element, words) {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT), nodes = [], begins = [];
  let text = "";
  while (walker.nextNode()) {
    nodes.push(walker.currentNode);
    begins.push(text.length);
    text += walker.currentNode.data;
  }
  const place = (offset) => {
    const n = begins.findLastIndex((begin) => begin <= offset);
    return [nodes[n], offset - begins[n]];
  };
  const ranges = [];
  for (const [, phrase, word] of words.matchAll(TERMS)) {
    const term = (phrase ?? word).trim().replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/\s+/g, "\\s+");
    for (const match of term ? text.matchAll(new RegExp(term, "gi")) : []) {
      if (ranges.length >= MAX_MARKS) break;
      const range = document.createRange();
      range.setStart(...place(match.index));
      const [node, offset] = place(match.index + match[0].length - 1);
      range.setEnd(node, offset + 1);
      ranges.push(range);
    }
  }
  return ranges;
}

/** Scrolls until the range is between the bar and the prompt field, also within a block that scrolls sideways. */
function scrollToRange(range) {
  const box = range.getBoundingClientRect(), block = range.startContainer.parentElement.closest("pre");
  if (box.top < innerHeight * 0.2 || box.bottom > innerHeight * 0.6) scrollBy(0, box.top - innerHeight * 0.4);
  const edges = block?.getBoundingClientRect();
  if (edges && (box.right > edges.right || box.left < edges.left)) block.scrollLeft += box.left - edges.left - edges.width / 3;
}
