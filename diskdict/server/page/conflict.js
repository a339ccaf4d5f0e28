// Two people changed the same key: both versions side by side, and the choice.

import { Problem } from "./api.js";
import { open } from "./dialogs.js";
import { h } from "./dom.js";
import { read } from "./entry.js";
import { bytes, moment } from "./format.js";
import { prettyText } from "./json.js";
import { wrong } from "./jsoncheck.js";
import { keyText, visible } from "./text.js";
import { textOf } from "./value.js";

const LINES = 2_000;

/**
 * Show what is stored under `key` now beside `mine`, and return {choice, theirs}: "mine", "theirs" or "edit", and the
 * entry that was shown, null where the key is deleted.
 */
export async function decide(key, mine, json) {
  const theirs = await current(key);
  const own = json && wrong(mine) === null ? prettyText(mine) : mine;
  const other = theirs === null ? "" : textOf(theirs);
  const stored = other === null ? `${bytes(theirs.size)} that are no text` : theirs?.json ? prettyText(other) : other;
  const [ownLines, storedLines] = marked(own.split("\n"), stored.split("\n"));
  const about = theirs === null ? "deleted" : `version ${theirs.version}, ${moment(theirs.updated)}`;
  return new Promise((resolve) => {
    const button = (choice, text, kind = "") => h("button", { type: "button", class: kind, onclick: () => finish(choice) }, text);
    const side = (title, note, lines) =>
      h("section", {}, h("h3", {}, title, " ", h("small", {}, note)), h("pre", { class: "value", tabindex: 0, "aria-label": title }, lines));
    const keep = button("theirs", theirs === null ? "Leave it deleted" : "Keep theirs");
    const dialog = open(
      "Somebody else has changed this key",
      "widest conflict",
      h("p", { class: "about" }, h("bdi", { class: "name" }, keyText(key))),
      h("p", { class: "about" }, "Nothing is stored yet. Which version is to stay?"),
      h("div", { class: "sides" }, side("Theirs, in the store now:", about, storedLines), side("Yours:", "not saved", ownLines)),
      h("div", { class: "buttons" }, button("edit", "Edit mine further"), keep, button("mine", "Overwrite with mine", "danger")),
    );
    let choice = "edit";
    const finish = (chosen) => {
      choice = chosen;
      dialog.close();
    };
    dialog.addEventListener("close", () => resolve({ choice, theirs }));
    keep.focus();
  });
}

async function current(key) {
  try {
    return await read(key);
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}

/** Both texts as nodes, in which the lines between what they begin and end with alike are marked. */
function marked(one, two) {
  let head = 0;
  while (head < one.length && head < two.length && one[head] === two[head]) head += 1;
  let tail = 0;
  while (tail < Math.min(one.length, two.length) - head && one.at(-1 - tail) === two.at(-1 - tail)) tail += 1;
  const nodes = (lines) =>
    lines.slice(0, LINES).map((line, index) => {
      const differs = index >= head && index < lines.length - tail;
      return h("span", { class: differs ? "line differs" : "line" }, visible(line, { lines: true }), "\n");
    });
  return [nodes(one), nodes(two)];
}
