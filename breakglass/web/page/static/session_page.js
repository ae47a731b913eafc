// The page of one session: connects the transcript, the stream, the outbox and the controls.

import { $, $$, callAPI, fetchPage, keepPage, make, prefix, sayLoggedOut, stored, timeout, unreachable } from "./browser.js";
import { addCopyButton, copyLink, copyText } from "./clipboard.js";
import { Controls } from "./controls.js";
import { part } from "./paging.js";
import { Outbox, connectAnswers, connectPromptField, connectStop, connectWithdraw, toSession } from "./sending.js";
import { SessionList } from "./session_list.js";
import { Stream } from "./stream.js";
import { Transcript } from "./transcript.js";

const MAX_MISSED = 2000; // missed lines; if there are more, the page is loaded again instead
const RELOAD_RETRY = 2000; // ms

export class SessionPage {
  /** `say(text)` shows a short message. */
  constructor(id, say) {
    Object.assign(this, { id, say, page: document.body.dataset, isLive: false });
    this.transcript = new Transcript($("#log"), {
      earlier: $("#earlier"), later: $("#later"), news: $("#news"),
      on: {
        line: (line) => this.lineArrived(line),
        lines: () => this.controls.update(),
        isConnected: () => ["live", "polling", "behind"].includes(this.stream?.state),
        endLoaded: () => { this.stream.continueAfter(this.transcript.last); this.stream.open(); },
      },
    });
    this.outbox = new Outbox({ name: id, list: $("#outbox"), send: toSession(id) });
    this.connectForms();
    document.addEventListener("visibilitychange", () => document.hidden && this.keepForOffline());
    addEventListener("pagehide", () => this.keepForOffline()); // before the stream closes
    for (const [target, name] of [[document, "visibilitychange"], [window, "pagehide"]])
      target.addEventListener(name, () => this.keepPlace());
    this.stream = this.newStream();
    for (const line of $$("[data-key]", this.transcript.list)) this.outbox.arrived(line.dataset.key);
    this.connectLinks();
    this.showPlace();
    this.transcript.paging.loadNear();
    new SessionList($("#sessions"), { current: id });
    if (this.page.asking && !this.transcript.showsEnd) showLinkToQuestion();
    this.connectFind();
    this.connectReplay();
    this.connectMenu();
    this.stream.open();
    // Another window has logged in, so this page may be logged in too.
    addEventListener("storage", (event) => event.key === "loaded" && this.stream.state === "stopped" && this.stream.open());
  }

  connectForms() {
    const { id, say, transcript } = this, form = $("#box");
    const field = connectPromptField(form, id, (prompt, more) => {
      const select = form.elements.agent, agent = select.value;
      const { model } = form.elements, name = model?.value.trim(); // for this turn only
      this.outbox.add({ prompt, ...more, ...(agent !== select.dataset.present && { agent }), ...(name && { model: name }) });
      if (model) model.value = "";
      select.dataset.present = agent;
      transcript.scroll.toEnd();
    });
    this.controls = new Controls({ list: transcript.list, field });
    form.addEventListener("changed", () => this.controls.update());
    connectAnswers($("#answer"), id, say);
    connectStop($("#stop"), id, say);
    connectWithdraw($("#withdraw"), id, field, say);
    openFoldsForPrint(transcript.list);
    this.loadJumps();
  }

  /** Loads the ways to other lines: on a wide screen at once, on a phone when the user leaves the end or opens the menu. */
  loadJumps() {
    const load = () => this.jumps ??= import("./jumps.js").then(({ Jumps }) => new Jumps(this), () => {});
    if (matchMedia("(min-width: 900px)").matches) load();
    $("main .menu").addEventListener("toggle", load);
    document.addEventListener("go", ({ detail }) => load().then((jumps) => jumps?.go(...detail))); // a key
    addEventListener("scroll", () => this.transcript.scroll.following || load(), { passive: true });
  }

  connectLinks() {
    const { list, scroll } = this.transcript;
    history.scrollRestoration = "manual";
    addEventListener("hashchange", () => this.showLineOfAddress());
    addCopyButton(list, this.say);
    list.addEventListener("click", (event) => {
      const number = event.target.closest(".number");
      if (!number || number.search) return; // with a filter, the number links to the lines around it
      event.preventDefault(); // a click on a number must not add to the history
      copyLink(number.closest(".line"), this.say);
    });
    document.addEventListener("click", (event) => {
      if (!event.target.closest("a.to-end")) return;
      event.preventDefault();
      history.replaceState(null, "", location.pathname + part());
      scroll.following = true;
      this.say("");
      this.reload();
    });
  }

  /** The search in this session is loaded when it is used: by the form in the menu, the key / or the page's address. */
  connectFind() {
    const open = (words) => (this.find ??= import("./find.js").then(({ Find }) => new Find(this.transcript)))
      .then((find) => find.open(words), () => { this.find = null; this.say(`Not loaded: ${unreachable()[0]}.`); });
    $("#find").addEventListener("submit", (event) => { event.preventDefault(); open(event.target.elements.q.value); });
    document.addEventListener("find", () => open());
    const words = new URLSearchParams(location.search).get("find");
    if (words) open(words);
  }

  /** The buttons of the menu that only this browser knows. */
  connectMenu() {
    const menu = $("main .menu"), wrap = $("[data-do=wrap]", menu), root = document.documentElement;
    const show = (isOn) => { root.toggleAttribute("data-wrap", isOn); wrap.ariaPressed = String(isOn); };
    show(Boolean(stored.get("wrap")));
    wrap.hidden = false;
    wrap.addEventListener("click", () => {
      stored.set("wrap", !stored.get("wrap") || null);
      show(Boolean(stored.get("wrap")));
    });
    $("nav[aria-label=Copy]", menu).hidden = false;
    for (const button of $$("[data-copy]", menu)) button.addEventListener("click", () => {
      menu.open = false;
      const { copy } = button.dataset;
      copyText(copy.startsWith("/") ? fetchText(copy) : copy, "Copied.", this.say);
    });
  }

  connectReplay() {
    const button = $("#replay");
    button.hidden = false;
    button.addEventListener("click", () => {
      button.closest("details").open = false;
      import("./replay.js").then(({ Replay }) => new Replay(this), () => this.say(`Not loaded: ${unreachable()[0]}.`));
    }, { once: true });
  }

  // --- the place in the log -----------------------------------------------------------------------

  get placeKey() { return `place:${this.id}`; }

  /** Stores what is on the screen and which folds the user has opened or closed, for a reload of this tab. */
  keepPlace() {
    const { scroll, list } = this.transcript;
    const folds = $$("details[data-touched]", list).map((fold) => [fold.closest("[id]").id, fold.open]);
    const place = this.movingTo ?? { ...scroll.place, isEnd: scroll.following, folds };
    try { sessionStorage.setItem(this.placeKey, JSON.stringify(place)); } catch { /* no storage */ }
  }

  /** Returns the stored place after a reload, "back" or a discarded tab; null if the user came by a link. */
  get keptPlace() {
    try {
      const place = JSON.parse(sessionStorage.getItem(this.placeKey));
      const cameByLink = performance.getEntriesByType("navigation")[0]?.type === "navigate" && !document.wasDiscarded;
      return cameByLink && !place?.isMoving ? null : place;
    } catch {
      return null;
    }
  }

  showPlace() {
    const place = this.keptPlace, { scroll } = this.transcript;
    if (!place) return this.showLineOfAddress();
    for (const [id, open] of place.folds) {
      const fold = $("details", document.getElementById(id) ?? make("p"));
      if (fold) Object.assign(fold, { open }).dataset.touched = "yes";
    }
    if (place.isEnd) return scroll.toEnd();
    if (scroll.restore(place)) return;
    const around = part(`around=${place.number}`);
    if (!place.number || location.search === around) return this.showLineOfAddress();
    this.movingTo = { ...place, isMoving: true }; // this page is left at once, with its own place
    location.replace(around);
  }

  showLineOfAddress() {
    const number = location.hash.match(/^#e(\d+)$/)?.[1];
    if (!number) return this.transcript.scroll.toEnd();
    if (this.transcript.show(number)) return;
    const around = `?around=${Number(number)}`;
    if (number > this.stream.end) this.say(`Not here: line ${number}. The log ends at line ${this.stream.end}, as far as this page knows.`);
    else if (location.search !== around) location.replace(`${around}#e${number}`);
    else this.say(`Not on this device: line ${number}. The server did not answer, so you see the lines that were kept here.`);
  }

  // --- lines of the stream -----------------------------------------------------------------------

  /** Updates the rest of the page for a new line. The state before the stream comes from the server, with the page. */
  lineArrived(line) {
    const { controls, outbox, isLive } = this, { kind, key, name, title } = line.dataset;
    if (key) outbox.arrived(key);
    if (kind === "user") controls.turnBegan(line);
    this.jumps?.then((loaded) => loaded?.add(line));
    if (kind === "renamed") controls.showTitle(title);
    if (kind === "permission") {
      if (isLive) controls.announce(`Waiting for permission to run ${name}. Allow or refuse?`);
      if (!this.transcript.showsEnd) showLinkToQuestion();
    }
    if (isLive && (kind === "revoked" || "allowed" in line.dataset)) this.showAgain("#allowed");
    if (kind === "user") $("#continue").hidden = true;
    if (isLive && ["lost", "timeout"].includes(line.dataset.status)) this.showAgain("#continue");
    if (kind === "turn_end") {
      controls.turnEnded(line);
      if (isLive) controls.announce(`The turn has ended: ${$(".body", line).textContent}`);
      this.say("");
      outbox.sendAll();
      this.keepForOffline();
    }
  }

  /** Replaces a part of the page by what the server shows now: the tools that need no permission, or the button Continue. */
  async showAgain(part) {
    const doc = await fetchPage(location.pathname);
    if (doc) $(part).replaceWith($(part, doc));
  }

  // --- the connection ----------------------------------------------------------------------------

  newStream() {
    const { page, transcript } = this;
    return new Stream({
      url: `${prefix}/sessions/${this.id}/stream`, last: Number(transcript.showsEnd ? page.last : page.end), end: Number(page.end),
      keepalive: Number(page.keepalive), lastAnswer: new Date(page.now), badge: $("#badge"),
      on: {
        line: (html) => transcript.add(html),
        caughtUp: () => this.caughtUp(),
        clock: (now) => { transcript.clockOffset = Date.now() - new Date(now); },
        missed: (count) => count > MAX_MISSED && this.reload(),
        reset: () => this.reload(),
        refused: () => this.refused(),
      },
    });
  }

  caughtUp() {
    this.transcript.flush();
    if (!this.isLive && $("#notice a[href^='/login']")) this.say("");
    this.isLive = true;
    this.outbox.caughtUp(this.stream.last);
    if (!navigator.serviceWorker?.controller) this.keepForOffline(); // the first visit: the worker has not seen this page
  }

  async reload() {
    const { stream, controls } = this;
    stream.close();
    const fresh = await this.transcript.reload();
    if (!fresh) {
      stream.fail();
      return stream.retryAfter(RELOAD_RETRY); // not at once: the next stream may start with a reset again
    }
    stream.continueAfter(Number(fresh.last), Number(fresh.end));
    controls.isTurnRunning = fresh.active === "yes";
    controls.update();
    stream.open();
  }

  async refused() {
    const { status } = await callAPI("GET", `/api/sessions/${this.id}`);
    if (this.stream.state !== "lost") return; // another attempt has succeeded, or has shown the reason
    if (status === 404) {
      this.stream.stop("Deleted");
      this.say("Not on the server any more: this session was deleted. The text stays here until you leave the page.");
    }
    if (status !== 401) return; // for example a proxy whose server restarts
    this.stream.stop("Logged out");
    this.isLive = false;
    sayLoggedOut($("#notice"));
  }

  keepForOffline() {
    const { page, stream, transcript } = this;
    transcript.flush(); // lines that have arrived and are not inserted yet
    if (!globalThis.caches || page.show || !["live", "polling"].includes(stream.state) || !transcript.showsEnd) return;
    page.now = stream.lastAnswer.toISOString();
    Object.assign(page, { last: transcript.last, end: transcript.last, active: this.controls.isTurnRunning ? "yes" : "" });
    keepPage();
  }
}

async function fetchText(url) {
  const response = await fetch(url, { signal: timeout() });
  if (!response.ok) throw new Error(response.statusText);
  return response.text();
}

/** Paper cannot be opened: a print shows what is folded. */
function openFoldsForPrint(list) {
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = $$("details:not([open])", list);
    for (const fold of opened) fold.open = true;
  });
  addEventListener("afterprint", () => { for (const fold of opened) fold.open = false; });
}

/** Links to an open question at the end of the log, on a page that shows another part of the log. */
function showLinkToQuestion() {
  $("#notice").replaceChildren("Waiting for permission, at the end of the log. ",
    make("a", { className: "to-end", href: `${location.pathname}#end`, textContent: "Go to the question" }));
}
