// Notifies the user of a hidden page: the window's title, the app's badge, a notification and a short tone.

import { $$, stored, unreachable } from "./browser.js";
import { statusSign } from "./text.js";

export class Notifier {
  constructor(title) {
    this.title = title;
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) navigator.clearAppBadge?.().catch(() => {});
    });
  }

  /** Shows a status in the window's title; "" for none. */
  showStatus(status) {
    document.title = status ? `${statusSign(status)[0]} ${this.title}` : this.title;
  }

  /** Notifies the user, unless the page is visible. */
  notify(text) {
    if (!document.hidden) return;
    navigator.setAppBadge?.().catch(() => {});
    playTone();
    if (globalThis.Notification?.permission !== "granted" || !stored.get("notify")) return;
    const options = { body: text, tag: location.pathname, icon: `${document.body.dataset.static}/icon.svg`, data: location.pathname };
    navigator.serviceWorker?.ready.then((worker) => worker.showNotification(this.title, options)).catch(() => {});
  }
}

/** Connects the menu's button. Its code is loaded when it is used. */
export function offerNotifications(say) {
  const load = (use) => import("./push.js").then(use, () => say(`Not possible: ${unreachable()[0]}.`));
  for (const button of $$("[data-do=notify]")) {
    button.hidden = false;
    button.addEventListener("click", () => load(({ showNotifications }) => showNotifications()));
  }
  if (stored.get("push")) load(({ renew }) => renew());
}

/** Plays two quiet tones, if the browser allows sound. */
function playTone() {
  try {
    const audio = new AudioContext(), volume = audio.createGain();
    volume.gain.value = 0.05;
    volume.connect(audio.destination);
    [660, 880].forEach((pitch, index) => {
      const note = audio.createOscillator();
      note.frequency.value = pitch;
      note.connect(volume);
      note.start(audio.currentTime + index * 0.18);
      note.stop(audio.currentTime + index * 0.18 + 0.15);
    });
    setTimeout(() => audio.close(), 1000);
  } catch { /* no sound available */ }
}
