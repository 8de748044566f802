// Plays a scenario, step by step.
import { ask, post } from "./remote.js";

const stepwise = document.getElementById("stepwise");
const next = document.getElementById("next");
const pause = Number(document.body.dataset.pause);

export async function clear() {
  await ask("owner", "forget");
  await ask("thief", "forget");
  await post("/lab/clear");
  await Promise.all(["owner", "thief"].map((who) => ask(who, "look")));
}

export async function steal() {
  await ask("owner", "copy");
  await ask("thief", "paste", "has the owner’s cookies now");
}

export async function pass(seconds) {
  await post("/lab/clock", { seconds });
  await Promise.all(["owner", "thief"].map((who) => ask(who, "look")));
}

async function take([who, what, text]) {
  if (who === "clock") return pass(what);
  return who === "steal" ? steal() : ask(who, what, text);
}

export async function play({ steps }) {
  await clear();
  for (const [place, step] of steps.entries()) {
    if (place > 0) await between();
    await take(step);
  }
  next.hidden = true;
  await post("/lab/end");
}

function between() {
  next.hidden = !stepwise.checked;
  return stepwise.checked ? pressed() : new Promise((resolve) => setTimeout(resolve, pause));
}

// The button has the focus and keeps it till the end. Who no longer ticks the box goes on without it.
async function pressed() {
  next.ariaDisabled = "false";
  next.focus();
  await new Promise((resolve) => {
    next.onclick = stepwise.onchange = resolve;
  });
  next.ariaDisabled = "true";
}
