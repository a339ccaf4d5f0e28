// Small charts, drawn as SVG. Each has a sentence for those who cannot see it.

import { h, s } from "./dom.js";

const WIDTH = 120;
const HEIGHT = 28;

function frame(sentence, kind, ...shapes) {
  const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: `chart ${kind}`, role: "img" };
  return s("svg", { ...box, "aria-label": sentence }, ...shapes);
}

/** A line over a filled area, from the lowest to the highest of `values`. */
export function line(values, sentence) {
  const least = Math.min(...values);
  const span = Math.max(...values) - least || 1;
  const step = WIDTH / Math.max(1, values.length - 1);
  const flat = span === 1 && values.every((value) => value === least);
  const height = (value) => (flat ? HEIGHT / 2 : HEIGHT - 2 - ((value - least) / span) * (HEIGHT - 4));
  const points = values.map((value, index) => `${(index * step).toFixed(1)},${height(value).toFixed(1)}`);
  if (points.length === 1) points.push(`${WIDTH},${points[0].split(",")[1]}`);
  return frame(
    sentence,
    "",
    s("polygon", { points: `0,${HEIGHT} ${points.join(" ")} ${WIDTH},${HEIGHT}`, class: "area" }),
    s("polyline", { points: points.join(" "), class: "line" }),
  );
}

/** A bar for each of `values`, the last at the right. */
export function bars(values, sentence) {
  const most = Math.max(...values, 1);
  const wide = WIDTH / values.length;
  const bar = (value, index) => {
    const tall = value === 0 ? 0.75 : Math.max(2, (value / most) * HEIGHT);
    const place = { x: (index * wide).toFixed(2), y: (HEIGHT - tall).toFixed(2) };
    const size = { width: (wide * 0.72).toFixed(2), height: tall.toFixed(2) };
    return s("rect", { ...place, ...size, class: value === 0 ? "none" : "bar" });
  };
  return frame(sentence, "", ...values.map(bar));
}

/** One bar in parts; `parts` are {value, kind}. */
export function shares(parts, sentence) {
  const sum = parts.reduce((all, { value }) => all + value, 0) || 1;
  let at = 0;
  const part = ({ value, kind }) => {
    const wide = (value / sum) * WIDTH;
    const shape = s("rect", { x: at.toFixed(2), y: 0, width: wide.toFixed(2), height: HEIGHT, class: kind });
    at += wide;
    return shape;
  };
  return frame(sentence, "slim", s("rect", { width: WIDTH, height: HEIGHT, class: "none" }), ...parts.map(part));
}

/** A tile: what it is about, a number, a chart, and a line of small print. */
export function tile(title, number, chart, print) {
  return h(
    "div",
    { class: "tile" },
    h("h2", {}, title),
    h("p", { class: "number" }, number),
    h("div", { class: "charts" }, chart),
    h("p", { class: "print" }, print),
  );
}
