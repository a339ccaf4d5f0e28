// Numbers, sizes and times as people read them.

const NUMBER = new Intl.NumberFormat("en");
const UNITS = ["KiB", "MiB", "GiB", "TiB", "PiB"];
const SECONDS = { s: 1, m: 60, min: 60, h: 3600, d: 86400, w: 604800 };

export const count = (number) => NUMBER.format(number);

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** 1536 → "1.5 KiB" */
export function bytes(number) {
  if (number < 1024) return `${number} B`;
  let unit = -1;
  while (number >= 1023.95 && unit < UNITS.length - 1) {
    number /= 1024;
    unit += 1;
  }
  return `${number < 99.95 ? number.toFixed(1) : Math.round(number)} ${UNITS[unit]}`;
}

/** Seconds left, in two units: "3d 04h", "4m 05s", "9s". */
export function left(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  const two = (number) => String(number).padStart(2, "0");
  if (whole >= 86400) return `${Math.floor(whole / 86400)}d ${two(Math.floor((whole % 86400) / 3600))}h`;
  if (whole >= 3600) return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`;
  if (whole >= 60) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  return `${whole}s`;
}

/** Seconds since the epoch as local time, with the same number of characters each: "2026-11-21 13:04:05". */
export function moment(seconds) {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return String(seconds);
  const two = (number) => String(number).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** "90", "15m", "1h 30m", "never" → seconds or "never"; null for what is no duration. */
export function duration(text) {
  const words = text.trim().toLowerCase();
  if (words === "never" || words === "∞") return "never";
  if (/^\d+(\.\d+)?$/.test(words)) return Number(words);
  if (!/^(\d+(\.\d+)?\s*(s|min|m|h|d|w)\s*)+$/.test(words)) return null;
  return [...words.matchAll(/(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)/g)].reduce(
    (sum, [, number, unit]) => sum + Number(number) * SECONDS[unit],
    0,
  );
}

// The server's clock decides what has expired; the browser's may differ.
let ahead = 0;

export const now = () => Date.now() / 1000 + ahead;

export function setClock(serverTime) {
  ahead = serverTime - Date.now() / 1000;
}
