// Tells the two browsers and the server what to do.

const frames = { owner: document.getElementById("owner"), thief: document.getElementById("thief") };
const waiting = new Map();
let count = 0;

const originOf = (who) => new URL(frames[who].src).origin;

window.addEventListener("message", ({ data, origin }) => {
  if (!Object.keys(frames).some((who) => originOf(who) === origin)) return;
  const key = data.ready ?? data.done;
  waiting.get(key)?.();
  waiting.delete(key);
});

const until = (key) => new Promise((resolve) => waiting.set(key, resolve));

// Resolves when a browser has done it and has shown what it holds now.
export function ask(who, action, text) {
  count += 1;
  const done = until(count);
  frames[who].contentWindow.postMessage({ id: count, action, text }, originOf(who));
  return done;
}

// Resolves when both browsers have loaded: one that has done so before this page could hear it is asked.
export const ready = Promise.all(Object.keys(frames).map(until));
for (const [who, frame] of Object.entries(frames)) frame.contentWindow.postMessage({ id: who, action: "look" }, "*");

export function post(path, content = {}) {
  const headers = { "Content-Type": "application/json" };
  return fetch(path, { method: "POST", headers, body: JSON.stringify(content) });
}
