// What a person is asked for: a new key, another value, a time-to-live, metadata, a token, and whether they are sure.

import { Problem } from "./api.js";
import { decide } from "./conflict.js";
import { cancelButton, field, form, guard, open } from "./dialogs.js";
import { h } from "./dom.js";
import * as entries from "./entry.js";
import { bytes, duration, left, now } from "./format.js";
import { prettyText } from "./json.js";
import { wrong } from "./jsoncheck.js";
import { keyText } from "./text.js";
import { ValueField, editable } from "./valuefield.js";

const LONG_KEY = 300;
const SPANS = ["1m", "15m", "1h", "1d", "7d", "never"];

const primary = (text, kind = "primary") => h("button", { type: "submit", class: kind }, text);
const named = (key) => h("p", { class: "about" }, h("bdi", { class: "name" }, keyText(key, LONG_KEY)));

function lifetime(first) {
  const input = h("input", { type: "text", value: first, placeholder: "90, 15m, 2h, 7d or never", autocomplete: "off", spellcheck: "false" });
  const take = (span) => h("button", { type: "button", onclick: () => ((input.value = span), input.focus()) }, span);
  const spans = h("div", { class: "spans" }, SPANS.map(take));
  const get = () => {
    const seconds = duration(input.value);
    if (seconds === null) throw new Error("The time-to-live is a number of seconds, or like 15m, 2h, 1d 12h, never.");
    return seconds;
  };
  return { input, spans, get };
}

function objectText(area) {
  const text = area.value.trim() || "{}";
  const error = wrong(text);
  if (error !== null) throw new Error(`Metadata: ${error}`);
  if (!text.startsWith("{")) throw new Error("Metadata is a JSON object.");
  return text;
}

const metadataArea = (text) => h("textarea", { rows: 4, spellcheck: "false", placeholder: '{"author": "A. Lovelace"}', dir: "ltr" }, text);

/** Ask for a new key. `done(key)` is called when it is stored, `openKey(key)` where somebody wants to see one that is there. */
export function add(codec, done) {
  const key = h("input", { type: "text", autocomplete: "off", autocapitalize: "off", spellcheck: "false", class: "name", placeholder: "user:42" });
  const value = new ValueField(codec !== "raw", { text: "", crlf: false }, "kind-new");
  const time = lifetime("");
  const metadata = metadataArea("");
  const work = async () => {
    const ttl = time.input.value.trim() === "" ? null : time.get();
    const described = metadata.value.trim() === "" ? null : objectText(metadata);
    await entries.create(key.value, value.get(), ttl, described);
    done(key.value);
  };
  const more = h("details", {}, h("summary", {}, "Metadata"), field("Metadata, a JSON object", metadata));
  const times = field("Time-to-live", time.input, "Empty: the store's default.");
  times.append(time.spans);
  const dialog = open("New key", "wide", form(work, primary("Store"), field("Key", key), value.element, times, more));
  guard(dialog, () => value.changed || key.value !== "");
  key.focus();
}

/**
 * Ask for another value. Where somebody else has changed the key since `entry`, both versions are shown and the person
 * chooses. Returns a function to be called when the key changes meanwhile.
 */
export function edit(entry, done) {
  let base = entry;
  const value = new ValueField(entry.json, editable(entry), "kind-edit");
  const notice = h("p", { class: "notice", role: "status", hidden: true });
  const work = async () => {
    const wanted = value.get();
    try {
      await entries.replace(entry.key, wanted, base.tag);
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 412) throw error;
      const { choice, theirs } = await decide(entry.key, value.preview, entry.json);
      if (choice === "theirs") return done(entry.key, "kept");
      if (choice === "mine") return await overwrite(theirs, wanted);
      base = theirs ?? base;
      throw new Error(theirs === null ? "The key was deleted meanwhile." : "Saving will now replace the version you have seen.");
    }
    return done(entry.key, "saved");
  };
  const overwrite = async (theirs, wanted) => {
    base = theirs ?? base;
    if (theirs === null) await entries.create(entry.key, wanted, null, base.metadata);
    else await entries.replace(entry.key, wanted, theirs.tag);
    done(entry.key, "saved");
  };
  const why = editable(entry) === null ? h("p", { class: "hint" }, "This value cannot be edited as text. A file can take its place.") : null;
  const dialog = open("Edit value", "wide", named(entry.key), notice, form(work, primary("Save"), why, value.element));
  guard(dialog, () => value.changed);
  value.focus();
  return (how) => {
    notice.hidden = false;
    notice.textContent = `Somebody has ${how} this key meanwhile. When you save, you will see both versions and choose.`;
  };
}

/** Ask for a time-to-live. */
export function changeTime(entry, done) {
  const time = lifetime(entry.expires === null ? "never" : `${Math.max(0, Math.round(entry.expires - now()))}`);
  const work = async () => {
    const ttl = time.get();
    await amend(entry, `{"ttl": ${ttl === "never" ? '"never"' : ttl}}`);
    done(entry.key, ttl === "never" ? "never expires" : `expires in ${left(ttl)}`);
  };
  open("Time-to-live", "narrow", named(entry.key), form(work, primary("Set"), field("Seconds from now", time.input), time.spans));
  time.input.select();
}

/** Ask for metadata in place of what is there. */
export function changeMetadata(entry, done) {
  const area = metadataArea(entry.metadata === null ? "" : prettyText(entry.metadata));
  const work = async () => {
    await amend(entry, `{"metadata": ${objectText(area)}}`);
    done(entry.key, "has other metadata");
  };
  const dialog = open("Metadata", "wide", named(entry.key), form(work, primary("Set"), field("A JSON object; empty removes it", area)));
  guard(dialog, () => area.value !== area.defaultValue);
}

async function amend(entry, changes) {
  try {
    await entries.amend(entry.key, changes, entry.tag);
  } catch (error) {
    throw error.status === 412 ? new Error("Somebody has changed this key meanwhile. Close this, look at it, and try again.") : error;
  }
}

/** Ask whether a key is really to be deleted: `entry` as it was last seen. */
export function remove(entry, done) {
  let seen = entry;
  const about = h("p", {});
  const describe = (text) => about.replaceChildren(text);
  describe(`${bytes(entry.size)}, ${entry.json ? "JSON" : "bytes"}. This cannot be undone.`);
  const button = primary("Delete", "danger");
  const work = async () => {
    try {
      await entries.remove(entry.key, seen.tag);
    } catch (error) {
      if (error.status === 404) return done(entry.key);
      if (error.status !== 412) throw error;
      seen = await entries.read(entry.key);
      describe(`It has ${bytes(seen.size)} now. This cannot be undone.`);
      throw new Error("Somebody has changed this key meanwhile. Delete the new version, too?");
    }
    return done(entry.key);
  };
  const dialog = open("Delete this key?", "narrow", named(entry.key), about, form(work, button));
  dialog.querySelector(".buttons button").focus();
}

/** Ask for the server's token; goes on asking until one is given. */
export async function askToken(refused) {
  const input = h("input", { type: "password", autocomplete: "off", spellcheck: "false" });
  let askAgain = true;
  const hint = "The one in the file of --token-file. It is kept until this tab is closed.";
  return new Promise((resolve) => {
    const submit = (event) => {
      event.preventDefault();
      if (!/^[\x21-\x7e]+$/.test(input.value.trim())) {
        alert.textContent = "A token is letters, digits and signs of ASCII, without spaces.";
        return;
      }
      askAgain = false;
      resolve(input.value.trim());
      dialog.close();
    };
    const alert = h("p", { class: "alert", role: "alert" }, refused ? "This token is not accepted." : "");
    const buttons = h("div", { class: "buttons" }, primary("Continue"));
    const dialog = open("This server wants a token", "narrow", h("form", { onsubmit: submit }, field("Token", input, hint), alert, buttons));
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    // A browser lets nobody be kept in a dialog for good; without a token there is nothing to see but this question.
    dialog.addEventListener("close", () => askAgain && askToken(refused).then(resolve));
    input.focus();
  });
}
