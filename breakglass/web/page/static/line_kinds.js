// The effect of a new line on the earlier lines of the transcript, by the event's kind.

import { $, $$, fetchPage, make } from "./browser.js";
import { day, hhmmss } from "./text.js";

export const lineNumber = (line) => Number(line?.id.slice(1));
export const lineTime = (line) => new Date(line.dataset.ts);
/** The author of prose: the agent of a turn, or one of its subagents. */
export const speaker = (line) => `${line.dataset.turn}/${line.dataset.parent ?? ""}`;

/** By kind: called with the Transcript and the line. Returns true if the line was merged into another one. */
export const PLACE_BY_KIND = {
  delta(transcript, line) {
    const growing = transcript.prose.get(speaker(line));
    if (growing?.isConnected) {
      const text = $(".body", line).textContent;
      growing.since += text;
      appendProse(growing, text);
      transcript.renderBlocks(growing);
      return true;
    }
    transcript.prose.set(speaker(line), line);
    line.since = "";
    appendProse(line, "");
    transcript.renderBlocks(line);
  },
  text(transcript, line) { // the finished prose replaces its deltas
    const growing = transcript.prose.get(speaker(line));
    transcript.prose.delete(speaker(line));
    if (!growing?.parentNode) return;
    finishProse(growing, line, (show) => transcript.scroll.following ? (show(), transcript.scroll.toEnd()) : show());
    return true;
  },
  tool(transcript, line) {
    transcript.toolCalls.add(line);
  },
  tool_result(transcript, line) {
    return transcript.toolCalls.addResult(line);
  },
  result(transcript, line) {
    transcript.endOutput(line.dataset.turn);
  },
  permission(transcript, line) {
    if (line.classList.contains("open")) transcript.toolCalls.wait(line);
  },
  answer(transcript, line) {
    const question = $$(".permission.open", transcript.list).find((one) =>
      one.dataset.request === line.dataset.request && one.dataset.turn === line.dataset.turn);
    if (question) transcript.toolCalls.answered(question, line);
    settle(question);
  },
  user(transcript, line) {
    settle(queuedLine(transcript, line));
  },
  steered(transcript, line) {
    settle(queuedLine(transcript, line));
  },
  withdrawn(transcript, line) {
    settle(queuedLine(transcript, line));
  },
  plan(transcript, line) { // only the newest plan is open, unless the user opened another
    const plans = [line, ...$$(".plan-update", transcript.list)], newest = Math.max(...plans.map(lineNumber));
    for (const each of plans) for (const fold of $$("details:not([data-touched])", each)) fold.open = lineNumber(each) === newest;
  },
  turn_end(transcript, line) {
    transcript.endTurn(line.dataset.turn, line.dataset.status);
  },
};

const queuedLine = (transcript, line) =>
  line.dataset.queued && $(`#e${Number(line.dataset.queued)}`, transcript.list);

/** Closes a question or a queued prompt that is no longer open. It then looks like any other line. */
export function settle(line) {
  if (!line?.classList.contains("open")) return;
  line.classList.replace("open", "settled");
  $("details", line).open = false;
}

/** Adds the date above a line that begins a day, except above the first line of the log. */
export function markDay(line) {
  if (line.previousElementSibling?.classList.contains("day")) line.previousElementSibling.remove();
  const before = line.previousElementSibling;
  if (!before?.dataset.ts || !line.dataset.ts) return;
  const date = day(lineTime(line));
  if (date !== day(lineTime(before))) line.before(make("li", { className: "day", textContent: date }));
}

/** The end of a turn repeats what the lines before it say. It takes their cause and cost, and they are folded. */
export function foldIntoEnd(end) {
  const { turn, status } = end.dataset, before = [], body = $(".body", end);
  for (let line = end.previousElementSibling; line?.dataset.turn === turn && "said" in line.dataset; line = line.previousElementSibling) before.push(line);
  const of = (kind) => before.find((line) => line.dataset.kind === kind), result = of("result");
  const failed = of("error") ?? (result?.dataset.outcome === "error" ? result : null), told = (failed ?? result)?.dataset.said;
  const same = before.filter((line) => line.dataset.said === told);
  let folded = failed ? same : result && (same.length > 1 || !told) ? [result] : [];
  if (status === "cancelled") folded = result ? [result] : [];
  else if (failed && !$(".show-all", failed)) body.append(...$$(".plain, .failed ~ .meta", failed).map((part) => part.cloneNode(true)));
  else if (failed) folded = [];
  for (const line of folded) line.classList.add("folded");
  if (folded.includes(result) && result.dataset.cost) $(".how", body).append(` · ${result.dataset.cost}`);
  end.dataset.joined = "yes"; // the page is kept for reading without a network, and starts again from there
}

/** Lets the browser's search find the text of a hidden line. Older browsers find it only by the page's own search. */
export function letFind(line) {
  if (!("onbeforematch" in line) || getComputedStyle(line).visibility !== "hidden") return;
  line.setAttribute("hidden", "until-found");
  line.addEventListener("beforematch", () => line.classList.add("shown"), { once: true });
}

/** The newest retry counts down to the agent's next attempt. `now`: ms by the server's clock. */
export function countDown(line, now) {
  if (!line?.dataset.pause) return;
  const left = Math.ceil((lineTime(line) - now + Number(line.dataset.pause)) / 1000);
  $(".wait", line).textContent = left > 0 ? ` · ${left} s left` : " · trying now";
}

/** Appends text to prose, in paragraphs. So the layout changes little when the finished text replaces it. */
export function appendProse(line, text) {
  const last = $$(".raw", line).at(-1);
  const [first, ...rest] = (last.textContent + text).split(/\n{2,}(?=\S)/);
  if (rest.length) last.textContent = first;
  else last.append(text);
  last.after(...rest.map((part) => make("p", { className: "raw", textContent: part })));
}

/** The line of growing prose becomes that of the finished text. Its blocks that are the same stay, and a selection in them. */
async function finishProse(growing, line, show) {
  const { parentNode } = growing, hasBlocks = "skip" in growing.dataset, fold = $(".show-all", line);
  if (growing.nextElementSibling) parentNode.append(growing); // the order of the lines is that of their numbers
  for (const { name, value } of line.attributes) growing.setAttribute(name, value);
  $(".number", growing).replaceWith($(".number", line));
  const doc = fold && hasBlocks && await fetchPage(fold.getAttribute("href")); // what was read is not folded
  const fresh = [...$(".body", (doc && $(`#${line.id}`, doc)) || line).children], body = $(".body", growing);
  const old = [...body.children].filter((block) => !block.matches(".copy"));
  show(() => {
    for (const [index, block] of fresh.entries()) {
      const before = old[index];
      if (!before) body.append(block);
      else if (!before.isEqualNode(block)) whenFree([before], () => before.replaceWith(block));
    }
    const extra = old.slice(fresh.length);
    whenFree(extra, () => { for (const block of extra) block.remove(); });
  });
}

/** Calls `act` when no text in these elements is selected. */
export function whenFree(elements, act) {
  const selection = getSelection();
  const isFree = selection.isCollapsed || !elements.some((element) => selection.containsNode(element, true));
  if (isFree) return act();
  document.addEventListener("selectionchange", () => whenFree(elements, act), { once: true });
}

/** Adds the time of a line to its number, as the text on hover. */
export function addTimeOnHover(link) {
  const line = link?.closest("[data-ts]");
  if (line && !link.title) link.title = `${day(lineTime(line))} ${hhmmss(lineTime(line))} (${line.dataset.ts})`;
}
