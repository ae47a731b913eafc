// A question with more text than its card shows: how much is below, and no permission before the end was seen.
//
// Without JavaScript the card shows all of the text, and the buttons follow it.

import { $, $$, make } from "./browser.js";

const SLACK = 4; // px of the text's end that may stay hidden, because sizes are rounded

/** Connects the card of an open question: a line of the log that `session_page` has placed. */
export function connectQuestion(line) {
  const text = $(".proposed", line), buttons = $$(".allow, .allow-session", line);
  if (!text || line.dataset.connected) return;
  line.dataset.connected = "yes";
  const count = make("span"), all = make("button", { type: "button", textContent: "Show all" });
  const more = make("p", { className: "rest", hidden: true }, count, all);
  text.after(more);
  let isSeen = false;
  const check = () => {
    if (!text.clientHeight) return; // folded: nothing of it was seen
    const below = text.scrollHeight - text.clientHeight - text.scrollTop;
    isSeen ||= line.classList.contains("whole") || below <= SLACK;
    const lines = Math.ceil(below / parseFloat(getComputedStyle(text).lineHeight));
    count.textContent = $(".decision", text) ? "More below" : `${lines} more line${lines === 1 ? "" : "s"} below`;
    more.hidden = isSeen && below <= SLACK;
    for (const button of buttons) {
      button.disabled = !isSeen;
      button.title = isSeen ? "" : "Not allowed: read to the end first, or show all.";
    }
  };
  all.addEventListener("click", () => {
    line.classList.add("whole");
    check();
    line.scrollIntoView({ block: "start" });
  });
  text.addEventListener("scroll", check, { passive: true });
  new ResizeObserver(check).observe(text);
  check();
}
