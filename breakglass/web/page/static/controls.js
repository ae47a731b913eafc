// The parts of the page that show the session's state: the heading, the window's title, and the Send and Stop buttons.

import { $, $$, make } from "./browser.js";
import { Notifier } from "./notifications.js";
import { joinLines } from "./text.js";

export class Controls {
  /** `list`: the transcript's lines; `field`: the prompt field. */
  constructor({ list, field }) {
    Object.assign(this, { list, field, page: document.body.dataset, heading: $("main h1") });
    this.isTurnRunning = this.page.active === "yes";
    this.endedAs = ""; // how a turn ended while the page was hidden
    this.notifier = new Notifier(this.windowTitle);
    this.announcement = document.body.appendChild(make("p", { id: "announcement", className: "hidden-text", role: "status" }));
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      this.endedAs = "";
      this.update();
    });
    this.update();
  }

  turnBegan(line) {
    this.isTurnRunning = true;
    this.endedAs = "";
    if (!this.page.named) this.showTitle($(".prompt-text", line).textContent);
  }

  turnEnded(line) {
    this.isTurnRunning = false;
    const context = $$(".result", this.list).at(-1)?.dataset.context;
    if (context) $("#context").textContent = ` · context ${context}`;
    if (document.hidden) this.endedAs = line.dataset.status;
  }

  update() {
    const send = $("#send"), isAsking = $(".permission.open", this.list);
    const skip = $("#to-question");
    if (isAsking) skip.href = `#${isAsking.id}`;
    skip.hidden = !isAsking;
    $(".stop").hidden = !this.isTurnRunning;
    send.hidden = this.isTurnRunning && !this.field.value.trim();
    const now = $(".now");
    if (now) now.hidden = send.hidden || !this.isTurnRunning;
    send.textContent = this.isTurnRunning ? "Queue" : "Send";
    this.notifier.showStatus(isAsking ? "asking" : this.isTurnRunning ? "running" : this.endedAs);
  }

  get windowTitle() { return `${this.heading.textContent} · ${this.page.host}`; }

  showTitle(text) {
    const title = joinLines(text, 80);
    this.page.named = "yes";
    Object.assign(this.heading, { title, textContent: title });
    this.notifier.title = this.windowTitle;
  }

  /** Tells screen readers, and the user of a hidden page, what happened. */
  announce(text) {
    this.announcement.textContent = text;
    this.notifier.notify(text);
  }
}
