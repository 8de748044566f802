// The lab's page: buttons, and the stream of what happens.
import { element, sentence } from "./chips.js";
import * as family from "./family.js";
import { clear, pass, play, steal } from "./player.js";
import { ask, ready } from "./remote.js";
import { scenarios } from "./scenarios.js";
import * as timeline from "./timeline.js";

const page = (id) => document.getElementById(id);
const decided = page("decided");
let playing = null;

// -- what happens

const stream = new EventSource("/events");
const on = (kind, react) => stream.addEventListener(kind, ({ data }) => react(JSON.parse(data)));

on("clear", () => {
  timeline.empty();
  family.empty();
  if (!playing) decided.replaceChildren(element("p", "soft", "Play a scenario; the decision that it was about will stand here."));
});
on("note", timeline.note);
on("clock", timeline.clock);
on("stolen", ({ name }) => family.stolen(name));
on("request", (event) => {
  family.request(event);
  timeline.request(event);
  for (const who of ["owner", "thief"]) if (who !== event.who && !playing) ask(who, "look");
});
on("outcome", ({ decision }) => {
  if (!decision || !playing) return;
  const title = element("p", `verdict ${decision.kind}`, `${playing.title}: `, element("b", "", decision.title), ` at the ${decision.who}’s refresh`);
  decided.replaceChildren(title, sentence(decision.sentence, "why"), element("p", "soft", playing.lesson));
  show("outcome");
  timeline.follow();
  release();
});

// -- the buttons

let release = () => {};

async function perform(scenario) {
  if (playing) return;
  playing = scenario;
  mark();
  show("bench");
  decided.replaceChildren(element("p", "soft", `Playing “${scenario.title}” …`));
  const over = new Promise((resolve) => { release = resolve; });
  await play(scenario);
  await over;
  playing = null;
  mark();
  if (document.activeElement === document.body) page("scenarios").querySelector(`[data-id=${scenario.id}]`).focus();
}

// On a small screen, what is of interest now.
function show(id) {
  page(id).scrollIntoView({ block: "nearest" });
}

// Buttons that can't be pressed now keep the focus, if they have it.
function mark() {
  for (const button of document.querySelectorAll("button:not(#next)")) button.ariaDisabled = String(playing !== null);
  for (const button of page("scenarios").querySelectorAll("button")) button.ariaCurrent = String(button.dataset.id === playing?.id);
}

function onClick(button, react) {
  button.addEventListener("click", () => {
    if (!playing) react();
  });
}

function offered(scenario) {
  const button = element("button", "", element("b", "", scenario.title), element("span", "soft", scenario.story));
  button.dataset.id = scenario.id;
  button.ariaDisabled = "true";
  onClick(button, () => perform(scenario));
  return element("li", "", button);
}

page("scenarios").append(...scenarios.map(offered));
onClick(page("steal"), steal);
onClick(page("clear"), clear);
for (const button of document.querySelectorAll("[data-seconds]")) onClick(button, () => pass(Number(button.dataset.seconds)));

const listening = new Promise((resolve) => { stream.onopen = resolve; });
await Promise.all([ready, listening]);
await clear();
mark();
