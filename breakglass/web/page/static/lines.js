// The lines themselves: what each kind does as it takes its place, and what may become of it afterwards.

import { $, $$, day, duration, hhmmss, make } from "./dom.js";

export const number = (line) => Number(line?.id.slice(1));
export const at = (line) => new Date(line.dataset.ts);
const key = (line) => `${line.dataset.turn}/${line.dataset.tool}`;
export const speaker = (line) => `${line.dataset.turn}/${line.dataset.parent ?? ""}`;

// What each kind does as it is placed; true: it has gone into another line.
export const PLACE = {
  delta(page, line) {
    const running = page.prose.get(speaker(line));
    if (running?.isConnected) {
      grow(running, $(".b", line).textContent);
      return true;
    }
    page.prose.set(speaker(line), line);
    grow(line, "");
  },
  text(page, line) {
    const running = page.prose.get(speaker(line));
    if (!running) return;
    running.remove();
    page.prose.delete(speaker(line));
  },
  tool(page, line) {
    page.tools.set(key(line), line);
    page.adopt(key(line));
  },
  tool_result(page, line) {
    const tool = page.tools.get(key(line)), before = page.orphans.get(key(line));
    if (tool) page.merge(tool, line);
    else if (before?.isConnected) page.join(before, line);
    else return void page.orphans.set(key(line), line);
    return true;
  },
  result(page, line) {
    page.endPieces(line.dataset.turn);
  },
  answer(page, line) {
    const asked = $$(".permission.open", page.list).find((one) =>
      one.dataset.request === line.dataset.request && one.dataset.turn === line.dataset.turn);
    settle(asked);
  },
  user(page, line) {
    settle(queuedAs(page, line));
  },
  withdrawn(page, line) {
    settle(queuedAs(page, line));
  },
  plan(page, line) { // the newest is open, those before it are history
    for (const old of $$(".planned details[open]:not([data-touched])", page.list)) old.open = old === $("details", line);
  },
  turn_end(page, line) {
    page.endTurn(line.dataset.turn, line.dataset.status);
  },
};

const queuedAs = (page, line) => line.dataset.queued && $(`#e${Number(line.dataset.queued)}`, page.list);

/** A question that nobody can answer any more, a prompt that waits no more: a line like others. */
export function settle(line) {
  if (!line?.classList.contains("open")) return;
  line.classList.replace("open", "settled");
  $("details", line).open = false;
}

/** Adds a piece of output. What is not folded runs on in one block: a script that chats must not fill the page. */
export function putOutput(details, output, result) {
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

/** Puts the date above the first line of a day, but for the first line there is. */
export function dayMark(line) {
  if (line.previousElementSibling?.classList.contains("day")) line.previousElementSibling.remove();
  const before = line.previousElementSibling;
  if (!before?.dataset.ts || !line.dataset.ts) return;
  const today = day(at(line));
  if (today !== day(at(before))) line.before(make("li", { className: "day", textContent: today }));
}

/** Adds prose to prose, in paragraphs, so that little moves when the finished text takes its place. */
function grow(line, text) {
  const last = $(".b", line).lastElementChild;
  const [first, ...rest] = (last.textContent + text).split(/\n{2,}(?=\S)/);
  if (rest.length) last.textContent = first;
  else last.append(text);
  last.after(...rest.map((part) => make("p", { textContent: part })));
}

/** The time of a line, for who points at its number. */
export function sayWhen(link) {
  const line = link?.closest("[data-ts]");
  if (line && !link.title) link.title = `${day(at(line))} ${hhmmss(at(line))} (${line.dataset.ts})`;
}

/** A clock that ticks: no tenths, they would only flicker. */
export function clock(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return seconds < 60 ? `${seconds} s` : duration(seconds * 1000);
}
