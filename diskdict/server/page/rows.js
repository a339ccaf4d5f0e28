// The rows of the table: pages of what the server has, loaded where somebody looks, and forgotten again.

import { call, Lost, quoted } from "./api.js";

export const PAGE = 100;
const PAGES_KEPT = 60;

/** A word finds what contains it; what has a wildcard is a glob. */
export const globOf = (query) => (query === "" || /[*?[]/.test(query) ? query : `*${query}*`);

/** Events: "loaded" when rows or their number are there, "problem" with an error. */
export class Rows extends EventTarget {
  total = null;
  /** Whether the rows answer an older question than the one that was asked last. */
  stale = false;
  #query = "";
  #newest = false;
  #pages = new Map();
  #flying = new Map();
  #anew = null;

  at(index) {
    return this.#pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  /** The place of a key among the loaded rows, or -1. */
  find(key) {
    for (const [page, rows] of this.#pages) {
      const place = rows.findIndex((row) => row.key === key);
      if (place >= 0) return page * PAGE + place;
    }
    return -1;
  }

  /** Ask something else. What is there stays until `refresh` has the answer. */
  choose(query, newest) {
    this.#query = query;
    this.#newest = newest;
    this.stale = true;
    this.#stop();
  }

  /** Load what is missing between two rows, and leave what was under way for others. */
  want(first, last) {
    if (this.total === null || this.total === 0 || this.#anew !== null) return;
    const wanted = [];
    for (let page = Math.floor(first / PAGE); page <= Math.floor(last / PAGE); page += 1) wanted.push(page);
    for (const [page, controller] of this.#flying) {
      if (!wanted.includes(page)) {
        controller.abort();
        this.#flying.delete(page);
      }
    }
    wanted.filter((page) => !this.#pages.has(page) && !this.#flying.has(page)).forEach((page) => this.#load(page));
  }

  /** Load anew the rows from `first` to `last`, and count all; every other row is forgotten. */
  async refresh(first, last) {
    this.#stop();
    const controller = new AbortController();
    this.#anew = controller;
    const from = Math.floor(first / PAGE);
    const pages = Math.floor(last / PAGE) - from + 1;
    try {
      const { keys, total } = await this.#ask(from * PAGE, pages * PAGE, true, controller.signal);
      this.total = total;
      this.stale = false;
      this.#pages.clear();
      for (let page = 0; page < pages; page += 1) {
        const rows = keys.slice(page * PAGE, (page + 1) * PAGE);
        if (rows.length > 0) this.#pages.set(from + page, rows);
      }
      this.#anew = null;
      this.dispatchEvent(new Event("loaded"));
    } catch (error) {
      this.#fail(error);
    } finally {
      if (this.#anew === controller) this.#anew = null;
    }
  }

  async #load(page) {
    const controller = new AbortController();
    this.#flying.set(page, controller);
    try {
      const { keys } = await this.#ask(page * PAGE, PAGE, false, controller.signal);
      this.#pages.set(page, keys);
      if (this.#pages.size > PAGES_KEPT) this.#pages.delete(this.#pages.keys().next().value);
      this.dispatchEvent(new Event("loaded"));
    } catch (error) {
      this.#fail(error);
    } finally {
      if (this.#flying.get(page) === controller) this.#flying.delete(page);
    }
  }

  async #ask(offset, limit, counted, signal) {
    const match = this.#query === "" ? "" : `&match=${quoted(globOf(this.#query))}`;
    const path = `/v1/keys?offset=${offset}&limit=${limit}${counted ? "&count=true" : ""}`;
    const response = await call("GET", `${path}${this.#newest ? "&reverse=true" : ""}${match}`, { signal });
    return response.json();
  }

  #stop() {
    this.#anew?.abort();
    this.#anew = null;
    this.#flying.forEach((controller) => controller.abort());
    this.#flying.clear();
  }

  // A connection that was lost is told, and mended, by the feed.
  #fail(error) {
    if (error.name === "AbortError" || error instanceof Lost) return;
    this.dispatchEvent(new CustomEvent("problem", { detail: error }));
  }
}
