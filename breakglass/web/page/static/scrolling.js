// The scroll position: it follows the end of the log, or stays where the user reads.

import { $$ } from "./elements.js";

const NEAR = 80; // px from the end that still count as the end
const page = () => document.scrollingElement;

export class ScrollPosition {
  /** `news`: the button that counts new lines. `isAttached()`: whether the page shows the end of the log. */
  constructor({ list, news, isAttached, scrolled }) {
    Object.assign(this, { list, news, isAttached });
    this.following = true; // whether the page scrolls down with new lines
    this.unseen = 0; // new lines below what the user reads
    addEventListener("scroll", () => { this.update(); scrolled(); }, { passive: true });
    addEventListener("resize", () => this.following && this.toEnd());
    news.addEventListener("click", () => this.toEnd());
  }

  update() {
    const { scrollHeight, scrollTop, clientHeight } = page();
    this.following = this.isAttached() && scrollHeight - scrollTop - clientHeight < NEAR;
    if (this.following && this.unseen) this.toEnd();
  }

  toEnd() {
    this.unseen = 0;
    this.following = this.isAttached();
    scrollTo(0, page().scrollHeight);
    this.showUnseen();
  }

  addUnseen(count) {
    this.unseen += count;
    this.showUnseen();
  }

  showUnseen() {
    this.news.hidden = !this.unseen;
    this.news.textContent = `↓ ${this.unseen} new ${this.unseen === 1 ? "line" : "lines"}`;
  }

  /** Runs `change`, which adds or removes lines, and keeps the first visible line where it is on the screen. */
  keep(change) {
    const anchor = $$("li.line", this.list).find((line) => line.getBoundingClientRect().bottom > 64);
    const top = anchor?.getBoundingClientRect().top;
    change();
    if (anchor) scrollBy(0, anchor.getBoundingClientRect().top - top);
  }
}
