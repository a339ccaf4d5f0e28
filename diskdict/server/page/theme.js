// Not a module, so that it runs before the first paint. The choice is kept; without one the system's holds.
"use strict";
try {
  const chosen = localStorage.getItem("diskdict-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage may be forbidden; the system's theme holds.
}
