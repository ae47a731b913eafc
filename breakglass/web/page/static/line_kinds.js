// The effect of a new line on the earlier lines of the transcript, by the event's kind.

import { $, $$, make } from "./browser.js";
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
      appendProse(growing, $(".body", line).textContent);
      return true;
    }
    transcript.prose.set(speaker(line), line);
    appendProse(line, "");
  },
  text(transcript, line) { // the finished prose replaces its deltas
    const growing = transcript.prose.get(speaker(line));
    if (!growing) return;
    growing.remove();
    transcript.prose.delete(speaker(line));
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

/** The newest retry counts down to the agent's next attempt. `now`: ms by the server's clock. */
export function countDown(line, now) {
  if (!line?.dataset.pause) return;
  const left = Math.ceil((lineTime(line) - now + Number(line.dataset.pause)) / 1000);
  $(".wait", line).textContent = left > 0 ? ` · ${left} s left` : " · trying now";
}

/** Appends text to prose, in paragraphs. So the layout changes little when the finished text replaces it. */
function appendProse(line, text) {
  const last = $(".body", line).lastElementChild;
  const [first, ...rest] = (last.textContent + text).split(/\n{2,}(?=\S)/);
  if (rest.length) last.textContent = first;
  else last.append(text);
  last.after(...rest.map((part) => make("p", { textContent: part })));
}

/** Adds the time of a line to its number, as the text on hover. */
export function addTimeOnHover(link) {
  const line = link?.closest("[data-ts]");
  if (line && !link.title) link.title = `${day(lineTime(line))} ${hhmmss(lineTime(line))} (${line.dataset.ts})`;
}
