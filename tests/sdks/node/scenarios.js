// What the scenarios do; tests/sdks/scenarios.py says what each of them shows, and in which configuration it runs.
"use strict";

const {
  assert, supertokens, Session, BooleanClaim, PrimitiveClaim, PrimitiveArrayClaim, Client, settings, thefts, aUser, sleep, claims, keyOf,
  front, created, tokensOf, refreshed, verified, own, raised, recipe,
} = require("./kit");
const Multitenancy = require("supertokens-node/recipe/multitenancy");

const { deepStrictEqual: same, strictEqual: equal, ok, notStrictEqual: differs } = assert;
const FORGIVES = settings.window > 0;
const CHECKED = { checkDatabase: true };
const hasParent = (token) => Boolean(claims(token).parentRefreshTokenHash1);

const admin = new BooleanClaim({ key: "admin", fetchValue: () => true });
const plan = new PrimitiveClaim({ key: "plan", fetchValue: (user) => `plan of ${user}` });
const roles = new PrimitiveArrayClaim({ key: "roles", fetchValue: () => ["reader", "writer"] });
const demand = (...validators) => ({ overrideGlobalClaimValidators: () => validators });

const creating = {
  async a_session_is_made_for_cookies() {
    const client = new Client("cookie");
    const answer = await client.call("POST", "/login", (request, response) =>
      Session.createNewSession(request, response, "public", supertokens.convertToRecipeUserId(aUser())));
    same(answer.cookies.map(({ key, path, httpOnly }) => [key, path, httpOnly]).sort(),
      [["sAccessToken", "/", true], ["sRefreshToken", "/auth/session/refresh", true]]);
    ok(!answer.headers.has("st-access-token") && answer.headers.has("front-token"));
    equal((await client.get()).result.getHandle(), answer.result.getHandle());
  },

  async a_session_is_made_for_headers() {
    const client = new Client("header");
    const session = await client.create();
    ok(client.tokens.access && client.tokens.refresh && client.tokens.front);
    equal((await client.get()).result.getHandle(), session.getHandle());
  },

  async a_client_that_does_not_say_how_gets_headers() {
    const client = new Client("any");
    const session = await client.create();
    ok(client.tokens.access && client.tokens.refresh && client.tokens.front);
    const cookies = Object.assign(client.copy(), { mode: "cookie", sent: { "st-auth-mode": "any" } });
    for (const sender of [Object.assign(client, { mode: "header", sent: { "st-auth-mode": "any" } }), cookies]) {
      equal((await sender.get()).result.getHandle(), session.getHandle());
    }
    equal((await cookies.refresh()).status, 200);
  },

  async a_session_is_made_without_a_request() {
    const session = await created({ role: "admin" });
    const { accessToken, refreshToken, frontToken, antiCsrfToken, accessAndFrontTokenUpdated } = tokensOf(session);
    ok(accessToken && refreshToken && accessAndFrontTokenUpdated && antiCsrfToken === undefined);
    equal(front(frontToken).uid, session.getUserId());
    equal(front(frontToken).up.role, "admin");
  },

  async a_session_goes_to_a_response_later() {
    const [client, session] = [new Client("header"), await created()];
    await client.call("POST", "/login", (req, res) => session.attachToRequestResponse({ req, res, transferMethod: "header" }));
    equal(client.tokens.access, session.getAccessToken());
    equal((await client.refresh()).status, 200);
  },

  async a_session_says_whose_it_is() {
    const user = aUser();
    const session = await created({ role: "admin" }, {}, user);
    same([session.getUserId(), session.getRecipeUserId().getAsString(), session.getTenantId()], [user, user, "public"]);
    same(own(session.getAccessTokenPayload()), { role: "admin" });
    same(own((await verified(session)).getAccessTokenPayload()), { role: "admin" });
  },

  async a_payload_keeps_its_types() {
    const payload = { text: "größer ☃", number: 1.5, yes: true, list: [1, "a", {}], inner: { deep: [] }, empty: "" };
    const session = await created(payload, payload);
    same(own((await verified(session)).getAccessTokenPayload()), payload);
    same(await session.getSessionDataFromDatabase(), payload);
    same(own((await refreshed(session)).getAccessTokenPayload()), payload);
  },

  async protected_names_in_a_payload_are_left_out() {
    const session = await created({ sub: "another", sessionHandle: "another", exp: 1, role: "admin" });
    same(own(session.getAccessTokenPayload()), { role: "admin" });
    differs(session.getUserId(), "another");
  },

  async a_user_id_is_empty() {
    const session = await created({}, {}, "");
    equal((await verified(session, CHECKED)).getUserId(), "");
    ok((await Session.getAllSessionHandlesForUser("")).includes(session.getHandle()));
    await session.revokeSession();
  },
};

const verifying = {
  async nobody_is_signed_in() {
    const answer = await new Client().get();
    same([answer.status, answer.body], [401, { message: "unauthorised" }]);
    equal((await new Client().get({ sessionRequired: false })).result, undefined);
    equal(await Session.getSessionWithoutRequestResponse(undefined, undefined, { sessionRequired: false }), undefined);
  },

  async an_access_token_is_no_token() {
    await raised("UNAUTHORISED", Session.getSessionWithoutRequestResponse("no token"));
    equal((await new Client("header", { access: "no token" }).get()).status, 401);
  },

  async an_access_token_is_forged() {
    const { accessToken } = tokensOf(await created());
    const [head, , signature] = accessToken.split(".");
    const body = Buffer.from(JSON.stringify({ ...claims(accessToken), sub: "another" })).toString("base64url");
    await raised("TRY_REFRESH_TOKEN", Session.getSessionWithoutRequestResponse([head, body, signature].join(".")));
  },

  async a_session_is_checked_in_the_database() {
    const session = await created();
    const checked = await verified(session, CHECKED);
    equal(checked.getHandle(), session.getHandle());
    equal(tokensOf(checked).accessAndFrontTokenUpdated, false);
    await Session.revokeSession(session.getHandle());
    await verified(session);
    await raised("UNAUTHORISED", verified(session, CHECKED));
  },

  async a_session_is_looked_at_by_its_handle() {
    const session = await created({ role: "admin" }, { cart: [1] });
    const known = await Session.getSessionInformation(session.getHandle());
    same([known.sessionHandle, known.userId, known.tenantId], [session.getHandle(), session.getUserId(), "public"]);
    equal(known.recipeUserId.getAsString(), session.getUserId());
    same([known.sessionDataInDatabase, own(known.customClaimsInAccessTokenPayload)], [{ cart: [1] }, { role: "admin" }]);
    same([await session.getTimeCreated(), await session.getExpiry()], [known.timeCreated, known.expiry]);
    ok(known.timeCreated <= Date.now() && Date.now() < known.expiry);
    equal(await Session.getSessionInformation("no-such-handle"), undefined);
  },

  async session_data_are_replaced() {
    const session = await created({}, { cart: [1], note: "é" });
    await session.updateSessionDataInDatabase({ cart: [1, 2] });
    same(await session.getSessionDataFromDatabase(), { cart: [1, 2] });
    equal(await Session.updateSessionDataInDatabase(session.getHandle(), {}), true);
    same(await session.getSessionDataFromDatabase(), {});
    equal(await Session.updateSessionDataInDatabase("no-such-handle", {}), false);
  },
};

const revoking = {
  async a_session_is_revoked() {
    const session = await created();
    equal(await Session.revokeSession(session.getHandle()), true);
    equal(await Session.revokeSession(session.getHandle()), false);
    equal(await Session.getSessionInformation(session.getHandle()), undefined);
    await raised("UNAUTHORISED", refreshed(session));
    await raised("UNAUTHORISED", session.getSessionDataFromDatabase());
    await raised("UNAUTHORISED", session.updateSessionDataInDatabase({}));
    await raised("UNAUTHORISED", session.mergeIntoAccessTokenPayload({ role: "admin" }));
  },

  async a_view_ends_the_session() {
    for (const mode of ["cookie", "header"]) {
      const client = new Client(mode);
      const session = await client.create();
      await client.call("POST", "/leave", async (request, response) => {
        await (await Session.getSession(request, response)).revokeSession();
      });
      same([client.tokens.access, client.tokens.refresh, client.tokens.front], ["", "", "remove"]);
      equal(await Session.getSessionInformation(session.getHandle()), undefined);
    }
  },

  async a_user_signs_out() {
    for (const mode of ["cookie", "header"]) {
      const client = new Client(mode);
      const session = await client.create();
      const answer = await client.call("POST", "/auth/signout");
      same([answer.status, answer.body], [200, { status: "OK" }]);
      same([client.tokens.access, client.tokens.refresh, client.tokens.front], ["", "", "remove"]);
      equal(await Session.getSessionInformation(session.getHandle()), undefined);
    }
  },

  async several_sessions_are_revoked() {
    const handles = [(await created()).getHandle(), (await created()).getHandle()];
    same((await Session.revokeMultipleSessions([...handles, "no-such-handle"])).sort(), handles.sort());
    same(await Session.revokeMultipleSessions(handles), []);
  },

  async all_sessions_of_a_user_are_revoked() {
    const [user, other] = [aUser(), await created()];
    const handles = [(await created({}, {}, user)).getHandle(), (await created({}, {}, user)).getHandle()];
    same((await Session.getAllSessionHandlesForUser(user)).sort(), handles.sort());
    same((await Session.revokeAllSessionsForUser(user)).sort(), handles);
    same(await Session.getAllSessionHandlesForUser(user), []);
    same(await Session.revokeAllSessionsForUser(user), []);
    await verified(other, CHECKED);
  },
};

const refreshing = {
  async a_client_with_cookies_refreshes() {
    const client = new Client("cookie");
    const [session, before] = [await client.create(), client.copy()];
    equal((await client.refresh()).status, 200);
    ok(client.tokens.access !== before.tokens.access && client.tokens.refresh !== before.tokens.refresh);
    equal((await client.get()).result.getHandle(), session.getHandle());
  },

  async a_client_with_headers_refreshes() {
    const client = new Client("header");
    const [session, before] = [await client.create(), client.copy()];
    equal((await client.refresh()).status, 200);
    ok(client.tokens.access !== before.tokens.access && client.tokens.refresh !== before.tokens.refresh);
    equal((await client.get()).result.getHandle(), session.getHandle());
  },

  async a_view_refreshes() {
    const client = new Client("header");
    await client.create({ payload: { role: "admin" } });
    client.tokens.access = client.tokens.refresh;
    const answer = await client.call("POST", "/again", (request, response) => Session.refreshSession(request, response));
    same(own(answer.result.getAccessTokenPayload()), { role: "admin" });
    same(own((await client.get()).result.getAccessTokenPayload()), { role: "admin" });
  },

  async a_session_is_refreshed_without_a_request() {
    const session = await created({ role: "admin" }, { cart: [1] });
    const after = await refreshed(session);
    same([after.getHandle(), after.getUserId(), after.getTenantId()], [session.getHandle(), session.getUserId(), "public"]);
    same([own(after.getAccessTokenPayload()), await after.getSessionDataFromDatabase()], [{ role: "admin" }, { cart: [1] }]);
    ok(tokensOf(after).accessAndFrontTokenUpdated && tokensOf(after).refreshToken !== tokensOf(session).refreshToken);
  },

  async nobody_refreshes() {
    const answer = await new Client("cookie").refresh();
    same([answer.status, answer.body], [401, { message: "unauthorised" }]);
  },

  async a_refresh_token_is_no_token() {
    await raised("UNAUTHORISED", Session.refreshSessionWithoutRequestResponse("no token"));
    const client = new Client("header", { refresh: "no token" });
    equal((await client.refresh()).status, 401);
    same([client.tokens.refresh, client.tokens.front], ["", "remove"]);
  },

  async the_first_use_of_an_only_child() {
    const client = new Client("header");
    await client.create({ payload: { role: "admin" } });
    await client.refresh();
    const child = client.copy();
    ok(hasParent(child.tokens.access));
    const session = (await client.get()).result;
    same(own(session.getAccessTokenPayload()), { role: "admin" });
    equal(client.tokens.access !== child.tokens.access, !FORGIVES);
    equal(hasParent(client.tokens.access), FORGIVES);
    equal(claims(client.tokens.access).exp, claims(child.tokens.access).exp);
    equal(client.tokens.refresh, child.tokens.refresh);
  },

  async the_first_use_without_a_request() {
    const child = await refreshed(await created());
    const used = await verified(child);
    equal(tokensOf(used).accessAndFrontTokenUpdated, !FORGIVES);
    equal(hasParent(tokensOf(used).accessToken), FORGIVES);
    equal(tokensOf(used).refreshToken, undefined);
    equal(tokensOf(await verified(used)).accessAndFrontTokenUpdated, false);
  },

  async a_child_is_used_twice() {
    const child = await refreshed(await created());
    await verified(child);
    equal(tokensOf(await verified(child)).accessAndFrontTokenUpdated, !FORGIVES);
    equal(tokensOf(await verified(child, CHECKED)).accessAndFrontTokenUpdated, !FORGIVES);
  },

  async the_parent_comes_back_after_the_first_use() {
    const parent = await created();
    const child = await refreshed(parent);
    await verified(child);
    if (FORGIVES) {
      equal((await refreshed(parent)).getHandle(), parent.getHandle());
    } else {
      const theft = await raised("TOKEN_THEFT_DETECTED", refreshed(parent));
      same([theft.sessionHandle, theft.userId], [parent.getHandle(), parent.getUserId()]);
      equal(theft.recipeUserId.getAsString(), parent.getUserId());
    }
  },

  async the_apps_handler_is_told_of_a_theft() {
    for (const mode of ["cookie", "header"]) {
      const owner = new Client(mode);
      const [session, thief] = [await owner.create(), owner.copy()];
      await owner.refresh();
      await owner.get();
      const answer = await thief.refresh();
      same([answer.status, answer.body.message], FORGIVES ? [200, undefined] : [401, "a theft"]);
      const told = thefts.filter(({ handle }) => handle === session.getHandle());
      same(told, FORGIVES ? [] : [{ handle: session.getHandle(), user: session.getUserId(), recipeUser: session.getUserId() }]);
      equal((await owner.refresh()).status, FORGIVES ? 200 : 401);
    }
  },

  async the_answer_to_a_refresh_is_lost() {
    const parent = await created();
    const lost = await refreshed(parent);
    const kept = await refreshed(parent);
    differs(tokensOf(kept).refreshToken, tokensOf(lost).refreshToken);
    await verified(kept);
    await verified(await refreshed(kept));
  },

  async the_first_refresh_of_two_children_decides() {
    const parent = await created();
    const [first, second] = [await refreshed(parent), await refreshed(parent)];
    await verified(first);
    await refreshed(second);
    if (FORGIVES) await refreshed(first);
    else await raised("TOKEN_THEFT_DETECTED", refreshed(first));
  },

  async a_child_refreshes_at_once() {
    const child = await refreshed(await created());
    const again = await refreshed(child);
    equal(tokensOf(again).refreshToken === tokensOf(child).refreshToken, FORGIVES);
    await verified(again);
  },

  async four_tabs_refresh_at_once() {
    const parent = await created();
    const tabs = await Promise.all([1, 2, 3, 4].map(() => refreshed(parent)));
    equal((await verified(tabs[2])).getHandle(), parent.getHandle());
    await verified(await refreshed(tabs[2]));
  },

  async ten_refreshes_in_a_row() {
    let session = await created({ role: "admin" });
    for (let round = 0; round < 10; round++) {
      session = await refreshed(session);
      if (round % 2) await verified(session);
    }
    same(own(session.getAccessTokenPayload()), { role: "admin" });
  },
};

const changing = {
  async the_payload_changes() {
    const client = new Client("header");
    await client.create({ payload: { role: "admin", old: 1 } });
    const before = client.tokens.access;
    await client.call("POST", "/view", async (request, response) => {
      const session = await Session.getSession(request, response);
      await session.mergeIntoAccessTokenPayload({ plan: { name: "größer" }, old: null });
    });
    differs(client.tokens.access, before);
    same(own(front(client.tokens.front).up), { role: "admin", plan: { name: "größer" } });
    same(own((await client.get()).result.getAccessTokenPayload()), { role: "admin", plan: { name: "größer" } });
    await client.refresh();
    same(own((await client.get()).result.getAccessTokenPayload()), { role: "admin", plan: { name: "größer" } });
  },

  async the_payload_changes_twice_after_a_refresh() {
    const session = await refreshed(await created({ role: "admin" }));
    await session.mergeIntoAccessTokenPayload({ a: 1 });
    await session.mergeIntoAccessTokenPayload({ b: 2 });
    same(own(session.getAccessTokenPayload()), { role: "admin", a: 1, b: 2 });
    const known = await Session.getSessionInformation(session.getHandle());
    same(own(known.customClaimsInAccessTokenPayload), { role: "admin", a: 1, b: 2 });
    same(own((await verified(session)).getAccessTokenPayload()), { role: "admin", a: 1, b: 2 });
  },

  async the_payload_changes_twice_after_the_first_use() {
    const session = await verified(await refreshed(await created({ role: "admin" })));
    await session.mergeIntoAccessTokenPayload({ a: 1 });
    await session.mergeIntoAccessTokenPayload({ b: 2 });
    await session.mergeIntoAccessTokenPayload({ a: null });
    same(own((await verified(session)).getAccessTokenPayload()), { role: "admin", b: 2 });
  },

  async the_payload_changes_in_two_requests_after_a_refresh() {
    for (const mode of ["cookie", "header"]) {
      const client = new Client(mode);
      await client.create({ payload: { role: "admin" } });
      await client.refresh();
      for (const update of [{ a: 1 }, { b: 2 }]) {
        const answer = await client.call("POST", "/view", async (request, response) =>
          (await Session.getSession(request, response)).mergeIntoAccessTokenPayload(update));
        equal(answer.status, 200);
      }
      same(own(front(client.tokens.front).up), { role: "admin", a: 1, b: 2 });
      same(own((await client.get()).result.getAccessTokenPayload()), { role: "admin", a: 1, b: 2 });
    }
  },

  async a_token_is_regenerated_twice_after_a_refresh() {
    const child = await refreshed(await created({ role: "admin" }));
    const ask = { accessToken: child.getAccessToken(), newAccessTokenPayload: { a: 1 }, userContext: {} };
    const first = await recipe().regenerateAccessToken(ask);
    same(own(first.session.userDataInJWT), { a: 1 });
    const back = { accessToken: first.accessToken.token, newAccessTokenPayload: own(claims(first.accessToken.token)), userContext: {} };
    const second = await recipe().regenerateAccessToken(back);
    same([own(second.session.userDataInJWT), own(claims(second.accessToken.token))], [{ a: 1 }, { a: 1 }]);
    equal((await Session.getSessionWithoutRequestResponse(second.accessToken.token)).getHandle(), child.getHandle());
    equal(await recipe().regenerateAccessToken({ ...ask, newAccessTokenPayload: undefined }).then(({ status }) => status), "OK");
  },

  async a_token_is_regenerated_for_nobody() {
    const session = await created();
    await session.revokeSession();
    equal(await recipe().regenerateAccessToken({ accessToken: session.getAccessToken(), userContext: {} }), undefined);
  },

  async the_payload_changes_elsewhere() {
    const session = await created({ role: "admin" });
    equal(await Session.mergeIntoAccessTokenPayload(session.getHandle(), { a: 1 }), true);
    equal(await Session.mergeIntoAccessTokenPayload(session.getHandle(), { b: 2, role: null }), true);
    equal(await Session.mergeIntoAccessTokenPayload("no-such-handle", { a: 1 }), false);
    same(own((await verified(session)).getAccessTokenPayload()), { role: "admin" });
    const checked = await verified(session, CHECKED);
    same(own(checked.getAccessTokenPayload()), { a: 1, b: 2 });
    ok(tokensOf(checked).accessAndFrontTokenUpdated);
    equal(claims(checked.getAccessToken()).exp, claims(session.getAccessToken()).exp);
  },

  async the_payload_of_a_child_changes_elsewhere() {
    const child = await refreshed(await created({ role: "admin" }));
    equal(await Session.mergeIntoAccessTokenPayload(child.getHandle(), { a: 1 }), true);
    equal(await Session.mergeIntoAccessTokenPayload(child.getHandle(), { b: 2 }), true);
    const checked = await verified(child, CHECKED);
    same(own(checked.getAccessTokenPayload()), { role: "admin", a: 1, b: 2 });
    await checked.mergeIntoAccessTokenPayload({ c: 3 });
    same(own((await refreshed(child)).getAccessTokenPayload()), { role: "admin", a: 1, b: 2, c: 3 });
  },

  async the_front_token_follows() {
    const session = await refreshed(await created({ role: "admin" }));
    await session.mergeIntoAccessTokenPayload({ a: 1 });
    const { uid, ate, up } = front(tokensOf(session).frontToken);
    same([uid, own(up)], [session.getUserId(), { role: "admin", a: 1 }]);
    equal(ate, claims(session.getAccessToken()).exp * 1000);
  },
};

const claiming = {
  async claims_are_fetched() {
    const session = await created();
    for (const claim of [admin, plan, roles]) await session.fetchAndSetClaim(claim);
    const after = await verified(session);
    equal(await after.getClaimValue(admin), true);
    equal(await after.getClaimValue(plan), `plan of ${session.getUserId()}`);
    same(await after.getClaimValue(roles), ["reader", "writer"]);
  },

  async claims_are_set_and_removed() {
    const session = await created();
    await session.setClaimValue(admin, false);
    await session.setClaimValue(plan, "pro");
    await session.setClaimValue(roles, []);
    const after = await verified(session);
    same([await after.getClaimValue(admin), await after.getClaimValue(plan), await after.getClaimValue(roles)], [false, "pro", []]);
    await after.removeClaim(plan);
    equal(await (await verified(after)).getClaimValue(plan), undefined);
  },

  async claims_are_set_after_a_refresh() {
    const session = await refreshed(await created({ role: "admin" }));
    for (const claim of [admin, plan, roles]) await session.fetchAndSetClaim(claim);
    await session.removeClaim(plan);
    same(Object.keys(own((await verified(session)).getAccessTokenPayload())).sort(), ["admin", "role", "roles"]);
  },

  async claims_are_changed_by_handle() {
    const handle = (await created()).getHandle();
    equal(await Session.fetchAndSetClaim(handle, roles), true);
    equal(await Session.setClaimValue(handle, plan, "pro"), true);
    same(await Session.getClaimValue(handle, roles), { status: "OK", value: ["reader", "writer"] });
    equal(await Session.removeClaim(handle, plan), true);
    same(await Session.getClaimValue(handle, plan), { status: "OK", value: undefined });
  },

  async claims_of_an_unknown_session() {
    equal(await Session.fetchAndSetClaim("no-such-handle", roles), false);
    equal(await Session.setClaimValue("no-such-handle", plan, "pro"), false);
    equal(await Session.removeClaim("no-such-handle", plan), false);
    same(await Session.getClaimValue("no-such-handle", plan), { status: "SESSION_DOES_NOT_EXIST_ERROR" });
    same(await Session.validateClaimsForSessionHandle("no-such-handle"), { status: "SESSION_DOES_NOT_EXIST_ERROR" });
  },

  async a_primitive_claim_is_demanded() {
    const session = await created({ ...(await plan.build("u", {}, "public", {}, {})) });
    await verified(session, demand(plan.validators.hasValue("plan of u")));
    const [wrong] = await raised("INVALID_CLAIMS", verified(session, demand(plan.validators.hasValue("pro"))));
    same(wrong, { id: "plan", reason: { message: "wrong value", expectedValue: "pro", actualValue: "plan of u" } });
  },

  async a_boolean_claim_is_demanded() {
    const session = await created();
    await session.setClaimValue(admin, false);
    await verified(session, demand(admin.validators.isFalse()));
    const [wrong] = await raised("INVALID_CLAIMS", verified(session, demand(admin.validators.isTrue())));
    same([wrong.id, wrong.reason.message], ["admin", "wrong value"]);
  },

  async an_array_claim_is_demanded() {
    const session = await created();
    await session.fetchAndSetClaim(roles);
    const { includes, includesAll, includesAny, excludes, excludesAll } = roles.validators;
    await verified(session, demand(includes("reader"), includesAll(["reader", "writer"]), includesAny(["x", "reader"]), excludes("x"), excludesAll(["x"])));
    for (const validator of [includes("x"), includesAll(["reader", "x"]), includesAny(["x"]), excludes("reader"), excludesAll(["reader"])]) {
      const [wrong] = await raised("INVALID_CLAIMS", verified(session, demand(validator)));
      same([wrong.id, wrong.reason.message], ["roles", "wrong value"]);
    }
  },

  async a_claim_that_is_missing_is_fetched() {
    const session = await refreshed(await created());
    const passed = await verified(session, demand(roles.validators.includes("reader")));
    ok(tokensOf(passed).accessAndFrontTokenUpdated);
    same(await passed.getClaimValue(roles), ["reader", "writer"]);
    same(await Session.getClaimValue(session.getHandle(), roles), { status: "OK", value: ["reader", "writer"] });
  },

  async a_claim_refuses_a_request() {
    const client = new Client("header");
    await client.create();
    const answer = await client.get(demand(roles.validators.includes("owner", undefined, "must own")));
    same([answer.status, answer.body.message, answer.body.claimValidationErrors[0].id], [403, "invalid claim", "must own"]);
    await client.refresh();
    equal((await client.get(demand(roles.validators.includes("reader")))).status, 200);
  },

  async claims_are_validated_by_handle() {
    const handle = (await created()).getHandle();
    const passes = await Session.validateClaimsForSessionHandle(handle, () => [roles.validators.includes("reader")]);
    same(passes, { status: "OK", invalidClaims: [] });
    const fails = await Session.validateClaimsForSessionHandle(handle, () => [roles.validators.includes("owner")]);
    same(fails.invalidClaims.map(({ id }) => id), ["roles"]);
  },
};

const aTenant = async () => {
  const tenant = "a-tenant";
  await Multitenancy.createOrUpdateTenant(tenant);
  return tenant;
};

const tenants = {
  async a_tenant_is_made() {
    const tenant = `made-${Date.now()}`;
    same(await Multitenancy.createOrUpdateTenant(tenant), { status: "OK", createdNew: true });
    same(await Multitenancy.createOrUpdateTenant(tenant), { status: "OK", createdNew: false });
  },

  async a_tenant_is_looked_at() {
    const found = await Multitenancy.getTenant(await aTenant());
    equal(found.status, "OK");
    same(found.thirdParty.providers, []);
    equal(await Multitenancy.getTenant("no-such-tenant"), undefined);
  },

  async a_session_belongs_to_a_tenant() {
    const [tenant, user] = [await aTenant(), aUser()];
    const session = await created({ role: "admin" }, {}, user, tenant);
    const elsewhere = await created({}, {}, user);
    equal((await verified(await refreshed(session))).getTenantId(), tenant);
    equal((await Session.getSessionInformation(session.getHandle())).tenantId, tenant);
    same(await Session.getAllSessionHandlesForUser(user, true, tenant), [session.getHandle()]);
    same(await Session.revokeAllSessionsForUser(user, true, tenant), [session.getHandle()]);
    await verified(elsewhere, CHECKED);
  },

  async the_sessions_of_a_user_in_all_tenants() {
    const [tenant, user] = [await aTenant(), aUser()];
    const handles = [(await created({}, {}, user, tenant)).getHandle(), (await created({}, {}, user)).getHandle()].sort();
    same((await Session.getAllSessionHandlesForUser(user)).sort(), handles);
    same((await Session.revokeAllSessionsForUser(user)).sort(), handles);
  },

  async no_tenant_is_named() {
    const session = await created({}, {}, aUser(), "");
    equal((await verified(await refreshed(session))).getTenantId(), "public");
    equal((await Session.getSessionInformation(session.getHandle())).tenantId, "public");
  },

  async a_tenant_is_unknown() {
    await assert.rejects(created({}, {}, aUser(), "no-such-tenant"), /no-such-tenant/);
  },
};

// What the core answers to an app that was set up with the other kind of key.
async function elsewhere(useDynamicSigningKey) {
  const session = { userId: aUser(), userDataInJWT: { iss: "http://localhost/auth" }, userDataInDatabase: {}, enableAntiCsrf: false };
  const answer = await fetch(`${settings.core}/recipe/session`, {
    method: "POST",
    headers: { "api-key": settings.apiKey, "cdi-version": "5.3", "content-type": "application/json" },
    body: JSON.stringify({ ...session, useDynamicSigningKey }),
  });
  return answer.json();
}

const keys = {
  async an_access_token_has_the_kind_of_key_that_was_asked_for() {
    const session = await created();
    const kind = settings.dynamicKey ? "d-" : "s-";
    for (const made of [session, await refreshed(session), await verified(session)]) equal(keyOf(made.getAccessToken()).slice(0, 2), kind);
    const child = await refreshed(session);
    await child.mergeIntoAccessTokenPayload({ a: 1 });
    equal(keyOf((await verified(child)).getAccessToken()).slice(0, 2), kind);
  },

  async the_app_changes_the_kind_of_key() {
    const before = await elsewhere(!settings.dynamicKey);
    const kind = settings.dynamicKey ? "d-" : "s-";
    differs(keyOf(before.accessToken.token).slice(0, 2), kind);
    await raised("TRY_REFRESH_TOKEN", Session.getSessionWithoutRequestResponse(before.accessToken.token));
    const child = await Session.refreshSessionWithoutRequestResponse(before.refreshToken.token, true);
    for (const made of [child, await verified(child, { antiCsrfCheck: false })]) equal(keyOf(made.getAccessToken()).slice(0, 2), kind);
  },

  async the_keys_are_published() {
    const { keys: published, validityInSeconds } = await Session.getJWKS();
    ok(validityInSeconds > 0);
    const known = published.map(({ kid }) => kid);
    ok(known.includes(keyOf(tokensOf(await created()).accessToken)));
    same([...new Set(known.map((kid) => kid.slice(0, 2)))].sort(), ["d-", "s-"]);
    ok(published.every(({ kty, alg, use, n, e }) => kty === "RSA" && alg === "RS256" && use === "sig" && n && e));
    const answer = await new Client().call("GET", "/auth/jwt/jwks.json");
    same(answer.body.keys.map(({ kid }) => kid).sort(), known.sort());
  },

  async discovery_says_where_the_keys_are() {
    const found = await Session.getOpenIdDiscoveryConfiguration();
    same([found.issuer, found.jwks_uri], ["http://localhost/auth", "http://localhost/auth/jwt/jwks.json"]);
    const answer = await new Client().call("GET", "/auth/.well-known/openid-configuration");
    same([answer.body.issuer, answer.body.jwks_uri], [found.issuer, found.jwks_uri]);
  },

  async a_token_is_made_for_a_service() {
    const { keys: published } = await Session.getJWKS();
    for (const [isStatic, kind] of [[undefined, "s-"], [true, "s-"], [false, "d-"]]) {
      const { status, jwt } = await Session.createJWT({ for: "a service" }, 60, isStatic);
      const { iss, exp, iat, for: whom } = claims(jwt);
      same([status, whom, iss, exp - iat], ["OK", "a service", "http://localhost/auth", 60]);
      equal(keyOf(jwt).slice(0, 2), kind);
      ok(published.some(({ kid }) => kid === keyOf(jwt)));
    }
  },

  async a_token_for_a_service_is_no_session() {
    const { jwt } = await Session.createJWT({ sub: "somebody" }, 60);
    await raised("UNAUTHORISED", Session.getSessionWithoutRequestResponse(jwt));
  },
};

// With VIA_TOKEN.
const antiCsrf = {
  async only_cookies_need_an_anti_csrf_token() {
    const [cookies, headers] = [new Client("cookie"), new Client("header")];
    await cookies.create();
    await headers.create();
    ok(cookies.tokens.antiCsrf && !headers.tokens.antiCsrf);
    equal((await headers.get({}, "POST")).status, 200);
    equal((await headers.refresh()).status, 200);
  },

  async an_unsafe_request_needs_the_anti_csrf_token() {
    const client = new Client("cookie");
    await client.create();
    for (const antiCsrf of ["", "wrong"]) {
      const attacker = Object.assign(client.copy(), { tokens: { ...client.tokens, antiCsrf } });
      const answer = await attacker.get({}, "POST");
      same([answer.status, answer.body], [401, { message: "try refresh token" }]);
      equal((await attacker.get({}, "GET")).status, 200);
      equal((await attacker.get({ antiCsrfCheck: false }, "POST")).status, 200);
      equal((await attacker.get({ antiCsrfCheck: true }, "GET")).status, 401);
    }
    equal((await client.get({}, "POST")).status, 200);
  },

  async a_refresh_needs_the_anti_csrf_token() {
    const client = new Client("cookie");
    const session = await client.create();
    const attacker = Object.assign(client.copy(), { tokens: { ...client.tokens, antiCsrf: "" } });
    equal((await attacker.refresh()).status, 401);
    for (let round = 0; round < 2; round++) {
      equal((await client.refresh()).status, 200);
      equal((await client.get({}, "POST")).result.getHandle(), session.getHandle());
    }
  },

  async anti_csrf_tokens_without_a_request() {
    const session = await created();
    const { accessToken, refreshToken, antiCsrfToken } = tokensOf(session);
    ok(antiCsrfToken);
    await verified(session);
    await raised("TRY_REFRESH_TOKEN", Session.getSessionWithoutRequestResponse(accessToken));
    await raised("TRY_REFRESH_TOKEN", Session.getSessionWithoutRequestResponse(accessToken, "wrong"));
    await Session.getSessionWithoutRequestResponse(accessToken, undefined, { antiCsrfCheck: false });
    await raised("UNAUTHORISED", Session.refreshSessionWithoutRequestResponse(refreshToken, false, "wrong"));
    const child = await refreshed(session);
    await verified(child);
    await raised("TRY_REFRESH_TOKEN", Session.getSessionWithoutRequestResponse(child.getAccessToken(), "wrong"));
  },

  async anti_csrf_tokens_are_turned_off_for_a_session() {
    const session = await Session.createNewSessionWithoutRequestResponse("public", supertokens.convertToRecipeUserId(aUser()), {}, {}, true);
    equal(tokensOf(session).antiCsrfToken, undefined);
    await verified(session, { antiCsrfCheck: false });
    const child = await Session.refreshSessionWithoutRequestResponse(tokensOf(session).refreshToken, true);
    equal(tokensOf(child).antiCsrfToken, undefined);
    await verified(child, { antiCsrfCheck: false });
  },
};

// With VIA_CUSTOM_HEADER.
const customHeader = {
  async an_unsafe_request_needs_the_custom_header() {
    const [client, page] = [new Client("cookie"), { rid: "session" }];
    await client.create();
    equal(client.tokens.antiCsrf, undefined);
    const answer = await client.get({}, "POST");
    same([answer.status, answer.body], [401, { message: "try refresh token" }]);
    equal((await client.get({}, "GET")).status, 200);
    equal((await Object.assign(client, { sent: page }).get({}, "POST")).status, 200);
  },

  async a_refresh_needs_the_custom_header() {
    const client = new Client("cookie");
    await client.create();
    equal((await client.copy().refresh()).status, 401);
    for (let round = 0; round < 2; round++) {
      equal((await Object.assign(client, { sent: { rid: "session" } }).refresh()).status, 200);
      equal((await client.get({}, "POST")).status, 200);
    }
  },

  async headers_need_no_custom_header() {
    const client = new Client("header");
    await client.create();
    equal((await client.get({}, "POST")).status, 200);
    equal((await client.refresh()).status, 200);
    equal((await client.get({}, "POST")).status, 200);
  },

  async without_a_request_the_app_looks_for_the_custom_header() {
    const session = await created();
    await assert.rejects(verified(session), /VIA_CUSTOM_HEADER/);
    await verified(session, { antiCsrfCheck: false });
  },
};

// In an app whose tokens, sessions or keys live for seconds.
const untilExpiry = (session) => sleep(Math.max(0, claims(session.getAccessToken()).exp - Date.now() / 1000) + 0.05);

const expiring = {
  async lifetimes_are_those_of_the_app() {
    const session = await created();
    const { exp, iat } = claims(session.getAccessToken());
    const { access_token_validity: seconds, refresh_token_validity: minutes } = settings.coreConfig;
    equal(exp - iat, seconds);
    const known = await Session.getSessionInformation(session.getHandle());
    equal(known.expiry - known.timeCreated, minutes * 60000);
  },

  async an_access_token_expires() {
    const client = new Client("cookie");
    const session = await client.create();
    await untilExpiry(session);
    const answer = await client.get();
    same([answer.status, answer.body], [401, { message: "try refresh token" }]);
    equal((await client.get(CHECKED)).status, 401);
    equal((await client.refresh()).status, 200);
    equal((await client.get()).result.getHandle(), session.getHandle());
  },

  async an_access_token_expires_without_a_request() {
    const session = await created();
    await untilExpiry(session);
    await raised("TRY_REFRESH_TOKEN", verified(session));
    await raised("TRY_REFRESH_TOKEN", verified(session, CHECKED));
    await raised("TRY_REFRESH_TOKEN", verified(session, { sessionRequired: false }));
    await verified(await refreshed(session));
  },

  async the_payload_changes_when_the_access_token_has_expired() {
    const session = await created({ role: "admin" });
    await untilExpiry(session);
    await session.mergeIntoAccessTokenPayload({ a: 1 });
    same(own(session.getAccessTokenPayload()), { role: "admin", a: 1 });
    same(own((await refreshed(session)).getAccessTokenPayload()), { role: "admin", a: 1 });
  },

  async the_signing_key_changes() {
    let [before, after] = [await created(), await created()];
    for (const end = Date.now() + 9000; keyOf(before.getAccessToken()) === keyOf(after.getAccessToken()) && Date.now() < end;) {
      await sleep(0.2);
      [before, after] = [after, await created()];
    }
    differs(keyOf(before.getAccessToken()), keyOf(after.getAccessToken()));
    await verified(after);
    await verified(before);
    differs(keyOf((await refreshed(before)).getAccessToken()), keyOf(before.getAccessToken()));
  },

  async a_session_expires() {
    const session = await created();
    await sleep(settings.coreConfig.refresh_token_validity * 60 + 0.3);
    await raised("UNAUTHORISED", refreshed(session));
    equal(await Session.getSessionInformation(session.getHandle()), undefined);
    same(await Session.getAllSessionHandlesForUser(session.getUserId()), []);
  },
};

module.exports = {
  ...creating, ...verifying, ...revoking, ...refreshing, ...changing, ...claiming, ...tenants, ...keys, ...antiCsrf, ...customHeader, ...expiring,
};
