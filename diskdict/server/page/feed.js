// Changes as the server tells them: server-sent events, read by fetch so that a token can be sent.

import { call } from "./api.js";

/** Longer than twice what lies between the server's comments: then the line is dead though nobody said so. */
const SILENCE = 35_000;
const FIRST_WAIT = 300;
const LONGEST_WAIT = 5_000;
/** A browser has six connections to a server in all; tabs that nobody sees leave theirs to the others. */
const HIDDEN_FOR = 30_000;

/** Events: "live" and "lost" for the connection, "change" ({kind, key}) for each change, "reset" to read all anew. */
export class Feed extends EventTarget {
  #last = null;
  #controller = null;
  #wake = () => {};
  #hidden = null;

  constructor() {
    super();
    window.addEventListener("online", () => this.retry());
    document.addEventListener("visibilitychange", () => this.#noticeHidden());
  }

  /** Read until the page is left; does not return. */
  async run() {
    for (let wait = FIRST_WAIT; ; wait = Math.min(LONGEST_WAIT, wait * 1.7)) {
      try {
        await this.#read(() => {
          wait = FIRST_WAIT;
        });
      } catch {
        // Whatever ended it, the answer is to try again.
      }
      if (document.hidden && this.#hidden === null) await this.#woken(Infinity);
      this.#tell("lost");
      await this.#woken(wait);
    }
  }

  /** Try at once. */
  retry() {
    this.#wake();
  }

  async #read(connected) {
    this.#controller = new AbortController();
    const headers = this.#last === null ? {} : { "Last-Event-ID": this.#last };
    const response = await call("GET", "/v1/events", { headers, signal: this.#controller.signal, quiet: true });
    connected();
    this.#tell("live");
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const silence = setTimeout(() => this.#controller.abort(), SILENCE);
      const { done, value } = await reader.read().finally(() => clearTimeout(silence));
      if (done) return;
      const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
      rest = blocks.pop();
      blocks.forEach((block) => this.#take(block));
    }
  }

  #take(block) {
    const fields = { event: "", data: "" };
    for (const line of block.split("\n")) {
      const [, name, value] = /^(\w+): ?(.*)$/s.exec(line) ?? [];
      if (name === "id") this.#last = value;
      else if (name === "data") fields.data += value;
      else if (name === "event") fields.event = value;
    }
    if (fields.event === "reset") this.#tell("reset");
    else if (fields.event === "set" || fields.event === "delete") {
      this.#tell("change", { kind: fields.event, key: JSON.parse(fields.data).key });
    }
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #woken(milliseconds) {
    return new Promise((resolve) => {
      const timer = milliseconds === Infinity ? null : setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #noticeHidden() {
    clearTimeout(this.#hidden);
    this.#hidden = null;
    if (document.hidden) {
      this.#hidden = setTimeout(() => {
        this.#hidden = null;
        this.#controller?.abort();
      }, HIDDEN_FOR);
    } else {
      this.retry();
    }
  }
}
