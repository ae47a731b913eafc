// Keyboard shortcuts. While the user types in a field, only Esc does anything.

import { copyLink } from "./clipboard.js";
import { $, $$, make, prefix } from "./browser.js";

const HELP = [
  ["j / k", "next or previous turn"], ["o", "open or close the turn's lines"], ["c", "copy the link to the turn"],
  ["g / G", "first line, end"], ["f / F", "next or previous failure"],
  ["/", "search in this session, or in the titles of the list"], ["n", "new session"],
  ["y / n", "allow or refuse, when the question has the focus"], ["a", "focus the question"],
  ["Ctrl Enter", "send"], ["Shift Enter", "new line"], ["Esc", "leave the field, close the menu"], ["?", "show these shortcuts"],
];

export function listenForKeys(say) {
  const dialog = make("dialog", { ariaLabel: "Keyboard shortcuts" }, make("b", { textContent: "Keyboard shortcuts" }),
    make("dl", {}, ...HELP.flatMap(([key, action]) =>
      [make("dt", {}, make("kbd", { textContent: key })), make("dd", { textContent: action })])),
    make("form", { method: "dialog" }, make("button", { textContent: "Close" })));
  document.body.append(dialog);
  for (const button of $$("[data-do=keys]")) {
    button.hidden = false;
    button.addEventListener("click", () => dialog.showModal());
  }
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    const target = event.target;
    if (event.key === "Escape") return leave(target);
    if (target.closest?.("input, textarea, select")) return;
    const card = target.closest?.(".permission.open");
    const action = (card && QUESTION_KEYS[event.key]) || PAGE_KEYS[event.key];
    if (!action) return;
    event.preventDefault();
    action({ card, dialog, say });
  });
}

const QUESTION_KEYS = {
  y: ({ card, say }) => {
    const allow = $(".allow", card);
    if (allow?.disabled) say(allow.title);
    else allow?.click();
  },
  n: ({ card }) => $(".refuse", card).click(),
};

const PAGE_KEYS = {
  j: () => goToTurn(1),
  k: () => goToTurn(-1),
  o: () => toggleTurn(),
  c: ({ say }) => copyLink(currentTurn(), say),
  g: () => ($("#earlier:not([hidden])") ? location.assign("?after=0#e1") : scrollTo(0, 0)),
  G: () => ($("#later:not([hidden]) .to-end") ?? $("#news"))?.click(),
  f: () => go("failures", 1),
  F: () => go("failures", -1),
  "/": () => ($("#find") ? document.dispatchEvent(new Event("find")) : $("input[type=search]")?.focus()),
  n: () => (location.pathname === `${prefix}/` ? $("#prompt").focus() : location.assign(`${prefix}/#prompt`)),
  a: () => $$(".permission.open .card").at(-1)?.focus(),
  "?": ({ dialog }) => dialog.showModal(),
};

/** jumps.js knows the prompts and failures that are not on the page. */
const go = (what, step) => document.dispatchEvent(new CustomEvent("go", { detail: [what, step] }));

const currentTurn = () => $(".line.current") ?? $$(".user").at(-1);

function goToTurn(step) {
  const turns = $$("#log > .user");
  const index = turns.indexOf($(".line.current"));
  const top = (turn) => turn?.getBoundingClientRect().top, passed = turns.findLastIndex((turn) => top(turn) < 80);
  const from = index < 0 ? passed + (step < 0 && top(turns[passed]) < 40 ? 1 : 0) : index; // in its lines, not at it
  const next = turns[from + step];
  if (!next) return go("prompts", step);
  $(".line.current")?.classList.remove("current");
  next.classList.add("current");
  next.scrollIntoView({ block: "start" });
  $(".number", next).focus({ preventScroll: true });
}

/** Opens what is folded in the current turn, or closes it all if nothing is folded. */
function toggleTurn() {
  const turn = currentTurn()?.dataset.turn;
  const folds = $$("#log > .line > .body > details").filter((fold) => fold.closest(".line").dataset.turn === turn);
  const open = folds.some((fold) => !fold.open);
  for (const fold of folds) fold.open = open;
}

function leave(target) {
  for (const menu of $$(".menu[open]")) menu.open = false;
  target.blur?.();
  $(".line.current")?.classList.remove("current");
}
