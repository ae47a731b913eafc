// The transcript of a session: places the lines that come with the page, with other parts of the log and from the stream.
//
// How this works: each line is an `li` with its number as id. `place` puts a line at the end of a list and lets its kind
// act on the lines before it (line_kinds.js). A line may be merged into another one, so count lines
// with `last`, not by the number of elements.

import { $, $$, fetchPage, parse, unreachable } from "./browser.js";
import { PLACE_BY_KIND, addTimeOnHover, countDown, foldIntoEnd, letFind, lineNumber, markDay, settle } from "./line_kinds.js";
import { Paging, ScrollPosition, firstLine, part } from "./paging.js";
import { showLocalTimes } from "./text.js";
import { ToolCalls } from "./tool_calls.js";
import { connectQuestion } from "./whole_question.js";

export class Transcript {
  /** `on`: `line(line)` for each line of the stream, `lines()` after some, `endLoaded()`, and `isConnected()` for clocks. */
  constructor(list, { earlier, later, news, on }) {
    Object.assign(this, { list, on });
    this.clockOffset = 0; // ms by which this device's clock is ahead of the server's
    this.prose = new Map(); // turn/parent → the line of the prose that grows
    this.endedTurns = new Set(); // turns without further output
    this.newestTurn = 0;
    this.last = 0; // the highest line number placed
    this.waiting = []; // HTML of lines that have arrived and are not inserted yet
    this.insertTime = 0; // ms that the last insertion took
    this.toolCalls = new ToolCalls((turn) => this.isRunning(turn));
    this.paging = new Paging(this, { earlier, later, endLoaded: on.endLoaded });
    this.scroll = new ScrollPosition({
      list, news, showsEnd: () => this.showsEnd, isWriting: () => this.isWriting, scrolled: () => this.paging.loadNear(),
    });
    this.placeAll();
    connectFoldedText(list, this.scroll);
    list.addEventListener("pointerover", (event) => addTimeOnHover(event.target.closest(".number")));
    setInterval(() => on.isConnected() && this.tick(Date.now() - this.clockOffset), 1000);
  }

  /** Whether the page shows the end of the log. Only then new lines are added below. */
  get showsEnd() { return this.paging.later.hidden; }

  /** Whether prose grows at the end of the page. */
  get isWriting() {
    return this.showsEnd && [...this.prose.values()].some((line) => line.isConnected && this.isRunning(line.dataset.turn));
  }

  // --- lines that the stream delivers ------------------------------------------------------------

  /** Takes one line of the stream. Lines that arrive within a frame, or while the device is busy, are inserted together. */
  add(html) {
    this.waiting.push(html);
    if (this.waiting.length === 1) setTimeout(() => this.flush(), Math.max(16, 2 * this.insertTime));
  }

  flush() {
    const began = performance.now();
    this.insert();
    this.insertTime = Math.min(250, performance.now() - began);
  }

  insert() {
    const html = this.waiting.splice(0).join("");
    const lines = [...parse(html).body.children].filter((line) => lineNumber(line) > this.last);
    if (!lines.length) return;
    for (const line of lines) {
      if (this.showsEnd) this.place(line, this.list);
      if (lines.length < 20 && !["delta", "text"].includes(line.dataset.kind)) line.classList.add("appearing");
      this.on.line(line);
    }
    this.finishLines(lines);
    this.on.lines();
    if (!getSelection().isCollapsed) this.scroll.following = false; // what the user selects must not move
    if (this.scroll.following) {
      this.paging.trimStart();
      this.scroll.toEnd();
    } else if (this.showsEnd) {
      this.scroll.addUnseen(lines.filter(({ dataset, isConnected }) => dataset.kind === "text" || (isConnected && dataset.kind !== "delta")).length);
    }
  }

  // --- placing lines -----------------------------------------------------------------------------

  /** Places the lines that came with the page. */
  placeAll() {
    const lines = $$("li.line", this.list);
    for (const line of lines) this.place(line, this.list);
    this.finishLines(lines);
  }

  place(line, list) {
    this.last = Math.max(this.last, lineNumber(line));
    this.newestTurn = Math.max(this.newestTurn, Number(line.dataset.turn ?? 0));
    const wasMerged = PLACE_BY_KIND[line.dataset.kind]?.(this, line);
    if (wasMerged) return line.remove();
    const nested = line.dataset.parent && this.toolCalls.nestedList(line);
    if (nested) nested.append(line);
    else if (line.parentNode !== list) list.append(line);
  }

  /** Renders the finished blocks of prose. The script is loaded with the first piece. */
  renderBlocks(line) {
    this.growing ??= import("./growing.js").catch(() => { this.growing = null; });
    this.growing?.then((loaded) => loaded?.renderBlocks(this, line));
  }

  /** Adds local times and dates to placed lines, and makes the column of numbers wide enough. */
  finishLines(lines) {
    for (const line of lines) {
      if (!line.isConnected) continue;
      showLocalTimes(line);
      if (line.matches(".permission.open")) connectQuestion(line);
      if (line.matches(".turn_end:not([data-joined])")) foldIntoEnd(line);
      if (line.parentNode === this.list) markDay(line);
    }
    for (const line of [lines[0]?.previousElementSibling, ...lines]) if (line?.isConnected) letFind(line);
    this.list.dataset.digits = Math.max(3, String(this.last).length);
  }

  /** Whether a turn is running, as far as this page knows. A page that shows an older part of the log reports none. */
  isRunning(turn) { return this.showsEnd && Number(turn) === this.newestTurn && !this.endedTurns.has(turn); }

  tick(now) {
    const newest = this.list.lastElementChild;
    this.toolCalls.tick(now);
    if (this.isRunning(newest?.dataset.turn)) countDown(newest, now);
  }

  /** No more pieces of output come: the agent gave its result, or the turn has ended. */
  endOutput(turn) {
    this.endedTurns.add(turn);
    this.toolCalls.endOutput(turn);
  }

  endTurn(turn, status) {
    // After an abnormal end it is unknown which piece of output was the last.
    if (status === "ok") this.endOutput(turn);
    this.endedTurns.add(turn);
    for (const [speaker, line] of this.prose) {
      if (line.dataset.turn !== turn) continue;
      line.classList.remove("live");
      line.isEnded = true;
      this.renderBlocks(line);
      this.prose.delete(speaker);
    }
    this.toolCalls.endTurn(turn);
    for (const line of $$(".permission.open", this.list)) if (line.dataset.turn === turn) settle(line);
  }

  // --- the whole page ----------------------------------------------------------------------------

  /** Loads the page again: the log was replaced, or too many lines were missed. Resolves to its data, null on failure. */
  async reload() {
    const doc = await fetchPage(location.pathname + part());
    if (!doc) return null;
    const { paging, toolCalls } = this;
    for (const map of [toolCalls.calls, toolCalls.orphans, this.prose, this.endedTurns]) map.clear();
    this.waiting = [];
    this.list.replaceChildren(...$("#log", doc).childNodes);
    paging.earlier.hidden = $("#earlier", doc).hidden;
    paging.from = firstLine($("#earlier", doc));
    paging.later.hidden = true;
    this.last = this.newestTurn = 0;
    this.placeAll();
    if (this.scroll.following) this.scroll.toEnd();
    return doc.body.dataset;
  }

  /** Scrolls to a line by its number, and opens the folds around it. Returns whether it is on this page. */
  show(number) {
    const line = document.getElementById(`e${number}`) // or the line that this one was merged into
      ?? (!document.body.dataset.show && number >= this.paging.from && number < this.last && $$("li.line", this.list).findLast((one) => lineNumber(one) < number));
    if (!line) return false;
    for (let element = line; element; element = element.parentElement) if (element.tagName === "DETAILS") element.open = true;
    $("details", line)?.setAttribute("open", "");
    line.classList.add("shown");
    line.removeAttribute("hidden");
    line.scrollIntoView({ block: "start" });
    this.scroll.update();
    this.paging.loadNear();
    return true;
  }
}

/** Folded text: "show all" loads the whole text. A fold that the user has opened or closed is not changed any more. */
function connectFoldedText(list, scroll) {
  list.addEventListener("click", (event) => {
    const summary = event.target.closest("summary"), link = event.target.closest("a.show-all");
    if (summary) summary.parentElement.dataset.touched = "yes";
    if (!link) return;
    event.preventDefault();
    showWhole(link, scroll);
  });
}

async function showWhole(link, scroll) {
  link.textContent = "Loading…";
  const doc = await fetchPage(link.getAttribute("href"));
  const part = link.closest(".output, .input, .prompt-text, .body");
  const whole = doc && $(`#e${link.dataset.line} .${part.classList[0]}`, doc);
  if (!whole) return void (link.textContent = `Not loaded: ${unreachable()[0]}. Tap to try again.`);
  scroll.keep(() => part.replaceChildren(...whole.childNodes));
}
