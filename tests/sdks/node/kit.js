// What the scenarios stand on: the official Node SDK in this process, and clients that call it without a network between.
// Argument: JSON with core, apiKey, antiCsrf, dynamicKey, window (seconds) and coreConfig.
"use strict";

const assert = require("node:assert");
const supertokens = require("supertokens-node");
const custom = require("supertokens-node/framework/custom");
const Session = require("supertokens-node/recipe/session");
const { BooleanClaim, PrimitiveClaim, PrimitiveArrayClaim } = require("supertokens-node/recipe/session/claims");

const settings = JSON.parse(process.argv[2]);
const REFRESH = "/auth/session/refresh";
const COOKIES = { sAccessToken: "access", sRefreshToken: "refresh" };
const HEADERS = { "st-access-token": "access", "st-refresh-token": "refresh", "anti-csrf": "antiCsrf", "front-token": "front" };
const PROTECTED = ["sub", "iat", "exp", "sessionHandle", "parentRefreshTokenHash1", "refreshTokenHash1", "antiCsrfToken", "rsub", "tId", "stt", "iss"];

const thefts = [];
let functions;

async function onTokenTheftDetected(handle, user, recipeUserId, request, response) {
  thefts.push({ handle, user, recipeUser: recipeUserId.getAsString() });
  await Session.revokeSession(handle);
  response.setStatusCode(401);
  response.sendJSONResponse({ message: "a theft" });
}

supertokens.init({
  framework: "custom",
  appInfo: { appName: "sdk", apiDomain: "http://localhost", websiteDomain: "http://localhost" },
  telemetry: false,
  supertokens: { connectionURI: settings.core, apiKey: settings.apiKey },
  recipeList: [
    Session.init({
      cookieSecure: false,
      antiCsrf: settings.antiCsrf,
      useDynamicAccessTokenSigningKey: settings.dynamicKey,
      errorHandlers: { onTokenTheftDetected },
      override: { functions: (original) => ({ ...(functions = original) }) },
    }),
  ],
});

// A client with one session, which keeps tokens as browsers (cookies) and phones (headers) do.
class Client {
  constructor(mode = "header", tokens = {}) {
    this.mode = mode;
    this.tokens = tokens;
    this.sent = {};
  }

  copy() {
    return new Client(this.mode, { ...this.tokens });
  }

  // One request. `view(request, response)` is the app's; without it the SDK's own routes answer.
  async call(method, path, view) {
    const { request, response } = this.#exchange(method, path);
    const { handled, error } = await custom.middleware()(request, response);
    let [result, unknown] = [];
    try {
      if (error) throw error;
      if (!handled && view) result = await view(request, response);
    } catch (caught) {
      await custom.errorHandler()(caught, request, response, (other) => { unknown = other; });
    }
    if (unknown) throw unknown;
    this.#keep(response);
    return { status: response.statusCode, headers: response.headers, cookies: response.cookies, body: parsed(response.body), result };
  }

  // The functions of the session recipe, each in a request of its own.
  async create({ user = aUser(), tenant = "public", payload, data } = {}) {
    const made = await this.call("POST", "/login", (request, response) =>
      Session.createNewSession(request, response, tenant, supertokens.convertToRecipeUserId(user), payload, data));
    return made.result;
  }

  async get(options, method = "GET") {
    return this.call(method, "/view", (request, response) => Session.getSession(request, response, options));
  }

  async refresh() {
    return this.call("POST", REFRESH);
  }

  #exchange(method, path) {
    const headers = new Headers({ "st-auth-mode": this.mode, ...this.sent });
    const cookies = {};
    if (this.tokens.antiCsrf) headers.set("anti-csrf", this.tokens.antiCsrf);
    const kind = path === REFRESH ? "refresh" : "access";
    if (this.mode === "header" && this.tokens[kind]) headers.set("authorization", `Bearer ${this.tokens[kind]}`);
    for (const [name, held] of Object.entries(COOKIES)) {
      if (this.mode === "cookie" && this.tokens[held] && (held === "access" || kind === held)) cookies[name] = this.tokens[held];
    }
    const body = async () => ({});
    const request = new custom.PreParsedRequest({ url: path, method, headers, cookies, query: {}, getJSONBody: body, getFormBody: body });
    return { request, response: new custom.CollectingResponse() };
  }

  #keep(response) {
    for (const [name, held] of Object.entries(HEADERS)) {
      if (response.headers.has(name)) this.tokens[held] = response.headers.get(name);
    }
    for (const cookie of response.cookies) {
      this.tokens[COOKIES[cookie.key]] = cookie.expires > Date.now() ? cookie.value : "";
    }
  }
}

function parsed(body) {
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
}

let users = 0;
const aUser = () => `node-${process.pid}-${++users}`;

const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

const claims = (token) => JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
const keyOf = (token) => JSON.parse(Buffer.from(token.split(".")[0], "base64url")).kid;
const front = (token) => JSON.parse(Buffer.from(token, "base64"));

// A session without a request.
const created = (payload = {}, data = {}, user = aUser(), tenant = "public") =>
  Session.createNewSessionWithoutRequestResponse(tenant, supertokens.convertToRecipeUserId(user), payload, data);

const tokensOf = (session) => session.getAllSessionTokensDangerously();
const refreshed = (session) => {
  const { refreshToken, antiCsrfToken } = tokensOf(session);
  return Session.refreshSessionWithoutRequestResponse(refreshToken, undefined, antiCsrfToken);
};
const verified = (session, options) => {
  const { accessToken, antiCsrfToken } = tokensOf(session);
  return Session.getSessionWithoutRequestResponse(accessToken, antiCsrfToken, options);
};

// The names in a payload that are the app's own.
const own = (payload) => Object.fromEntries(Object.entries(payload).filter(([name]) => !PROTECTED.includes(name)));

// The payload of the error of this type that is raised.
async function raised(type, promise) {
  try {
    await promise;
  } catch (error) {
    if (!Session.Error.isErrorFromSuperTokens(error)) throw error;
    assert.strictEqual(error.type, type);
    return error.payload;
  }
  assert.fail(`no ${type}`);
}

module.exports = {
  assert, supertokens, Session, BooleanClaim, PrimitiveClaim, PrimitiveArrayClaim, Client, settings, thefts, aUser, sleep, claims, keyOf,
  front, created, tokensOf, refreshed, verified, own, raised, recipe: () => functions,
};
