// Times, durations and status signs as text. `joinLines` and `duration` repeat functions of breakglass/text.py, because
// the page shows running clocks and new titles itself; a test compares them.

import { $$ } from "./browser.js";

const twoDigits = (number) => String(number).padStart(2, "0");
export const hhmm = (date) => `${twoDigits(date.getHours())}:${twoDigits(date.getMinutes())}`;
export const hhmmss = (date) => `${hhmm(date)}:${twoDigits(date.getSeconds())}`;
export const day = (date) => `${date.getFullYear()}-${twoDigits(date.getMonth() + 1)}-${twoDigits(date.getDate())}`;

/** The same as `join_lines` in text.py. */
export function joinLines(text, limit) {
  const lines = text.split("\n").map((line) => line.trim().split(/\s+/).join(" "));
  const line = [...lines.filter(Boolean).join(" ⏎ ")];
  return line.length <= limit ? line.join("") : `${line.slice(0, limit - 1).join("")}…`;
}

/** The same as `duration` in text.py. */
export function duration(ms) {
  if (ms < 1000) return `${Math.round(Math.max(0, ms))} ms`;
  if (ms < 9950) return `${(Math.round(ms / 100) / 10).toFixed(1)} s`;
  const all = Math.round(ms / 1000), minutes = Math.floor(all / 60);
  if (minutes < 60) return minutes ? `${minutes} min ${all % 60} s` : `${all} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** A running clock. It shows no tenths, which would only flicker. */
export function runningTime(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return seconds < 60 ? `${seconds} s` : duration(seconds * 1000);
}

const signs = JSON.parse(document.body.dataset.signs ?? "{}"); // STATUS_SIGNS in text.py: [sign, label] by status

/** Returns the sign and the label of a status. */
export const statusSign = (status) => signs[status] ?? ["", status];

/** Shows times in the user's time zone, and the complete time on hover. */
export function showLocalTimes(within) {
  for (const time of $$("time[datetime]", within)) {
    const date = new Date(time.dateTime);
    if (isNaN(date)) continue;
    if (!time.closest("#sessions")) time.textContent = hhmm(date);
    time.title = `${day(date)} ${hhmmss(date)} (${time.dateTime})`;
  }
}
