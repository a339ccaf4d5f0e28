// What is said of the connection: whether changes are heard, and whether an answer is waited for.

import { signals } from "./api.js";
import { byId, h, say } from "./dom.js";

const TOLD_AFTER = 1_500;
const SLOW = 150;
const VERY_SLOW = 4_000;

/** Tell of the connection of `feed`, and call `recovered` when it is there again after it was lost. */
export function watchLink(feed, recovered) {
  let timer = null;
  const tell = (state, text) => {
    byId("link").dataset.state = state;
    byId("link").querySelector("[role=status]").textContent = text;
  };
  const banner = () => {
    const again = h("button", { type: "button", onclick: () => feed.retry() }, "Try now");
    byId("banner").replaceChildren("The connection to the server is lost. What you see may be old; trying again… ", again);
    byId("banner").hidden = false;
  };
  feed.addEventListener("live", () => {
    const wasLost = timer !== null;
    clearTimeout(timer);
    timer = null;
    byId("banner").hidden = true;
    tell("live", "Live");
    if (wasLost) recovered();
  });
  feed.addEventListener("lost", () => {
    tell("lost", "Reconnecting");
    timer ??= setTimeout(banner, TOLD_AFTER);
  });
}

/** Show that an answer is waited for, when it takes longer than people notice. */
export function watchWaiting() {
  let slow = null;
  let verySlow = null;
  signals.addEventListener("flying", ({ detail }) => {
    if (detail > 0) {
      slow ??= setTimeout(() => (byId("busy").hidden = false), SLOW);
      verySlow ??= setTimeout(() => say("The server takes its time. Still waiting."), VERY_SLOW);
    } else {
      clearTimeout(slow);
      clearTimeout(verySlow);
      slow = verySlow = null;
      byId("busy").hidden = true;
    }
  });
}
