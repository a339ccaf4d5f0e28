// Elements. A child that is no element is always text, so nothing that was stored can become markup.

/** Return an element of `name`; `on…` attributes are listeners, true and false set or leave out an attribute. */
export function h(name, attributes = {}, ...children) {
  return dress(document.createElement(name), attributes, children);
}

/** The same, for SVG. */
export function s(name, attributes = {}, ...children) {
  return dress(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function dress(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

const messages = byId("messages");

/** Show a message for some seconds and have it read out; an error stays longer. */
export function say(text, { error = false } = {}) {
  const note = h("p", { class: error ? "error" : "" }, text);
  messages.append(note);
  while (messages.children.length > 3) messages.firstChild.remove();
  setTimeout(() => note.remove(), error ? 12_000 : 4_000);
}

/** Keep a small choice over visits, where the browser lets us. */
export const kept = {
  get(name) {
    try {
      return localStorage.getItem(`diskdict-${name}`);
    } catch {
      return null;
    }
  },
  set(name, value) {
    try {
      localStorage.setItem(`diskdict-${name}`, value);
    } catch {
      // It holds for this visit.
    }
  },
};
