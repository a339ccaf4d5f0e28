// The field of a form where a value is typed, as JSON or as text, or chosen as a file.

import { h } from "./dom.js";
import { field } from "./dialogs.js";
import { prettyText } from "./json.js";
import { wrong } from "./jsoncheck.js";
import { textOf } from "./value.js";

const CHOICES = { json: "JSON", text: "Text", file: "File" };
const CHECKED_AFTER = 250;

/** What of an entry can be edited as text: {text, crlf}; null where a text area would change it or it is not all here. */
export function editable(entry) {
  const text = entry.complete ? textOf(entry) : null;
  if (text === null || entry.json) return text === null ? null : { text: prettyText(text), crlf: false };
  const crlf = text.includes("\r");
  const mixed = crlf && /[\r\n]/.test(text.replaceAll("\r\n", ""));
  return mixed || /[\0-\x08\x0b\x0c\x0e-\x1f]/.test(text) ? null : { text: text.replaceAll("\r\n", "\n"), crlf };
}

/** `json`: the value may be, and is at first, JSON. `start` is what `editable` gave, or null for a file alone. */
export class ValueField {
  element;
  #json;
  #crlf;
  #first;
  #choice;
  #area = h("textarea", { rows: 10, spellcheck: "false", autocapitalize: "off", dir: "ltr" });
  #file = h("input", { type: "file" });
  #hint = h("p", { class: "hint", role: "status" });
  #timer = null;

  constructor(json, start, name) {
    this.#json = json;
    this.#crlf = start?.crlf ?? false;
    this.#area.value = start?.text ?? "";
    this.#first = this.#area.value;
    this.#choice = start === null ? "file" : json ? "json" : "text";
    this.#area.addEventListener("input", () => this.#checkLater());
    const allowed = Object.keys(CHOICES).filter((kind) => (kind === "json" ? json : true) && (start !== null || kind === "file"));
    const choices = h("div", { class: "choices", role: "radiogroup", "aria-label": "Kind of value" }, allowed.map((kind) => this.#radio(kind, name)));
    const areaField = field("Value", this.#area);
    this.element = h("div", { class: "value-field" }, choices, areaField, field("File", this.#file), this.#hint);
    this.#show();
  }

  get changed() {
    return this.#area.value !== this.#first || this.#file.files.length > 0;
  }

  focus() {
    (this.#choice === "file" ? this.#file : this.#area).focus();
    this.#area.setSelectionRange(0, 0);
    this.#area.scrollTop = 0;
  }

  /** {content, json}, as it is to be sent. Raises Error with what is wrong with it. */
  get() {
    if (this.#choice === "file") {
      if (this.#file.files.length === 0) throw new Error("Choose a file.");
      return { content: this.#file.files[0], json: false };
    }
    const text = this.#area.value;
    if (this.#choice === "json") {
      const error = text.trim() === "" ? "Type a value, as JSON." : wrong(text);
      if (error !== null) throw new Error(error);
      return { content: text, json: true };
    }
    if (this.#json) return { content: JSON.stringify(text), json: true };
    return { content: this.#crlf ? text.replaceAll("\n", "\r\n") : text, json: false };
  }

  /** What is in it, as text to compare with. */
  get preview() {
    if (this.#choice !== "file") return this.#area.value;
    const [file] = this.#file.files;
    return file ? `The file ${file.name}, ${file.size} bytes` : "";
  }

  #radio(kind, name) {
    const radio = h("input", { type: "radio", name, value: kind, checked: kind === this.#choice });
    radio.addEventListener("change", () => {
      this.#convert(kind);
      this.#choice = kind;
      this.#show();
    });
    return h("label", {}, radio, h("span", {}, CHOICES[kind]));
  }

  // A string of JSON is the text in its quotes, and the other way round.
  #convert(kind) {
    const text = this.#area.value;
    if (this.#choice === "json" && kind === "text" && text.trim().startsWith('"') && wrong(text) === null) {
      this.#area.value = JSON.parse(text);
    } else if (this.#choice === "text" && kind === "json" && this.#json && wrong(text) !== null && text !== "") {
      this.#area.value = JSON.stringify(text);
    }
  }

  #show() {
    this.#area.parentElement.hidden = this.#choice === "file";
    this.#file.parentElement.hidden = this.#choice !== "file";
    const stored = { json: "", text: this.#json ? "Stored as a string." : "Stored as bytes, in UTF-8.", file: "Stored as bytes, as they are." };
    this.#hint.textContent = stored[this.#choice];
    this.#hint.classList.remove("bad");
    if (this.#choice === "json" && this.#area.value !== "") this.#check();
  }

  #checkLater() {
    clearTimeout(this.#timer);
    if (this.#choice === "json") this.#timer = setTimeout(() => this.#check(), CHECKED_AFTER);
  }

  #check() {
    const error = this.#area.value.trim() === "" ? null : wrong(this.#area.value);
    this.#hint.textContent = error ?? "";
    this.#hint.classList.toggle("bad", error !== null);
  }
}
