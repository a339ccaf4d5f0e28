// Whether a text is JSON, and where it is not: said alike in all browsers, and without reading a single number.

import { tokens } from "./json.js";

const VALUE = "a value";
const FIRST_VALUE = "a value or ]";
const NAME = "a name in quotes";
const FIRST_NAME = "a name in quotes or }";
const COLON = "a colon";
const END = "the end";
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const WORDS = new Set(["true", "false", "null"]);
const SHOWN = 20;

/** Why `text` is no JSON, with line and column; null where it is. */
export function wrong(text) {
  const open = [];
  let wanted = VALUE;
  for (const [kind, start, end] of tokens(text)) {
    const piece = text.slice(start, end);
    if ((kind === "string" && !isString(piece)) || (kind === "number" && !NUMBER.test(piece))) {
      return `${place(text, start)}: this is no ${kind}: ${shortened(piece)}`;
    }
    const next = after(wanted, kind, piece, open);
    if (next === null) return `${place(text, start)}: ${wanted} should be here, not ${shortened(piece)}`;
    wanted = next;
  }
  return wanted === END ? null : `${place(text, text.length)}: ${wanted} is missing`;
}

/** What is wanted after a token, by what was wanted in its place; null where that is not this token. */
function after(wanted, kind, piece, open) {
  const closer = open.at(-1) === "{" ? "}" : "]";
  if (wanted === NAME || (wanted === FIRST_NAME && piece !== "}")) return kind === "string" ? COLON : null;
  if (wanted === COLON) return piece === ":" ? VALUE : null;
  const maybeEnd = wanted === FIRST_NAME || wanted === FIRST_VALUE || wanted === more(open);
  if (maybeEnd && open.length > 0 && piece === closer) {
    open.pop();
    return more(open);
  }
  if (wanted === VALUE || wanted === FIRST_VALUE) {
    if (piece === "{" || piece === "[") {
      open.push(piece);
      return piece === "{" ? FIRST_NAME : FIRST_VALUE;
    }
    return kind === "string" || kind === "number" || WORDS.has(piece) ? more(open) : null;
  }
  return wanted !== END && piece === "," ? (open.at(-1) === "{" ? NAME : VALUE) : null;
}

function more(open) {
  if (open.length === 0) return END;
  return open.at(-1) === "{" ? "a comma or }" : "a comma or ]";
}

function isString(piece) {
  try {
    JSON.parse(piece);
    return true;
  } catch {
    return false;
  }
}

function place(text, at) {
  const lines = text.slice(0, at).split("\n");
  return `Line ${lines.length}, column ${lines.at(-1).length + 1}`;
}

const shortened = (piece) => (piece.length > SHOWN ? `${piece.slice(0, SHOWN)}…` : piece);
