// The key that is open, beside the table: its value, its facts, and what can be done with it.

import { call, hasToken, Lost, pathOf, Problem } from "./api.js";
import { byId, h, say } from "./dom.js";
import { read } from "./entry.js";
import { bytes, count, left, moment, now } from "./format.js";
import { keyText } from "./text.js";
import { bestView, cutNote, fill, viewsOf } from "./value.js";

const LONG_KEY = 600;
const VIEWS = { json: "JSON", text: "Text", hex: "Bytes" };

/** Events: "close", and "edit", "time", "metadata", "remove" with the entry. */
export class Panel extends EventTarget {
  key = null;
  entry = null;
  #aside = byId("detail");
  #controller = new AbortController();
  #view = null;
  #left = h("span");

  constructor() {
    super();
    setInterval(() => this.#countDown(), 250);
  }

  get isOpen() {
    return this.key !== null;
  }

  /** Show a key; `focus` moves there what the keyboard acts on. */
  async open(key, { focus = true } = {}) {
    if (key !== this.key) {
      this.entry = null;
      this.#view = null;
    }
    this.key = key;
    this.#aside.hidden = false;
    if (this.entry === null) this.#draw(h("p", { class: "state" }, "Reading…"));
    if (focus) this.#aside.focus();
    await this.reload();
  }

  /** Read the key again, and draw what has become of it. */
  async reload() {
    if (!this.isOpen) return;
    this.#controller.abort();
    this.#controller = new AbortController();
    const { signal } = this.#controller;
    try {
      const entry = await read(this.key, signal);
      // The same version is left as it is drawn, with what is selected and unfolded in it.
      if (signal.aborted || this.entry?.tag === entry.tag) return;
      const changed = this.entry !== null;
      this.entry = entry;
      this.#drawEntry(changed);
    } catch (error) {
      if (error.name !== "AbortError" && !signal.aborted) this.#drawError(error);
    }
  }

  close() {
    if (!this.isOpen) return;
    this.#controller.abort();
    this.key = null;
    this.entry = null;
    this.#aside.hidden = true;
    this.#aside.replaceChildren();
    this.dispatchEvent(new Event("close"));
  }

  /** Ask for one of the things that can be done with the key: "edit", "time", "metadata", "remove". */
  ask(what) {
    if (this.entry !== null) this.dispatchEvent(new CustomEvent(what, { detail: this.entry }));
  }

  /** Say that the key is there no longer, and leave what was seen of it. */
  gone(how) {
    this.#controller.abort();
    this.entry = null;
    this.#draw(h("p", { class: "state gone" }, `This key ${how}.`));
  }

  #drawError(error) {
    if (error instanceof Problem && error.status === 404) return this.gone(this.entry === null ? "is not there" : "is there no longer");
    if (error instanceof Lost && this.entry !== null) return undefined;
    this.entry = null;
    const again = h("button", { type: "button", onclick: () => this.reload() }, "Try again");
    return this.#draw(h("div", { class: "state error" }, h("p", {}, error.message), again));
  }

  #draw(...content) {
    const name = h("h2", { class: "name" }, keyText(this.key, LONG_KEY));
    const close = h("button", { type: "button", class: "plain", "aria-label": "Close", title: "Close (Esc)", onclick: () => this.close() }, "✕");
    this.#aside.replaceChildren(h("div", { class: "title" }, name, close), ...content.filter((part) => part !== null));
  }

  #drawEntry(changed) {
    const focused = this.#aside.contains(document.activeElement) ? document.activeElement.id : null;
    this.#draw(this.#tools(), this.#facts(), this.#metadata(), this.#value());
    this.#aside.classList.toggle("changed", false);
    if (changed) requestAnimationFrame(() => this.#aside.classList.add("changed"));
    if (focused !== null && !this.#aside.contains(document.activeElement)) (byId(focused) ?? this.#aside).focus();
  }

  #tools() {
    const button = (id, title, text, kind = "") =>
      h("button", { type: "button", id: `do-${id}`, title, class: kind, onclick: () => this.ask(id) }, text);
    const download = h("button", { type: "button", id: "do-download", onclick: () => this.#download() }, "Download");
    return h(
      "div",
      { class: "tools", role: "toolbar", "aria-label": "What can be done with this key" },
      button("edit", "Edit the value (e)", "Edit"),
      button("time", "Change the time-to-live (t)", "Time-to-live"),
      button("metadata", "Change the metadata (m)", "Metadata"),
      download,
      button("remove", "Delete the key (Delete)", "Delete", "danger"),
    );
  }

  #facts() {
    const { size, version, checksum, created, updated, expires } = this.entry;
    const fact = (name, ...value) => [h("dt", {}, name), h("dd", {}, ...value)];
    this.#left = h("span", { class: "left", role: "timer" });
    this.#countDown();
    return h(
      "dl",
      { class: "facts" },
      fact("Created", moment(created)),
      fact("Size", bytes(size), size < 1024 ? null : h("small", {}, ` ${count(size)} B`)),
      fact("Updated", moment(updated)),
      fact("Kind", this.entry.json ? "JSON" : "bytes"),
      fact("Expires", expires === null ? "never" : h("span", {}, `${moment(expires)} `, this.#left)),
      fact("Version", version),
      fact("Checksum", checksum),
    );
  }

  #metadata() {
    if (this.entry.metadata === null) return null;
    const pre = h("pre", { class: "value", tabindex: 0, "aria-labelledby": "metadata-title", id: "metadata" });
    const section = h("section", { class: "metadata" }, h("h3", { id: "metadata-title" }, "Metadata"), pre);
    const views = viewsOf({ json: true, bytes: new TextEncoder().encode(this.entry.metadata), complete: true });
    fill(pre, views.json(), null);
    return section;
  }

  #value() {
    const views = viewsOf(this.entry);
    if (!(this.#view in views)) this.#view = bestView(this.entry);
    const pre = h("pre", { class: "value", tabindex: 0, role: "tabpanel", id: "value", "aria-labelledby": `view-${this.#view}` });
    const tab = (name) =>
      h(
        "button",
        {
          type: "button",
          role: "tab",
          id: `view-${name}`,
          "aria-selected": String(name === this.#view),
          "aria-controls": "value",
          tabindex: name === this.#view ? 0 : -1,
          onclick: () => this.#show(name),
        },
        VIEWS[name],
      );
    const names = Object.keys(views);
    const turn = (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (by === undefined) return;
      event.preventDefault();
      this.#show(names[(names.indexOf(this.#view) + by + names.length) % names.length]);
    };
    const tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Value as", onkeydown: turn }, names.map(tab));
    const section = h("section", { class: "content" }, h("h3", {}, "Value"), tabs, pre);
    if (this.entry.complete && this.entry.bytes.length === 0) pre.after(h("p", { class: "note" }, "No bytes: the value is empty."));
    fill(pre, views[this.#view](), cutNote(this.entry));
    return section;
  }

  #show(name) {
    this.#view = name;
    this.#aside.querySelector(".content").replaceWith(this.#value());
    byId(`view-${name}`).focus();
  }

  #countDown() {
    const ends = this.entry?.expires ?? null;
    if (ends === null) return;
    if (ends <= now()) this.gone("has expired");
    else this.#left.textContent = `in ${left(ends - now())}`;
  }

  // A link cannot send a token; then the value goes through memory.
  async #download() {
    const { key, json } = this.entry;
    const name = `${key.replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(0, 100) || "value"}${json ? ".json" : ""}`;
    let href = pathOf(key);
    if (hasToken()) {
      try {
        href = URL.createObjectURL(await (await call("GET", href)).blob());
      } catch (error) {
        return say(error.message, { error: true });
      }
    }
    h("a", { href, download: name }).click();
    if (href.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(href), 60_000);
    return undefined;
  }
}
