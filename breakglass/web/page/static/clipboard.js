// Copying: the link to a line, and the text under the pointer.

import { make } from "./browser.js";

/** Copies `text`, which may be a promise, then shows the message `done` with `say`. */
export async function copyText(text, done, say) {
  try {
    // Safari copies only within the click, so it gets the promise itself.
    if (text.then) await navigator.clipboard.write([new ClipboardItem({ "text/plain": text.then((all) => new Blob([all], { type: "text/plain" })) })]);
    else await navigator.clipboard.writeText(text);
    say(done);
  } catch {
    say(text.then ? "Not copied: the server did not answer, or this browser allows copying only over HTTPS or on localhost."
      : "Not copied: this browser allows copying only over HTTPS or on localhost.");
  }
}

export async function copyLink(line, say) {
  if (!line) return;
  history.replaceState(null, "", `#${line.id}`);
  await copyText(location.href, `Copied the link to line ${line.id.slice(1)}.`, say);
}

/** Adds one Copy button, which moves to the code, output or prose under the pointer. */
export function addCopyButton(list, say) {
  const button = make("button", { type: "button", className: "copy", ariaLabel: "Copy", title: "Copy" });
  let target;
  const moveTo = (event) => {
    const found = event.target.closest("pre, .prose > .body, .prompt-text");
    if (!found || found === target || event.target === button) return;
    target = found;
    const body = found.closest(".body"), isInput = found.matches("dd > *");
    body.append(button);
    button.classList.toggle("right", isInput);
    const place = found.getBoundingClientRect(), around = body.getBoundingClientRect();
    const top = place.top - around.top, isAtNumber = !isInput && top < 24;
    button.style.top = `${isInput ? top - button.offsetHeight : isAtNumber ? Math.max(24, place.height - 28) : top}px`;
  };
  for (const name of ["pointerover", "focusin"]) list.addEventListener(name, moveTo);
  button.addEventListener("click", () => {
    const body = button.parentNode;
    button.remove();
    copyText(target.tagName === "PRE" ? target.textContent : target.innerText, "Copied.", say);
    body.append(button);
  });
}
