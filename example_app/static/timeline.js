// The timeline: what was done, newest first, and below each deed the requests that it led to, in order.
import { chip } from "./tokens.js";

const timeline = document.getElementById("timeline");

function element(name, className, ...children) {
  const made = document.createElement(name);
  made.className = className;
  made.append(...children);
  return made;
}

// Begins an entry and does what it says.
export async function deed(text, action = () => {}) {
  const time = new Date().toLocaleTimeString([], { hour12: false });
  const title = element("h3", "", text, element("time", "", time));
  timeline.prepend(element("article", "deed", title, element("ol", "")));
  try {
    await action();
  } catch (error) {
    notice("bad", "The server can't be reached", error.message);
  }
}

// Adds a request, or a remark, to the newest entry.
// step: {text, call: "POST /path", status, before, after, kind: "good" | "wait" | "bad" | "note"}
export function step({ text, call, status, before, after, kind = "note" }) {
  const line = element("li", kind);
  if (call) line.append(element("span", "request", element("code", "", call), " → ", element("b", "status", String(status))));
  line.append(element("span", "text", text));
  if (before || after) line.append(tokens(before, after));
  timeline.firstChild.querySelector("ol").append(line);
}

function tokens(before, after) {
  const line = element("span", "prints", "refresh token ");
  if (before) line.append(chip(before));
  if (before && after && before !== after) line.append(" → ");
  if (after && before !== after) line.append(chip(after));
  return line;
}

// A message that stays until the next one; a screen reader says it at once.
export function notice(kind, title, text) {
  const box = document.getElementById("notice");
  box.className = kind ? `notice ${kind}` : "";
  box.replaceChildren(...(kind ? [element("b", "", title), element("p", "", text)] : []));
}
