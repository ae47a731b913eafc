// Copying: the link to a line, and the text under the pointer.

import { $, make } from "./browser.js";

/** Copies `text`, then shows the message `done` with `say`. */
export async function copyText(text, done, say) {
  try {
    await navigator.clipboard.writeText(text);
    say(done);
  } catch {
    say("Not copied: this browser allows copying only over HTTPS or on localhost.");
  }
}

export async function copyLink(line, say) {
  if (!line) return;
  history.replaceState(null, "", `#${line.id}`);
  await copyText(location.href, `Copied the link to line ${line.id.slice(1)}.`, say);
}

/** Adds one Copy button, which moves to the code, output or prose under the pointer. */
export function addCopyButton(list, say) {
  const button = make("button", { type: "button", className: "copy", textContent: "Copy" });
  let target;
  const moveTo = (event) => {
    const found = event.target.closest("pre, .prose > .body, .prompt-text");
    if (!found || found === target || event.target === button) return;
    target = found;
    found.closest(".body").append(button);
    const place = found.getBoundingClientRect(), around = button.offsetParent.getBoundingClientRect();
    const bottom = found.tagName === "PRE" ? 0 : place.height - button.offsetHeight; // prose: its last line is short
    button.style.top = `${place.top - around.top + bottom}px`;
  };
  for (const name of ["pointerover", "focusin"]) list.addEventListener(name, moveTo);
  button.addEventListener("click", () => {
    const copied = target.cloneNode(true);
    $(".copy", copied)?.remove();
    const text = copied.tagName === "PRE" ? copied.textContent : target.innerText.replace(/\n?Copy$/, "");
    copyText(text, "Copied.", say);
  });
}
