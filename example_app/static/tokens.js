// What a page may know of its tokens: the front-token, a readable companion of the access token.

// The content of a front-token: {ate: expiry in ms, uid: user id, up: payload of the access token}; null if there is none.
export function readFrontToken(text) {
  if (!text || text === "remove") return null;
  const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
}

// The web client keeps the front-token in a cookie of its own, which all tabs share.
export function storedFrontToken() {
  const pair = document.cookie.split("; ").find((one) => one.startsWith("sFrontToken="));
  return pair ? readFrontToken(pair.slice("sFrontToken=".length)) : null;
}

// Six digits that tell refresh tokens apart. The payload has a hash of the refresh token, never the token.
export function fingerprint(front) {
  return front ? front.up.refreshTokenHash1.slice(0, 6) : null;
}

export function hasExpired(front) {
  return front !== null && front.ate <= Date.now();
}

// The fingerprint as a small coloured label; the same token has the same colour in every window.
export function chip(print) {
  const label = document.createElement("code");
  label.className = "chip";
  label.textContent = print;
  label.style.setProperty("--hue", parseInt(print, 16) % 360);
  return label;
}

// Shows the tokens that a page has, and how long the access token will live.
export function showTokens(front) {
  const print = fingerprint(front);
  const refresh = document.getElementById("refresh-token");
  if (refresh.textContent !== (print ?? "–")) refresh.replaceChildren(print ? chip(print) : "–");
  const left = front ? Math.max(0, front.ate - Date.now()) : 0;
  const life = front ? front.ate - front.up.iat * 1000 : 1;
  document.getElementById("access-token").textContent = front ? lifeLeft(left) : "–";
  document.getElementById("countdown").value = life > 0 ? Math.min(1, left / life) : 0;
}

function lifeLeft(left) {
  return left > 0 ? `expires in ${Math.ceil(left / 1000)} s` : "expired";
}
