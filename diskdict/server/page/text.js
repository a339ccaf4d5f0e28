// Text that somebody stored, shown so that nothing in it hides or reorders what is around it.

import { h } from "./dom.js";

// Controls, bidi and other ignorable characters, separators, spaces that are not the space, lone surrogates.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}\p{Cn}\p{DI}]|(?! )\p{Zs}|^ +| +$/gu;
// What makes one emoji of several characters is no secret.
const JOINED = /[\p{Emoji}\p{Extended_Pictographic}][\ufe0f\u{1f3fb}-\u{1f3ff}]?$/u;
const JOINERS = new Set([0x200d, 0xfe0f]);
const CONTROLS = "NUL SOH STX ETX EOT ENQ ACK BEL BS TAB LF VT FF CR SO SI DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US".split(" ");

/**
 * Return `text` as nodes, each hidden character as a visible one in a `<span class="mark">`, cut to `limit` characters.
 * With `lines` line feeds and tabs stay, and so do spaces at the ends.
 */
export function visible(text, { limit = Infinity, lines = false } = {}) {
  const shown = text.length > limit ? cut(text, limit) : text;
  const nodes = [];
  let at = 0;
  for (const match of shown.matchAll(HIDDEN)) {
    const sign = signs(match[0], shown, match.index, lines);
    if (sign === null) continue;
    nodes.push(shown.slice(at, match.index), h("span", { class: "mark", title: name(match[0]) }, sign));
    at = match.index + match[0].length;
  }
  nodes.push(shown.slice(at));
  if (shown.length < text.length) nodes.push(h("span", { class: "mark cut" }, "…"));
  return nodes.filter((node) => node !== "");
}

/** The text of a key; an empty one is said to be empty. */
export function keyText(key, limit = 200) {
  return key === "" ? [h("span", { class: "mark" }, "empty key")] : visible(key, { limit });
}

function cut(text, limit) {
  const half = text.charCodeAt(limit - 1) >= 0xd800 && text.charCodeAt(limit - 1) < 0xdc00;
  return text.slice(0, half ? limit - 1 : limit);
}

function signs(found, text, at, lines) {
  const code = found.codePointAt(0);
  if (found[0] === " ") return lines ? null : "␣".repeat(found.length);
  if (lines && (code === 10 || code === 9)) return null;
  if (JOINERS.has(code) && JOINED.test(text.slice(Math.max(0, at - 4), at))) return null;
  return CONTROLS[code] ?? (code === 0x7f ? "DEL" : name(found));
}

const name = (found) => `U+${found.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
