// The page: what is wired to what.

import { setQuestion } from "./api.js";
import { isOpen as dialogIsOpen } from "./dialogs.js";
import { byId, h, kept, say } from "./dom.js";
import { read } from "./entry.js";
import { Feed } from "./feed.js";
import * as forms from "./forms.js";
import { count, plural } from "./format.js";
import { Grid } from "./grid.js";
import { watchLink, watchWaiting } from "./link.js";
import { Pace } from "./pace.js";
import { Panel } from "./panel.js";
import { PAGE, Rows, globOf } from "./rows.js";
import { Statistics } from "./statistics.js";
import { keyText } from "./text.js";

const TYPED = 180;

const rows = new Rows();
const grid = new Grid(rows);
const panel = new Panel();
const feed = new Feed();
const statistics = new Statistics();
const query = byId("query");
const narrow = window.matchMedia("(max-width: 899px)");
let anchors = null;
let edited = null;
let searched = "";

// The list

const list = new Pace(() => refresh(), { least: 120, share: 4 });

async function refresh() {
  const [first, last] = grid.sight;
  await rows.refresh(first, Math.max(last, PAGE - 1));
}

function drawList() {
  grid.update(anchors);
  anchors = grid.anchors();
  const number = rows.total ?? 0;
  byId("found").textContent = query.value === "" ? plural(number, "key") : `${count(number)} found`;
  drawNothing();
}

function drawNothing(error = null) {
  const place = byId("nothing");
  place.hidden = error === null && rows.total !== 0;
  if (place.hidden) return;
  if (error !== null) {
    const again = h("button", { type: "button", onclick: () => list.now() }, "Try again");
    place.replaceChildren(h("p", {}, h("strong", {}, "The keys cannot be listed.")), h("p", {}, error.message), again);
  } else if (query.value !== "") {
    const glob = h("bdi", { class: "name" }, keyText(globOf(query.value), 80));
    const all = h("button", { type: "button", onclick: () => search("") }, "Show all keys");
    place.replaceChildren(h("p", {}, h("strong", {}, "No key matches "), glob, "."), all);
  } else {
    const command = `curl -X PUT ${location.origin}/v1/keys/hello -H 'Content-Type: application/json' -d '"world"'`;
    const first = h("button", { type: "button", class: "primary", onclick: add }, "Add the first key");
    place.replaceChildren(h("p", {}, h("strong", {}, "This store is empty.")), first, h("p", {}, "or, at a shell:"), h("code", {}, command));
  }
}

function choose() {
  anchors = null;
  rows.choose(query.value, byId("newest").getAttribute("aria-pressed") === "true");
  grid.toTop();
  list.now();
}

function search(text) {
  query.value = text;
  searched = text;
  choose();
  query.focus();
}

rows.addEventListener("loaded", drawList);
// The rows first: for the numbers the server looks at every file, and nobody else is answered meanwhile.
rows.addEventListener("loaded", () => statistics.soon(), { once: true });
rows.addEventListener("problem", ({ detail }) => drawNothing(detail));
grid.addEventListener("sight", () => {
  rows.want(...grid.sight);
  anchors = grid.anchors();
});
grid.addEventListener("expired", () => list.soon());
grid.addEventListener("open", ({ detail }) => openKey(detail.key));
grid.addEventListener("remove", async ({ detail }) => {
  try {
    forms.remove(await read(detail.key), removed);
  } catch (error) {
    say(error.message, { error: true });
  }
});

let typing = null;
query.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(searchNow, TYPED);
});
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  searchNow();
  grid.focus();
});

function searchNow() {
  clearTimeout(typing);
  if (query.value === searched) return;
  searched = query.value;
  choose();
}

// One key. The address names the key that is open, so that "back" closes it and a link opens it.

function openKey(key, { remember = true, focus = true } = {}) {
  const address = `#key=${hashOf(key)}`;
  if (remember && location.hash !== address) {
    if (panel.isOpen) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
  }
  panel.open(key, { focus });
  setCovered();
}

const hashOf = (key) => encodeURIComponent(JSON.stringify(key));

function openAddressed() {
  const [, named] = /^#key=(%22.*%22)$/.exec(location.hash) ?? [];
  if (named === undefined) panel.close();
  else openKey(JSON.parse(decodeURIComponent(named)), { remember: false });
}

function setCovered() {
  const covered = panel.isOpen && narrow.matches;
  for (const id of ["list", "top", "stats"]) byId(id).inert = covered;
}

panel.addEventListener("close", () => {
  if (location.hash !== "") history.replaceState(null, "", location.pathname);
  setCovered();
  grid.focus();
});
panel.addEventListener("edit", ({ detail }) => {
  const notice = forms.edit(detail, (key, how) => changed(key, how === "saved" ? "is saved" : "stays as it is"));
  edited = { key: detail.key, notice };
});
panel.addEventListener("time", ({ detail }) => forms.changeTime(detail, changed));
panel.addEventListener("metadata", ({ detail }) => forms.changeMetadata(detail, changed));
panel.addEventListener("remove", ({ detail }) => forms.remove(detail, removed));
narrow.addEventListener("change", setCovered);
window.addEventListener("popstate", openAddressed);

const short = (key) => h("bdi", {}, keyText(key, 40));

function changed(key, what) {
  edited = null;
  say([short(key), ` ${what}.`]);
  if (panel.key === key) panel.reload();
  list.now();
}

function removed(key) {
  say([short(key), " is deleted."]);
  if (panel.key === key) panel.close();
  list.now();
}

function add() {
  forms.add(statistics.codec, (key) => {
    say([short(key), " is stored."]);
    list.now();
    openKey(key);
  });
}

// What others change

function noticeChange({ kind, key }) {
  statistics.changed();
  statistics.soon();
  list.soon();
  if (kind === "set") grid.flash(key);
  if (dialogIsOpen() && edited?.key === key) edited.notice(kind === "set" ? "changed" : "deleted");
  if (panel.key !== key) return;
  if (kind === "delete") panel.gone("was deleted");
  else reopen.soon();
}

const reopen = new Pace(() => panel.reload(), { least: 200, share: 2 });

function refreshAll() {
  list.soon();
  statistics.soon();
  reopen.soon();
}

feed.addEventListener("change", ({ detail }) => noticeChange(detail));
feed.addEventListener("reset", refreshAll);
watchLink(feed, refreshAll);
watchWaiting();
statistics.addEventListener("loaded", () => {
  // What expires where nobody looks is not told.
  if (query.value === "" ? statistics.keys !== rows.total : statistics.changing) list.soon();
});

// Buttons and keys

byId("newest").addEventListener("click", ({ target }) => {
  target.setAttribute("aria-pressed", target.getAttribute("aria-pressed") !== "true");
  choose();
});
byId("add").addEventListener("click", add);

function showStatistics(shown) {
  byId("stats").hidden = !shown;
  byId("statistics").setAttribute("aria-expanded", shown);
}

byId("statistics").addEventListener("click", () => {
  showStatistics(byId("stats").hidden);
  kept.set("statistics", byId("stats").hidden ? "hidden" : "shown");
});
showStatistics((kept.get("statistics") ?? (narrow.matches ? "hidden" : "shown")) === "shown");

byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  kept.set("theme", root.dataset.theme);
});

const KEYS = {
  "/": () => query.select(),
  n: add,
  e: () => panel.ask("edit"),
  t: () => panel.ask("time"),
  m: () => panel.ask("metadata"),
};

document.addEventListener("keydown", (event) => {
  if (dialogIsOpen() || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    if (event.target === query && query.value !== "") search("");
    else if (event.target === query) grid.focus();
    else panel.close();
  } else if (event.key === "ArrowDown" && [query, document.body].includes(event.target)) {
    grid.focus();
  } else if (!event.target.matches("input, textarea")) {
    if (event.key === "Delete" && panel.isOpen && byId("detail").contains(event.target)) panel.ask("remove");
    else if (event.key in KEYS) KEYS[event.key]();
    else return;
  } else return;
  event.preventDefault();
});

setQuestion(forms.askToken);
list.soon();
feed.run();
if (location.hash !== "") openAddressed();
