// Prose that grows: its finished blocks are rendered, and the last one is shown as it was written. Loaded with the first
// piece of prose.
//
// The server renders the blocks. `from` and `skip` of the line say where the rest begins that is not rendered.

import { $, $$, fetchPage, make } from "./browser.js";
import { appendProse, whenFree } from "./line_kinds.js";

const PAUSE = 300; // ms before a question
const LONGEST = 5_000; // ms, while a long block grows

/** Asks for the finished blocks of a line, unless there can be none. */
export async function renderBlocks(transcript, line) {
  const hasLine = $$(".raw", line).some((part, index) => index || part.textContent.includes("\n"));
  if (line.isAsked || line.dataset.from === "0" || !(hasLine || line.isEnded) || line.isDone) return;
  line.isAsked = true;
  await new Promise((wake) => setTimeout(wake, line.pause ??= PAUSE));
  const { isEnded } = line, { from, skip } = line.dataset;
  line.since = ""; // what arrives from now on
  const place = `first=${from}&last=${transcript.last}${skip ? `&skip=${skip}` : ""}${isEnded ? "&ended=1" : ""}`;
  const doc = await fetchPage(`${location.pathname}/prose?${place}`), done = doc && $("#done", doc);
  const isNew = done?.children.length, next = () => {
    line.isAsked = false;
    if (done && isEnded) line.isDone = true;
    if (done && (line.since || line.isEnded)) renderBlocks(transcript, line);
  };
  if (done?.dataset.from === "0") line.dataset.from = "0";
  line.pause = isNew ? PAUSE : Math.min(LONGEST, 2 * line.pause);
  if (!isNew) return next();
  const body = $(".body", line);
  whenFree($$(".raw", line), () => {
    if (line.dataset.kind !== "delta") return; // the finished text has arrived
    const { following } = transcript.scroll;
    for (const part of $$(".raw", line)) part.remove();
    body.append(...done.childNodes, make("p", { className: "raw", textContent: $("#rest", doc).textContent }));
    appendProse(line, line.since);
    Object.assign(line.dataset, done.dataset);
    if (following) transcript.scroll.toEnd();
    next();
  });
}
