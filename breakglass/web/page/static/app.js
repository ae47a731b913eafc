// Starts the scripts of a page. The page works without scripts too; the scripts keep it up to date.

import { $, $$, forgetPages, home, scriptURL, stored } from "./browser.js";
import { offerNotifications } from "./notifications.js";
import { startListPage } from "./session_list.js";
import { SessionPage } from "./session_page.js";

const page = document.body.dataset;
const dock = $("#dock");
document.documentElement.dataset.scripts = "yes"; // the styles of a page without scripts differ

let clearTimer;
/** Shows a short message above the prompt field. It disappears, unless it reports a failure or something in progress. */
function say(text) {
  $("#notice").textContent = text;
  clearTimeout(clearTimer);
  if (text && !text.startsWith("Not ") && !text.endsWith("…")) clearTimer = setTimeout(() => say(""), 4000);
}

/** On iPhones the keyboard covers the page, so the dock moves up by its height. A page zoomed by two fingers is smaller too. */
function keepDockAboveKeyboard() {
  const screen = globalThis.visualViewport;
  screen?.addEventListener("resize", () => {
    const height = screen.scale > 1.01 ? 0 : Math.max(0, innerHeight - screen.height - screen.offsetTop);
    document.documentElement.style.setProperty("--keyboard", `${height}px`);
  });
}

new ResizeObserver(() => document.documentElement.style.setProperty("--dock", `${dock.offsetHeight}px`)).observe(dock);
keepDockAboveKeyboard();
for (const form of $$("form[action$='/logout']")) {
  form.addEventListener("submit", () => { // after a logout the device keeps no data
    form.elements.csrf.value ||= globalThis.csrf();
    localStorage.clear();
    globalThis.indexedDB?.deleteDatabase("breakglass"); // files of unsent prompts
    sessionStorage.clear();
    forgetPages();
  });
}
const loadKeys = () => import("./keys.js").then(({ listenForKeys }) => listenForKeys(say), () => {});
// A phone loads the shortcuts with its first key.
if (matchMedia("(any-pointer: fine)").matches) await loadKeys();
else addEventListener("keydown", loadKeys, { once: true });
offerNotifications(say);
document.addEventListener("click", (event) => {
  for (const menu of $$(".menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
stored.set("loaded", page.now); // tells logged-out windows that the user has logged in again
if (page.session) new SessionPage(page.session, say);
else startListPage();
navigator.serviceWorker?.register(scriptURL(`${home}/sw.js?static=${encodeURIComponent(page.static)}`)).catch(() => {});
