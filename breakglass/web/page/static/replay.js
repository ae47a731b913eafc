// A session as it happened: its lines appear one by one, after the pauses that were between them, which are shortened.
// Loaded when it is used. The page then shows only the past: it has no stream, and its prompt field and its questions are
// hidden. Closing the replay loads the page again, at the line that was shown last.

import { $, $$, fetchPage, make } from "./browser.js";
import { lineNumber, lineTime } from "./line_kinds.js";
import { hhmmss } from "./text.js";

const MAX_PAUSE = 3000; // ms of a pause at most, as `breakglass attach --speed`
const SPEEDS = [1, 2, 4, 8, 16, 100];
const RETRY = 2000; // ms

export class Replay {
  constructor({ transcript, stream }) {
    Object.assign(this, { transcript, stream, lines: [], isPlaying: false, generation: 0 });
    stream.stop("Replay");
    stream.open = () => {}; // no new event may appear in the replay
    for (const nav of [transcript.paging.earlier, transcript.paging.later]) nav.hidden = true;
    document.head.append(make("link", { rel: "stylesheet", href: `${document.body.dataset.static}/replay.css` }));
    document.body.classList.add("replay");
    this.addControls();
    const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches; // then the user goes from line to line
    this.begin(1, !isCalm);
  }

  addControls() {
    const button = (textContent, action) => {
      const made = make("button", { type: "button", textContent });
      made.addEventListener("click", action);
      return made;
    };
    this.playButton = button("Play", () => this.play(!this.isPlaying));
    this.speed = make("select", { ariaLabel: "Speed" }, ...SPEEDS.map((value) => make("option", { value, textContent: `${value} ×` })));
    this.speed.value = 4;
    this.from = make("input", { type: "number", min: 1, max: this.stream.end, value: 1, ariaLabel: "From line" });
    this.from.addEventListener("change", () => this.begin(Math.max(1, Number(this.from.value) || 1), this.isPlaying));
    this.place = make("output", { ariaLabel: "Line" });
    const next = Object.assign(button("Next", () => this.step()), { ariaLabel: "Next line" });
    const bar = make("div", { id: "replay-bar", role: "group", ariaLabel: "Replay" }, this.playButton, next, this.speed,
      button("Close", () => this.close()), make("label", {}, "from line ", this.from), this.place);
    $("#dock").append(bar);
    this.playButton.focus();
    addEventListener("keydown", (event) => this.pressed(event));
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select, button, dialog, summary")) return;
    const action = { " ": () => this.play(!this.isPlaying), ArrowRight: () => this.step(), Escape: () => this.close() }[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  /** Begins again with line `first`. */
  begin(first, isPlaying) {
    const { transcript } = this, { toolCalls } = transcript;
    this.generation += 1; // a part that is on its way is not shown any more
    for (const map of [toolCalls.calls, toolCalls.orphans, transcript.prose, transcript.endedTurns]) map.clear();
    transcript.list.replaceChildren();
    Object.assign(transcript, { last: first - 1, newestTurn: 0 });
    transcript.scroll.following = true;
    Object.assign(this, { lines: [], isLoaded: false, loaded: first - 1, before: null });
    this.play(isPlaying);
    if (!isPlaying) this.step();
  }

  play(isPlaying) {
    clearTimeout(this.timer);
    this.isPlaying = isPlaying && !(this.isLoaded && !this.lines.length);
    this.playButton.textContent = this.isPlaying ? "Pause" : "Play";
    if (this.isPlaying) this.wait();
  }

  /** Waits as long as it took until the next line was written, then shows it. */
  async wait() {
    const { generation } = this;
    if (!await this.load() || generation !== this.generation || !this.isPlaying) return;
    const at = this.lines[0].dataset.ts ? lineTime(this.lines[0]).getTime() : this.before;
    const pause = this.before === null ? 0 : Math.max(0, at - this.before) / Number(this.speed.value);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { this.show(); this.wait(); }, Math.min(MAX_PAUSE, pause));
  }

  async step() {
    const { generation } = this;
    this.play(false);
    if (await this.load() && generation === this.generation) this.show();
  }

  show() {
    const line = this.lines.shift(), { transcript } = this;
    if (!line) return;
    if (line.dataset.ts) this.before = lineTime(line).getTime();
    this.place.textContent = `line ${lineNumber(line)} of ${this.stream.end} · ${line.dataset.ts ? hhmmss(lineTime(line)) : ""}`;
    transcript.place(line, transcript.list);
    transcript.finishLines([line]);
    if (transcript.scroll.following) transcript.scroll.toEnd();
  }

  /** Loads the next part of the log if no line is left. Resolves to whether there is a line. */
  async load() {
    const { generation } = this;
    while (!this.lines.length && !this.isLoaded) {
      const doc = await fetchPage(`${location.pathname}?after=${this.loaded}`);
      if (generation !== this.generation) return false;
      if (!doc) {
        await new Promise((wake) => setTimeout(wake, RETRY));
        continue;
      }
      this.lines = $$("#log > li.line", doc).filter((line) => lineNumber(line) > this.loaded);
      this.loaded = Number(doc.body.dataset.last);
      this.isLoaded = !this.lines.length || $("#later", doc).hidden;
    }
    if (this.lines.length) return true;
    this.play(false);
    this.place.textContent = `the end, line ${this.transcript.last}`;
    return false;
  }

  close() {
    const { last, scroll } = this.transcript;
    scroll.following = last >= this.stream.end; // the place that the page keeps for the reload
    history.replaceState(null, "", last < this.stream.end ? `${location.pathname}?around=${last}#e${last}` : location.pathname);
    location.reload();
  }
}
