// A value as JSON, as text, or as bytes: a part at a time, because a browser cannot show a mebibyte of elements.

import { h } from "./dom.js";
import { bytes, count } from "./format.js";
import { pretty } from "./json.js";
import { wrong } from "./jsoncheck.js";
import { visible } from "./text.js";

const PIECES = 6_000;
const CHARACTERS = 60_000;
const HEX_ROWS = 256;

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });

/** The text of an entry's bytes; null where they are no UTF-8. An end that was cut within a character is forgiven. */
export function textOf({ bytes: content, complete }) {
  try {
    return strict.decode(content);
  } catch {
    if (complete) return null;
  }
  const text = lenient.decode(content).replace(/\ufffd$/, "");
  return text.includes("\ufffd") ? null : text;
}

/** How an entry is best looked at: "json", "text" or "hex". */
export function bestView(entry) {
  if (entry.json) return "json";
  const text = textOf(entry);
  return text === null || /[\0-\x08\x0e-\x1a\x1c-\x1f]/.test(text) ? "hex" : "text";
}

/** The views an entry has, as {name: draw}; each `draw(pre, more)` fills a `<pre>` and offers the rest by `more`. */
export function viewsOf(entry) {
  const text = textOf(entry);
  const views = {};
  if (text !== null && (entry.json || isJson(entry, text))) views.json = () => jsonParts(text);
  if (text !== null) views.text = () => textParts(entry.json ? unquoted(text) : text);
  views.hex = () => hexParts(entry.bytes);
  return views;
}

/** Fill `pre` with the first part of `parts`, and put a button behind it for each next one. */
export function fill(pre, parts, total) {
  const more = h("button", { type: "button", class: "more" });
  const next = () => {
    const { value, done } = parts.next();
    if (!done) pre.append(...value.nodes);
    more.hidden = done || !value.rest;
    if (!more.hidden) more.textContent = `Show more (${value.rest})`;
  };
  more.addEventListener("click", next);
  pre.replaceChildren();
  next();
  pre.after(more);
  if (total !== null) more.after(h("p", { class: "note" }, total));
}

/** What is said below a value of which only a part was loaded. */
export const cutNote = (entry) =>
  entry.complete ? null : `The first ${bytes(entry.bytes.length)} of ${bytes(entry.size)}. Download it to have all.`;

function isJson(entry, text) {
  return entry.complete && /^\s*[[{"]/.test(text) && wrong(text) === null;
}

/** A string of JSON as the text that it stands for; any other JSON as it came. */
function unquoted(text) {
  try {
    return text.startsWith('"') ? JSON.parse(text) : text;
  } catch {
    return text;
  }
}

function* jsonParts(text) {
  let nodes = [];
  let shown = 0;
  let length = 0;
  for (const [kind, piece] of pretty(text)) {
    length += piece.length;
    for (let at = 0; at < piece.length; at += CHARACTERS) {
      const part = piece.slice(at, at + CHARACTERS);
      nodes.push(kind === "space" ? part : h("span", { class: `j-${kind}` }, visible(part, { lines: true })));
      shown += part.length;
      if (nodes.length >= PIECES || shown >= CHARACTERS) {
        yield { nodes, rest: "the rest is long" };
        nodes = [];
        shown = 0;
      }
    }
  }
  yield { nodes, rest: "" };
}

function* textParts(text) {
  let at = 0;
  do {
    const end = Math.min(text.length, at + CHARACTERS);
    const rest = text.length - end;
    yield { nodes: visible(text.slice(at, end), { lines: true }), rest: rest && `${count(rest)} characters follow` };
    at = end;
  } while (at < text.length);
}

function* hexParts(content) {
  const wide = window.matchMedia("(max-width: 560px)").matches ? 8 : 16;
  for (let at = 0; ; at += HEX_ROWS * wide) {
    const rows = [];
    for (let row = at; row < Math.min(content.length, at + HEX_ROWS * wide); row += wide) {
      rows.push(...hexRow(content.subarray(row, row + wide), row, wide));
    }
    const rest = Math.max(0, content.length - at - HEX_ROWS * wide);
    yield { nodes: rows, rest: rest && `${count(rest)} bytes follow` };
    if (rest === 0) return;
  }
}

function hexRow(part, at, wide) {
  const two = (byte) => byte.toString(16).padStart(2, "0");
  const halves = [part.subarray(0, 8), part.subarray(8)].map((half) => Array.from(half, two).join(" "));
  const hex = halves.join(wide > 8 ? "  " : "").padEnd(wide * 3 + (wide > 8 ? 1 : 0));
  const letters = Array.from(part, (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·")).join("");
  return [h("span", { class: "offset" }, at.toString(16).padStart(6, "0")), `  ${hex} `, h("span", { class: "letters" }, letters), "\n"];
}
