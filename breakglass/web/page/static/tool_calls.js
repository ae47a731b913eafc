// Tool calls and their results as one line each.
//
// A result goes under its call. A shell's output comes in several results, and only the end of the turn shows which was
// the last. A result whose call is on an earlier part of the log stands alone, as an orphan, until that part is loaded.

import { $, $$, make } from "./browser.js";
import { lineNumber, lineTime } from "./line_kinds.js";
import { duration, runningTime, statusSign } from "./text.js";

const keyOf = (line) => `${line.dataset.turn}/${line.dataset.tool}`;

export class ToolCalls {
  /** `isRunning(turn)`: whether the turn is running, as far as this page knows. */
  constructor(isRunning) {
    this.isRunning = isRunning;
    this.calls = new Map(); // turn/tool → the line of the call
    this.orphans = new Map(); // turn/tool → the line of a result without its call
  }

  add(line) {
    this.calls.set(keyOf(line), line);
    this.mergeOrphan(keyOf(line));
  }

  /** Returns true if the result was merged into another line. */
  addResult(line) {
    const call = this.calls.get(keyOf(line)), orphan = this.orphans.get(keyOf(line));
    if (call) this.merge(call, line);
    else if (orphan?.isConnected) this.join(orphan, line);
    else return void this.orphans.set(keyOf(line), line);
    return true;
  }

  /** A call waits for the answer to `question`. Its clock shows for how long. */
  wait(question) {
    const call = this.calls.get(keyOf(question));
    if (call) Object.assign(call, { waitsFor: question, since: lineTime(question) });
  }

  /** A call runs from the answer that allows it. A refused one has no duration. */
  answered(question, answer) {
    const call = this.calls.get(keyOf(question));
    if (!call) return;
    Object.assign(call, { waitsFor: null, since: lineTime(answer), isRefused: answer.dataset.allow === "no" });
  }

  /** Returns the list for a subagent's line, under the tool call that started the subagent; null without one. */
  nestedList(line) {
    const call = this.calls.get(`${line.dataset.turn}/${line.dataset.parent}`);
    if (!call || call === line) return null;
    const details = $("details", call);
    if (!details.dataset.touched && !call.dataset.outcome) details.open = true;
    return $(":scope > .nested", details) ?? details.appendChild(make("ol", { className: "nested" }));
  }

  merge(call, result) {
    if (lineNumber(result) <= (call.mergedUpTo ?? 0)) return; // the same result again, from another part of the log
    call.newest = result.newest ?? result;
    call.mergedUpTo = lineNumber(call.newest);
    for (const output of $$(".output", result)) appendOutput($("details", call), output, result);
    if (!call.dataset.pieces || !this.isRunning(call.dataset.turn)) this.finish(call);
  }

  /** Adds one more piece to an output whose call is not on this page. */
  join(orphan, result) {
    orphan.newest = result.newest ?? result;
    for (const output of $$(".output", result)) appendOutput($("details", orphan), output, result);
  }

  /** Merges an orphan into its call, if both are on the page. */
  mergeOrphan(key) {
    const call = this.calls.get(key), result = this.orphans.get(key);
    if (!call || !result) return;
    this.orphans.delete(key);
    this.merge(call, result);
    result.remove();
  }

  /** Pairs the lines of an earlier part, which `place` adds, with the orphans of the parts below it. */
  addEarlierPart(place) {
    const later = this.orphans;
    this.orphans = new Map();
    place();
    for (const [key, line] of later) {
      const before = this.orphans.get(key);
      if (before) this.join(before, line);
      if (before) line.remove();
      else this.orphans.set(key, line);
      this.mergeOrphan(key);
    }
  }

  finish(call) {
    const outcome = call.isRefused ? "refused" : call.newest.dataset.outcome, details = $("details", call), shown = $(".outcome", call);
    const [sign, label] = statusSign(outcome);
    call.dataset.outcome = outcome;
    shown.className = `outcome ${outcome}`;
    const ran = duration(lineTime(call.newest) - (call.since ?? lineTime(call)));
    shown.replaceChildren(call.isRefused ? "refused " : `${ran} `,
      make("span", { textContent: sign, role: "img", ariaLabel: label }));
    if (!details.dataset.touched && $(".nested", details)) details.open = false;
  }

  /** No more pieces of output come in this turn. */
  endOutput(turn) {
    for (const call of this.unfinished()) if (call.dataset.turn === turn && call.newest) this.finish(call);
  }

  /** No more results come in this turn. */
  endTurn(turn) {
    for (const call of this.unfinished()) {
      if (call.dataset.turn !== turn) continue;
      call.dataset.outcome = "none";
      Object.assign($(".outcome", call), { className: "outcome", textContent: "no result" });
    }
  }

  /** Advances the clocks of running calls; `now` in ms by the server's clock. */
  tick(now) {
    const sign = statusSign("running")[0];
    for (const call of this.unfinished()) {
      if (!call.isConnected || !this.isRunning(call.dataset.turn)) continue;
      const isWaiting = call.waitsFor?.classList.contains("open");
      const time = runningTime(now - (call.since ?? lineTime(call)));
      const textContent = isWaiting ? `${statusSign("asking")[0]} waits ${time}` : `${sign} ${time}`;
      Object.assign($(".outcome", call), { className: `outcome ${isWaiting ? "asking" : "running"}`, textContent });
    }
  }

  unfinished() { return [...this.calls.values()].filter((call) => !call.dataset.outcome); }
}

/** Adds a piece of output. Pieces that are not folded join into one block, so many small ones do not fill the page. */
function appendOutput(details, output, result) {
  const last = $$(":scope > .output", details).at(-1);
  const block = (one) => (one?.children.length === 1 ? $(":scope > pre", one) : null);
  if (last && $(".none", output)) return;
  if (block(last) && block(output)) {
    block(last).append(...block(output).childNodes);
    return block(last).normalize();
  }
  if (last && $(".none", last)) last.remove();
  output.id = result.id;
  output.dataset.ts = result.dataset.ts;
  details.append(output);
}
