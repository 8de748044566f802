"""A core of ours: what it refuses, whom it serves, and what its apps do not see of one another."""

from __future__ import annotations

import gc
import json
import logging
import pathlib
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from flask_supertokens import SuperTokens, cdi_server
from flask_supertokens.cdi_server import MAX_BODY, core_app
from flask_supertokens.core_app import create_app, create_core
from flask_supertokens.protocol.cdi import VERSIONS
from flask_supertokens.protocol.model import SigningKey
from flask_supertokens.stores.base import Store
from flask_supertokens.stores.memory import MemoryStore

from .support.plans import Clock
from .support.records import sql_store, sqlite_uri
from .support.served import a_core
from .support.wire import BrokenStore

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
    return core_app(a_core(store, clock, *keys_of_a_core)).test_client()


@pytest.fixture
def core(client: FlaskClient) -> CoreClient:
    return CoreClient(client)


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


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000, b'{"a":' * 10_000, b"1"])
def test_a_body_is_no_object(core: CoreClient, body: bytes) -> None:
    """400, in the words of a core."""
    response = core.post("/recipe/session", body)
    assert (response.status_code, response.text) == (400, "Invalid Json Input\n")


def test_a_body_is_too_large(core: CoreClient) -> None:
    """It is not read."""
    assert core.post("/recipe/session", b'"' + b"x" * MAX_BODY + b'"').status_code == 413


@pytest.mark.parametrize("value", ['{"a":NaN}', '{"a":1e999}', '{"a":"\\ud800"}', '{"\\ud800":1}'])
def test_a_payload_is_no_json(core: CoreClient, value: str) -> None:
    """Python reads it; it is refused, and no session is made."""
    body = json.dumps(NEW).replace('{"a": 1}', value)
    assert core.post("/recipe/session", body).status_code == 400
    assert core.get("/recipe/session/user", userId="u").json == {"status": "OK", "sessionHandles": []}


@pytest.mark.parametrize("user_id", ["u", "x" * 255, "用" * 255, "a b", "'; DROP TABLE"])
def test_a_user_id_is_kept(core: CoreClient, user_id: str) -> None:
    """As it is."""
    assert core.create(userId=user_id)["session"]["userId"] == user_id
    assert len(core.get("/recipe/session/user", userId=user_id).json["sessionHandles"]) == 1


@pytest.mark.parametrize("user_id", ["", "x" * 256, "\0", "\ud800"])
def test_a_user_id_can_not_be_kept(core: CoreClient, user_id: str) -> None:
    """The field is invalid."""
    assert core.post("/recipe/session", NEW, userId=user_id).text == "Field name 'userId' is invalid in JSON input\n"


@pytest.mark.parametrize(
    "path", ["/", "/x", "//recipe/session", "/recipe/session/", "/appid-/recipe/session", "/appid-X/hello"]
)
def test_a_path_is_unknown(client: FlaskClient, path: str) -> None:
    """404, not a redirect and not a guess."""
    response = client.get(path)
    assert (response.status_code, response.text) == (404, "Not found\n")


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "PUT", "HEAD"])
def test_a_method_is_unknown(client: FlaskClient, method: str) -> None:
    """405."""
    assert client.open("/recipe/session", method=method).status_code == 405


@pytest.mark.parametrize("version", ["99.0", "2.20", "", "5", "5.3.1", "x" * 5000])
def test_a_version_is_unknown(client: FlaskClient, version: str) -> None:
    """The text begins as SDKs expect it."""
    response = CoreClient(client, version).get("/recipe/session", sessionHandle="x")
    assert (response.status_code, response.text.startswith("cdi-version ")) == (400, True)
    assert len(response.text) < 100


def test_no_version_is_named(client: FlaskClient) -> None:
    """The newest is meant."""
    assert CoreClient(client, None).create()["session"]["recipeUserId"] == "u"


# -- dialects ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_names_of_a_token_are_protected(client: FlaskClient, version: str) -> None:
    """Those of the version that is minted, and ours."""
    core = CoreClient(client, version)
    always = ["sub", "iat", "exp", "sessionHandle", "refreshTokenHash1", "parentRefreshTokenHash1", "antiCsrfToken"]
    later = [*(["tId"] if version != "2.21" else []), *(["rsub"] if version[0] in "45" else [])]
    for name in (*always, *later, "stt", "st-born", "st-static", "nbf"):
        response = core.post("/recipe/session", NEW, userDataInJWT={name: 1})
        assert (response.status_code, response.text) == (400, "The user payload contains protected field\n"), name
    assert core.create(userDataInJWT={"iss": "x", "auth_time": 1})["session"]["userDataInJWT"] == {
        "iss": "x",
        "auth_time": 1,
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_the_static_key_was_asked_for(client: FlaskClient, version: str) -> None:
    """A refresh that leaves it open keeps it, where that may be left open; the payload does not show it."""
    core = CoreClient(client, version)
    created = core.create(useDynamicSigningKey=False)
    answer = core.refresh(created["refreshToken"]["token"], useDynamicSigningKey=None)
    if version[0] == "5":
        assert answer is None
        return
    assert kid_of(answer).startswith("s-")
    assert answer["session"]["userDataInJWT"] == {"a": 1}


def kid_of(answer: dict[str, Any]) -> str:
    return str(jwt.get_unverified_header(answer["accessToken"]["token"])["kid"])


def test_a_young_child_is_refreshed(core: CoreClient) -> None:
    """The refresh token is the one that was sent: CDI has no answer without one."""
    child = core.refresh(core.create()["refreshToken"]["token"])["refreshToken"]["token"]
    echo = core.refresh(child)
    assert (echo["status"], echo["refreshToken"]["token"]) == ("OK", child)


def test_a_jwt_would_pass_for_an_access_token(core: CoreClient) -> None:
    """It is not made."""
    response = core.post("/recipe/jwt", FIELDS["POST /recipe/jwt"], payload={"sessionHandle": "h", "sub": "u"})
    assert (response.status_code, "sessionHandle" in response.text) == (400, True)


# -- who may ask -------------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(clock: Clock, keys_of_a_core: list[SigningKey]) -> FlaskClient:
    keys = (API_KEY, API_KEY[::-1])
    return core_app(a_core(MemoryStore(), clock, *keys_of_a_core, api_keys=keys)).test_client()


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
    assert len(core.get("/.well-known/jwks.json").json["keys"]) == 2


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


def test_the_store_is_down(clock: Clock) -> None:
    """503 in words that tell nothing of the database; sessions are as they were."""
    store = BrokenStore()
    core = CoreClient(core_app(a_core(store, clock)).test_client())
    token = core.create()["refreshToken"]["token"]
    store.down = True
    response = core.post("/recipe/session/refresh", FIELDS["POST /recipe/session/refresh"], refreshToken=token)
    assert (response.status_code, response.text) == (503, "The session store can't be reached; nothing was changed.\n")
    store.down = False
    assert core.refresh(token)["status"] == "OK"


# -- apps and tenants --------------------------------------------------------------------------------------------------


def test_apps_share_nothing(client: FlaskClient, core: CoreClient) -> None:
    """Sessions, refresh tokens, keys and users of one are unknown to the other."""
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
    assert core.put("/recipe/multitenancy/app/v2", appId="x", coreConfig={"a": 1}).status_code == 400


def test_unknown_tenants_are_asked_for_all_the_time(client: FlaskClient) -> None:
    """Each is refused, and nothing is kept of it."""
    gc.collect()
    before = len(gc.get_objects())
    for number in range(300):
        assert CoreClient(client).get(f"/no-{number}/recipe/session/user", userId="u").status_code == 400
    gc.collect()
    assert len(gc.get_objects()) - before < 3000


# -- in an app ---------------------------------------------------------------------------------------------------------


def an_app(**settings: Any) -> Flask:
    app = Flask("core")
    app.config.update({"SECRET_KEY": "a secret of the tests", **settings})
    SuperTokens(app, store=MemoryStore())
    return app


def test_a_core_is_below_a_prefix() -> None:
    """An app and its services share their sessions."""
    app = an_app(SUPERTOKENS_CORE_API_KEYS=API_KEY)
    app.register_blueprint(cdi_server.make_blueprint(), url_prefix="/core")
    core = CoreClient(app.test_client(), key=API_KEY, base="/core")
    handle = core.create()["session"]["handle"]
    assert app.extensions["supertokens"].engine.information(handle) is not None
    assert app.test_client().get("/recipe/session").status_code == 404


def test_a_core_has_no_api_keys() -> None:
    """It is not registered, and the text says what to set."""
    with pytest.raises(ValueError, match="Set SUPERTOKENS_CORE_API_KEYS"):
        an_app().register_blueprint(cdi_server.make_blueprint())


def test_a_core_is_registered_too_early() -> None:
    """The text says what comes first."""
    with pytest.raises(RuntimeError, match=r"Call SuperTokens\(app\) before"):
        Flask("core").register_blueprint(cdi_server.make_blueprint())


def test_a_core_stands_on_a_core() -> None:
    """It needs a store."""
    app = Flask("core")
    app.config.update(SUPERTOKENS_CONNECTION_URI="http://localhost:1", SUPERTOKENS_CORE_API_KEYS=API_KEY)
    SuperTokens(app)
    with pytest.raises(ValueError, match="needs the embedded engine"):
        app.register_blueprint(cdi_server.make_blueprint())


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
    assert create_core().test_client().get("/hello").text == "Hello\n"
