// Work that is asked for often, done as often as is decent.

/**
 * `soon()` has `work` done once soon, however often it is called: never twice at a time, `least` milliseconds apart, and
 * taking at most one part in `share` of the time, so that a slow server is not kept busy by somebody who looks at it.
 * Nothing is done while nobody sees the page; what was asked for meanwhile is done when somebody does.
 */
export class Pace {
  #work;
  #least;
  #share;
  #timer = null;
  #running = false;
  #again = false;
  #urgent = false;
  #free = 0;

  constructor(work, { least, share }) {
    this.#work = work;
    this.#least = least;
    this.#share = share;
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.#again) this.soon();
    });
  }

  soon() {
    if (this.#running || document.hidden) {
      this.#again = true;
    } else if (this.#timer === null) {
      this.#timer = setTimeout(() => this.#run(), Math.max(0, this.#free - performance.now()));
    }
  }

  /** As `soon`, without the pause: somebody waits for it. */
  now() {
    this.#urgent = true;
    this.#free = 0;
    clearTimeout(this.#timer);
    this.#timer = null;
    this.soon();
  }

  async #run() {
    this.#timer = null;
    this.#running = true;
    this.#again = this.#urgent = false;
    const began = performance.now();
    try {
      await this.#work();
    } finally {
      const ended = performance.now();
      this.#free = this.#urgent ? 0 : ended + Math.max(this.#least, (ended - began) * this.#share);
      this.#running = false;
      if (this.#again) this.soon();
    }
  }
}
