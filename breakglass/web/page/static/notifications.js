// Notifies the user of a hidden page: the window's title, the app's badge, a notification and a short tone.

import { $, $$, stored } from "./browser.js";
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

/** Shows the menu's button that asks the browser to allow notifications. Browsers allow that only after a tap. */
export function offerNotifications(say) {
  for (const button of $$("[data-do=notify]")) {
    if (!globalThis.Notification || (Notification.permission === "granted" && stored.get("notify"))) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const isGranted = (await Notification.requestPermission()) === "granted";
      stored.set("notify", isGranted);
      button.hidden = isGranted;
      say(isGranted ? "Notifications are on." : "This browser does not allow notifications here.");
      $(".menu").open = false;
    });
  }
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
