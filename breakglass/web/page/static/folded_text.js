// Folded text: "show all" loads the whole text, and a fold that the user has opened or closed is left as it is.

import { $ } from "./elements.js";
import { fetchPage, unreachable } from "./server.js";

export function connectFoldedText(list, scroll) {
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
