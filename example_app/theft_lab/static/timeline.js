// What happens, in order: what somebody does, and below it the requests that it led to.
import { chip, element, sentence } from "./chips.js";

const list = document.getElementById("timeline");

function add(line) {
  list.append(line);
  follow();
}

// Where the list scrolls by itself, its end stays in sight.
export function follow() {
  list.scrollTop = list.scrollHeight;
}

export const empty = () => list.replaceChildren();

export const note = ({ who, text }) => add(element("li", `note ${who}`, element("b", "who", who === "owner" ? "Owner" : "Thief"), ` ${text}`));

export const clock = ({ text }) => add(element("li", "clock", `${text} on the server`));

export function request(event) {
  const { who, call, status, message, decision, signals, row } = event;
  const line = element("li", `request ${who} ${decision.kind}`);
  line.append(element("p", "call", element("code", "", call), ` → ${status} ${message} `, tokens(event)));
  line.append(element("p", "decision", element("b", "title", decision.title)), sentence(decision.sentence, "why"));
  line.append(element("p", "soft", signalled(signals), ...rowAfter(row)));
  add(line);
}

function tokens({ presented, given, lost }) {
  const shown = element("span", "tokens");
  if (presented) shown.append(chip(presented.name));
  if (given && given.name !== presented?.name) shown.append(" → ", chip(given.name), lost ? " lost" : "");
  return shown;
}

const signalled = (signals) => (signals.length ? `Signals: ${signals.join(", ")}. ` : "No signal. ");

function rowAfter(row) {
  if (!row) return ["Row: none."];
  const used = row.used === null ? "not used yet" : "used";
  return ["Row: current ", chip(row.current), `, children ${["0", "1", "several"][row.children]}, ${used}.`];
}
