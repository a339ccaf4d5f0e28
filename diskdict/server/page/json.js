// JSON as text: laid out and coloured token by token, so that no number, escape or order of names is changed.

/** Characters up to which a list or object that has no other inside stays on its line. */
const INLINE = 48;

/** Yield each token of `text` as [kind, start, end]; lenient, so that a text that was cut off can be shown. */
export function* tokens(text, at = 0) {
  while (at < text.length) {
    const char = text[at];
    if (char === " " || char === "\n" || char === "\t" || char === "\r") {
      at += 1;
      continue;
    }
    const end = char === '"' ? endOfString(text, at + 1) : "{}[],:".includes(char) ? at + 1 : endOfWord(text, at);
    yield [kind(char, end - at), at, end];
    at = end;
  }
}

function kind(char, length) {
  if (char === '"') return "string";
  if (length === 1 && "{}[],:".includes(char)) return "sign";
  return char === "-" || (char >= "0" && char <= "9") ? "number" : "word";
}

function endOfString(text, at) {
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return Math.min(at + 1, text.length);
}

function endOfWord(text, at) {
  at += 1;
  while (at < text.length && !' \n\t\r{}[],:"'.includes(text[at])) at += 1;
  return at;
}

/** Yield the pieces of `text` laid out anew, as [kind, piece]; a string that names a member has the kind "name". */
export function* pretty(text) {
  let depth = 0;
  let inlineUntil = 0;
  let fresh = false;
  const line = () => ["space", `\n${"  ".repeat(depth)}`];
  for (const [type, start, end] of tokens(text)) {
    const piece = text.slice(start, end);
    const inline = start < inlineUntil;
    if (piece === "}" || piece === "]") {
      depth = Math.max(0, depth - 1);
      if (!inline && !fresh) yield line();
    } else if (fresh && !inline) {
      yield line();
    }
    fresh = false;
    yield [type === "string" && followedByColon(text, end) ? "name" : type, piece];
    if (piece === "{" || piece === "[") {
      depth += 1;
      fresh = true;
      if (!inline) inlineUntil = endOfFlat(text, start);
    } else if (piece === ",") {
      yield inline ? ["space", " "] : line();
    } else if (piece === ":") {
      yield ["space", " "];
    }
  }
}

/** `text` laid out anew. */
export function prettyText(text) {
  let out = "";
  for (const [, piece] of pretty(text)) out += piece;
  return out;
}

function followedByColon(text, at) {
  while (at < text.length && " \n\t\r".includes(text[at])) at += 1;
  return text[at] === ":";
}

/** Where the list or object that begins at `at` ends, if it is short and has no other inside; else 0. */
function endOfFlat(text, at) {
  const near = text.slice(at + 1, at + INLINE);
  for (const [, start, end] of tokens(near)) {
    if (near[start] === "}" || near[start] === "]") return at + 1 + end;
    if (near[start] === "{" || near[start] === "[") return 0;
  }
  return 0;
}

/** The text of the member `name` of the JSON object `text`, or null: what is in it stays as it was written. */
export function member(text, name) {
  const wanted = JSON.stringify(name);
  let depth = 0;
  let last = "";
  let from = -1;
  for (const [, start, end] of tokens(text)) {
    const piece = text.slice(start, end);
    if (from < 0 && depth === 1 && piece === ":" && last === wanted) from = end;
    else if (from >= 0 && depth === 1 && (piece === "," || piece === "}")) return text.slice(from, start).trim();
    if (piece === "{" || piece === "[") depth += 1;
    if (piece === "}" || piece === "]") depth -= 1;
    last = piece;
  }
  return null;
}
