// Dialogs: the browser's own, which keep the focus inside and give it back.

import { h } from "./dom.js";

let number = 0;

/** Show a dialog; it is removed when it closes. `kind` is a class of it. */
export function open(title, kind, ...content) {
  number += 1;
  const id = `dialog-${number}`;
  const dialog = h("dialog", { class: kind, "aria-labelledby": id }, h("h2", { id }, title), ...content);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

export const isOpen = () => document.querySelector("dialog[open]") !== null;

export const cancelButton = (text = "Cancel") =>
  h("button", { type: "button", onclick: (event) => event.target.closest("dialog").close() }, text);

/** A line of a form: a label above what it names. */
export function field(label, control, hint = null) {
  number += 1;
  control.id = `field-${number}`;
  const below = hint === null ? null : h("p", { class: "hint", id: `${control.id}-hint` }, hint);
  if (below !== null) control.setAttribute("aria-describedby", below.id);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, below);
}

/**
 * A form whose last line has an alert and buttons. `work` is done on submit, with the button off meanwhile; an Error it
 * raises is told in the form, and without one the dialog closes. Ctrl+Enter submits from anywhere.
 */
export function form(work, button, ...content) {
  const alert = h("p", { class: "alert", role: "alert" });
  const submit = async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    alert.textContent = "";
    try {
      await work();
      element.closest("dialog").close();
    } catch (error) {
      alert.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  };
  const element = h("form", { onsubmit: submit, novalidate: true }, ...content, alert, h("div", { class: "buttons" }, cancelButton(), button));
  element.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) element.requestSubmit();
  });
  return element;
}

/** Ask twice before what was typed is thrown away: `changed` says whether there is something. */
export function guard(dialog, changed) {
  let warned = false;
  dialog.addEventListener("cancel", (event) => {
    if (!changed() || warned) return;
    event.preventDefault();
    warned = true;
    dialog.querySelector(".alert").textContent = "Not saved yet. Press Esc again to throw it away.";
  });
}
