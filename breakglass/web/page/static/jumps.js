// Navigation in the log: the list of turns, and the buttons to the prompts and failures before and after the visible lines.
//
// The server names the prompts and failures of the whole log once, and the stream adds the new ones. Without an answer
// only those on the page are known.

import { $, $$, make, prefix, timeout } from "./browser.js";
import { lineNumber } from "./line_kinds.js";

const FAILED = "[data-kind=error], [data-outcome=error], [data-status=error], [data-status=timeout], [data-status=lost]";
const WAYS = [["↑ Prompt", "prompts", -1], ["↓ Prompt", "prompts", 1], ["↓ Failure", "failures", 1]];

export class Jumps {
  /** `page`: the SessionPage. */
  constructor(page) {
    this.page = page;
    this.list = page.transcript.list;
    this.prompts = new Map(); // line → text
    this.failures = new Set(); // lines
    this.at = Number(location.hash.slice(2)); // the line to which the user went last
    $("#ways").prepend(...WAYS.map(([textContent, what, step]) =>
      Object.assign(make("button", { type: "button", textContent, onclick: () => this.go(what, step) }), { ariaLabel: name(what, step) })));
    $("#go").addEventListener("submit", (event) => this.goToLine(event));
    for (const line of $$(".line", this.list)) this.add(line);
    this.show();
    this.loaded = this.load();
  }

  async load() {
    try {
      const response = await fetch(`${prefix}/sessions/${this.page.id}/outline`, { signal: timeout() });
      if (!response.ok) return;
      const { prompts, failures } = await response.json();
      this.prompts = new Map([...prompts, ...this.prompts].sort(([one], [other]) => one - other));
      this.failures = new Set([...failures, ...this.failures]);
      this.show();
    } catch { /* no network: those on the page */ }
  }

  /** Takes a line of the page or of the stream. */
  add(line) {
    if (line.matches(".user")) {
      this.prompts.set(lineNumber(line), $(".prompt-text", line).textContent.slice(0, 80));
      if (this.isShown) this.show();
    }
    if (line.matches(FAILED)) {
      this.failures.add(lineNumber(line.newest ?? line));
      if (this.isShown) this.show();
    }
  }

  show() {
    this.isShown = true;
    const entry = ([number, text]) => make("li", {}, make("a", { href: `#e${number}` },
      make("span", { textContent: number }), make("b", { textContent: text })));
    $("#ways [aria-label='Next failure']").hidden = !this.failures.size;
    for (const nav of $$(".outline")) {
      nav.hidden = this.prompts.size < 2;
      $("ol", nav).replaceChildren(...[...this.prompts].map(entry));
    }
  }

  /** The line from which the user looks for the next one: the one that was gone to, or the first one on the screen. */
  get present() {
    const box = document.getElementById(`e${this.at}`)?.getBoundingClientRect();
    return box && box.bottom > 0 && box.top < innerHeight ? this.at : this.page.transcript.scroll.place?.number ?? Infinity;
  }

  /** Goes to the next prompt or failure, or to the one before. */
  async go(what, step) {
    await this.loaded;
    const { present } = this, lines = what === "prompts" ? [...this.prompts.keys()] : [...this.failures];
    const beyond = lines.filter((line) => (step < 0 ? line < present : line > present));
    if (beyond.length) return this.goTo(step < 0 ? Math.max(...beyond) : Math.min(...beyond));
    this.page.say(`No ${what === "prompts" ? "prompt" : "failure"} ${step < 0 ? "before" : "after"} line ${present}.`);
    if (what === "failures" && lines.length) this.goTo(Math.max(...lines)); // a page opens at the end of its log
  }

  goToLine(event) {
    event.preventDefault();
    $("main .menu").open = false;
    this.goTo(Number(event.target.elements.go.value));
    event.target.reset();
  }

  goTo(number) {
    this.at = number;
    history.replaceState(null, "", `#e${number}`);
    this.page.showLineOfAddress();
  }
}

const name = (what, step) => `${step < 0 ? "Previous" : "Next"} ${what === "prompts" ? "prompt" : "failure"}`;
