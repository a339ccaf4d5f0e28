// The server, over docs/http.rst: one function for all requests, and what a key looks like in a URL.

const TOKEN = "diskdict-token";
/** Servers take heads of 64 KiB and no more; some ten thousand letters of other scripts are as long in a URL. */
const LONGEST_PATH = 60_000;
/** Bytes of a value that are loaded to be looked at; the rest is for the download. */
export const SHOWN_BYTES = 2 ** 20;

/** The server said no: `title` is the name of its error. */
export class Problem extends Error {
  constructor(status, title, detail) {
    super(detail || title || `The server answered ${status}.`);
    this.status = status;
    this.title = title;
  }
}

/** The server did not answer. */
export class Lost extends Error {
  constructor() {
    super("The server does not answer.");
  }
}

let token = null;
try {
  token = sessionStorage.getItem(TOKEN);
} catch {
  // The token holds until the page is closed.
}
let asking = null;
let ask = () => new Promise(() => {});
let flying = 0;

export const signals = new EventTarget();

export const hasToken = () => token !== null;

/** `question(refused)` gives a promise of a token; `refused` says that the one before was not accepted. */
export function setQuestion(question) {
  ask = question;
}

/**
 * Return the response of a request, or raise Problem, Lost or AbortError. Where the server wants a token the person is
 * asked for it, once for all requests that wait. `quiet`: a request without an end, which is not shown as waiting.
 */
export async function call(method, path, { headers = {}, body, signal, quiet = false } = {}) {
  if (path.length > LONGEST_PATH) throw new Problem(414, "TooLong", "This text is too long for the address of a request.");
  for (;;) {
    const used = token;
    const given = used === null ? headers : { ...headers, Authorization: `Bearer ${used}` };
    const response = await counted(quiet, () => fetch(path, { method, headers: given, body, signal, cache: "no-store" }));
    if (response.status === 401) {
      await response.body?.cancel();
      await newToken(used);
    } else if (response.ok) {
      return response;
    } else {
      throw await problem(response);
    }
  }
}

async function counted(quiet, request) {
  if (!quiet) changeFlying(1);
  try {
    return await request();
  } catch (error) {
    throw error instanceof TypeError ? new Lost() : error;
  } finally {
    if (!quiet) changeFlying(-1);
  }
}

function changeFlying(by) {
  flying += by;
  signals.dispatchEvent(new CustomEvent("flying", { detail: flying }));
}

async function problem(response) {
  let said = {};
  try {
    said = await response.json();
  } catch {
    // Something between us and the server answered; its status says enough.
  }
  return new Problem(response.status, said.title, said.detail);
}

async function newToken(used) {
  if (token !== used) return;
  asking ??= ask(used !== null).then((given) => {
    token = given;
    asking = null;
    try {
      sessionStorage.setItem(TOKEN, given);
    } catch {
      // As above.
    }
  });
  await asking;
}

/** The path of a key, and of what is below it ("info"). A path cannot carry the empty key, "." and "..". */
export function pathOf(key, below = "", query = "") {
  const tail = below === "" ? "" : `/${below}`;
  if (key === "" || key === "." || key === "..") return `/v1/keys/${tail}?key=${key}${query && `&${query}`}`;
  return `/v1/keys/${quoted(key)}${tail}${query && `?${query}`}`;
}

/** Percent-encoded UTF-8; a lone surrogate, which a key may have, as three bytes of its own. */
export function quoted(text) {
  const surrogate = (char) => {
    const code = char.charCodeAt(0);
    const hex = (byte) => `%${byte.toString(16).toUpperCase()}`;
    return hex(0xe0 | (code >> 12)) + hex(0x80 | ((code >> 6) & 63)) + hex(0x80 | (code & 63));
  };
  return text
    .split(/(\p{Cs})/u)
    .map((part, odd) => (odd % 2 ? surrogate(part) : encodeURIComponent(part)))
    .join("");
}

export const versionOf = (response) => response.headers.get("ETag");

/** Read a response, but no more than SHOWN_BYTES: {bytes, complete}. */
export async function readSome(response) {
  const reader = response.body?.getReader();
  const parts = [];
  let complete = reader === undefined;
  for (let length = 0; !complete && length <= SHOWN_BYTES; ) {
    const { done, value } = await reader.read();
    complete = done;
    if (done) break;
    parts.push(value);
    length += value.length;
  }
  if (!complete) await reader.cancel();
  const all = new Uint8Array(await new Blob(parts).arrayBuffer());
  return { bytes: all.subarray(0, SHOWN_BYTES), complete };
}
