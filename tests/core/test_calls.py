"""The calls of a core of ours: what each one refuses, and what it responds in the versions of CDI."""

from __future__ import annotations

import io
import json
import pathlib
import re
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient

from flask_supertokens.core.requests import MAX_BODY
from flask_supertokens.protocol.cdi import VERSIONS

from ..support.caller import FIELDS, NEW, Caller, kid_of
from ..support.core_process import CoreProcess
from ..support.large_bodies import LITTLE, post_large_body
from ..support.plans import Clock
from ..support.records import sqlite_uri

# -- bad requests ------------------------------------------------------------------------------------------------------

REQUIRED = [(call, name) for call, fields in FIELDS.items() for name in fields]
ODD = ["", 0, 1.5, True, "x", [], {}, None, "\ud800", "\0", 10**30]


@pytest.mark.parametrize(("call", "name"), REQUIRED)
def test_a_field_that_is_missing_or_wrong_is_named_in_a_400(client: FlaskClient, call: str, name: str) -> None:
    """400 names the field; a value of the right type is never a 500 either."""
    method, path = call.split(" ")
    for value in ODD:
        fields = {**FIELDS[call], name: value}
        response = client.open(path, method=method, data=json.dumps(fields), headers={"cdi-version": "5.3"})
        same_type = type(value) is type(FIELDS[call][name])
        if not same_type:
            assert (response.status_code, response.text) == (400, f"Field name '{name}' is invalid in JSON input\n")
        assert response.status_code < 500 or "Invalid JWT" in response.text
    fields = {key: value for key, value in FIELDS[call].items() if key != name}
    response = client.open(path, method=method, data=json.dumps(fields), headers={"cdi-version": "5.3"})
    assert response.text == f"Field name '{name}' is invalid in JSON input\n"


OPTIONAL: list[tuple[str, dict[str, Any], str]] = [
    ("POST /recipe/session", NEW, "useDynamicSigningKey"),
    ("POST /recipe/session/refresh", FIELDS["POST /recipe/session/refresh"], "antiCsrfToken"),
    ("POST /recipe/session/regenerate", {"accessToken": "x"}, "userDataInJWT"),
    ("POST /recipe/session/remove", {}, "sessionHandles"),
    ("POST /recipe/session/remove", {}, "userId"),
    ("POST /recipe/session/remove", {"userId": "x"}, "revokeAcrossAllTenants"),
    ("POST /recipe/jwt", FIELDS["POST /recipe/jwt"], "useStaticSigningKey"),
    ("PUT /recipe/multitenancy/app/v2", {"appId": "x"}, "coreConfig"),
    ("PUT /recipe/multitenancy/tenant/v2", {"tenantId": "x"}, "coreConfig"),
]


@pytest.mark.parametrize(("call", "fields", "name"), OPTIONAL)
def test_an_optional_field_that_is_wrong_is_named_in_a_400(
    plain: FlaskClient, call: str, fields: dict[str, Any], name: str
) -> None:
    """400 names it as well."""
    method, path = call.split(" ")
    for value in (0, 1.5, [1]):
        response = plain.open(path, method=method, data=json.dumps({**fields, name: value}))
        assert (response.status_code, response.text) == (400, f"Field name '{name}' is invalid in JSON input\n")


@pytest.mark.parametrize(
    "fields", [{}, {"userId": "u", "sessionHandles": []}, {"userId": None, "sessionHandles": None}]
)
def test_a_removal_that_names_neither_or_both_of_user_and_handles_is_refused(
    plain: FlaskClient, fields: dict[str, Any]
) -> None:
    """It is not clear who is meant."""
    response = Caller(plain).post("/recipe/session/remove", fields)
    said = "Invalid JSON input - use one of userId or sessionHandles array\n"
    assert (response.status_code, response.text) == (400, said)


@pytest.mark.parametrize(
    ("path", "name"),
    [("/recipe/session", "sessionHandle"), ("/recipe/session/user", "userId"), ("/user/id", "userId")],
)
def test_a_missing_parameter_is_named_in_a_400(plain: FlaskClient, path: str, name: str) -> None:
    """400 names it."""
    response = Caller(plain).get(path, wrong="x")
    assert (response.status_code, response.text) == (400, f"Field name '{name}' is missing in GET request\n")


@pytest.mark.parametrize("validity", [0, -1])
def test_a_jwt_that_would_have_expired_is_refused(plain: FlaskClient, validity: int) -> None:
    """It is refused."""
    response = Caller(plain).post("/recipe/jwt", FIELDS["POST /recipe/jwt"], validity=validity)
    assert (response.status_code, response.text) == (400, "validity must be greater than or equal to 0\n")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000, b'{"a":' * 10_000, b"1"])
def test_a_body_that_is_no_object_is_a_400_in_the_words_of_a_core(plain: FlaskClient, body: bytes) -> None:
    """400, in the words of a core."""
    response = Caller(plain).post("/recipe/session", body)
    assert (response.status_code, response.text) == (400, "Invalid Json Input\n")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_far_too_large_body_is_a_413_before_much_of_it_was_sent(tmp_path: pathlib.Path, chunked: bool) -> None:
    """It is answered 413 when little of it was sent: neither disk nor memory fills."""
    with CoreProcess(sqlite_uri(tmp_path)) as core:
        sent, answer = post_large_body(core.port, "/recipe/session", chunked=chunked)
        assert requests.post(f"{core.uri}/recipe/session", json=NEW, timeout=10).json()["status"] == "OK"
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert sent < LITTLE


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_too_large_for_an_app_is_a_413_on_every_server(plain: FlaskClient, chunked: bool) -> None:
    """413 on every server: no more than a byte too many is read."""
    body = io.BytesIO(b" " * (MAX_BODY * 2))
    length = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"} if chunked else {}
    environ = {"wsgi.input": body, "CONTENT_LENGTH": str(MAX_BODY * 2), **length}
    response = plain.post("/recipe/session", environ_overrides=environ)
    assert (response.status_code, response.text) == (413, f"The body is larger than {MAX_BODY} bytes\n")
    assert body.tell() == (MAX_BODY + 1 if chunked else 0)


def test_a_body_that_is_too_large_is_not_read(plain: FlaskClient) -> None:
    """It is not read."""
    assert Caller(plain).post("/recipe/session", b'"' + b"x" * MAX_BODY + b'"').status_code == 413


@pytest.mark.parametrize("value", ['{"a":NaN}', '{"a":1e999}', '{"a":"\\ud800"}', '{"\\ud800":1}'])
def test_a_payload_that_is_no_json_is_refused_and_makes_no_session(core: Caller, value: str) -> None:
    """Python reads it; it is refused, and no session is made."""
    body = json.dumps(NEW).replace('{"a": 1}', value)
    assert core.post("/recipe/session", body).status_code == 400
    assert core.get("/recipe/session/user", userId="u").json == {"status": "OK", "sessionHandles": []}


@pytest.mark.parametrize("user_id", ["u", "", "x" * 255, "用" * 255, "a b", "'; DROP TABLE"])
def test_any_user_id_even_an_empty_one_is_kept_as_it_is(core: Caller, user_id: str) -> None:
    """As it is, an empty one too: so a real core does, and the official SDKs' own tests use it."""
    created = core.create(userId=user_id)
    assert created["session"]["userId"] == user_id
    assert core.verify(created["accessToken"]["token"])["session"]["userId"] == user_id
    assert core.refresh(created["refreshToken"]["token"])["session"]["recipeUserId"] == user_id
    assert core.get("/recipe/session", sessionHandle=created["session"]["handle"]).json["userId"] == user_id
    assert len(core.get("/recipe/session/user", userId=user_id).json["sessionHandles"]) == 1
    assert len(core.post("/recipe/session/remove", userId=user_id).json["sessionHandlesRevoked"]) == 1


@pytest.mark.parametrize("user_id", ["x" * 256, "\0", "\ud800"])
def test_a_user_id_that_cannot_be_kept_is_an_invalid_field(plain: FlaskClient, user_id: str) -> None:
    """The field is invalid."""
    response = Caller(plain).post("/recipe/session", NEW, userId=user_id)
    assert (response.status_code, response.text) == (400, "Field name 'userId' is invalid in JSON input\n")


# -- dialects ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_protected_names_of_a_token_are_refused_and_ours_are_dropped(plain: FlaskClient, version: str) -> None:
    """Those of the version that is minted; ours are dropped."""
    core = Caller(plain, version)
    always = ["sub", "iat", "exp", "sessionHandle", "refreshTokenHash1", "parentRefreshTokenHash1", "antiCsrfToken"]
    later = [*(["tId"] if version != "2.21" else []), *(["rsub"] if version[0] in "45" else [])]
    for name in (*always, *later, "stt", "nbf"):
        response = core.post("/recipe/session", NEW, userDataInJWT={name: 1})
        assert (response.status_code, response.text) == (400, "The user payload contains protected field\n"), name
    theirs = {"iss": "x", "auth_time": 1}
    created = core.create(userDataInJWT={**theirs, "st-born": 1, "st-static": True})
    assert created["session"]["userDataInJWT"] == theirs


def test_protected_names_in_a_payload_that_replaces_another_are_refused(plain: FlaskClient) -> None:
    """In a payload that replaces another; the stored one stays."""
    core = Caller(plain)
    created = core.create()
    raw, handle = created["accessToken"]["token"], created["session"]["handle"]
    for response in (
        core.post("/recipe/session/regenerate", accessToken=raw, userDataInJWT={"rsub": "x"}),
        core.put("/recipe/jwt/data", sessionHandle=handle, userDataInJWT={"rsub": "x"}),
    ):
        assert (response.status_code, response.text) == (400, "The user payload contains protected field\n")
    assert core.get("/recipe/session", sessionHandle=handle).json["userDataInJWT"] == {"a": 1}
    for answer in (
        core.post("/recipe/session/regenerate", accessToken=raw, userDataInJWT={"a": 2, "st-born": 1}).json["session"],
        core.get("/recipe/session", sessionHandle=handle).json,
    ):
        assert answer["userDataInJWT"] == {"a": 2}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_tenant_in_the_path_is_served_from_3_0_on(plain: FlaskClient, version: str) -> None:
    """From 3.0; what is across tenants is refused there from 5.0."""
    core = Caller(plain, version)
    response = core.get("/t1/recipe/session/user", userId="u", fetchAcrossAllTenants="false")
    assert response.status_code == (404 if version == "2.21" else 200)
    across = (core.get("/t1/recipe/session/user", userId="u"), core.post("/t1/recipe/session/remove", userId="u"))
    expected = 404 if version == "2.21" else 403 if version[0] == "5" else 200
    assert [response.status_code for response in across] == [expected, expected]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_refresh_that_leaves_the_kind_of_key_open_keeps_the_static_one(plain: FlaskClient, version: str) -> None:
    """A refresh that leaves it open keeps it, where that may be left open; the payload does not show it."""
    core = Caller(plain, version)
    created = core.create(useDynamicSigningKey=False)
    answer = core.refresh(created["refreshToken"]["token"], useDynamicSigningKey=None)
    if version[0] == "5":
        assert answer is None
        return
    assert kid_of(answer).startswith("s-")
    assert answer["session"]["userDataInJWT"] == {"a": 1}


def test_published_keys_are_kept_until_this_core_s_own_next_one(plain: FlaskClient) -> None:
    """``max-age`` is the time until this core's own next key."""
    core = Caller(plain, "5.3")
    core.create()
    age = core.get("/.well-known/jwks.json").headers["Cache-Control"]
    assert re.fullmatch(r"max-age=1000000000, must-revalidate", age)


@pytest.mark.parametrize(("version", "kind"), [("2.21", "d-"), ("3.0", "s-"), ("5.3", "s-")])
def test_a_refresh_changes_to_the_kind_of_key_that_it_asks_for(plain: FlaskClient, version: str, kind: str) -> None:
    """A refresh changes to it, but for 2.21, where that does not exist."""
    core = Caller(plain, version)
    created = core.create(useDynamicSigningKey=True)
    assert kid_of(core.refresh(created["refreshToken"]["token"], useDynamicSigningKey=False)).startswith(kind)


def test_the_refresh_of_a_young_child_returns_the_refresh_token_that_was_sent(core: Caller) -> None:
    """The refresh token is the one that was sent: CDI has no answer without one."""
    child = core.refresh(core.create()["refreshToken"]["token"])["refreshToken"]["token"]
    echo = core.refresh(child)
    assert (echo["status"], echo["refreshToken"]["token"]) == ("OK", child)


@pytest.mark.parametrize("from_the_start", [True, False])
def test_the_refresh_of_a_young_child_returns_the_anti_csrf_token_it_needs(
    plain: FlaskClient, from_the_start: bool
) -> None:
    """The answer has the anti-CSRF token that its access token needs, also if the session was made without."""
    core = Caller(plain)
    created = core.create(enableAntiCsrf=from_the_start)
    asked = {"enableAntiCsrf": True, "antiCsrfToken": created.get("antiCsrfToken")}
    child = core.refresh(created["refreshToken"]["token"], **asked)
    echo = core.refresh(child["refreshToken"]["token"], enableAntiCsrf=True, antiCsrfToken=child["antiCsrfToken"])
    checks = {"enableAntiCsrf": True, "doAntiCsrfCheck": True, "antiCsrfToken": echo["antiCsrfToken"]}
    assert core.verify(echo["accessToken"]["token"], **checks)["status"] == "OK"
    assert (echo["antiCsrfToken"] == child["antiCsrfToken"]) is from_the_start


def test_a_refresh_with_anti_csrf_switched_off_has_and_asks_for_no_token(plain: FlaskClient) -> None:
    """No answer to a refresh has an anti-CSRF token, and none asks for one."""
    core = Caller(plain)
    child = core.refresh(core.create(enableAntiCsrf=True)["refreshToken"]["token"])
    echo = core.refresh(child["refreshToken"]["token"])
    assert (child["status"], echo["status"]) == ("OK", "OK")
    assert "antiCsrfToken" not in child.keys() | echo.keys()


@pytest.mark.parametrize("fields", [{}, {"userDataInJWT": {"a": 2}}])
def test_regenerating_an_expired_token_stores_the_payload_and_returns_no_token(
    core: Caller, clock: Clock, fields: dict[str, Any]
) -> None:
    """The payload is stored, or kept; there is no token in the answer, since a refresh brings one."""
    created = core.create()
    clock.wait(3601_000)
    answer = core.post("/recipe/session/regenerate", fields, accessToken=created["accessToken"]["token"]).json
    assert (answer["status"], "accessToken" in answer) == ("OK", False)
    stored = core.get("/recipe/session", sessionHandle=created["session"]["handle"]).json["userDataInJWT"]
    assert answer["session"]["userDataInJWT"] == stored == fields.get("userDataInJWT", {"a": 1})


def test_a_regenerated_token_ends_with_the_one_before_and_keeps_the_payload(core: Caller, clock: Clock) -> None:
    """Without a payload it has the stored one."""
    created = core.create()
    core.put("/recipe/jwt/data", sessionHandle=created["session"]["handle"], userDataInJWT={"a": 3})
    clock.wait(60_000)
    answer = core.post("/recipe/session/regenerate", accessToken=created["accessToken"]["token"]).json
    assert answer["session"]["userDataInJWT"] == {"a": 3}
    assert answer["accessToken"]["expiry"] == created["accessToken"]["expiry"]
    assert answer["accessToken"]["createdTime"] == created["accessToken"]["createdTime"] + 60_000


@pytest.mark.parametrize(
    ("check_database", "message"),
    [(True, "Either the session has ended or has been blacklisted"), (False, "Session missing in db")],
)
def test_the_first_use_of_a_child_says_that_its_session_has_ended(
    plain: FlaskClient, check_database: bool, message: str
) -> None:
    """Its first use says so."""
    core = Caller(plain)
    child = core.refresh(core.create()["refreshToken"]["token"])
    core.post("/recipe/session/remove", userId="u")
    answer = core.verify(child["accessToken"]["token"], checkDatabase=check_database)
    assert answer == {"status": "UNAUTHORISED", "message": message}


def test_a_jwt_that_would_pass_for_an_access_token_is_not_made(plain: FlaskClient) -> None:
    """It is not made."""
    response = Caller(plain).post("/recipe/jwt", FIELDS["POST /recipe/jwt"], payload={"sessionHandle": "h", "sub": "u"})
    assert (response.status_code, "sessionHandle" in response.text) == (400, True)
