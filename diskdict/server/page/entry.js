// A key with its value, as it was at one version, and what changes it.

import { call, pathOf, readSome, versionOf } from "./api.js";
import { member } from "./json.js";

const JSON_TYPE = "application/json";
const BYTES_TYPE = "application/octet-stream";

/**
 * Read a key: its value's first bytes, its facts, and its metadata as text. Raises Problem 404 where it is not there.
 * Both answers are of one version; where somebody keeps changing the key, the last attempt is taken.
 */
export async function read(key, signal) {
  for (let attempt = 0; ; attempt += 1) {
    const response = await call("GET", pathOf(key), { signal });
    const { bytes, complete } = await readSome(response);
    const about = await (await call("GET", pathOf(key, "info"), { signal })).text();
    const info = JSON.parse(about);
    const tag = versionOf(response);
    const exact = member(about, "version");
    if (tag !== `"${exact}"` && attempt < 3) continue;
    const metadata = member(about, "metadata");
    return {
      key,
      tag,
      bytes,
      complete,
      version: exact,
      json: (response.headers.get("Content-Type") ?? "").startsWith(JSON_TYPE),
      // Of the value as it travels; as it is stored, bytes may have an escape in front.
      size: complete ? bytes.length : Number(response.headers.get("Content-Length") ?? info.size),
      checksum: info.checksum,
      created: info.created_at,
      updated: info.updated_at,
      expires: info.expires_at,
      metadata: metadata === null || metadata === "{}" ? null : metadata,
    };
  }
}

/** What a form holds: `content` is a string or a File, `json` says what kind of value it is. */
function sent({ content, json }) {
  return { body: content, headers: { "Content-Type": json ? JSON_TYPE : BYTES_TYPE } };
}

/** Create a key; Problem 409 where it is there. `ttl` null leaves it to the server. Metadata is the text of an object. */
export async function create(key, value, ttl, metadata) {
  const { body, headers } = sent(value);
  if (metadata) headers["X-Metadata"] = ascii(metadata);
  await call("POST", pathOf(key, "", ttl === null ? "" : `ttl=${ttl}`), { body, headers });
}

/** Put another value in place of version `tag`, keeping all else; Problem 412 where it is another version by now. */
export async function replace(key, value, tag) {
  const { body, headers } = sent(value);
  await call("PUT", pathOf(key, "", "keep=true"), { body, headers: { ...headers, "If-Match": tag } });
}

/** Change time-to-live or metadata: `changes` is the text of an object. Problem 412 as above. */
export async function amend(key, changes, tag) {
  await call("PATCH", pathOf(key), { body: changes, headers: { "Content-Type": JSON_TYPE, "If-Match": tag } });
}

/** Delete version `tag`; Problem 412 as above. */
export async function remove(key, tag) {
  await call("DELETE", pathOf(key), { headers: { "If-Match": tag } });
}

/** A header's value is one line of ASCII: other characters of JSON as escapes, line breaks between tokens as spaces. */
function ascii(json) {
  return json
    .replace(/[\n\r\t]+/g, " ")
    .replace(/[^\x20-\x7e]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
