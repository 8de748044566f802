// The page only calls fetch. The official web client (window.supertokens) looks after the session: when the access token has
// expired it refreshes, once for all tabs, and repeats the call.

const page = (id) => document.getElementById(id);
const { supertokens } = window;

supertokens.init({ apiDomain: location.origin, apiBasePath: "/auth", onHandleEvent });

function onHandleEvent({ action, sessionExpiredOrRevoked }) {
  if (action === "REFRESH_SESSION") page("refreshes").textContent = Number(page("refreshes").textContent) + 1;
  if (action === "UNAUTHORISED" && sessionExpiredOrRevoked) ended();
}

function ended() {
  notice("Your session was ended. Log in again.");
  return show();
}

// Stays in the page when it is empty, so that screen readers watch it.
function notice(text = "") {
  page("notice").textContent = text;
}

async function show() {
  const loggedIn = await supertokens.doesSessionExist();
  page("login").hidden = loggedIn;
  page("session").hidden = !loggedIn;
  if (loggedIn) page("user").textContent = await supertokens.getUserId();
}

async function call() {
  const response = await fetch("/api/me");
  const { message } = await response.json();
  page("answer").textContent = `${response.status} ${message}`;
}

async function logIn(form) {
  const body = JSON.stringify(Object.fromEntries(new FormData(form)));
  const response = await fetch("/api/login", { method: "POST", headers: { "Content-Type": "application/json" }, body });
  const { message } = await response.json();
  notice(response.ok ? "" : message);
  form.elements.password.value = "";
  await show();
}

async function logOut() {
  await supertokens.signOut();
  await show();
}

async function act(action) {
  try {
    await action();
  } catch {
    notice("The server can’t be reached. Try again.");
  }
}

page("login").addEventListener("submit", (event) => {
  event.preventDefault();
  act(() => logIn(event.target));
});
page("call").addEventListener("click", () => act(call));
page("logout").addEventListener("click", () => act(logOut));
act(show);
