// What a browser of the lab does when it is told to, by its own buttons or by the page around it.
// The official web client (window.supertokens) looks after the session; what goes around it says so.
import { chip } from "./chips.js";

const { who, lab } = document.body.dataset;
const REFRESH = "/auth/session/refresh";
const page = (id) => document.getElementById(id);
const plainly = window.fetch.bind(window); // without the web client
const post = (path, content) =>
  plainly(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content ?? {}) });
const row = async () => (await plainly("/stolen-row")).json();
const asBearer = (token) => plainly(REFRESH, { method: "POST", credentials: "omit", headers: { Authorization: `Bearer ${token}` } });

let trouble = ""; // what shall happen to the web client's next refresh on its way
let frozen = null; // the refresh of a tab that sleeps

window.supertokens.init({
  apiDomain: location.origin,
  apiBasePath: "/auth",
  preAPIHook: ({ url, requestInit }) => ({ url: url + trouble, requestInit }),
});

// name: [what is said of it, what is done]
const actions = {
  login: ["logs in", () => fetch("/api/login", { method: "POST" })],
  call: ["calls the API", () => fetch("/api/me")],
  logout: ["logs out", () => window.supertokens.signOut()],
  copy: ["is robbed: the cookies are copied", () => post(`${REFRESH}/copy`)],
  paste: ["", () => fetch("/paste", { method: "POST" })],
  forget: ["", () => fetch("/forget", { method: "POST" })],
  look: ["", () => {}],
  lose: ["calls the API", loseTheAnswer],
  together: ["has two tabs that refresh at once, without a lock", () => Promise.all([1, 2].map(() => refresh("meet")))],
  freeze: ["has a second tab, frozen while its refresh is on its way", freeze],
  thaw: ["has its frozen request delivered", thaw],
  tryHash: ["sends the hash from the stolen row as a refresh token", async () => asBearer((await row()).hash)],
  forge: ["sends a token signed with a guessed key", async () => asBearer((await row()).forged)],
};

const refresh = (wire) => plainly(`${REFRESH}?wire=${wire}`, { method: "POST" });

async function loseTheAnswer() {
  trouble = "?wire=lose";
  try {
    return await fetch("/api/me");
  } finally {
    trouble = "";
  }
}

async function freeze() {
  frozen = refresh("hold");
  await post("/wire/held");
}

async function thaw() {
  await post("/wire/release");
  return frozen;
}

async function perform(name, text) {
  const [said, run] = actions[name];
  if (text || said) await post("/lab/notes", { who, text: text || said });
  try {
    await tell(await run());
  } catch (error) {
    await tell(error);
  }
  await look();
}

async function tell(answer) {
  const last = Array.isArray(answer) ? answer.at(-1) : answer;
  const said = last instanceof Response || typeof last?.status === "number" ? await described(last) : last?.message;
  if (said) page("answer").textContent = said;
}

async function described(response) {
  const { message = "" } = await response.clone().json().catch(() => ({}));
  return `${response.status} ${message}`.trim();
}

// The cookies can't be read by a script: a back door names them.
async function look() {
  const jar = await (await post(`${REFRESH}/jar`)).json();
  page("refresh").replaceChildren(jar.refresh ? chip(jar.refresh) : "none");
  page("access").replaceChildren(...(jar.access ? ["of ", chip(jar.access), jar.left ? `, ${jar.left} left` : ", expired"] : ["none"]));
}

for (const button of document.querySelectorAll("[data-action]")) {
  button.addEventListener("click", () => perform(button.dataset.action));
}
window.addEventListener("message", async ({ data, origin, source }) => {
  if (origin !== lab || !(data.action in actions)) return;
  await (data.action === "look" ? look() : perform(data.action, data.text));
  if (data.action === "forget") page("answer").textContent = "nothing yet";
  source.postMessage({ done: data.id }, origin);
});
await look();
window.parent.postMessage({ ready: who }, lab);
