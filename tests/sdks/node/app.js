// An Express app on the official Node SDK. Argument: JSON with fd (a listening socket), core, apiKey, antiCsrf, dynamicKey.
"use strict";

const express = require("express");
const supertokens = require("supertokens-node");
const { middleware, errorHandler } = require("supertokens-node/framework/express");
const Session = require("supertokens-node/recipe/session");
const { verifySession } = require("supertokens-node/recipe/session/framework/express");

const settings = JSON.parse(process.argv[2]);
const thefts = [];

async function onTokenTheftDetected(handle, user, recipeUserId, request, response) {
  thefts.push({ handle, user, recipeUser: recipeUserId.getAsString() });
  await Session.revokeSession(handle);
  response.setStatusCode(401);
  response.sendJSONResponse({ message: "token theft detected" });
}

supertokens.init({
  appInfo: { appName: "sdk", apiDomain: "http://localhost", websiteDomain: "http://localhost" },
  telemetry: false,
  supertokens: { connectionURI: settings.core, apiKey: settings.apiKey },
  recipeList: [
    Session.init({
      cookieSecure: false,
      antiCsrf: settings.antiCsrf,
      useDynamicAccessTokenSigningKey: settings.dynamicKey,
      errorHandlers: { onTokenTheftDetected },
    }),
  ],
});

const app = express();
app.use(middleware());
app.use(express.json());

function shown(session) {
  return { user: session.getUserId(), payload: session.getAccessTokenPayload() };
}

app.post("/login", async (request, response) => {
  const { user, payload, data } = request.body;
  const created = await Session.createNewSession(
    request, response, "public", supertokens.convertToRecipeUserId(user), payload, data);
  response.json({ handle: created.getHandle() });
});

app.all("/me", verifySession(), (request, response) => response.json(shown(request.session)));

app.get("/checked", verifySession({ checkDatabase: true }), (request, response) => response.json(shown(request.session)));

app.post("/merge", verifySession(), async (request, response) => {
  await request.session.mergeIntoAccessTokenPayload(request.body);
  response.json({ payload: request.session.getAccessTokenPayload() });
});

app.get("/data", verifySession(), async (request, response) =>
  response.json(await request.session.getSessionDataFromDatabase()));

app.put("/data", verifySession(), async (request, response) => {
  await request.session.updateSessionDataInDatabase(request.body);
  response.json({});
});

app.post("/sessions/:handle/merge", async (request, response) =>
  response.json({ found: await Session.mergeIntoAccessTokenPayload(request.params.handle, request.body) }));

app.get("/sessions/:handle", async (request, response) => {
  const known = await Session.getSessionInformation(request.params.handle);
  response.json(known === undefined ? { found: false } : {
    found: true,
    user: known.userId,
    tenant: known.tenantId,
    data: known.sessionDataInDatabase,
    payload: known.customClaimsInAccessTokenPayload,
  });
});

app.delete("/sessions/:handle", async (request, response) =>
  response.json({ revoked: await Session.revokeSession(request.params.handle) }));

app.get("/users/:user/sessions", async (request, response) =>
  response.json({ handles: await Session.getAllSessionHandlesForUser(request.params.user) }));

app.delete("/users/:user/sessions", async (request, response) =>
  response.json({ handles: await Session.revokeAllSessionsForUser(request.params.user) }));

app.post("/jwt", async (request, response) => response.json({ jwt: (await Session.createJWT(request.body, 60)).jwt }));

app.get("/thefts", (request, response) => response.json({ thefts }));

app.use(errorHandler());
app.use((error, request, response, next) => response.status(500).json({ error: error.message }));
app.listen({ fd: settings.fd });
