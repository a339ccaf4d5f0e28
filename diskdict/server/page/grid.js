// The table: only the rows in sight are elements, however many there are.

import { byId, h } from "./dom.js";
import { bytes, left, moment, now } from "./format.js";
import { keyText } from "./text.js";

/** Browsers cap the height of an element; a longer table has a scrollbar that moves in larger steps. */
const TALLEST = 8_000_000;
const BEYOND = 8;
const SETTLED = 80;
const FLASH = 1_200;

/**
 * Events: "open" and "remove" with a row, "sight" when others are in sight, "expired" when one in sight has ended.
 * `top` is where the sight begins in the whole table, in pixels; `scrolled` is what the browser's scrollbar says of it.
 */
export class Grid extends EventTarget {
  active = 0;
  #rows;
  #grid = byId("grid");
  #scroller = byId("scroller");
  #spacer = byId("spacer");
  #layer = byId("rows");
  #elements = new Map();
  #top = 0;
  #scrolled = 0;
  #height = 30;
  #settling = null;
  #flashing = new Set();
  #pending = null;

  constructor(rows) {
    super();
    this.#rows = rows;
    this.#scroller.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    this.#layer.addEventListener("click", (event) => this.#onClick(event));
    this.#grid.addEventListener("keydown", (event) => this.#onKey(event));
    new ResizeObserver(() => this.update()).observe(this.#scroller);
    setInterval(() => this.#countDown(), 250);
  }

  get #total() {
    return this.#rows.total ?? 0;
  }

  get #view() {
    return this.#scroller.clientHeight;
  }

  get #lowest() {
    return Math.max(0, this.#total * this.#height - this.#view);
  }

  /** What the top is multiplied by to be the scrollbar's. */
  get #scale() {
    const reach = Math.min(this.#total * this.#height, TALLEST) - this.#view;
    return this.#lowest > reach ? reach / this.#lowest : 1;
  }

  /** The first and the last row in sight. */
  get sight() {
    const first = Math.max(0, Math.floor(this.#top / this.#height));
    return [first, Math.max(first, Math.ceil((this.#top + this.#view) / this.#height) - 1)];
  }

  focus() {
    this.#grid.focus();
  }

  /** Draw what the rows are now. The row at the top and the active one stay where they are, if they are still there. */
  update(anchors = null) {
    this.#height = parseFloat(getComputedStyle(this.#grid).getPropertyValue("--row"));
    this.#spacer.style.height = `${Math.min(this.#total * this.#height, TALLEST)}px`;
    this.#grid.setAttribute("aria-rowcount", this.#rows.total === null ? -1 : this.#total + 1);
    if (anchors !== null) this.#hold(anchors);
    this.active = Math.max(0, Math.min(this.active, this.#total - 1));
    this.#moveTo(this.#top);
    if (this.#pending !== null) this.#send(this.#pending);
  }

  /** The keys that `update` is to keep in place. */
  anchors() {
    return { top: this.#top > 0 ? this.#rows.at(this.sight[0])?.key : undefined, active: this.#rows.at(this.active)?.key };
  }

  #hold({ top, active }) {
    const place = top === undefined ? -1 : this.#rows.find(top);
    if (place >= 0) this.#top += (place - this.sight[0]) * this.#height;
    const found = active === undefined ? -1 : this.#rows.find(active);
    if (found >= 0) this.active = found;
  }

  /** Make a row the active one, and scroll as far as it takes to see it. */
  select(index) {
    this.active = Math.max(0, Math.min(index, this.#total - 1));
    const above = this.active * this.#height;
    this.#moveTo(Math.min(above, Math.max(this.#top, above + this.#height - this.#view)));
  }

  toTop() {
    this.active = 0;
    this.#moveTo(0);
  }

  /** Let the row of a key that has changed light up. */
  flash(key) {
    this.#flashing.add(key);
    setTimeout(() => this.#flashing.delete(key), FLASH);
  }

  #moveTo(top) {
    this.#top = Math.max(0, Math.min(top, this.#lowest));
    this.#scroller.scrollTop = this.#top * this.#scale;
    this.#scrolled = this.#scroller.scrollTop;
    this.#draw();
    this.#see(0);
  }

  #onScroll() {
    const scrolled = this.#scroller.scrollTop;
    const by = scrolled - this.#scrolled;
    if (by === 0) return;
    this.#scrolled = scrolled;
    const jump = Math.abs(by) > 2 * this.#view;
    const atEnd = scrolled <= 0 || scrolled >= this.#spacer.clientHeight - this.#view;
    this.#top = Math.max(0, Math.min(jump || atEnd ? scrolled / this.#scale : this.#top + by, this.#lowest));
    this.#draw();
    this.#see(jump ? SETTLED : 0);
  }

  // Whoever drags the scrollbar passes by a thousand pages; those where it rests are loaded. Then a scrollbar that moves in
  // larger steps is put where the rows are by now.
  #see(after) {
    clearTimeout(this.#settling);
    if (after === 0) this.dispatchEvent(new Event("sight"));
    this.#settling = setTimeout(() => {
      if (after > 0) this.dispatchEvent(new Event("sight"));
      if (this.#scroller.scrollTop !== this.#scrolled) {
        // Somebody has moved the bar, and the event is still to come.
        this.#onScroll();
      } else if (this.#scale < 1) {
        this.#scroller.scrollTop = this.#top * this.#scale;
        this.#scrolled = this.#scroller.scrollTop;
        this.#draw();
      }
    }, SETTLED);
  }

  #draw() {
    const [from, to] = this.sight;
    const first = Math.max(0, from - BEYOND);
    const last = Math.min((this.#rows.total ?? to + 1) - 1, to + BEYOND);
    const spare = [];
    for (const [index, element] of this.#elements) {
      if (index < first || index > last) {
        spare.push(element);
        this.#elements.delete(index);
      }
    }
    this.#layer.style.transform = `translateY(${this.#scrolled - this.#top + first * this.#height}px)`;
    let next = this.#layer.firstChild;
    for (let index = first; index <= last; index += 1) {
      let element = this.#elements.get(index);
      if (element === undefined) {
        element = spare.pop() ?? this.#make();
        this.#elements.set(index, element);
      }
      // Who hears the page hears the rows in this order.
      if (element !== next) this.#layer.insertBefore(element, next);
      next = element.nextSibling;
      element.style.transform = `translateY(${(index - first) * this.#height}px)`;
      this.#fill(element, index);
    }
    spare.forEach((element) => element.remove());
    if (this.#elements.has(this.active) && this.#total > 0) this.#grid.setAttribute("aria-activedescendant", `row-${this.active}`);
    else this.#grid.removeAttribute("aria-activedescendant");
  }

  #make() {
    const cell = (name) => h("span", { role: "gridcell", class: name });
    return h("div", { role: "row" }, ["key", "size", "left", "created"].map(cell));
  }

  #fill(element, index) {
    const row = this.#rows.at(index);
    element.id = `row-${index}`;
    element.setAttribute("aria-rowindex", index + 2);
    element.setAttribute("aria-selected", index === this.active);
    element.classList.toggle("odd", index % 2 === 1);
    element.classList.toggle("coming", row === undefined);
    element.classList.toggle("flash", row !== undefined && this.#flashing.has(row.key));
    if (element.shown === row) return;
    element.shown = row;
    const [key, size, time, created] = element.children;
    key.replaceChildren(...(row === undefined ? [] : keyText(row.key)));
    size.textContent = row === undefined ? "" : bytes(row.size);
    created.textContent = row === undefined ? "" : moment(row.created_at);
    time.textContent = "";
    this.#fillTime(element, row, now());
  }

  #fillTime(element, row, time) {
    const ends = row?.expires_at ?? null;
    const text = ends === null ? "" : left(ends - time);
    const cell = element.children[2];
    if (cell.textContent !== text) cell.textContent = text;
    cell.classList.toggle("near", ends !== null && ends - time < 10);
  }

  #countDown() {
    const time = now();
    let ended = false;
    for (const element of this.#elements.values()) {
      const ends = element.shown?.expires_at ?? null;
      if (ends === null) continue;
      this.#fillTime(element, element.shown, time);
      ended ||= ends <= time;
    }
    if (ended) this.dispatchEvent(new Event("expired"));
  }

  #onClick(event) {
    const element = event.target.closest("[role=row]");
    if (element === null) return;
    this.select(Number(element.id.slice("row-".length)));
    if (element.shown !== undefined) this.dispatchEvent(new CustomEvent("open", { detail: element.shown }));
  }

  #onKey(event) {
    const page = Math.max(1, Math.floor(this.#view / this.#height) - 1);
    const moves = {
      ArrowDown: this.active + 1,
      ArrowUp: this.active - 1,
      PageDown: this.active + page,
      PageUp: this.active - page,
      Home: 0,
      End: this.#total - 1,
    };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    this.#pending = null;
    if (event.key in moves) this.select(moves[event.key]);
    else if (event.key === "Enter" || event.key === " ") this.#send("open");
    else if (event.key === "Delete") this.#send("remove");
    else return;
    event.preventDefault();
  }

  // Who types faster than the server answers means the row that is about to come.
  #send(type) {
    const row = this.#rows.stale ? undefined : this.#rows.at(this.active);
    this.#pending = row === undefined && this.#total > 0 ? type : null;
    if (row !== undefined) this.dispatchEvent(new CustomEvent(type, { detail: row }));
  }
}
