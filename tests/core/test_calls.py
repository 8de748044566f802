"""A core of ours: what it refuses, whom it serves, and what its apps do not see of one another."""

from __future__ import annotations

import gc
import io
import json
import logging
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from flask_supertokens import SuperTokens
from flask_supertokens.core.apps import MAX_APPS
from flask_supertokens.core.requests import MAX_BODY
from flask_supertokens.core.serving import make_core_app
from flask_supertokens.core_app import create_app, create_core, make_blueprint
from flask_supertokens.protocol.cdi import VERSIONS
from flask_supertokens.protocol.model import SigningKey
from flask_supertokens.signing import RELOAD_EVERY
from flask_supertokens.stores.base import BATCH, Store
from flask_supertokens.stores.memory import MemoryStore

from ..support.core_process import CoreProcess
from ..support.engines import a_session
from ..support.large_bodies import LITTLE, post_large_body
from ..support.plans import ACCESS_LIFETIME, REFRESH_LIFETIME, Clock
from ..support.records import a_record, sql_store, sqlite_uri
from ..support.served import a_core
from ..support.wire import BrokenStore

API_KEY = "a-key-of-twenty-characters-or-more"
NEW = {"userId": "u", "userDataInJWT": {"a": 1}, "userDataInDatabase": {"b": 2}, "enableAntiCsrf": False}


class CoreClient:
    """Calls in one version of CDI."""

    def __init__(
        self, client: FlaskClient, version: str | None = "5.3", key: str | None = None, base: str = ""
    ) -> None:
        self._client = client
        self._headers = {
            name: value for name, value in (("cdi-version", version), ("api-key", key)) if value is not None
        }
        self._base = base

    def post(self, path: str, body: Any = None, **fields: Any) -> TestResponse:
        given = {**(body or {}), **fields} if not isinstance(body, bytes | str | list) else body
        data = given if isinstance(given, bytes | str) else json.dumps(given)
        return self._client.post(f"{self._base}{path}", data=data, headers=self._headers)

    def put(self, path: str, **fields: Any) -> TestResponse:
        return self._client.put(f"{self._base}{path}", data=json.dumps(fields), headers=self._headers)

    def get(self, path: str, **query: str) -> TestResponse:
        return self._client.get(f"{self._base}{path}", query_string=query, headers=self._headers)

    def create(self, path: str = "/recipe/session", **fields: Any) -> dict[str, Any]:
        response = self.post(path, NEW, **fields)
        assert response.status_code == 200, response.text
        return dict(response.json)

    def refresh(self, token: str, **fields: Any) -> Any:
        asked = {"refreshToken": token, "enableAntiCsrf": False, "useDynamicSigningKey": True, **fields}
        return self.post(
            "/recipe/session/refresh", {name: value for name, value in asked.items() if value is not None}
        ).json

    def verify(self, token: str, **fields: Any) -> Any:
        asked = {
            "accessToken": token,
            "enableAntiCsrf": False,
            "doAntiCsrfCheck": False,
            "checkDatabase": False,
            **fields,
        }
        return self.post("/recipe/session/verify", asked).json


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    with sql_store(sqlite_uri(tmp_path)) as store:
        yield store


@pytest.fixture
def client(store: Store, clock: Clock, keys_of_a_core: list[SigningKey]) -> FlaskClient:
    return make_core_app(a_core(store, clock, *keys_of_a_core)).test_client()


@pytest.fixture
def core(client: FlaskClient) -> CoreClient:
    return CoreClient(client)


@pytest.fixture(scope="module")
def plain(keys_of_a_core: list[SigningKey]) -> FlaskClient:
    """One in memory for all tests on what neither a store nor the time decides: reading a key takes a while."""
    return make_core_app(a_core(MemoryStore(), Clock(), *keys_of_a_core)).test_client()


# -- bad requests ------------------------------------------------------------------------------------------------------

FIELDS: dict[str, dict[str, Any]] = {
    "POST /recipe/session": NEW,
    "POST /recipe/session/verify": {
        "accessToken": "x",
        "enableAntiCsrf": False,
        "doAntiCsrfCheck": False,
        "checkDatabase": False,
    },
    "POST /recipe/session/refresh": {"refreshToken": "x", "enableAntiCsrf": False, "useDynamicSigningKey": True},
    "POST /recipe/session/regenerate": {"accessToken": "x"},
    "PUT /recipe/session/data": {"sessionHandle": "x", "userDataInDatabase": {}},
    "PUT /recipe/jwt/data": {"sessionHandle": "x", "userDataInJWT": {}},
    "POST /recipe/jwt": {"payload": {}, "algorithm": "RS256", "jwksDomain": "x", "validity": 100},
    "PUT /recipe/multitenancy/app/v2": {"appId": "x"},
    "PUT /recipe/multitenancy/tenant/v2": {"tenantId": "x"},
}
REQUIRED = [(call, name) for call, fields in FIELDS.items() for name in fields]
ODD = ["", 0, 1.5, True, "x", [], {}, None, "\ud800", "\0", 10**30]


@pytest.mark.parametrize(("call", "name"), REQUIRED)
def test_a_field_is_missing_or_wrong(client: FlaskClient, call: str, name: str) -> None:
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
def test_an_optional_field_is_wrong(plain: FlaskClient, call: str, fields: dict[str, Any], name: str) -> None:
    """400 names it as well."""
    method, path = call.split(" ")
    for value in (0, 1.5, [1]):
        response = plain.open(path, method=method, data=json.dumps({**fields, name: value}))
        assert (response.status_code, response.text) == (400, f"Field name '{name}' is invalid in JSON input\n")


@pytest.mark.parametrize(
    "fields", [{}, {"userId": "u", "sessionHandles": []}, {"userId": None, "sessionHandles": None}]
)
def test_who_is_to_be_removed_is_not_clear(plain: FlaskClient, fields: dict[str, Any]) -> None:
    """Neither a user nor handles, or both."""
    response = CoreClient(plain).post("/recipe/session/remove", fields)
    said = "Invalid JSON input - use one of userId or sessionHandles array\n"
    assert (response.status_code, response.text) == (400, said)


@pytest.mark.parametrize(
    ("path", "name"),
    [("/recipe/session", "sessionHandle"), ("/recipe/session/user", "userId"), ("/user/id", "userId")],
)
def test_a_parameter_is_missing(plain: FlaskClient, path: str, name: str) -> None:
    """400 names it."""
    response = CoreClient(plain).get(path, wrong="x")
    assert (response.status_code, response.text) == (400, f"Field name '{name}' is missing in GET request\n")


@pytest.mark.parametrize("validity", [0, -1])
def test_a_jwt_would_have_expired(plain: FlaskClient, validity: int) -> None:
    """It is refused."""
    response = CoreClient(plain).post("/recipe/jwt", FIELDS["POST /recipe/jwt"], validity=validity)
    assert (response.status_code, response.text) == (400, "validity must be greater than or equal to 0\n")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000, b'{"a":' * 10_000, b"1"])
def test_a_body_is_no_object(plain: FlaskClient, body: bytes) -> None:
    """400, in the words of a core."""
    response = CoreClient(plain).post("/recipe/session", body)
    assert (response.status_code, response.text) == (400, "Invalid Json Input\n")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_far_too_large(tmp_path: pathlib.Path, chunked: bool) -> None:
    """It is answered 413 when little of it was sent: neither disk nor memory fills."""
    with CoreProcess(sqlite_uri(tmp_path)) as core:
        sent, answer = post_large_body(core.port, "/recipe/session", chunked=chunked)
        assert requests.post(f"{core.uri}/recipe/session", json=NEW, timeout=10).json()["status"] == "OK"
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert sent < LITTLE


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_too_large_for_an_app(plain: FlaskClient, chunked: bool) -> None:
    """413 on every server: no more than a byte too many is read."""
    body = io.BytesIO(b" " * (MAX_BODY * 2))
    length = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"} if chunked else {}
    environ = {"wsgi.input": body, "CONTENT_LENGTH": str(MAX_BODY * 2), **length}
    response = plain.post("/recipe/session", environ_overrides=environ)
    assert (response.status_code, response.text) == (413, f"The body is larger than {MAX_BODY} bytes\n")
    assert body.tell() == (MAX_BODY + 1 if chunked else 0)


def test_a_body_is_too_large(plain: FlaskClient) -> None:
    """It is not read."""
    assert CoreClient(plain).post("/recipe/session", b'"' + b"x" * MAX_BODY + b'"').status_code == 413


@pytest.mark.parametrize("value", ['{"a":NaN}', '{"a":1e999}', '{"a":"\\ud800"}', '{"\\ud800":1}'])
def test_a_payload_is_no_json(core: CoreClient, value: str) -> None:
    """Python reads it; it is refused, and no session is made."""
    body = json.dumps(NEW).replace('{"a": 1}', value)
    assert core.post("/recipe/session", body).status_code == 400
    assert core.get("/recipe/session/user", userId="u").json == {"status": "OK", "sessionHandles": []}


@pytest.mark.parametrize("user_id", ["u", "", "x" * 255, "用" * 255, "a b", "'; DROP TABLE"])
def test_a_user_id_is_kept(core: CoreClient, user_id: str) -> None:
    """As it is, an empty one too: so a real core does, and the official SDKs' own tests use it."""
    created = core.create(userId=user_id)
    assert created["session"]["userId"] == user_id
    assert core.verify(created["accessToken"]["token"])["session"]["userId"] == user_id
    assert core.refresh(created["refreshToken"]["token"])["session"]["recipeUserId"] == user_id
    assert core.get("/recipe/session", sessionHandle=created["session"]["handle"]).json["userId"] == user_id
    assert len(core.get("/recipe/session/user", userId=user_id).json["sessionHandles"]) == 1
    assert len(core.post("/recipe/session/remove", userId=user_id).json["sessionHandlesRevoked"]) == 1


@pytest.mark.parametrize("user_id", ["x" * 256, "\0", "\ud800"])
def test_a_user_id_can_not_be_kept(plain: FlaskClient, user_id: str) -> None:
    """The field is invalid."""
    response = CoreClient(plain).post("/recipe/session", NEW, userId=user_id)
    assert (response.status_code, response.text) == (400, "Field name 'userId' is invalid in JSON input\n")


@pytest.mark.parametrize(
    "path", ["/", "/x", "//recipe/session", "/recipe/session/", "/appid-/recipe/session", "/appid-!/hello"]
)
def test_a_path_is_unknown(plain: FlaskClient, path: str) -> None:
    """404, not a redirect and not a guess."""
    response = plain.get(f"http://localhost{path}")
    assert (response.status_code, response.text) == (404, "Not found\n")


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "PUT", "HEAD"])
def test_a_method_is_unknown(plain: FlaskClient, method: str) -> None:
    """A known path that is asked by another method is answered 405."""
    assert plain.open("/recipe/session", method=method).status_code == 405


@pytest.mark.parametrize("version", ["99.0", "2.20", "", "5", "5.3.1", "x" * 5000])
def test_a_version_is_unknown(plain: FlaskClient, version: str) -> None:
    """The text begins as SDKs expect it; calls that have no version do not look at it."""
    for path in ("/hello", "/apiversion", "/.well-known/jwks.json"):
        assert CoreClient(plain, version).get(path).status_code == 200
    response = CoreClient(plain, version).get("/recipe/session", sessionHandle="x")
    assert (response.status_code, response.text.startswith("cdi-version ")) == (400, True)
    assert len(response.text) < 100


def test_no_version_is_named(plain: FlaskClient) -> None:
    """The newest is meant."""
    assert CoreClient(plain, None).create()["session"]["recipeUserId"] == "u"


# -- dialects ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_names_of_a_token_are_protected(plain: FlaskClient, version: str) -> None:
    """Those of the version that is minted; ours are dropped."""
    core = CoreClient(plain, version)
    always = ["sub", "iat", "exp", "sessionHandle", "refreshTokenHash1", "parentRefreshTokenHash1", "antiCsrfToken"]
    later = [*(["tId"] if version != "2.21" else []), *(["rsub"] if version[0] in "45" else [])]
    for name in (*always, *later, "stt", "nbf"):
        response = core.post("/recipe/session", NEW, userDataInJWT={name: 1})
        assert (response.status_code, response.text) == (400, "The user payload contains protected field\n"), name
    theirs = {"iss": "x", "auth_time": 1}
    created = core.create(userDataInJWT={**theirs, "st-born": 1, "st-static": True})
    assert created["session"]["userDataInJWT"] == theirs


def test_names_are_protected_later_too(plain: FlaskClient) -> None:
    """In a payload that replaces another; the stored one stays."""
    core = CoreClient(plain)
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
def test_a_tenant_is_in_the_path(plain: FlaskClient, version: str) -> None:
    """From 3.0; what is across tenants is refused there from 5.0."""
    core = CoreClient(plain, version)
    response = core.get("/t1/recipe/session/user", userId="u", fetchAcrossAllTenants="false")
    assert response.status_code == (404 if version == "2.21" else 200)
    across = (core.get("/t1/recipe/session/user", userId="u"), core.post("/t1/recipe/session/remove", userId="u"))
    expected = 404 if version == "2.21" else 403 if version[0] == "5" else 200
    assert [response.status_code for response in across] == [expected, expected]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_static_key_was_asked_for(plain: FlaskClient, version: str) -> None:
    """A refresh that leaves it open keeps it, where that may be left open; the payload does not show it."""
    core = CoreClient(plain, version)
    created = core.create(useDynamicSigningKey=False)
    answer = core.refresh(created["refreshToken"]["token"], useDynamicSigningKey=None)
    if version[0] == "5":
        assert answer is None
        return
    assert kid_of(answer).startswith("s-")
    assert answer["session"]["userDataInJWT"] == {"a": 1}


def test_keys_are_kept_until_the_next_one(plain: FlaskClient) -> None:
    """``max-age`` is the time until this core's own next key."""
    core = CoreClient(plain, "5.3")
    core.create()
    age = core.get("/.well-known/jwks.json").headers["Cache-Control"]
    assert re.fullmatch(r"max-age=1000000000, must-revalidate", age)


@pytest.mark.parametrize(("version", "kind"), [("2.21", "d-"), ("3.0", "s-"), ("5.3", "s-")])
def test_another_kind_of_key_is_asked_for(plain: FlaskClient, version: str, kind: str) -> None:
    """A refresh changes to it, but for 2.21, where that does not exist."""
    core = CoreClient(plain, version)
    created = core.create(useDynamicSigningKey=True)
    assert kid_of(core.refresh(created["refreshToken"]["token"], useDynamicSigningKey=False)).startswith(kind)


def kid_of(answer: dict[str, Any]) -> str:
    return str(jwt.get_unverified_header(answer["accessToken"]["token"])["kid"])


def test_a_young_child_is_refreshed(core: CoreClient) -> None:
    """The refresh token is the one that was sent: CDI has no answer without one."""
    child = core.refresh(core.create()["refreshToken"]["token"])["refreshToken"]["token"]
    echo = core.refresh(child)
    assert (echo["status"], echo["refreshToken"]["token"]) == ("OK", child)


@pytest.mark.parametrize("from_the_start", [True, False])
def test_a_young_child_is_refreshed_with_anti_csrf(plain: FlaskClient, from_the_start: bool) -> None:
    """The answer has the anti-CSRF token that its access token needs, also if the session was made without."""
    core = CoreClient(plain)
    created = core.create(enableAntiCsrf=from_the_start)
    asked = {"enableAntiCsrf": True, "antiCsrfToken": created.get("antiCsrfToken")}
    child = core.refresh(created["refreshToken"]["token"], **asked)
    echo = core.refresh(child["refreshToken"]["token"], enableAntiCsrf=True, antiCsrfToken=child["antiCsrfToken"])
    checks = {"enableAntiCsrf": True, "doAntiCsrfCheck": True, "antiCsrfToken": echo["antiCsrfToken"]}
    assert core.verify(echo["accessToken"]["token"], **checks)["status"] == "OK"
    assert (echo["antiCsrfToken"] == child["antiCsrfToken"]) is from_the_start


def test_anti_csrf_is_switched_off(plain: FlaskClient) -> None:
    """No answer to a refresh has an anti-CSRF token, and none asks for one."""
    core = CoreClient(plain)
    child = core.refresh(core.create(enableAntiCsrf=True)["refreshToken"]["token"])
    echo = core.refresh(child["refreshToken"]["token"])
    assert (child["status"], echo["status"]) == ("OK", "OK")
    assert "antiCsrfToken" not in child.keys() | echo.keys()


@pytest.mark.parametrize("fields", [{}, {"userDataInJWT": {"a": 2}}])
def test_an_expired_token_is_regenerated(core: CoreClient, clock: Clock, fields: dict[str, Any]) -> None:
    """The payload is stored, or kept; there is no token in the answer, since a refresh brings one."""
    created = core.create()
    clock.wait(3601_000)
    answer = core.post("/recipe/session/regenerate", fields, accessToken=created["accessToken"]["token"]).json
    assert (answer["status"], "accessToken" in answer) == ("OK", False)
    stored = core.get("/recipe/session", sessionHandle=created["session"]["handle"]).json["userDataInJWT"]
    assert answer["session"]["userDataInJWT"] == stored == fields.get("userDataInJWT", {"a": 1})


def test_a_regenerated_token_ends_with_the_one_before(core: CoreClient, clock: Clock) -> None:
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
def test_a_child_comes_after_its_session_has_ended(plain: FlaskClient, check_database: bool, message: str) -> None:
    """Its first use says so."""
    core = CoreClient(plain)
    child = core.refresh(core.create()["refreshToken"]["token"])
    core.post("/recipe/session/remove", userId="u")
    answer = core.verify(child["accessToken"]["token"], checkDatabase=check_database)
    assert answer == {"status": "UNAUTHORISED", "message": message}


def test_a_jwt_would_pass_for_an_access_token(plain: FlaskClient) -> None:
    """It is not made."""
    response = CoreClient(plain).post(
        "/recipe/jwt", FIELDS["POST /recipe/jwt"], payload={"sessionHandle": "h", "sub": "u"}
    )
    assert (response.status_code, "sessionHandle" in response.text) == (400, True)


# -- who may ask -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(keys_of_a_core: list[SigningKey]) -> FlaskClient:
    keys = (API_KEY, API_KEY[::-1])
    return make_core_app(a_core(MemoryStore(), Clock(), *keys_of_a_core, api_keys=keys)).test_client()


@pytest.mark.parametrize("key", [None, "", "wrong", API_KEY[:-1], API_KEY + "x", "ü"])
def test_the_api_key_is_wrong(guarded: FlaskClient, key: str | None) -> None:
    """401 for every call but the public ones, whatever else is wrong."""
    core = CoreClient(guarded, key=key)
    for response in (
        core.get("/apiversion"),
        core.post("/recipe/session", b"{"),
        core.put("/recipe/multitenancy/app/v2"),
    ):
        assert (response.status_code, response.text) == (401, "Invalid API key\n")
    assert core.get("/hello").text == "Hello\n"
    for path in ("/.well-known/jwks.json", "/recipe/jwt/jwks"):
        assert len(core.get(path).json["keys"]) == 2


BROWSERS = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "none"},
]
FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:3567",
    "127.0.0.1.evil.example",
    "10.0.0.1",
    "0.0.0.0",
    "[::2]",
    "localhost.evil",
    "x",
]
OWN_HOSTS = ["localhost", "LOCALHOST:3567", "core.localhost:1", "127.0.0.1:3567", "127.9.9.9", "[::1]:3567", "[::1]"]
CALLS_OF_A_PAGE = [
    ("POST", "/recipe/session"),
    ("GET", "/recipe/session/user"),
    ("GET", "/hello"),
    ("GET", "/recipe/jwt/jwks"),
    ("GET", "/x"),
]


@pytest.mark.parametrize("call", CALLS_OF_A_PAGE, ids=str)
@pytest.mark.parametrize("headers", [*BROWSERS, *({"Host": host} for host in FOREIGN_HOSTS)], ids=str)
def test_a_browser_calls_a_core_without_api_keys(
    plain: FlaskClient, call: tuple[str, str], headers: dict[str, str]
) -> None:
    """A page that is open on this machine gets and ends nothing, also under a name that it lets point here."""
    response = plain.open(call[1], method=call[0], headers=headers, json=NEW)
    assert response.status_code == 403
    assert "SUPERTOKENS_CORE_API_KEYS" in response.text
    assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_a_service_of_this_machine_calls_a_core_without_api_keys(plain: FlaskClient, host: str) -> None:
    """By each name of the machine itself."""
    assert plain.post("/recipe/session", json=NEW, headers={"Host": host}).json["status"] == "OK"


def test_a_core_with_api_keys_is_called_under_any_name(guarded: FlaskClient) -> None:
    """The key is what counts; a page does not have it."""
    headers = {"Host": "core.example.com", "api-key": API_KEY, **BROWSERS[0], **BROWSERS[2]}
    assert guarded.post("/recipe/session", json=NEW, headers=headers).json["status"] == "OK"


@pytest.mark.parametrize("key", [API_KEY, API_KEY[::-1]])
def test_one_of_several_api_keys_is_sent(guarded: FlaskClient, key: str) -> None:
    """Each is good."""
    assert CoreClient(guarded, key=key).create()["status"] == "OK"


def test_nothing_secret_is_logged(guarded: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """Neither tokens nor keys, at any level."""
    caplog.set_level(logging.DEBUG)
    core = CoreClient(guarded, key=API_KEY)
    created = core.create()
    core.refresh(created["refreshToken"]["token"])
    core.verify("garbage")
    for secret in (API_KEY, created["refreshToken"]["token"], created["accessToken"]["token"]):
        assert secret not in caplog.text


@pytest.fixture
def broken(clock: Clock, keys_of_a_core: list[SigningKey]) -> tuple[BrokenStore, CoreClient]:
    """A store to break, and a core on it."""
    store = BrokenStore()
    return store, CoreClient(make_core_app(a_core(store, clock, *keys_of_a_core)).test_client())


def test_the_store_is_down(broken: tuple[BrokenStore, CoreClient], caplog: pytest.LogCaptureFixture) -> None:
    """Each call that needs it is a 503 in words that tell nothing of the database; the log has the reason, and no token."""
    store, core = broken
    created = core.create()
    raw, token = created["accessToken"]["token"], created["refreshToken"]["token"]
    store.down = True
    for call, fields in {**FIELDS, "POST /recipe/session/remove": {"userId": "x"}}.items():
        method, path = call.split(" ")
        genuine = {"accessToken": raw, "refreshToken": token, "checkDatabase": True}
        asked = {name: genuine.get(name, value) for name, value in fields.items()}
        response = getattr(core, method.lower())(path, **asked)
        said = "The session store can't be reached; nothing was changed.\n"
        assert call == "POST /recipe/jwt" or (response.status_code, response.text) == (503, said), call
    assert "the disk is gone" in caplog.text
    assert not any(secret in caplog.text for secret in (raw, token))


def test_the_store_fails_halfway(broken: tuple[BrokenStore, CoreClient], monkeypatch: pytest.MonkeyPatch) -> None:
    """503 says how many sessions of a user were ended; the same call once more ends the rest."""
    store, core = broken
    for number in range(BATCH + 5):
        store.add(a_record(f"handle-{number:03d}", user_id="crowd"))
    assert len(core.get("/recipe/session/user", userId="crowd").json["sessionHandles"]) == BATCH + 5
    remove = store.remove
    down = BrokenStore()
    down.down = True
    with monkeypatch.context() as faults:
        faults.setattr(store, "remove", lambda handles: (remove if len(handles) == BATCH else down.remove)(handles))
        response = core.post("/recipe/session/remove", userId="crowd")
    assert (response.status_code, f"{BATCH} sessions were ended" in response.text) == (503, True)
    assert len(core.post("/recipe/session/remove", userId="crowd").json["sessionHandlesRevoked"]) == 5


@pytest.mark.parametrize("path", ["/hello", "/recipe/session", "/recipe/session/user", "/new-tenant/apiversion"])
def test_the_store_is_down_for_a_question(broken: tuple[BrokenStore, CoreClient], path: str) -> None:
    """503 as well, for a load balancer that asks whether the core is there too."""
    store, core = broken
    store.down = True
    assert core.get(path, userId="u", sessionHandle="h").status_code == 503


def test_the_store_is_back(broken: tuple[BrokenStore, CoreClient]) -> None:
    """Sessions are as they were; the public keys were there all the time."""
    store, core = broken
    created = core.create()
    store.down = True
    core.refresh(created["refreshToken"]["token"])
    assert len(core.get("/.well-known/jwks.json").json["keys"]) == 2
    store.down = False
    assert core.refresh(created["refreshToken"]["token"])["status"] == "OK"


# -- apps and tenants --------------------------------------------------------------------------------------------------


def test_apps_share_nothing(client: FlaskClient, core: CoreClient, clock: Clock) -> None:
    """Sessions, refresh tokens, keys and users of one are unknown to the other."""
    clock.wait(1)  # keys are named by the moment when they were made
    assert core.put("/recipe/multitenancy/app/v2", appId="shop").json == {"status": "OK", "createdNew": True}
    shop = CoreClient(client, base="/appid-shop")
    created = core.create()
    handle = created["session"]["handle"]
    assert shop.refresh(created["refreshToken"]["token"])["status"] == "UNAUTHORISED"
    assert shop.verify(created["accessToken"]["token"]) == {"status": "TRY_REFRESH_TOKEN", "message": "Key not found"}
    assert shop.get("/recipe/session", sessionHandle=handle).json["status"] == "UNAUTHORISED"
    assert shop.get("/recipe/session/user", userId="u").json["sessionHandles"] == []
    assert shop.post("/recipe/session/remove", sessionHandles=[handle]).json["sessionHandlesRevoked"] == []
    assert (
        shop.put("/recipe/session/data", sessionHandle=handle, userDataInDatabase={}).json["status"] == "UNAUTHORISED"
    )
    mine = {key["n"] for key in core.get("/.well-known/jwks.json").json["keys"]}
    assert mine.isdisjoint(key["n"] for key in shop.get("/.well-known/jwks.json").json["keys"])
    assert core.get("/recipe/session", sessionHandle=handle).json["status"] == "OK"


def test_apps_and_tenants_are_added(client: FlaskClient, core: CoreClient) -> None:
    """Once; an app within an app, and odd names, are refused."""
    assert core.put("/recipe/multitenancy/tenant/v2", tenantId="T2").json["createdNew"] is True
    assert core.put("/recipe/multitenancy/tenant/v2", tenantId="t2").json["createdNew"] is False
    assert core.create("/t2/recipe/session")["session"]["tenantId"] == "t2"
    core.put("/recipe/multitenancy/app/v2", appId="shop")
    assert CoreClient(client, base="/appid-shop").put("/recipe/multitenancy/app/v2", appId="x").status_code == 403
    for name in ("", "a/b", "ä", "a" * 58, "appid-x", "a b"):
        assert core.put("/recipe/multitenancy/tenant/v2", tenantId=name).status_code == 400


def test_no_tenant_is_named_in_an_app(client: FlaskClient, core: CoreClient) -> None:
    """An SDK that is given an empty name leaves two slashes: it is the public tenant."""
    core.put("/recipe/multitenancy/app/v2", appId="shop")
    assert CoreClient(client, base="/appid-shop").create("//recipe/session")["session"]["tenantId"] == "public"


def test_what_was_there_all_the_time_is_added(client: FlaskClient, core: CoreClient) -> None:
    """The public app and tenant are not new; nor is the public tenant of an app."""
    core.put("/recipe/multitenancy/app/v2", appId="Shop")
    shop = CoreClient(client, base="/appid-shop")
    for answer in (
        core.put("/recipe/multitenancy/tenant/v2", tenantId="public"),
        core.put("/recipe/multitenancy/app/v2", appId="public"),
        core.put("/recipe/multitenancy/app/v2", appId="shop"),
        shop.put("/recipe/multitenancy/tenant/v2", tenantId="public"),
    ):
        assert answer.json == {"status": "OK", "createdNew": False}


def test_a_tenant_of_one_app_is_unknown_to_another(client: FlaskClient, core: CoreClient) -> None:
    """As an unknown app is."""
    core.put("/recipe/multitenancy/app/v2", appId="shop")
    CoreClient(client, base="/appid-shop").put("/recipe/multitenancy/tenant/v2", tenantId="t2")
    assert CoreClient(client, base="/appid-shop").create("/t2/recipe/session")["session"]["tenantId"] == "t2"
    for base, names in (("/t2", "public, t2"), ("/appid-none", "none, public"), ("/appid-none/t2", "none, t2")):
        response = CoreClient(client, base=base).get("/recipe/session", sessionHandle="h")
        assert (response.status_code, response.text.endswith(f" not found: (, {names})\n")) == (400, True)


def test_names_of_apps_and_tenants_have_capitals(client: FlaskClient, core: CoreClient) -> None:
    """They are those in lower case, when they are added and in a path: SDKs write them as they were given."""
    assert core.put("/recipe/multitenancy/app/v2", appId="Shop").json["createdNew"] is True
    for base in ("/appid-Shop", "/appid-shop"):
        shop = CoreClient(client, base=base)
        assert shop.put("/recipe/multitenancy/tenant/v2", tenantId="Acme").status_code == 200
        assert shop.create("/Acme/recipe/session")["session"]["tenantId"] == "acme"
        assert shop.create("/acme/recipe/session")["session"]["tenantId"] == "acme"
    assert CoreClient(client, base="/appid-X").get("/recipe/session", sessionHandle="h").status_code == 400


def test_tenants_share_a_user(client: FlaskClient, core: CoreClient) -> None:
    """Lists and revokes are of one tenant, or of all from the public one; a handle is found from anywhere."""
    here, there = core.create()["session"], core.create("/t1/recipe/session")["session"]
    t1 = CoreClient(client, base="/t1")
    assert t1.get("/recipe/session", sessionHandle=here["handle"]).json["tenantId"] == "public"
    one = t1.get("/recipe/session/user", userId="u", fetchAcrossAllTenants="false").json
    assert one["sessionHandles"] == [there["handle"]]
    assert set(core.get("/recipe/session/user", userId="u").json["sessionHandles"]) == {here["handle"], there["handle"]}
    gone = t1.post("/recipe/session/remove", userId="u", revokeAcrossAllTenants=False).json
    assert gone["sessionHandlesRevoked"] == [there["handle"]]
    assert core.get("/recipe/session/user", userId="u").json["sessionHandles"] == [here["handle"]]


def test_unknown_tenants_are_asked_for_all_the_time(client: FlaskClient) -> None:
    """Each is refused, and nothing is kept of it."""
    gc.collect()
    before = len(gc.get_objects())
    for number in range(300):
        assert CoreClient(client).get(f"/no-{number}/recipe/session/user", userId="u").status_code == 400
    gc.collect()
    assert len(gc.get_objects()) - before < 3000


# -- settings of an app ------------------------------------------------------------------------------------------------

APP, TENANT = "/recipe/multitenancy/app/v2", "/recipe/multitenancy/tenant/v2"
ACCESS, REFRESH = "access_token_validity", "refresh_token_validity"
KEYS = "access_token_dynamic_signing_key_update_interval"


def a_shop(core: CoreClient, store: Store, *keys: SigningKey, **config: Any) -> CoreClient:
    """An app of the core with a ``coreConfig``; its keys are made already, since that takes a while."""
    for key in keys:
        there = frozenset(known.kid for known in store.of_app("shop").keys())
        store.of_app("shop").swap_keys(there, key, frozenset())
    assert core.put(APP, appId="shop", coreConfig=config).json == {"status": "OK", "createdNew": True}
    return CoreClient(core._client, base="/appid-shop")


def validity_of(created: dict[str, Any], name: str) -> int:
    return int(created[name]["expiry"] - created[name]["createdTime"])


def test_an_app_has_its_own_lifetimes(core: CoreClient, store: Store, keys_of_a_core: list[SigningKey]) -> None:
    """Seconds and minutes, in its tenants too; the core's other apps have the core's."""
    shop = a_shop(core, store, *keys_of_a_core, **{ACCESS: 2, REFRESH: "0.5"})
    shop.put(TENANT, tenantId="t2")
    created = shop.create()
    refreshed = shop.refresh(created["refreshToken"]["token"])
    for tokens in (created, refreshed, shop.create("/t2/recipe/session")):
        assert [validity_of(tokens, name) for name in ("accessToken", "refreshToken")] == [2000, 30_000]
    assert [validity_of(core.create(), name) for name in ("accessToken", "refreshToken")] == [
        ACCESS_LIFETIME,
        REFRESH_LIFETIME,
    ]


def test_lifetimes_of_an_app_are_over(
    core: CoreClient, store: Store, clock: Clock, keys_of_a_core: list[SigningKey]
) -> None:
    """The access token is to be refreshed, later the session is over."""
    shop = a_shop(core, store, *keys_of_a_core, **{ACCESS: 2, REFRESH: 0.5})
    created = shop.create()
    clock.wait(2000)
    assert shop.verify(created["accessToken"]["token"])["status"] == "TRY_REFRESH_TOKEN"
    refreshed = shop.refresh(created["refreshToken"]["token"])
    clock.wait(30_000)
    assert shop.refresh(refreshed["refreshToken"]["token"])["status"] == "UNAUTHORISED"


def test_the_race_window_of_an_app_is_shorter_than_its_access_tokens_life(
    core: CoreClient, store: Store, clock: Clock, keys_of_a_core: list[SigningKey]
) -> None:
    """A client that refreshes when its access token has expired gets two new tokens, and who comes after it with the old one is a
    thief."""
    shop = a_shop(core, store, *keys_of_a_core, **{ACCESS: 3})
    first = shop.create()
    child = shop.refresh(first["refreshToken"]["token"])
    assert shop.verify(child["accessToken"]["token"])["status"] == "OK"
    clock.wait(3000)
    following = shop.refresh(child["refreshToken"]["token"])
    assert following["refreshToken"]["token"] != child["refreshToken"]["token"]
    assert shop.refresh(first["refreshToken"]["token"])["status"] == "TOKEN_THEFT_DETECTED"


@pytest.mark.parametrize("stored", ['{"refresh_token_validity": 0.5}', '{"of_a_later_release": 1}'])
def test_the_settings_of_an_app_do_not_go_with_the_core_s_any_more(
    client: FlaskClient, store: Store, caplog: pytest.LogCaptureFixture, stored: str
) -> None:
    """They were taken by another core, or before this one's changed: sessions go on with the core's, and the log says so."""
    assert store.of_app("shop").swap_config(None, stored)
    store.of_app("shop").add_tenant("public")
    shop = CoreClient(client, base="/appid-shop")
    assert validity_of(shop.create(), "refreshToken") == REFRESH_LIFETIME
    assert "The coreConfig of app 'shop' is not used" in caplog.text


def test_a_change_of_settings_overtakes_a_read(clock: Clock, keys_of_a_core: list[SigningKey]) -> None:
    """What was read before it does not take its place."""
    store = MemoryStore()
    core, shop = a_core(store, clock, *keys_of_a_core), store.of_app("shop")
    read = shop.config

    def read_late() -> str | None:
        found = read()
        shop.config = read  # type: ignore[method-assign]
        core.update_config("shop", {ACCESS: 7})
        return found

    shop.config = read_late  # type: ignore[method-assign]
    store.of_app = lambda _: shop  # type: ignore[method-assign]
    created = core.engine_of("shop").create(a_session())
    assert created.access.claims["exp"] - created.access.claims["iat"] == 7


def test_an_app_changes_its_keys_often(core: CoreClient, store: Store, clock: Clock) -> None:
    """The next session has a new key at once; what the old one signed is good, and both are published."""
    shop = a_shop(core, store, **{KEYS: "0.001"})
    old = shop.create()
    clock.wait(3600)
    new = shop.create()
    assert kid_of(old) != kid_of(new)
    assert {kid_of(old), kid_of(new)} < {key["kid"] for key in shop.get("/.well-known/jwks.json").json["keys"]}
    assert [shop.verify(tokens["accessToken"]["token"])["status"] for tokens in (old, new)] == ["OK", "OK"]


def test_the_keys_of_an_app_are_there(core: CoreClient, store: Store) -> None:
    """Made when it is added: the first call for them need not wait."""
    a_shop(core, store)
    assert {key.kid[0] for key in store.of_app("shop").keys()} == {"d", "s"}


def test_an_app_changes_its_settings(core: CoreClient, store: Store, keys_of_a_core: list[SigningKey]) -> None:
    """By another PUT: what it names is replaced, null brings back the core's, the rest stays; sessions go on."""
    shop = a_shop(core, store, *keys_of_a_core, **{ACCESS: 2, REFRESH: 0.5})
    created = shop.create()
    assert core.put(APP, appId="Shop", coreConfig={ACCESS: 5, REFRESH: None}).json["createdNew"] is False
    refreshed = shop.refresh(created["refreshToken"]["token"])
    assert [validity_of(refreshed, name) for name in ("accessToken", "refreshToken")] == [5000, REFRESH_LIFETIME]
    assert shop.put(TENANT, tenantId="public", coreConfig={ACCESS: 7}).status_code == 200
    for nothing in ({}, {"coreConfig": {}}, {"coreConfig": None}):
        assert core.put(APP, appId="shop", **nothing).status_code == 200
        assert validity_of(shop.create(), "accessToken") == 7000


def test_the_settings_of_an_app_are_told(core: CoreClient, store: Store, keys_of_a_core: list[SigningKey]) -> None:
    """As they were given, by its public tenant; another tenant has none of its own, and no log-in methods."""
    shop = a_shop(core, store, *keys_of_a_core, **{ACCESS: 2, KEYS: "0.001"})
    shop.put(TENANT, tenantId="t2")
    told = {
        "status": "OK",
        "tenantId": "public",
        "thirdParty": {"providers": []},
        "coreConfig": {ACCESS: 2, KEYS: "0.001"},
    }
    assert shop.get(TENANT).json == shop.get(f"/public{TENANT}").json == told
    other = {**told, "tenantId": "t2", "coreConfig": {}, "firstFactors": []}
    assert shop.get(f"/t2{TENANT}").json == other
    assert core.get(TENANT).json == {**told, "coreConfig": {}}


@pytest.mark.parametrize("path", [f"/none{TENANT}", f"/appid-none{TENANT}", f"/appid-none/none{TENANT}"])
def test_the_settings_of_nobody_are_asked_for(plain: FlaskClient, path: str) -> None:
    """SDKs read this as *there is no such tenant*."""
    response = CoreClient(plain).get(path)
    assert (response.status_code, response.json) == (200, {"status": "TENANT_NOT_FOUND_ERROR"})


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({ACCESS: "abc"}, f"'{ACCESS}' must be a whole number"),
        ({ACCESS: 0}, f"'{ACCESS}' must be a whole number"),
        ({REFRESH: True}, f"'{REFRESH}' must be a number"),
        ({KEYS: 0}, f"'{KEYS}' must be a number"),
        ({REFRESH: 1}, f"'{REFRESH}' must be longer"),
        ({"postgresql_connection_uri": "x", ACCESS: 2}, "'postgresql_connection_uri' is not supported"),
    ],
)
def test_settings_of_an_app_are_refused(core: CoreClient, config: dict[str, Any], said: str) -> None:
    """400 names what is wrong; no app is added, and one that is there stays as it is."""
    response = core.put(APP, appId="shop", coreConfig=config)
    assert (response.status_code, response.text.startswith("Invalid core config: ")) == (400, True)
    assert said in response.text
    assert core.get(f"/appid-shop{TENANT}").json == {"status": "TENANT_NOT_FOUND_ERROR"}


def test_settings_of_somebody_else_are_changed(
    core: CoreClient, store: Store, keys_of_a_core: list[SigningKey]
) -> None:
    """Those of the core are in its environment, and a tenant has the app's."""
    shop = a_shop(core, store, *keys_of_a_core)
    for response, said in (
        (core.put(APP, appId="public", coreConfig={ACCESS: 2}), "environment"),
        (core.put(TENANT, tenantId="public", coreConfig={ACCESS: 2}), "environment"),
        (core.put(TENANT, tenantId="t2", coreConfig={ACCESS: 2}), f"'{ACCESS}' is the same for all tenants of an app"),
        (shop.put(TENANT, tenantId="t2", coreConfig={ACCESS: 2}), f"'{ACCESS}' is the same for all tenants of an app"),
    ):
        assert (response.status_code, said in response.text) == (400, True)
    assert core.get(f"/t2{TENANT}").json == {"status": "TENANT_NOT_FOUND_ERROR"}
    assert validity_of(core.create(), "accessToken") == ACCESS_LIFETIME


def test_two_processes_serve_an_app(
    core: CoreClient, store: Store, clock: Clock, keys_of_a_core: list[SigningKey]
) -> None:
    """The other one has its settings from the first call on, and a change of them within 30 seconds."""
    other = CoreClient(make_core_app(a_core(store, clock)).test_client(), base="/appid-shop")
    a_shop(core, store, *keys_of_a_core, **{ACCESS: 2})
    assert validity_of(other.create(), "accessToken") == 2000
    core.put(APP, appId="shop", coreConfig={ACCESS: 3})
    clock.wait(RELOAD_EVERY)
    assert validity_of(other.create(), "accessToken") == 3000


def test_the_settings_of_an_app_can_not_be_read(
    broken: tuple[BrokenStore, CoreClient], clock: Clock, keys_of_a_core: list[SigningKey]
) -> None:
    """The known ones go on: what needs no store passes, as without settings."""
    store, core = broken
    shop = a_shop(core, store, *keys_of_a_core, **{ACCESS: 60})
    token = shop.create()["accessToken"]["token"]
    store.of_app("shop").down = store.down = True  # type: ignore[attr-defined]
    clock.wait(RELOAD_EVERY)
    assert shop.verify(token)["status"] == "OK"
    assert core.put(APP, appId="shop", coreConfig={ACCESS: 3}).status_code == 503


def test_an_app_has_its_settings_after_a_restart(tmp_path: pathlib.Path) -> None:
    """They are in the database."""
    with CoreProcess(sqlite_uri(tmp_path)) as core:
        added = requests.put(f"{core.uri}{APP}", json={"appId": "shop", "coreConfig": {ACCESS: 2}}, timeout=30)
        assert added.json() == {"status": "OK", "createdNew": True}
        core.stop()
        core.start()
        created = requests.post(f"{core.uri}/appid-shop/recipe/session", json=NEW, timeout=10).json()
        assert validity_of(created, "accessToken") == 2000


def test_many_apps_are_served(core: CoreClient, store: Store, keys_of_a_core: list[SigningKey]) -> None:
    """A bounded number of them is kept in memory; the others are as they were when they are asked again."""
    served = a_core(store, Clock())
    for number in range(MAX_APPS + 10):
        store.of_app(f"a{number}").add_tenant("public")
        served.engine_of(f"a{number}")
    assert len(served._apps) == MAX_APPS
    assert served.engine_of("a0").store.tenants() == {"public"}


# -- in an app ---------------------------------------------------------------------------------------------------------


def an_app(**settings: Any) -> Flask:
    app = Flask("core")
    app.config.update({"SECRET_KEY": "a secret of the tests", **settings})
    SuperTokens(app, store=MemoryStore())
    return app


def test_a_core_is_below_a_prefix() -> None:
    """An app and its services share their sessions."""
    app = an_app(SUPERTOKENS_CORE_API_KEYS=API_KEY)
    app.register_blueprint(make_blueprint(), url_prefix="/core")
    core = CoreClient(app.test_client(), key=API_KEY, base="/core")
    handle = core.create()["session"]["handle"]
    assert app.extensions["supertokens"].engine.information(handle) is not None
    assert app.test_client().get("/recipe/session").status_code == 404


def test_a_key_opens_the_users_of_the_app() -> None:
    """A session of any user, made by the core, is refreshed at the app; one of another app of the core is not."""
    app = an_app(SUPERTOKENS_CORE_API_KEYS=API_KEY)
    app.register_blueprint(make_blueprint(), url_prefix="/core")
    client, statuses = app.test_client(), []
    core = CoreClient(client, key=API_KEY, base="/core")
    core.put("/recipe/multitenancy/app/v2", appId="shop")
    for path in ("/recipe/session", "/appid-shop/recipe/session"):
        token = core.create(path, userId="victim")["refreshToken"]["token"]
        statuses.append(client.post("/refresh", headers={"Authorization": f"Bearer {token}"}).status_code)
    assert statuses == [200, 401]


def test_a_core_has_no_api_keys() -> None:
    """It is not registered, and the text says what to set."""
    with pytest.raises(ValueError, match="Set SUPERTOKENS_CORE_API_KEYS"):
        an_app().register_blueprint(make_blueprint())


def test_a_core_is_open_to_all_that_reach_it() -> None:
    """If that was said."""
    app = an_app()
    app.register_blueprint(make_blueprint(needs_api_keys=False), url_prefix="/core")
    assert CoreClient(app.test_client(), base="/core").get("/apiversion").json == {"versions": list(VERSIONS)}


def test_a_core_is_registered_too_early() -> None:
    """The text says what comes first."""
    with pytest.raises(RuntimeError, match=r"Call SuperTokens\(app\) before"):
        Flask("core").register_blueprint(make_blueprint())


def test_a_core_stands_on_a_core() -> None:
    """It needs a store."""
    app = Flask("core")
    app.config.update(SUPERTOKENS_CONNECTION_URI="http://localhost:1", SUPERTOKENS_CORE_API_KEYS=API_KEY)
    SuperTokens(app)
    with pytest.raises(ValueError, match="needs the embedded engine"):
        app.register_blueprint(make_blueprint())


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """JSON where they can be; the secret is a text, though it looks like a number."""
    for name, value in {
        "SECRET_KEY": "12345678",
        "SUPERTOKENS_DATABASE_URI": sqlite_uri(tmp_path),
        "SUPERTOKENS_ACCESS_TOKEN_LIFETIME": "60",
        "SUPERTOKENS_CREATE_TABLES": "true",
        "SUPERTOKENS_CORE_API_KEYS": API_KEY,
    }.items():
        monkeypatch.setenv(name, value)
    app = create_app()
    assert app.extensions["supertokens"].settings.access_token_lifetime == 60_000
    assert app.extensions["supertokens"].settings.secret_keys == ("12345678",)
    core = create_core()
    assert core.test_client().get("/hello").text == "Hello\n"
    core.extensions["supertokens"].engine.store._engine.dispose()


KUBERNETES = {
    "SUPERTOKENS_SERVICE_HOST": "10.96.0.7",
    "SUPERTOKENS_SERVICE_PORT": "3567",
    "SUPERTOKENS_SERVICE_PORT_HTTP": "3567",
    "SUPERTOKENS_PORT": "tcp://10.96.0.7:3567",
    "SUPERTOKENS_PORT_3567_TCP": "tcp://10.96.0.7:3567",
    "SUPERTOKENS_PORT_3567_TCP_PROTO": "tcp",
    "SUPERTOKENS_PORT_3567_TCP_PORT": "3567",
    "SUPERTOKENS_PORT_3567_TCP_ADDR": "10.96.0.7",
}
"""What Kubernetes puts into the environment of each container beside a Service named supertokens."""


def in_the_environment(monkeypatch: pytest.MonkeyPatch, **given: str) -> None:
    """These, a secret, API keys and a database in memory."""
    base = {"SECRET_KEY": "a secret", "SUPERTOKENS_DATABASE_URI": "sqlite://", "SUPERTOKENS_CORE_API_KEYS": API_KEY}
    for name, value in {**base, **given}.items():
        monkeypatch.setenv(name, value)


def test_a_service_in_kubernetes_is_named_supertokens(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What it sets is no setting of ours: the core starts, and one line names all of them, without what they say."""
    in_the_environment(monkeypatch, **KUBERNETES)
    core = create_core()
    [line] = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert all(f"{name}" in line for name in KUBERNETES)
    assert "10.96.0.7" not in line
    core.extensions["supertokens"].engine.store._engine.dispose()


@pytest.mark.parametrize("create", [create_app, create_core], ids=["commands", "gunicorn"])
def test_a_name_in_the_environment_is_spelled_wrong(
    create: Callable[[], Flask], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The line says which setting is near, whichever way the core is started."""
    in_the_environment(monkeypatch, SUPERTOKENS_ACCESS_TOKEN_LIFETIM="60")
    core = create()
    assert "SUPERTOKENS_ACCESS_TOKEN_LIFETIM (did you mean SUPERTOKENS_ACCESS_TOKEN_LIFETIME?)" in caplog.text
    core.extensions["supertokens"].engine.store._engine.dispose()


def test_the_keys_of_a_core_are_there_at_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kinds, before the first call: making one takes up to seconds, and SDKs do not wait so long."""
    in_the_environment(monkeypatch)
    core = create_core()
    store = core.extensions["supertokens"].engine.store
    assert sorted(key.kid[:2] for key in store.keys()) == ["d-", "s-"]
    store._engine.dispose()


def test_a_core_starts_before_its_database(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: pathlib.Path
) -> None:
    """It says so and serves: 503, until the database is there."""
    (tmp_path / "instance").write_text("in the way of the folder")
    in_the_environment(monkeypatch, SUPERTOKENS_DATABASE_URI=sqlite_uri(tmp_path))
    core = create_core()
    assert "The core has no signing keys yet" in caplog.text
    client = core.test_client()
    assert client.get("/hello").status_code == 503
    (tmp_path / "instance").unlink()
    assert client.get("/hello").status_code == 200
    core.extensions["supertokens"].engine.store._engine.dispose()


def test_a_value_in_the_environment_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops the start, with what to write instead."""
    in_the_environment(monkeypatch, SUPERTOKENS_STORE_IP="maybe")
    with pytest.raises(ValueError, match="SUPERTOKENS_STORE_IP = 'maybe': use True or False"):
        create_core()


@pytest.mark.parametrize(
    ("name", "value", "field", "result"),
    [
        ("STORE_IP", "True", "store_ip", True),
        ("STORE_IP", "yes", "store_ip", True),
        ("CREATE_TABLES", "off", "create_tables", False),
        ("ACCESS_TOKEN_LIFETIME", "900", "access_token_lifetime", 900_000),
        ("AUDIENCE", "1234567890", "audience", "1234567890"),
        ("ISSUER", "1e5", "issuer", "1e5"),
        ("CORE_API_KEYS", "1" * 20, "core_api_keys", ("1" * 20,)),
        ("CORE_API_KEYS", f'["{API_KEY}"]', "core_api_keys", (API_KEY,)),
    ],
)
def test_a_value_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, field: str, result: object
) -> None:
    """As people write it; a text that looks like a number is the text that was written."""
    in_the_environment(monkeypatch, **{f"SUPERTOKENS_{name}": value})
    app = create_app()
    assert getattr(app.extensions["supertokens"].settings, field) == result
    app.extensions["supertokens"].engine.store._engine.dispose()
