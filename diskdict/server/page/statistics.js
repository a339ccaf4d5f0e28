// The numbers of the store, above the table and in the line at the foot.

import { call, Lost } from "./api.js";
import { bars, line, shares, tile } from "./charts.js";
import { byId, say } from "./dom.js";
import { bytes, count, plural, setClock } from "./format.js";
import { Pace } from "./pace.js";

const SAMPLES = 120;
const BUCKET = 5;
const BUCKETS = 36;
const MINUTE = 60 / BUCKET;
const EACH = 10_000;

const bucketNow = () => Math.floor(Date.now() / 1000 / BUCKET);

export class Statistics extends EventTarget {
  keys = null;
  /** Whether there are more or less keys than at the time before. */
  changing = false;
  codec = "json";
  #section = byId("stats");
  #numbers = null;
  #failed = false;
  #history = [];
  #changes = new Map();
  // The server looks at every file for these numbers: at most a fiftieth of its time is for them.
  #pace = new Pace(() => this.#load(), { least: 2_000, share: 50 });

  constructor() {
    super();
    setInterval(() => this.#drawChanges(), 1_000);
    setInterval(() => this.soon(), EACH);
  }

  /** Ask again soon. */
  soon() {
    this.#pace.soon();
  }

  /** Count a change. */
  changed() {
    const bucket = bucketNow();
    this.#changes.set(bucket, (this.#changes.get(bucket) ?? 0) + 1);
    if (this.#changes.size > BUCKETS) this.#changes.delete(this.#changes.keys().next().value);
  }

  async #load() {
    try {
      this.#numbers = await (await call("GET", "/v1/stats", { quiet: true })).json();
    } catch (error) {
      if (!(error instanceof Lost) && !this.#failed) say(`No statistics: ${error.message}`, { error: true });
      this.#failed = true;
      return;
    }
    this.#failed = false;
    // The server looks at its clock when it has the numbers.
    setClock(this.#numbers.time);
    this.changing = this.keys !== this.#numbers.keys;
    this.keys = this.#numbers.keys;
    this.codec = this.#numbers.codec;
    this.#history.push(this.#numbers.keys);
    if (this.#history.length > SAMPLES) this.#history.shift();
    this.#draw();
    this.dispatchEvent(new Event("loaded"));
  }

  #draw() {
    const n = this.#numbers;
    const tiles = [this.#keysTile(n), this.#sizeTile(n), this.#liveTile(n), this.#changesTile()];
    this.#section.replaceChildren(...tiles);
    byId("name").textContent = n.name;
    document.title = `${n.name} · diskdict`;
    const version = n.version === "unknown" ? [] : [`diskdict ${n.version}`];
    byId("facts").textContent = [n.kind, `codec ${n.codec}`, `durability ${n.durability}`, ...version].join(" · ");
  }

  #keysTile(n) {
    const sentence = `Keys since the page was opened: from ${count(this.#history[0])} to ${count(n.keys)}`;
    const print = `${plural(n.inodes, "file and folder", "files and folders")}, ${plural(n.shards, "shard")}`;
    return tile("Keys", count(n.keys), line(this.#history, sentence), print);
  }

  #sizeTile(n) {
    const most = Math.max(n.payload_bytes, n.disk_bytes, 1);
    const bar = (value, kind, name) =>
      shares([{ value, kind }, { value: most - value, kind: "none" }], `${name}: ${bytes(value)}`);
    const allowed = n.limits?.total_bytes ?? null;
    const limit = allowed === null ? "" : `, ${Math.round((n.payload_bytes / allowed) * 100)} % of ${bytes(allowed)}`;
    const both = [bar(n.payload_bytes, "bar", "Values"), bar(n.disk_bytes, "second", "On disk")];
    return tile("Size of values", bytes(n.payload_bytes), both, `${bytes(n.disk_bytes)} on disk${limit}`);
  }

  #liveTile(n) {
    const parts = [
      { value: n.keys, kind: "bar" },
      { value: n.expired, kind: "old" },
    ];
    const chart = shares(parts, `${count(n.keys)} live, ${count(n.expired)} expired`);
    const all = n.keys + n.expired;
    const number = all === 0 ? "—" : `${n.expired === 0 ? "100" : ((n.keys / all) * 100).toFixed(1)} %`;
    return tile("Live", number, chart, `${count(n.expired)} expired, not yet removed`);
  }

  #changesTile() {
    const last = bucketNow();
    const buckets = Array.from({ length: BUCKETS }, (_, index) => this.#changes.get(last - BUCKETS + 1 + index) ?? 0);
    const recent = buckets.slice(-MINUTE).reduce((sum, number) => sum + number, 0);
    const sentence = `${plural(recent, "change")} in the last minute`;
    return tile("Changes a minute", count(recent), bars(buckets, sentence), "the last three minutes");
  }

  #drawChanges() {
    if (this.#numbers !== null && !document.hidden) this.#section.lastElementChild.replaceWith(this.#changesTile());
  }
}
