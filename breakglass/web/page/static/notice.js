// What calls somebody back: the title, the app's badge, a notification, a short tone. All of it from the lines alone.

import { $, $$, kept } from "./dom.js";

const SIGN = { asking: "◐ ", running: "● ", ok: "✓ ", error: "✗ ", timeout: "✗ ", lost: "✗ ", cancelled: "■ " };

export class Notice {
  constructor(title) {
    this.title = title;
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) navigator.clearAppBadge?.().catch(() => {});
    });
  }

  /** The state in the window's title. How a turn ended stays there until somebody has looked. */
  show(state) {
    document.title = `${SIGN[state] ?? ""}${this.title}`;
  }

  call(words) {
    if (!document.hidden) return;
    navigator.setAppBadge?.().catch(() => {});
    tone();
    if (globalThis.Notification?.permission !== "granted" || !kept.get("notify")) return;
    const options = { body: words, tag: location.pathname, icon: `${document.body.dataset.static}/icon.svg`, data: location.pathname };
    navigator.serviceWorker?.ready.then((worker) => worker.showNotification(this.title, options)).catch(() => {});
  }
}

/** A button in the menu asks for leave: browsers want a tap for it. */
export function offersNotice(say) {
  for (const button of $$("[data-do=notify]")) {
    if (!globalThis.Notification || (Notification.permission === "granted" && kept.get("notify"))) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const leave = await Notification.requestPermission();
      kept.set("notify", leave === "granted");
      button.hidden = leave === "granted";
      say(leave === "granted" ? "You will be told." : "This browser does not allow notifications here.");
      $(".menu").open = false;
    });
  }
}

/** Two soft notes, where the browser lets a page sound. */
function tone() {
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
  } catch { /* no sound here */ }
}
