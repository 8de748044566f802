// The owner's page. The official web client (window.supertokens) looks after the session; this page only watches it.
import { fingerprint, hasExpired, readFrontToken, showTokens, storedFrontToken } from "./tokens.js";
import { deed, notice, step } from "./timeline.js";

const RACE_WINDOW = `${document.body.dataset.window} s`;
const REFRESH = "/auth/session/refresh";
const page = (id) => document.getElementById(id);

// -- watching: every request of this page and of the web client goes through here

const send = window.fetch.bind(window);
let toRepeat = 0; // calls that were told to try again after a refresh

window.fetch = async (input, init = {}) => {
  const path = new URL(input.url ?? input, location.href).pathname;
  const before = storedFrontToken();
  const repeated = path === "/api/me" && toRepeat > 0;
  if (repeated) toRepeat -= 1;
  const response = await send(input, init);
  const { message } = await response.clone().json().catch(() => ({}));
  const header = response.headers.get("front-token");
  tell({ path, message, before, repeated, status: response.status, method: init.method ?? "GET", header });
  return response;
};

function tell({ path, message, before, repeated, status, method, header }) {
  if (path === "/api/me" && message === "try refresh token") toRepeat += 1;
  if (path === REFRESH && status !== 200) toRepeat = 0;
  const seen = { path, message, before, repeated, status, after: readFrontToken(header) };
  step({
    call: `${method.toUpperCase()} ${path}`,
    status: message && status >= 400 ? `${status} ${message}` : status,
    before: fingerprint(before),
    after: fingerprint(seen.after),
    ...explain(seen),
  });
  if (before && header === "remove" && status === 401) sayItEnded(message);
}

function explain(seen) {
  if (seen.path === REFRESH) return explainRefresh(seen);
  if (seen.message === "try refresh token") return { kind: "wait", text: whyRefused(seen.before) };
  if (seen.status === 401) return { kind: "bad", text: "The server knows no such session any more." };
  if (seen.status >= 400) return { kind: "bad", text: seen.status < 500 ? "Refused." : "The server is in trouble; the session is as it was." };
  return { kind: "good", text: explainSuccess(seen) };
}

function whyRefused(before) {
  if (hasExpired(before)) return "The access token has expired.";
  return "The session was refreshed twice at about the same time: the server asks for one more refresh, to tell two tabs from two people.";
}

function explainRefresh({ status, message, before, after }) {
  if (status === 200 && before && fingerprint(before) === fingerprint(after)) {
    return { kind: "good", text: "The web client refreshed: a new access token. The refresh token was so young that it stays." };
  }
  if (status === 200) return { kind: "good", text: "The web client refreshed by itself: both tokens are new." };
  if (message === "token theft detected") {
    return { kind: "bad", text: "This refresh token's line had moved on without this page: somebody else holds a copy." };
  }
  if (!before) return { kind: "note", text: "The web client asked whether somebody is logged in here: nobody is." };
  return { kind: "bad", text: "The web client tried to refresh, but the session had ended." };
}

function explainSuccess({ path, repeated, after }) {
  switch (path) {
    case "/api/me": {
      const text = repeated ? "The web client repeated the call, and it was answered." : "The call was answered.";
      return after ? `${text} A fresh access token came along, since the last refresh has arrived safely.` : text;
    }
    case "/api/login":
      return "Logged in: two HttpOnly cookies, which no script can read.";
    case "/auth/signout":
      return "Logged out: the session is gone from the database, the cookies from the browser.";
    case "/lab/expire":
      return "The server replaced the access token by one that expired a second ago. Call the API now.";
    case "/auth/session/refresh/steal":
      return "A back door, made for this demonstration, read both tokens from the HttpOnly cookies.";
    default:
      return "Answered.";
  }
}

function sayItEnded(message) {
  if (message === "token theft detected") {
    notice("bad", "Token theft detected: the session was ended",
      "Two clients held this session, and your refresh was the second claim on one token. All copies are worthless now. Log in again.");
  } else {
    notice("bad", "Your session was ended by the server",
      "Either somebody else's refresh with a copy of your token set off the theft alarm, or you were logged out elsewhere. Log in again.");
  }
}

// -- the page

window.supertokens.init({ apiDomain: location.origin, apiBasePath: "/auth" });

function show() {
  const front = storedFrontToken();
  page("login").hidden = front !== null;
  page("session").hidden = front === null;
  if (front) page("user").textContent = front.uid;
  showTokens(front);
}

async function answered(response) {
  const { message = "" } = await response.json().catch(() => ({}));
  return `${response.status} ${message}`;
}

async function call(times) {
  const calls = Array.from({ length: times }, () => fetch("/api/me").then(answered));
  page("answer").textContent = (await Promise.all(calls)).join(", ");
}

async function logIn(form) {
  const body = JSON.stringify(Object.fromEntries(new FormData(form)));
  const response = await fetch("/api/login", { method: "POST", headers: { "Content-Type": "application/json" }, body });
  if (!response.ok) return notice("bad", "Not logged in", (await response.json()).message);
  form.elements.password.value = "";
  page("answer").textContent = "nothing yet";
  return notice();
}

// The tokens go from window to window, never into an address.
async function steal() {
  const thief = window.open("/thief", "thief", "popup,width=620,height=900");
  if (!thief) return notice("bad", "No thief", "The browser did not open a second window. Allow it for this page.");
  const ready = new Promise((resolve) => {
    window.addEventListener("message", function listen(event) {
      if (event.source !== thief || event.origin !== location.origin) return;
      window.removeEventListener("message", listen);
      resolve();
    });
  });
  const response = await fetch(`${REFRESH}/steal`, { method: "POST" });
  const loot = await response.json();
  if (!response.ok) return notice("bad", "Nothing stolen", loot.message);
  await ready;
  thief.postMessage(loot, location.origin);
  return step({
    text: `Two clients hold the tokens now. Until ${RACE_WINDOW} after the first use of new tokens a second refresh is forgiven: it could `
      + "be a second tab. After that, the first of the two to refresh goes on, and the refresh of the other one sets off the alarm.",
  });
}

const act = (text, action) => deed(text, action).then(show);
const onClick = (id, text, action) => page(id)?.addEventListener("click", () => act(text, action));

page("login").addEventListener("submit", (event) => {
  event.preventDefault();
  act("You sent name and password", () => logIn(event.target));
});
onClick("call", "You called the API", () => call(1));
onClick("call-five", "You called the API five times at once", () => call(5));
onClick("expire", "You let the access token expire", () => fetch("/lab/expire", { method: "POST" }));
onClick("steal", "The session was stolen", steal);
onClick("logout", "You logged out", () => window.supertokens.signOut());

await act("You opened this page", () => window.supertokens.doesSessionExist());
setInterval(show, 250);
