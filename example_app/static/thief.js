// The thief: a plain client without cookies. It got the tokens from the window that opened this one.
import { fingerprint, readFrontToken, showTokens } from "./tokens.js";
import { deed, notice, step } from "./timeline.js";

const page = (id) => document.getElementById(id);
const saved = sessionStorage.getItem("loot");
let loot = saved ? JSON.parse(saved) : null; // {access, refresh}, and front: what the front-token says

function keep(tokens) {
  loot = tokens;
  sessionStorage.setItem("loot", JSON.stringify(loot));
  show();
}

// A JWT's payload can be read by everybody who has the token.
function payloadOf(access) {
  const part = access.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  const payload = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (char) => char.charCodeAt(0))));
  return { ate: payload.exp * 1000, uid: payload.sub, up: payload };
}

function show() {
  page("call").disabled = page("refresh").disabled = loot === null;
  showTokens(loot && loot.front);
}

async function send(method, path, token) {
  const before = fingerprint(loot.front);
  const response = await fetch(path, { method, credentials: "omit", headers: { Authorization: `Bearer ${token}` } });
  const { message = "" } = await response.json().catch(() => ({}));
  const { headers, status } = response;
  const front = readFrontToken(headers.get("front-token"));
  if (front) {
    keep({ access: headers.get("st-access-token"), refresh: headers.get("st-refresh-token") ?? loot.refresh, front });
  }
  const seen = { path, message, status, before, after: fingerprint(front) };
  step({ ...seen, call: `${method} ${path}`, status: status === 200 ? status : `${status} ${message}`, ...explain(seen) });
  if (headers.get("front-token") === "remove") giveUp(message);
  page("answer").textContent = `${status} ${message}`;
}

function explain({ path, message, status, before, after }) {
  if (message === "try refresh token") return { kind: "wait", text: "The access token has expired, or the server wants one more refresh." };
  if (message === "token theft detected") {
    return { kind: "bad", text: "This refresh token's line had moved on: the owner has refreshed. The session was ended for both." };
  }
  if (status !== 200) return { kind: "bad", text: "The session has ended; the copies are worthless." };
  if (path === "/api/me") return { kind: "good", text: "The call was answered, as if the owner had made it." };
  if (before === after) return { kind: "good", text: "A new access token. The refresh token is so young that it stays; try again in some seconds." };
  return { kind: "good", text: "Refreshed: both tokens are new. The owner does not have these." };
}

function giveUp(message) {
  sessionStorage.removeItem("loot");
  loot = null;
  show();
  if (message === "token theft detected") {
    notice("bad", "Token theft detected: the session was ended", "The thief's refresh was the second claim on one token. The owner learns it at the next refresh.");
  } else {
    notice("bad", "The session has ended", "The owner's refresh set off the theft alarm, or the owner logged out. The copies are worthless.");
  }
}

window.addEventListener("message", ({ source, origin, data }) => {
  if (source !== window.opener || origin !== location.origin) return;
  notice();
  deed("The tokens were copied");
  step({ text: "From the owner's browser, by a back door made for this demonstration.", after: fingerprint(payloadOf(data.access)) });
  keep({ ...data, front: payloadOf(data.access) });
});
page("call").addEventListener("click", () => deed("The thief called the API", () => send("GET", "/api/me", loot.access)));
page("refresh").addEventListener("click", () => deed("The thief refreshed", () => send("POST", "/auth/session/refresh", loot.refresh)));

show();
setInterval(show, 250);
if (window.opener) window.opener.postMessage("ready", location.origin);
else if (!loot) notice("bad", "Nothing was stolen yet", "Open the owner's page, log in, and press “Steal this session”.");
