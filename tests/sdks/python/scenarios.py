"""What the scenarios do; ``tests/sdks/scenarios.py`` says what each of them shows, and in which configuration it runs."""

import asyncio
import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
from flask import request
from kit import (
    Client,
    a_user,
    claims,
    created,
    decoded,
    functions,
    key_of,
    own,
    raises,
    refreshed,
    settings,
    thefts,
    tokens_of,
    verified,
)
from supertokens_python import RecipeUserId
from supertokens_python.framework.flask.flask_request import FlaskRequest
from supertokens_python.recipe.multitenancy import syncio as multitenancy
from supertokens_python.recipe.multitenancy.interfaces import TenantConfigCreateOrUpdate
from supertokens_python.recipe.session import syncio
from supertokens_python.recipe.session.claims import BooleanClaim, PrimitiveArrayClaim, PrimitiveClaim
from supertokens_python.recipe.session.exceptions import (
    InvalidClaimsError,
    TokenTheftError,
    TryRefreshTokenError,
    UnauthorisedError,
)
from supertokens_python.recipe.session.interfaces import GetClaimValueOkResult, SessionDoesNotExistError

_FORGIVES = settings["window"] > 0
_admin = BooleanClaim("admin", lambda *_: True)
_plan = PrimitiveClaim("plan", lambda user, *_: f"plan of {user}")
_roles = PrimitiveArrayClaim("roles", lambda *_: ["reader", "writer"])


def _has_parent(token):
    return bool(claims(token).get("parentRefreshTokenHash1"))


def _demand(*validators):
    return {"override_global_claim_validators": lambda *_: list(validators)}


def _by_token(access_token, anti_csrf_token=None, **options):
    return syncio.get_session_without_request_response(access_token, anti_csrf_token, **options)


def _by_refresh_token(refresh_token, **options):
    return syncio.refresh_session_without_request_response(refresh_token, **options)


# -- creating ----------------------------------------------------------------------------------------------------------


def a_session_is_made_for_cookies():
    client = Client("cookie")
    answer = client.call("POST", "/view", lambda: syncio.create_new_session(request, "public", RecipeUserId(a_user())))
    lines = sorted(answer.headers.getlist("Set-Cookie"))
    assert [line.partition("=")[0] for line in lines] == ["sAccessToken", "sRefreshToken"]
    assert all("HttpOnly" in line for line in lines)
    assert "Path=/auth/session/refresh" in lines[1]
    assert "st-access-token" not in answer.headers
    assert "front-token" in answer.headers
    assert client.get().result.get_handle() == answer.result.get_handle()


def a_session_is_made_for_headers():
    client = Client("header")
    made = client.create()
    assert client.tokens["access"]
    assert client.tokens["refresh"]
    assert client.tokens["front"]
    assert client.get().result.get_handle() == made.get_handle()


def a_client_that_does_not_say_how_gets_headers():
    client = Client("any")
    made = client.create()
    assert client.tokens["access"]
    assert client.tokens["refresh"]
    assert client.tokens["front"]
    headers, cookies = client.copy(), client.copy()
    for sender, mode in ((headers, "header"), (cookies, "cookie")):
        sender.mode, sender.sent = mode, {"st-auth-mode": "any"}
        assert sender.get().result.get_handle() == made.get_handle()
    assert cookies.refresh().status == 200


def a_session_is_made_without_a_request():
    made = created({"role": "admin"})
    tokens = tokens_of(made)
    assert tokens["accessToken"]
    assert tokens["refreshToken"]
    assert tokens["accessAndFrontTokenUpdated"]
    assert tokens["antiCsrfToken"] is None
    front = decoded(tokens["frontToken"])
    assert (front["uid"], front["up"]["role"]) == (made.get_user_id(), "admin")


def a_session_goes_to_a_response_later():
    client, made = Client("header"), created()
    client.call("POST", "/view", lambda: made.sync_attach_to_request_response(FlaskRequest(request), "header", {}))
    assert client.tokens["access"] == made.get_access_token()
    assert client.refresh().status == 200


def a_session_says_whose_it_is():
    user = a_user()
    made = created({"role": "admin"}, user=user)
    assert (made.get_user_id(), made.get_recipe_user_id().get_as_string(), made.get_tenant_id()) == (
        user,
        user,
        "public",
    )
    assert own(made.get_access_token_payload()) == {"role": "admin"}
    assert own(verified(made).get_access_token_payload()) == {"role": "admin"}


def a_payload_keeps_its_types():
    payload = {"text": "größer ☃", "number": 1.5, "yes": True, "list": [1, "a", {}], "inner": {"deep": []}, "empty": ""}
    made = created(payload, payload)
    assert own(verified(made).get_access_token_payload()) == payload
    assert made.sync_get_session_data_from_database() == payload
    assert own(refreshed(made).get_access_token_payload()) == payload


def protected_names_in_a_payload_are_left_out():
    made = created({"sub": "another", "sessionHandle": "another", "exp": 1, "role": "admin"})
    assert own(made.get_access_token_payload()) == {"role": "admin"}
    assert made.get_user_id() != "another"


def a_user_id_is_empty():
    made = created(user="")
    assert verified(made, check_database=True).get_user_id() == ""
    assert made.get_handle() in syncio.get_all_session_handles_for_user("")
    made.sync_revoke_session()


# -- verifying ---------------------------------------------------------------------------------------------------------


def nobody_is_signed_in():
    answer = Client().get()
    assert (answer.status, answer.body) == (401, {"message": "unauthorised"})
    assert Client().get(session_required=False).result is None
    assert _by_token(None, session_required=False) is None


def an_access_token_is_no_token():
    with raises(UnauthorisedError):
        _by_token("no token")
    assert Client("header", access="no token").get().status == 401


def an_access_token_is_forged():
    head, body, signature = created().get_access_token().split(".")
    text = json.dumps({**decoded(body), "sub": "another"}).encode()
    forged = base64.urlsafe_b64encode(text).decode().rstrip("=")
    with raises(TryRefreshTokenError):
        _by_token(f"{head}.{forged}.{signature}")


def a_session_is_checked_in_the_database():
    made = created()
    checked = verified(made, check_database=True)
    assert checked.get_handle() == made.get_handle()
    assert not tokens_of(checked)["accessAndFrontTokenUpdated"]
    syncio.revoke_session(made.get_handle())
    verified(made)
    with raises(UnauthorisedError):
        verified(made, check_database=True)


def a_session_is_looked_at_by_its_handle():
    made = created({"role": "admin"}, {"cart": [1]})
    known = syncio.get_session_information(made.get_handle())
    assert (known.session_handle, known.user_id, known.tenant_id) == (made.get_handle(), made.get_user_id(), "public")
    assert known.recipe_user_id.get_as_string() == made.get_user_id()
    assert known.session_data_in_database == {"cart": [1]}
    assert own(known.custom_claims_in_access_token_payload) == {"role": "admin"}
    assert (made.sync_get_time_created(), made.sync_get_expiry()) == (known.time_created, known.expiry)
    assert known.time_created <= time.time() * 1000 < known.expiry
    assert syncio.get_session_information("no-such-handle") is None


def session_data_are_replaced():
    made = created(data={"cart": [1], "note": "é"})
    made.sync_update_session_data_in_database({"cart": [1, 2]})
    assert made.sync_get_session_data_from_database() == {"cart": [1, 2]}
    assert syncio.update_session_data_in_database(made.get_handle(), {})
    assert made.sync_get_session_data_from_database() == {}
    assert not syncio.update_session_data_in_database("no-such-handle", {})


# -- revoking ----------------------------------------------------------------------------------------------------------


def a_session_is_revoked():
    made = created()
    assert syncio.revoke_session(made.get_handle())
    assert not syncio.revoke_session(made.get_handle())
    assert syncio.get_session_information(made.get_handle()) is None
    for what in (
        lambda: refreshed(made),
        made.sync_get_session_data_from_database,
        lambda: made.sync_update_session_data_in_database({}),
        lambda: made.sync_merge_into_access_token_payload({"role": "admin"}),
    ):
        with raises(UnauthorisedError):
            what()


def a_view_ends_the_session():
    for mode in ("cookie", "header"):
        client = Client(mode)
        made = client.create()
        client.call("POST", "/view", lambda: syncio.get_session(request).sync_revoke_session())
        _is_signed_out(client, made)


def _is_signed_out(client, made):
    assert (client.tokens["access"], client.tokens["refresh"], client.tokens["front"]) == ("", "", "remove")
    assert syncio.get_session_information(made.get_handle()) is None


def a_user_signs_out():
    for mode in ("cookie", "header"):
        client = Client(mode)
        made = client.create()
        answer = client.call("POST", "/auth/signout")
        assert (answer.status, answer.body) == (200, {"status": "OK"})
        _is_signed_out(client, made)


def several_sessions_are_revoked():
    handles = {created().get_handle(), created().get_handle()}
    assert set(syncio.revoke_multiple_sessions([*handles, "no-such-handle"])) == handles
    assert syncio.revoke_multiple_sessions([*handles]) == []


def all_sessions_of_a_user_are_revoked():
    user, other = a_user(), created()
    handles = {created(user=user).get_handle(), created(user=user).get_handle()}
    assert set(syncio.get_all_session_handles_for_user(user)) == handles
    assert set(syncio.revoke_all_sessions_for_user(user)) == handles
    assert syncio.get_all_session_handles_for_user(user) == []
    assert syncio.revoke_all_sessions_for_user(user) == []
    verified(other, check_database=True)


# -- refreshing --------------------------------------------------------------------------------------------------------


def a_client_with_cookies_refreshes():
    _refreshes(Client("cookie"))


def a_client_with_headers_refreshes():
    _refreshes(Client("header"))


def _refreshes(client):
    made, before = client.create(), client.copy()
    assert client.refresh().status == 200
    assert client.tokens["access"] != before.tokens["access"]
    assert client.tokens["refresh"] != before.tokens["refresh"]
    assert client.get().result.get_handle() == made.get_handle()


def a_view_refreshes():
    client = Client("header")
    client.create(payload={"role": "admin"})
    client.tokens["access"] = client.tokens["refresh"]
    answer = client.call("POST", "/view", lambda: syncio.refresh_session(request))
    assert own(answer.result.get_access_token_payload()) == {"role": "admin"}
    assert own(client.get().result.get_access_token_payload()) == {"role": "admin"}


def a_session_is_refreshed_without_a_request():
    made = created({"role": "admin"}, {"cart": [1]})
    after = refreshed(made)
    for one, other in ((after.get_handle(), made.get_handle()), (after.get_user_id(), made.get_user_id())):
        assert one == other
    assert after.get_tenant_id() == "public"
    assert own(after.get_access_token_payload()) == {"role": "admin"}
    assert after.sync_get_session_data_from_database() == {"cart": [1]}
    assert tokens_of(after)["accessAndFrontTokenUpdated"]
    assert tokens_of(after)["refreshToken"] != tokens_of(made)["refreshToken"]


def nobody_refreshes():
    answer = Client("cookie").refresh()
    assert (answer.status, answer.body) == (401, {"message": "unauthorised"})


def a_refresh_token_is_no_token():
    with raises(UnauthorisedError):
        _by_refresh_token("no token")
    client = Client("header", refresh="no token")
    assert client.refresh().status == 401
    assert (client.tokens["refresh"], client.tokens["front"]) == ("", "remove")


def the_first_use_of_an_only_child():
    client = Client("header")
    client.create(payload={"role": "admin"})
    client.refresh()
    child = client.copy().tokens
    assert _has_parent(child["access"])
    assert own(client.get().result.get_access_token_payload()) == {"role": "admin"}
    assert (client.tokens["access"] == child["access"]) is _FORGIVES
    assert _has_parent(client.tokens["access"]) is _FORGIVES
    assert claims(client.tokens["access"])["exp"] == claims(child["access"])["exp"]
    assert client.tokens["refresh"] == child["refresh"]


def the_first_use_without_a_request():
    used = verified(refreshed(created()))
    assert tokens_of(used)["accessAndFrontTokenUpdated"] is not _FORGIVES
    assert _has_parent(tokens_of(used)["accessToken"]) is _FORGIVES
    assert tokens_of(used)["refreshToken"] is None
    assert not tokens_of(verified(used))["accessAndFrontTokenUpdated"]


def a_child_is_used_twice():
    child = refreshed(created())
    verified(child)
    assert tokens_of(verified(child))["accessAndFrontTokenUpdated"] is not _FORGIVES
    assert tokens_of(verified(child, check_database=True))["accessAndFrontTokenUpdated"] is not _FORGIVES


def the_parent_comes_back_after_the_first_use():
    parent = created()
    verified(refreshed(parent))
    if _FORGIVES:
        assert refreshed(parent).get_handle() == parent.get_handle()
        return
    with raises(TokenTheftError) as caught:
        refreshed(parent)
    assert (caught[0].session_handle, caught[0].user_id) == (parent.get_handle(), parent.get_user_id())
    assert caught[0].recipe_user_id.get_as_string() == parent.get_user_id()


def the_apps_handler_is_told_of_a_theft():
    for mode in ("cookie", "header"):
        owner = Client(mode)
        made, thief = owner.create(), owner.copy()
        owner.refresh()
        owner.get()
        answer = thief.refresh()
        assert (answer.status, answer.body.get("message")) == ((200, None) if _FORGIVES else (401, "a theft"))
        alarm = {"handle": made.get_handle(), "user": made.get_user_id(), "recipe_user": made.get_user_id()}
        assert [theft for theft in thefts if theft["handle"] == made.get_handle()] == ([] if _FORGIVES else [alarm])
        assert owner.refresh().status == (200 if _FORGIVES else 401)


def the_answer_to_a_refresh_is_lost():
    parent = created()
    lost, kept = refreshed(parent), refreshed(parent)
    assert tokens_of(kept)["refreshToken"] != tokens_of(lost)["refreshToken"]
    verified(kept)
    verified(refreshed(kept))


def the_first_refresh_of_two_children_decides():
    parent = created()
    first, second = refreshed(parent), refreshed(parent)
    verified(first)
    refreshed(second)
    if _FORGIVES:
        refreshed(first)
        return
    with raises(TokenTheftError):
        refreshed(first)


def a_child_refreshes_at_once():
    child = refreshed(created())
    again = refreshed(child)
    assert (tokens_of(again)["refreshToken"] == tokens_of(child)["refreshToken"]) is _FORGIVES
    verified(again)


def four_tabs_refresh_at_once():
    parent = created()
    with ThreadPoolExecutor(4) as threads:
        tabs = list(threads.map(refreshed, [parent] * 4))
    assert verified(tabs[2]).get_handle() == parent.get_handle()
    verified(refreshed(tabs[2]))


def ten_refreshes_in_a_row():
    held = created({"role": "admin"})
    for turn in range(10):
        held = refreshed(held)
        if turn % 2:
            verified(held)
    assert own(held.get_access_token_payload()) == {"role": "admin"}


# -- changing the payload ----------------------------------------------------------------------------------------------


def _merge(update):
    syncio.get_session(request).sync_merge_into_access_token_payload(update)


def the_payload_changes():
    client, wanted = Client("header"), {"role": "admin", "plan": {"name": "größer"}}
    client.create(payload={"role": "admin", "old": 1})
    before = client.tokens["access"]
    client.call("POST", "/view", lambda: _merge({"plan": {"name": "größer"}, "old": None}))
    assert client.tokens["access"] != before
    assert own(decoded(client.tokens["front"])["up"]) == wanted
    assert own(client.get().result.get_access_token_payload()) == wanted
    client.refresh()
    assert own(client.get().result.get_access_token_payload()) == wanted


def the_payload_changes_twice_after_a_refresh():
    held, wanted = refreshed(created({"role": "admin"})), {"role": "admin", "a": 1, "b": 2}
    held.sync_merge_into_access_token_payload({"a": 1})
    held.sync_merge_into_access_token_payload({"b": 2})
    assert own(held.get_access_token_payload()) == wanted
    known = syncio.get_session_information(held.get_handle())
    assert own(known.custom_claims_in_access_token_payload) == wanted
    assert own(verified(held).get_access_token_payload()) == wanted


def the_payload_changes_twice_after_the_first_use():
    held = verified(refreshed(created({"role": "admin"})))
    for update in ({"a": 1}, {"b": 2}, {"a": None}):
        held.sync_merge_into_access_token_payload(update)
    assert own(verified(held).get_access_token_payload()) == {"role": "admin", "b": 2}


def the_payload_changes_in_two_requests_after_a_refresh():
    wanted = {"role": "admin", "a": 1, "b": 2}
    for mode in ("cookie", "header"):
        client = Client(mode)
        client.create(payload={"role": "admin"})
        client.refresh()
        assert client.call("POST", "/view", lambda: _merge({"a": 1})).status == 200
        assert client.call("POST", "/view", lambda: _merge({"b": 2})).status == 200
        assert own(decoded(client.tokens["front"])["up"]) == wanted
        assert own(client.get().result.get_access_token_payload()) == wanted


def _regenerated(access_token, payload=None):
    return asyncio.run(functions["recipe"].regenerate_access_token(access_token, payload, {}))


def a_token_is_regenerated_twice_after_a_refresh():
    child = refreshed(created({"role": "admin"}))
    first = _regenerated(child.get_access_token(), {"a": 1})
    assert own(first.session.user_data_in_jwt) == {"a": 1}
    second = _regenerated(first.access_token.token, own(claims(first.access_token.token)))
    assert own(second.session.user_data_in_jwt) == {"a": 1}
    assert own(claims(second.access_token.token)) == {"a": 1}
    assert _by_token(second.access_token.token).get_handle() == child.get_handle()
    assert _regenerated(child.get_access_token()) is not None


def a_token_is_regenerated_for_nobody():
    made = created()
    made.sync_revoke_session()
    assert _regenerated(made.get_access_token()) is None


def the_payload_changes_elsewhere():
    made = created({"role": "admin"})
    assert syncio.merge_into_access_token_payload(made.get_handle(), {"a": 1})
    assert syncio.merge_into_access_token_payload(made.get_handle(), {"b": 2, "role": None})
    assert not syncio.merge_into_access_token_payload("no-such-handle", {"a": 1})
    assert own(verified(made).get_access_token_payload()) == {"role": "admin"}
    checked = verified(made, check_database=True)
    assert own(checked.get_access_token_payload()) == {"a": 1, "b": 2}
    assert tokens_of(checked)["accessAndFrontTokenUpdated"]
    assert claims(checked.get_access_token())["exp"] == claims(made.get_access_token())["exp"]


def the_payload_of_a_child_changes_elsewhere():
    child = refreshed(created({"role": "admin"}))
    assert syncio.merge_into_access_token_payload(child.get_handle(), {"a": 1})
    assert syncio.merge_into_access_token_payload(child.get_handle(), {"b": 2})
    checked = verified(child, check_database=True)
    assert own(checked.get_access_token_payload()) == {"role": "admin", "a": 1, "b": 2}
    checked.sync_merge_into_access_token_payload({"c": 3})
    assert own(refreshed(child).get_access_token_payload()) == {"role": "admin", "a": 1, "b": 2, "c": 3}


def the_front_token_follows():
    held = refreshed(created({"role": "admin"}))
    held.sync_merge_into_access_token_payload({"a": 1})
    front = decoded(tokens_of(held)["frontToken"])
    assert (front["uid"], own(front["up"])) == (held.get_user_id(), {"role": "admin", "a": 1})
    assert front["ate"] == claims(held.get_access_token())["exp"] * 1000


# -- claims ------------------------------------------------------------------------------------------------------------


def claims_are_fetched():
    made = created()
    for claim in (_admin, _plan, _roles):
        made.sync_fetch_and_set_claim(claim)
    after = verified(made)
    assert after.sync_get_claim_value(_admin) is True
    assert after.sync_get_claim_value(_plan) == f"plan of {made.get_user_id()}"
    assert after.sync_get_claim_value(_roles) == ["reader", "writer"]


def claims_are_set_and_removed():
    made = created()
    for claim, value in ((_admin, False), (_plan, "pro"), (_roles, [])):
        made.sync_set_claim_value(claim, value)
    after = verified(made)
    assert [after.sync_get_claim_value(claim) for claim in (_admin, _plan, _roles)] == [False, "pro", []]
    after.sync_remove_claim(_plan)
    assert verified(after).sync_get_claim_value(_plan) is None


def claims_are_set_after_a_refresh():
    held = refreshed(created({"role": "admin"}))
    for claim in (_admin, _plan, _roles):
        held.sync_fetch_and_set_claim(claim)
    held.sync_remove_claim(_plan)
    assert set(own(verified(held).get_access_token_payload())) == {"admin", "role", "roles"}


def claims_are_changed_by_handle():
    handle = created().get_handle()
    assert syncio.fetch_and_set_claim(handle, _roles)
    assert syncio.set_claim_value(handle, _plan, "pro")
    assert syncio.get_claim_value(handle, _roles).value == ["reader", "writer"]
    assert syncio.remove_claim(handle, _plan)
    found = syncio.get_claim_value(handle, _plan)
    assert isinstance(found, GetClaimValueOkResult)
    assert found.value is None


def claims_of_an_unknown_session():
    assert not syncio.fetch_and_set_claim("no-such-handle", _roles)
    assert not syncio.set_claim_value("no-such-handle", _plan, "pro")
    assert not syncio.remove_claim("no-such-handle", _plan)
    assert isinstance(syncio.get_claim_value("no-such-handle", _plan), SessionDoesNotExistError)
    assert isinstance(syncio.validate_claims_for_session_handle("no-such-handle"), SessionDoesNotExistError)


def a_primitive_claim_is_demanded():
    made = created()
    made.sync_set_claim_value(_plan, "free")
    verified(made, **_demand(_plan.validators.has_value("free")))
    with raises(InvalidClaimsError) as caught:
        verified(made, **_demand(_plan.validators.has_value("pro")))
    (wrong,) = caught[0].payload
    assert wrong.id_ == "plan"
    assert wrong.reason == {"message": "wrong value", "expectedValue": "pro", "actualValue": "free"}


def a_boolean_claim_is_demanded():
    made = created()
    made.sync_set_claim_value(_admin, False)
    verified(made, **_demand(_admin.validators.is_false(None)))
    _refuses(made, "admin", _admin.validators.is_true(None))


def _refuses(made, claim, validator):
    with raises(InvalidClaimsError) as caught:
        verified(made, **_demand(validator))
    (wrong,) = caught[0].payload
    assert (wrong.id_, wrong.reason["message"]) == (claim, "wrong value")


def an_array_claim_is_demanded():
    made, known = created(), _roles.validators
    made.sync_fetch_and_set_claim(_roles)
    verified(made, **_demand(known.includes("reader"), known.includes_all(["reader", "writer"]), known.excludes("x")))
    verified(made, **_demand(known.includes_any(["x", "reader"]), known.excludes_all(["x"])))
    for validator in (
        known.includes("x"),
        known.includes_all(["reader", "x"]),
        known.includes_any(["x"]),
        known.excludes("reader"),
        known.excludes_all(["reader"]),
    ):
        _refuses(made, "roles", validator)


def a_claim_that_is_missing_is_fetched():
    held = refreshed(created())
    passed = verified(held, **_demand(_roles.validators.includes("reader")))
    assert tokens_of(passed)["accessAndFrontTokenUpdated"]
    assert passed.sync_get_claim_value(_roles) == ["reader", "writer"]
    assert syncio.get_claim_value(held.get_handle(), _roles).value == ["reader", "writer"]


def a_claim_refuses_a_request():
    client = Client("header")
    client.create()
    answer = client.get(**_demand(_roles.validators.includes("owner", None, "must own")))
    assert (answer.status, answer.body["message"]) == (403, "invalid claim")
    assert answer.body["claimValidationErrors"][0]["id"] == "must own"
    client.refresh()
    assert client.get(**_demand(_roles.validators.includes("reader"))).status == 200


def claims_are_validated_by_handle():
    handle = created().get_handle()
    passes = syncio.validate_claims_for_session_handle(handle, lambda *_: [_roles.validators.includes("reader")])
    assert passes.invalid_claims == []
    fails = syncio.validate_claims_for_session_handle(handle, lambda *_: [_roles.validators.includes("owner")])
    assert [wrong.id_ for wrong in fails.invalid_claims] == ["roles"]


# -- tenants -----------------------------------------------------------------------------------------------------------


def _a_tenant(name="a-tenant"):
    return name, multitenancy.create_or_update_tenant(name, TenantConfigCreateOrUpdate())


def a_tenant_is_made():
    name = f"made-{time.time_ns()}"
    assert _a_tenant(name)[1].created_new is True
    assert _a_tenant(name)[1].created_new is False


def a_tenant_is_looked_at():
    name, _ = _a_tenant()
    assert multitenancy.get_tenant(name).third_party_providers == []
    assert multitenancy.get_tenant("no-such-tenant") is None


def a_session_belongs_to_a_tenant():
    (tenant, _), user = _a_tenant(), a_user()
    made, elsewhere = created({"role": "admin"}, user=user, tenant=tenant), created(user=user)
    assert verified(refreshed(made)).get_tenant_id() == tenant
    assert syncio.get_session_information(made.get_handle()).tenant_id == tenant
    assert syncio.get_all_session_handles_for_user(user, True, tenant) == [made.get_handle()]
    assert syncio.revoke_all_sessions_for_user(user, True, tenant) == [made.get_handle()]
    verified(elsewhere, check_database=True)


def the_sessions_of_a_user_in_all_tenants():
    (tenant, _), user = _a_tenant(), a_user()
    handles = {created(user=user, tenant=tenant).get_handle(), created(user=user).get_handle()}
    assert set(syncio.get_all_session_handles_for_user(user)) == handles
    assert set(syncio.revoke_all_sessions_for_user(user)) == handles


def no_tenant_is_named():
    made = created(tenant="")
    assert verified(refreshed(made)).get_tenant_id() == "public"
    assert syncio.get_session_information(made.get_handle()).tenant_id == "public"


def a_tenant_is_unknown():
    with raises(Exception, "no-such-tenant"):
        created(tenant="no-such-tenant")


# -- keys --------------------------------------------------------------------------------------------------------------


def an_access_token_has_the_kind_of_key_that_was_asked_for():
    made, kind = created(), "d-" if settings["dynamicKey"] else "s-"
    for held in (made, refreshed(made), verified(made)):
        assert key_of(held.get_access_token())[:2] == kind
    child = refreshed(made)
    child.sync_merge_into_access_token_payload({"a": 1})
    assert key_of(verified(child).get_access_token())[:2] == kind


def _elsewhere(dynamic):
    """What the core answers to an app that was set up with the other kind of key."""
    body = {"userId": a_user(), "userDataInJWT": {"iss": "http://localhost/auth"}, "userDataInDatabase": {}}
    body |= {"enableAntiCsrf": False, "useDynamicSigningKey": dynamic}
    headers = {"api-key": settings["apiKey"], "cdi-version": "5.3"}
    return httpx.post(f"{settings['core']}/recipe/session", json=body, headers=headers, timeout=20).json()


def the_app_changes_the_kind_of_key():
    before, kind = _elsewhere(not settings["dynamicKey"]), "d-" if settings["dynamicKey"] else "s-"
    assert key_of(before["accessToken"]["token"])[:2] != kind
    with raises(TryRefreshTokenError):
        _by_token(before["accessToken"]["token"])
    child = _by_refresh_token(before["refreshToken"]["token"], disable_anti_csrf=True)
    for held in (child, verified(child, anti_csrf_check=False)):
        assert key_of(held.get_access_token())[:2] == kind


def the_keys_are_published():
    found = syncio.get_jwks()
    published = found.keys
    assert found.validity_in_secs > 0
    known = {key.kid for key in published}
    assert key_of(created().get_access_token()) in known
    assert {kid[:2] for kid in known} == {"d-", "s-"}
    assert all((key.kty, key.alg, key.use) == ("RSA", "RS256", "sig") and key.n and key.e for key in published)
    answer = Client().call("GET", "/auth/jwt/jwks.json")
    assert {key["kid"] for key in answer.body["keys"]} == known


def discovery_says_where_the_keys_are():
    found = syncio.get_open_id_discovery_configuration()
    assert (found.issuer, found.jwks_uri) == ("http://localhost/auth", "http://localhost/auth/jwt/jwks.json")
    answer = Client().call("GET", "/auth/.well-known/openid-configuration")
    assert (answer.body["issuer"], answer.body["jwks_uri"]) == (found.issuer, found.jwks_uri)


def a_token_is_made_for_a_service():
    known = {key.kid for key in syncio.get_jwks().keys}
    for static, kind in ((None, "s-"), (True, "s-"), (False, "d-")):
        token = syncio.create_jwt({"for": "a service"}, 60, static).jwt
        said = claims(token)
        assert (said["for"], said["iss"], said["exp"] - said["iat"]) == ("a service", "http://localhost/auth", 60)
        assert key_of(token)[:2] == kind
        assert key_of(token) in known


def a_token_for_a_service_is_no_session():
    token = syncio.create_jwt({"sub": "somebody"}, 60).jwt
    with raises(UnauthorisedError):
        _by_token(token)


# -- with VIA_TOKEN ----------------------------------------------------------------------------------------------------


def only_cookies_need_an_anti_csrf_token():
    cookies, headers = Client("cookie"), Client("header")
    cookies.create()
    headers.create()
    assert cookies.tokens["anti_csrf"]
    assert "anti_csrf" not in headers.tokens
    assert headers.get("POST").status == 200
    assert headers.refresh().status == 200


def an_unsafe_request_needs_the_anti_csrf_token():
    client = Client("cookie")
    client.create()
    for wrong in ("", "wrong"):
        attacker = client.copy(anti_csrf=wrong)
        answer = attacker.get("POST")
        assert (answer.status, answer.body) == (401, {"message": "try refresh token"})
        assert attacker.get("GET").status == 200
        assert attacker.get("POST", anti_csrf_check=False).status == 200
        assert attacker.get("GET", anti_csrf_check=True).status == 401
    assert client.get("POST").status == 200


def a_refresh_needs_the_anti_csrf_token():
    client = Client("cookie")
    made = client.create()
    assert client.copy(anti_csrf="").refresh().status == 401
    for _ in range(2):
        assert client.refresh().status == 200
        assert client.get("POST").result.get_handle() == made.get_handle()


def anti_csrf_tokens_without_a_request():
    made = created()
    tokens = tokens_of(made)
    assert tokens["antiCsrfToken"]
    verified(made)
    for wrong in (None, "wrong"):
        with raises(TryRefreshTokenError):
            _by_token(tokens["accessToken"], wrong)
    _by_token(tokens["accessToken"], None, anti_csrf_check=False)
    with raises(UnauthorisedError):
        _by_refresh_token(tokens["refreshToken"], anti_csrf_token="wrong")
    child = refreshed(made)
    verified(child)
    with raises(TryRefreshTokenError):
        _by_token(child.get_access_token(), "wrong")


def anti_csrf_tokens_are_turned_off_for_a_session():
    made = created(disable_anti_csrf=True)
    assert tokens_of(made)["antiCsrfToken"] is None
    verified(made, anti_csrf_check=False)
    child = refreshed(made, disable_anti_csrf=True)
    assert tokens_of(child)["antiCsrfToken"] is None
    verified(child, anti_csrf_check=False)


# -- with VIA_CUSTOM_HEADER --------------------------------------------------------------------------------------------


def an_unsafe_request_needs_the_custom_header():
    client = Client("cookie")
    client.create()
    assert "anti_csrf" not in client.tokens
    answer = client.get("POST")
    assert (answer.status, answer.body) == (401, {"message": "try refresh token"})
    assert client.get("GET").status == 200
    client.sent["rid"] = "session"
    assert client.get("POST").status == 200


def a_refresh_needs_the_custom_header():
    client = Client("cookie")
    client.create()
    assert client.copy().refresh().status == 401
    client.sent["rid"] = "session"
    for _ in range(2):
        assert client.refresh().status == 200
        assert client.get("POST").status == 200


def headers_need_no_custom_header():
    client = Client("header")
    client.create()
    assert client.get("POST").status == 200
    assert client.refresh().status == 200
    assert client.get("POST").status == 200


def without_a_request_the_app_looks_for_the_custom_header():
    made = created()
    with raises(Exception, "VIA_CUSTOM_HEADER"):
        verified(made)
    verified(made, anti_csrf_check=False)


# -- in an app whose tokens, sessions or keys live for seconds ---------------------------------------------------------


def _wait_for_expiry(held):
    time.sleep(max(0.0, claims(held.get_access_token())["exp"] - time.time()) + 0.05)


def lifetimes_are_those_of_the_app():
    made = created()
    said = claims(made.get_access_token())
    assert said["exp"] - said["iat"] == settings["coreConfig"]["access_token_validity"]
    known = syncio.get_session_information(made.get_handle())
    assert known.expiry - known.time_created == settings["coreConfig"]["refresh_token_validity"] * 60000


def an_access_token_expires():
    client = Client("cookie")
    made = client.create()
    _wait_for_expiry(made)
    answer = client.get()
    assert (answer.status, answer.body) == (401, {"message": "try refresh token"})
    assert client.get(check_database=True).status == 401
    assert client.refresh().status == 200
    assert client.get().result.get_handle() == made.get_handle()


def an_access_token_expires_without_a_request():
    made = created()
    _wait_for_expiry(made)
    for options in ({}, {"check_database": True}, {"session_required": False}):
        with raises(TryRefreshTokenError):
            verified(made, **options)
    verified(refreshed(made))


def the_payload_changes_when_the_access_token_has_expired():
    made = created({"role": "admin"})
    _wait_for_expiry(made)
    made.sync_merge_into_access_token_payload({"a": 1})
    assert own(made.get_access_token_payload()) == {"role": "admin", "a": 1}
    assert own(refreshed(made).get_access_token_payload()) == {"role": "admin", "a": 1}


def the_signing_key_changes():
    before, after, end = created(), created(), time.monotonic() + 9
    while key_of(before.get_access_token()) == key_of(after.get_access_token()) and time.monotonic() < end:
        time.sleep(0.2)
        before, after = after, created()
    assert key_of(before.get_access_token()) != key_of(after.get_access_token())
    verified(after)
    verified(before)
    assert key_of(refreshed(before).get_access_token()) != key_of(before.get_access_token())


def a_session_expires():
    made = created()
    time.sleep(settings["coreConfig"]["refresh_token_validity"] * 60 + 0.3)
    with raises(UnauthorisedError):
        refreshed(made)
    assert syncio.get_session_information(made.get_handle()) is None
    assert syncio.get_all_session_handles_for_user(made.get_user_id()) == []
