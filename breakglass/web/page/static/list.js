// The list of sessions, kept fresh while somebody can see it, and searched as one writes.

import { $, $$, fetchPage, localTimes, root } from "./dom.js";

const EVERY = 5_000; // ms between two looks; the list is small and the page may be on one bar

export class List {
  constructor(list, { current, heard }) {
    Object.assign(this, { list, current, heard: heard ?? (() => {}) });
    this.query = $("input[type=search]");
    this.query.addEventListener("input", () => this.search());
    this.query.form.addEventListener("submit", (event) => this.isAll() && event.preventDefault());
    for (const name of ["online", "pageshow"]) addEventListener(name, () => this.look());
    document.addEventListener("visibilitychange", () => this.look());
    setInterval(() => this.look(), EVERY);
    localTimes(list);
    this.search();
  }

  async look() {
    if (document.hidden || this.busy || !this.list.checkVisibility()) return;
    this.busy = true;
    const doc = await fetchPage(`${root}/${location.pathname === `${root}/` ? location.search : ""}`);
    this.busy = false;
    this.heard(Boolean(doc));
    const fresh = doc && $("#sessions", doc);
    if (!fresh) return;
    const link = this.current && $$("li", fresh).find((one) => one.dataset.id === this.current);
    if (link) $("a", link).setAttribute("aria-current", "page");
    const focused = this.list.contains(document.activeElement) && document.activeElement.closest("li")?.dataset.id;
    this.list.replaceChildren(...fresh.childNodes);
    if (focused) $("a", $$("li", this.list).find((one) => one.dataset.id === focused) ?? this.list)?.focus();
    localTimes(this.list);
    this.search();
  }

  isAll() { // else only the server has what is looked for
    return !$(".more", this.list) && !new URLSearchParams(location.search).has("q");
  }

  search() {
    const words = this.query.value.toLowerCase().split(/\s+/).filter(Boolean);
    const lines = $$("li[data-id]", this.list), nothing = $(".nothing", this.list);
    for (const line of lines) {
      const title = $(".title", line).textContent.toLowerCase();
      line.hidden = !words.every((word) => title.includes(word));
    }
    if (!nothing) return;
    nothing.hidden = lines.some((line) => !line.hidden);
    $("a", nothing).href = `${root}/?archived=1&q=${encodeURIComponent(this.query.value)}`;
  }
}
