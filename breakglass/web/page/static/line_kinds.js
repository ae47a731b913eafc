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
    for (const old of $$(".plan-update details[open]:not([data-touched])", transcript.list)) old.open = old === $("details", line);
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
