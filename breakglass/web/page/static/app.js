// Puts the parts together. The page is whole without any of this; here it becomes live.

import { $, $$, api, hhmm, kept, make, root, scriptURL, shorten } from "./dom.js";
import { copy, copyLink, listens } from "./keys.js";
import { List } from "./list.js";
import { Notice, offersNotice } from "./notice.js";
import { answers, Outbox, stops, toNewSession, toSession, withdraws, writes } from "./send.js";
import { Stream } from "./stream.js";
import { Transcript } from "./transcript.js";

const page = document.body.dataset;
const badge = $("#badge"), dock = $("#dock");
const TOO_MUCH = 2000; // lines missed: rather than play them all, fetch the page's part anew

let quiet;
function say(words) {
  $("#notice").textContent = words;
  clearTimeout(quiet);
  if (words && !words.startsWith("Not ") && !words.endsWith("…")) quiet = setTimeout(() => say(""), 4000);
}

function session() {
  const id = page.session, now = new Date(page.now);
  const heading = $("main h1");
  const titled = () => `${heading.textContent} · ${page.host}`;
  const notice = new Notice(titled());
  const halt = $(".halt"), send = $("#send"), box = $("#box");
  let active = page.active === "yes", live = false, ended = "";
  const spoken = document.body.appendChild(make("p", { id: "spoken", className: "vh", role: "status" }));

  const transcript = new Transcript($("#log"), {
    earlier: $("#earlier"), later: $("#later"), news: $("#news"),
    on: {
      line(line) {
        meaning[line.dataset.kind]?.(line);
        if (line.dataset.kind === "user") outline();
      },
      lines: () => controls(),
      attached() { stream.place(transcript.last); stream.open(); },
    },
  });
  const outbox = new Outbox({ name: id, list: $("#outbox"), send: toSession(id) });
  const text = writes(box, id, (prompt) => { outbox.put({ prompt }); transcript.toEnd(); });
  answers($("#answer"), id, say);
  stops($("#stop"), id, say);
  withdraws($("#withdraw"), id, text, say);

  function controls() {
    halt.hidden = !active;
    send.hidden = active && !text.value.trim();
    send.textContent = active ? "Queue" : "Send";
    const asks = $(".permission.open", transcript.list);
    notice.show(asks ? "asking" : active ? "running" : ended);
  }
  box.addEventListener("changed", controls);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { ended = ""; controls(); } });

  // What a line means to the rest of the page. Only lines that come by the stream; the first state is the server's.
  const meaning = {
    user(line) {
      active = true;
      ended = "";
      if (line.dataset.key) outbox.seen(line.dataset.key);
      if (!page.named) name($(".said", line).textContent);
    },
    queued(line) { if (line.dataset.key) outbox.seen(line.dataset.key); },
    turn_end(line) {
      active = false;
      if (document.hidden) ended = line.dataset.status;
      if (live) call(`The turn has ended: ${$(".b", line).textContent}`);
      say("");
      outbox.go();
      keepPage();
    },
    permission(line) {
      if (live) call(`It wants to run ${line.dataset.name}. Allow or refuse?`);
      if (!transcript.attached) elsewhere();
    },
    renamed(line) { name(line.dataset.title); },
  };
  function name(words) {
    const title = shorten(words, 80);
    page.named = "yes";
    Object.assign(heading, { title, textContent: title });
    notice.title = titled();
  }

  /** For the ear and for who is elsewhere: what changed that cannot wait. */
  function call(words) {
    spoken.textContent = words;
    notice.call(words);
  }

  /** The question stands at the end of the log, and this page shows another part of it. */
  function elsewhere() {
    $("#notice").replaceChildren("It asks for leave, further down. ",
      make("a", { className: "tail", href: `${location.pathname}#end`, textContent: "To the question" }));
  }

  const stream = new Stream({
    url: `${root}/sessions/${id}/stream`, last: Number(transcript.attached ? page.last : page.end), end: Number(page.end),
    beat: Number(page.beat), heard: now, badge,
    on: {
      line: (html) => transcript.add(html),
      caughtUp() {
        transcript.flush();
        if (!live && $("#notice a[href^='/login']")) say("");
        live = true;
        outbox.caughtUp(stream.last);
      },
      clock: (then) => { transcript.skew = Date.now() - new Date(then); },
      missed: (count) => count > TOO_MUCH && renew(),
      reset: renew,
      refused,
    },
  });

  document.addEventListener("click", (event) => {
    if (!event.target.closest("a.tail")) return;
    event.preventDefault();
    history.replaceState(null, "", location.pathname);
    transcript.following = true;
    say("");
    renew();
  });

  async function renew() {
    stream.close();
    const fresh = await transcript.renew();
    if (!fresh) {
      stream.fail();
      return stream.again(2000); // not at once: a stream that begins anew leads here again
    }
    stream.place(Number(fresh.last), Number(fresh.end));
    active = fresh.active === "yes";
    controls();
    outline();
    stream.open();
  }

  async function refused() {
    const { status } = await api("GET", `/api/sessions/${id}`);
    if (stream.state !== "lost") return; // another try has succeeded meanwhile, or said it already
    if (status === 404) {
      stream.leave("Deleted");
      say("Not here any more: this session was deleted on the server. What you see is kept until you leave.");
    }
    if (status !== 401) return; // a server that restarts behind a proxy, say
    stream.leave("Logged out");
    live = false;
    $("#notice").replaceChildren("Not logged in any more. What you wrote is kept. ",
      make("a", { href: `${root}/login?next=${encodeURIComponent(location.pathname)}`, textContent: "Log in" }));
  }

  function outline() {
    const turns = $$(".user", transcript.list);
    for (const nav of $$(".outline")) {
      nav.hidden = turns.length < 2;
      $("ol", nav).replaceChildren(...turns.map((turn) => make("li", {}, make("a", { href: `#${turn.id}` },
        make("span", { textContent: turn.id.slice(1) }), make("b", { textContent: $(".said", turn).textContent.slice(0, 80) })))));
    }
  }

  function toHash() {
    const number = location.hash.match(/^#e(\d+)$/)?.[1];
    if (!number) return transcript.toEnd();
    if (!transcript.show(number)) location.replace(`?before=${Number(number) + 50}#e${number}`);
  }

  for (const line of $$("[data-key]", transcript.list)) outbox.seen(line.dataset.key);
  history.scrollRestoration = "manual";
  addEventListener("hashchange", toHash);
  transcript.list.addEventListener("click", (event) => {
    const number = event.target.closest(".n");
    if (!number) return;
    event.preventDefault(); // no entry in the history for a glance at a number
    copyLink(number.closest(".line"), say);
  });
  copies(transcript.list);
  outline();
  controls();
  toHash();
  transcript.lookAhead();
  new List($("#sessions"), { current: id });
  if (page.asking && !transcript.attached) elsewhere();
  stream.open();
  document.addEventListener("visibilitychange", () => document.hidden && keepPage());
  addEventListener("storage", (event) => event.key === "came" && stream.state === "over" && stream.open());

  /** The page as it is now, for reading without a network; the service worker gives it out. */
  async function keepPage() {
    if (!globalThis.caches || stream.state !== "live" || !transcript.attached) return;
    page.now = stream.heard.toISOString();
    Object.assign(page, { last: transcript.last, end: transcript.last, active: active ? "yes" : "" });
    const whole = document.documentElement.cloneNode(true);
    for (const ours of $$("dialog, .copy, #spoken", whole)) ours.remove();
    const html = `<!doctype html>${whole.outerHTML}`;
    const answer = new Response(html, { headers: { "content-type": "text/html; charset=utf-8" } });
    await (await caches.open("pages")).put(location.pathname, answer).catch(() => {});
  }
}

/** One button to copy, which goes to what is pointed at: code, output, prose. */
function copies(list) {
  const button = make("button", { type: "button", className: "copy", textContent: "Copy" });
  let target;
  const go = (event) => {
    const found = event.target.closest("pre, .prose > .b, .said");
    if (!found || found === target || event.target === button) return;
    target = found;
    found.closest(".b").append(button);
    const place = found.getBoundingClientRect(), around = button.offsetParent.getBoundingClientRect();
    const foot = found.tagName === "PRE" ? 0 : place.height - button.offsetHeight; // of prose: its last line is short
    button.style.top = `${place.top - around.top + foot}px`;
  };
  for (const name of ["pointerover", "focusin"]) list.addEventListener(name, go);
  button.addEventListener("click", () => {
    const words = target.cloneNode(true);
    $(".copy", words)?.remove();
    copy(words.tagName === "PRE" ? words.textContent : target.innerText.replace(/\n?Copy$/, ""), "Copied.", say);
  });
}

function sessions() {
  let heard = new Date(page.now), lost = false;
  const show = () => {
    badge.dataset.state = lost ? "offline" : "live";
    badge.textContent = lost ? `Offline · as of ${hhmm(heard)}` : "Live";
  };
  new List($("#sessions"), { heard: (answered) => { lost = !answered; if (answered) heard = new Date(); show(); } }).look();
  const form = $("#box");
  const outbox = new Outbox({ name: "new", list: $("#outbox"), send: toNewSession });
  const text = writes(form, "new", (prompt, preset) =>
    outbox.put({ prompt, agent: preset?.dataset.agent || form.elements.agent.value, model: form.elements.model.value.trim() }));
  if (location.hash === "#prompt") text.focus();
}

/** On iPhones the keyboard lies over the page: the dock goes up by as much. */
function aboveKeyboard() {
  const screen = globalThis.visualViewport;
  screen?.addEventListener("resize", () =>
    document.documentElement.style.setProperty("--keys", `${Math.max(0, innerHeight - screen.height - screen.offsetTop)}px`));
}

new ResizeObserver(() => document.documentElement.style.setProperty("--dock", `${dock.offsetHeight}px`)).observe(dock);
aboveKeyboard();
for (const form of $$("form[action$='/logout']")) {
  form.addEventListener("submit", () => { // nothing stays on a device that was logged out
    localStorage.clear();
    caches.delete("pages");
  });
}
listens({ say });
offersNotice(say);
document.addEventListener("click", (event) => {
  for (const menu of $$(".menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
kept.set("came", page.now); // windows that were logged out learn that one is let in again
if (page.session) session();
else sessions();
navigator.serviceWorker?.register(scriptURL(`${root}/sw.js?static=${encodeURIComponent(page.static)}`)).catch(() => {});
