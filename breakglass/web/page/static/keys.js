// The keyboard, on a desk. No key does anything while somebody writes, but Esc.

import { $, $$, make, root } from "./dom.js";

const KEYS = [
  ["j / k", "next, previous turn"], ["o", "open or close its lines"], ["c", "copy a link to it"],
  ["g / G", "first line here, the end"], ["/", "search in titles"], ["n", "new session"],
  ["y / n", "allow, refuse: when the question has the focus"], ["a", "focus the question"],
  ["Ctrl Enter", "send"], ["Esc", "out"], ["?", "these keys"],
];

export function listens({ say }) {
  const dialog = make("dialog", { ariaLabel: "Keys" }, make("b", { textContent: "Keys" }),
    make("dl", {}, ...KEYS.flatMap(([key, does]) =>
      [make("dt", {}, make("kbd", { textContent: key })), make("dd", { textContent: does })])),
    make("form", { method: "dialog" }, make("button", { textContent: "Close" })));
  document.body.append(dialog);
  for (const button of $$("[data-do=keys]")) {
    button.hidden = false;
    button.addEventListener("click", () => dialog.showModal());
  }
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    const target = event.target;
    if (event.key === "Escape") return out(target);
    if (target.closest?.("input, textarea, select")) return;
    const card = target.closest?.(".permission.open");
    const action = (card && CARD[event.key]) || PAGE[event.key];
    if (!action) return;
    event.preventDefault();
    action({ card, dialog, say });
  });
}

const CARD = {
  y: ({ card }) => $(".allow", card).click(),
  n: ({ card }) => $(".refuse", card).click(),
};

const PAGE = {
  j: () => step(1),
  k: () => step(-1),
  o: () => toggle(),
  c: ({ say }) => copyLink(current(), say),
  g: () => scrollTo(0, 0),
  G: () => scrollTo(0, document.scrollingElement.scrollHeight),
  "/": () => $("input[type=search]")?.focus(),
  n: () => (location.pathname === `${root}/` ? $("#prompt").focus() : location.assign(`${root}/#prompt`)),
  a: () => $$(".permission.open .card").at(-1)?.focus(),
  "?": ({ dialog }) => dialog.showModal(),
};

const current = () => $(".line.here") ?? $$(".user").at(-1);

function step(by) {
  const turns = $$("#log > .user");
  if (!turns.length) return;
  const index = turns.indexOf($(".line.here"));
  const seen = turns.findLastIndex((turn) => turn.getBoundingClientRect().top < 80);
  const next = turns[Math.min(turns.length - 1, Math.max(0, (index < 0 ? seen + (by < 0 ? 1 : 0) : index) + by))];
  $(".line.here")?.classList.remove("here");
  next.classList.add("here");
  next.scrollIntoView({ block: "start" });
  $(".n", next).focus({ preventScroll: true });
}

/** Opens what is folded in the turn, or closes it if all is open. */
function toggle() {
  const turn = current()?.dataset.turn;
  const folds = $$("#log > .line > .b > details").filter((one) => one.closest(".line").dataset.turn === turn);
  const open = folds.some((one) => !one.open);
  for (const one of folds) one.open = open;
}

function out(target) {
  for (const menu of $$(".menu[open]")) menu.open = false;
  target.blur?.();
  $(".line.here")?.classList.remove("here");
}

export async function copyLink(line, say) {
  if (!line) return;
  history.replaceState(null, "", `#${line.id}`);
  await copy(location.href, `The link to line ${line.id.slice(1)} is copied.`, say);
}

export async function copy(text, words, say) {
  try {
    await navigator.clipboard.writeText(text);
    say(words);
  } catch {
    say("Not copied: this browser allows it only over HTTPS or on localhost.");
  }
}
