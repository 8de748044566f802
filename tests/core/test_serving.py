"""A core of ours over HTTP: paths and versions, who may call it, what it says without its store, and a core inside of an app."""

from __future__ import annotations

import logging

import pytest
from flask import Flask
from flask.testing import FlaskClient

from flask_supertokens import SuperTokens
from flask_supertokens.core.serving import make_core_app
from flask_supertokens.core_app import make_blueprint
from flask_supertokens.protocol.cdi import VERSIONS
from flask_supertokens.protocol.model import SigningKey
from flask_supertokens.stores.base import BATCH
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import BrokenStore, build_app
from ..support.caller import API_KEY, FIELDS, NEW, Caller
from ..support.plans import Clock
from ..support.records import a_record
from ..support.served import a_core

# -- paths, methods, versions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/x", "//recipe/session", "/recipe/session/", "/appid-/recipe/session", "/appid-!/hello"]
)
def test_an_unknown_path_is_a_404(plain: FlaskClient, path: str) -> None:
    """404, not a redirect and not a guess."""
    response = plain.get(f"http://localhost{path}")
    assert (response.status_code, response.text) == (404, "Not found\n")


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "PUT", "HEAD"])
def test_an_unknown_method_is_a_405(plain: FlaskClient, method: str) -> None:
    """A known path that is asked by another method is answered 405."""
    assert plain.open("/recipe/session", method=method).status_code == 405


@pytest.mark.parametrize("version", ["99.0", "2.20", "", "5", "5.3.1", "x" * 5000])
def test_an_unknown_version_is_refused_as_sdks_expect_where_a_call_has_versions(
    plain: FlaskClient, version: str
) -> None:
    """The text begins as SDKs expect it; calls that have no version do not look at it."""
    for path in ("/hello", "/apiversion", "/.well-known/jwks.json"):
        assert Caller(plain, version).get(path).status_code == 200
    response = Caller(plain, version).get("/recipe/session", sessionHandle="x")
    assert (response.status_code, response.text.startswith("cdi-version ")) == (400, True)
    assert len(response.text) < 100


def test_a_call_without_a_version_gets_the_newest(plain: FlaskClient) -> None:
    """The newest is meant."""
    assert Caller(plain, None).create()["session"]["recipeUserId"] == "u"


# -- who may ask -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(keys_of_a_core: list[SigningKey]) -> FlaskClient:
    keys = (API_KEY, API_KEY[::-1])
    return make_core_app(a_core(MemoryStore(), Clock(), *keys_of_a_core, api_keys=keys)).test_client()


@pytest.mark.parametrize("key", [None, "", "wrong", API_KEY[:-1], API_KEY + "x", "ü"])
def test_a_wrong_api_key_is_a_401_for_every_call_but_the_public_ones(guarded: FlaskClient, key: str | None) -> None:
    """401 for every call but the public ones, whatever else is wrong."""
    core = Caller(guarded, key=key)
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
def test_a_browser_is_refused_by_a_core_without_api_keys(
    plain: FlaskClient, call: tuple[str, str], headers: dict[str, str]
) -> None:
    """A page that is open on this machine gets and ends nothing, also under a name that it lets point here."""
    response = plain.open(call[1], method=call[0], headers=headers, json=NEW)
    assert response.status_code == 403
    assert "SUPERTOKENS_CORE_API_KEYS" in response.text
    assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_a_service_of_this_machine_may_call_a_core_without_api_keys(plain: FlaskClient, host: str) -> None:
    """By each name of the machine itself."""
    assert plain.post("/recipe/session", json=NEW, headers={"Host": host}).json["status"] == "OK"


def test_a_core_with_api_keys_serves_any_host_name(guarded: FlaskClient) -> None:
    """The key is what counts; a page does not have it."""
    headers = {"Host": "core.example.com", "api-key": API_KEY, **BROWSERS[0], **BROWSERS[2]}
    assert guarded.post("/recipe/session", json=NEW, headers=headers).json["status"] == "OK"


@pytest.mark.parametrize("key", [API_KEY, API_KEY[::-1]])
def test_each_of_several_api_keys_is_good(guarded: FlaskClient, key: str) -> None:
    """Each is good."""
    assert Caller(guarded, key=key).create()["status"] == "OK"


def test_neither_tokens_nor_keys_are_logged(guarded: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """Neither tokens nor keys, at any level."""
    caplog.set_level(logging.DEBUG)
    core = Caller(guarded, key=API_KEY)
    created = core.create()
    core.refresh(created["refreshToken"]["token"])
    core.verify("garbage")
    for secret in (API_KEY, created["refreshToken"]["token"], created["accessToken"]["token"]):
        assert secret not in caplog.text


# -- the store ---------------------------------------------------------------------------------------------------------


def test_a_call_that_needs_the_store_is_a_503_while_it_is_down(
    broken: tuple[BrokenStore, Caller], caplog: pytest.LogCaptureFixture
) -> None:
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


def test_a_503_says_how_many_sessions_ended_where_the_store_fails_halfway(
    broken: tuple[BrokenStore, Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
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
def test_a_question_whether_the_core_is_there_is_a_503_while_the_store_is_down(
    broken: tuple[BrokenStore, Caller], path: str
) -> None:
    """503 as well, for a load balancer that asks whether the core is there too."""
    store, core = broken
    store.down = True
    assert core.get(path, userId="u", sessionHandle="h").status_code == 503


def test_sessions_are_as_they_were_when_the_store_is_back(broken: tuple[BrokenStore, Caller]) -> None:
    """Sessions are as they were; the public keys were there all the time."""
    store, core = broken
    created = core.create()
    store.down = True
    core.refresh(created["refreshToken"]["token"])
    assert len(core.get("/.well-known/jwks.json").json["keys"]) == 2
    store.down = False
    assert core.refresh(created["refreshToken"]["token"])["status"] == "OK"


# -- in an app ---------------------------------------------------------------------------------------------------------


def test_an_app_and_its_services_share_sessions_of_a_core_below_a_prefix() -> None:
    """An app and its services share their sessions."""
    app = build_app(SUPERTOKENS_CORE_API_KEYS=API_KEY)
    app.register_blueprint(make_blueprint(), url_prefix="/core")
    core = Caller(app.test_client(), key=API_KEY, base="/core")
    handle = core.create()["session"]["handle"]
    assert app.extensions["supertokens"].engine.information(handle) is not None
    assert app.test_client().get("/recipe/session").status_code == 404


def test_an_app_refreshes_sessions_that_its_core_made_for_its_own_users_only() -> None:
    """A session of any user, made by the core, is refreshed at the app; one of another app of the core is not."""
    app = build_app(SUPERTOKENS_CORE_API_KEYS=API_KEY)
    app.register_blueprint(make_blueprint(), url_prefix="/core")
    client, statuses = app.test_client(), []
    core = Caller(client, key=API_KEY, base="/core")
    core.put("/recipe/multitenancy/app/v2", appId="shop")
    for path in ("/recipe/session", "/appid-shop/recipe/session"):
        token = core.create(path, userId="victim")["refreshToken"]["token"]
        statuses.append(client.post("/refresh", headers={"Authorization": f"Bearer {token}"}).status_code)
    assert statuses == [200, 401]


def test_a_core_without_api_keys_is_not_registered() -> None:
    """It is not registered, and the text says what to set."""
    with pytest.raises(ValueError, match="Set SUPERTOKENS_CORE_API_KEYS"):
        build_app().register_blueprint(make_blueprint())


def test_a_core_that_was_said_to_be_open_serves_all_that_reach_it() -> None:
    """If that was said."""
    app = build_app()
    app.register_blueprint(make_blueprint(needs_api_keys=False), url_prefix="/core")
    assert Caller(app.test_client(), base="/core").get("/apiversion").json == {"versions": list(VERSIONS)}


def test_a_core_that_is_registered_too_early_is_told_what_comes_first() -> None:
    """The text says what comes first."""
    with pytest.raises(RuntimeError, match=r"Call SuperTokens\(app\) before"):
        Flask("core").register_blueprint(make_blueprint())


def test_a_core_on_a_core_is_refused_for_lack_of_a_store() -> None:
    """It needs a store."""
    app = Flask("core")
    app.config.update(SUPERTOKENS_CONNECTION_URI="http://localhost:1")
    SuperTokens(app)
    with pytest.raises(ValueError, match="needs the embedded engine"):
        app.register_blueprint(make_blueprint())
