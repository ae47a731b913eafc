// The dialog that turns notifications on and off, and this browser's subscription to them (Web Push). Loaded when it is used.
//
// It says only what this browser and the server have confirmed.

import { $$, home, make, scriptURL, stored, timeout, unreachable } from "./browser.js";

const isApple = /iPhone|iPad/.test(navigator.userAgent) || (navigator.maxTouchPoints > 1 && /^Mac/.test(navigator.platform));
let dialog;

/** Opens the dialog. */
export async function showNotifications() {
  for (const menu of $$(".menu[open]")) menu.open = false;
  dialog ??= document.body.appendChild(make("dialog", { id: "notifications", ariaLabel: "Notifications" }));
  if (!dialog.open) dialog.showModal();
  draw(["Asking the server…"]);
  await show();
}

/** Tells the server again where this browser takes notifications: after a new login, or if the browser changed it. */
export async function renew() {
  if (globalThis.Notification?.permission !== "granted" || stored.get("push") === identity(await ownSubscription())) return;
  const { body } = await call("GET");
  if (body.key) await subscribe(body.key).catch(() => {});
}

/** What the server knows: this subscription of this login. */
const identity = (subscription) => `${subscription?.endpoint} ${globalThis.csrf()}`;

/** Shows the present state. `problem`: why the last tap had no effect. */
async function show(problem = "") {
  const why = whyUnsupported();
  if (why) return draw([why]);
  if (Notification.permission === "denied") {
    return draw(["Off: this browser blocks notifications from this address.",
      "Allow them in the browser's settings of this site, then open this page again."]);
  }
  const { status, body } = await call("GET");
  const isGranted = Notification.permission === "granted";
  const isOn = isGranted && body.on && (await ownSubscription()) !== null;
  const isOpenOnly = isGranted && !isOn && stored.get("notify");
  const reason = status !== 200 ? `${unreachable()[0]}.` : !globalThis.PushManager ? "this browser has no Web Push." : body.reason && `${body.reason}.`;
  const buttons = [];
  if (!isOn && !reason) buttons.push([isOpenOnly ? "Also while it is closed" : "Turn on", () => turnOn(body.key)]);
  if (!isOn && !isOpenOnly) buttons.push(["Only while a page is open", turnOnHere]);
  if (isOn || isOpenOnly) buttons.push(["Turn off", turnOff]);
  draw([
    problem,
    isOn ? "On, also while no page is open. This device is told:"
      : isOpenOnly ? "On while a page of a session is open in the background: when its turn ends or a question waits. A closed page tells nothing."
        : `Off on this device.${reason ? "" : " It can be told, also while no page is open:"}`,
    !reason && !isOpenOnly && make("ul", {}, ...body.told.map((text) => make("li", { textContent: text }))),
    isOn ? "It ends when you log out, or when this login ends." : reason && `Not possible while no page is open: ${reason}`,
  ], buttons);
}

function whyUnsupported() {
  if (!isSecureContext) return "Not possible here: browsers notify only at an https:// address or at localhost.";
  if (globalThis.Notification && navigator.serviceWorker) return "";
  if (isApple) {
    return "On an iPhone or iPad, add this page to the Home Screen first: tap Share, then Add to Home Screen. Open it from there, and turn notifications on.";
  }
  return "This browser cannot show notifications.";
}

async function turnOn(key) {
  if (!(await isAllowed())) return show("This browser did not allow notifications.");
  try {
    await subscribe(key);
    stored.set("notify", true);
    return show();
  } catch (error) {
    return show(`Not turned on: ${error.message}`);
  }
}

async function turnOnHere() {
  if (!(await isAllowed())) return show("This browser did not allow notifications.");
  stored.set("notify", true);
  return show();
}

async function turnOff() {
  stored.set("push", null);
  stored.set("notify", null);
  // One of the two is enough: without a subscription, the push service refuses every notification.
  const isEnded = await (await ownSubscription())?.unsubscribe().catch(() => false);
  const { status } = await call("DELETE");
  return show(status === 200 || isEnded !== false ? "" : `Not turned off: ${unreachable()[0]}.`);
}

// Called by a tap only: a browser may punish a page that asks without one.
const isAllowed = async () => (await Notification.requestPermission()) === "granted";

const worker = async () => {
  await navigator.serviceWorker.register(scriptURL(`${home}/sw.js?static=${encodeURIComponent(document.body.dataset.static)}`));
  return navigator.serviceWorker.ready;
};

const ownSubscription = async () => (await navigator.serviceWorker.getRegistration())?.pushManager?.getSubscription() ?? null;

/** Subscribes this browser at its push service, and tells the server. Throws an error that says what is wrong. */
async function subscribe(key) {
  const manager = (await worker()).pushManager;
  const applicationServerKey = Uint8Array.from(atob(key.replace(/-/g, "+").replace(/_/g, "/")), (character) => character.charCodeAt(0));
  const options = { userVisibleOnly: true, applicationServerKey };
  // A subscription to another key, of an earlier data root, is replaced.
  const subscription = await manager.subscribe(options).catch(async () => {
    await (await manager.getSubscription())?.unsubscribe();
    return manager.subscribe(options);
  });
  const { status, body } = await call("POST", subscription.toJSON());
  if (status !== 200) throw new Error(body.detail ?? unreachable()[0]);
  stored.set("push", identity(subscription));
}

async function call(method, body) {
  try {
    const response = await fetch(`${home}/api/push`, {
      method, body: body && JSON.stringify(body), signal: timeout(),
      headers: { "content-type": "application/json", accept: "application/json", "x-csrf-token": globalThis.csrf() },
    });
    return { status: response.status, body: await response.json().catch(() => ({})) };
  } catch {
    return { status: 0, body: {} };
  }
}

/** Fills the dialog with texts or lists, and buttons of [label, action]. */
function draw(parts, buttons = []) {
  const button = ([textContent, action]) => make("button", {
    textContent, type: "button",
    onclick: (event) => {
      for (const each of event.target.parentNode.children) each.disabled = true;
      return action();
    },
  });
  dialog.replaceChildren(
    make("b", { textContent: "Notifications" }),
    make("div", { role: "status" }, ...parts.filter(Boolean).map((part) => (part instanceof Node ? part : make("p", { textContent: part })))),
    make("form", { method: "dialog" }, ...buttons.map(button), make("button", { textContent: "Close" })),
  );
}
