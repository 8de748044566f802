// The refresh tokens of the session as a tree: each below its parent, with who got it and which one is current.
import { chip, element } from "./chips.js";

const list = document.getElementById("family");
const born = new Map(); // name → {parent, to: who got it}
let current = null;
let theft = false;

const known = (name, parent) => born.get(name) ?? born.set(name, { parent, to: new Set() }).get(name);

export function empty() {
  born.clear();
  current = null;
  theft = false;
  show();
}

export function request({ who, given, row, lost, decision }) {
  if (given) known(given.name, given.parent).to.add(lost ? "lost" : who);
  current = row ? row.current : null;
  theft ||= decision.title === "Theft";
  show();
}

// What the owner holds, the thief holds too.
export function stolen(name) {
  if (name) born.get(name)?.to.add("thief");
  show();
}

function show() {
  const roots = [...born.keys()].filter((name) => !born.has(born.get(name).parent));
  list.replaceChildren(...(roots.length ? roots.map(branch) : [element("li", "soft", "None yet.")]));
  if (roots.length && current === null) list.append(element("li", "ended", theft ? "Stolen: the session was ended." : "The session has ended."));
}

function branch(name) {
  const line = element("li", "", chip(name), ...[...born.get(name).to].flatMap(marker));
  if (name === current) line.append(" ", element("span", "mark current", "current"));
  const children = [...born.keys()].filter((child) => born.get(child).parent === name);
  if (children.length) line.append(element("ul", "", ...children.map(branch)));
  return line;
}

const marker = (who) => [" ", element("span", `mark ${who}`, who === "lost" ? "lost on its way" : `${who} got it`)];
