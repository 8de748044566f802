// Runs scenarios, and prints a JSON line for each: name, ok, detail. Argument: see kit.js; and names, and whether they run together.
"use strict";

const { settings } = require("./kit");
const scenarios = require("./scenarios");

async function run(name) {
  let detail = null;
  try {
    await scenarios[name]();
  } catch (error) {
    detail = error.stack ?? String(error);
  }
  console.log(JSON.stringify({ name, ok: detail === null, detail }));
}

async function main() {
  console.log(JSON.stringify({ known: Object.keys(scenarios) }));
  if (settings.together) await Promise.all(settings.names.map(run));
  else for (const name of settings.names) await run(name);
}

main().then(() => process.exit(0));
