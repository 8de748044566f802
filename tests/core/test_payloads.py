"""Whose a payload is: services read what they have set, send back what they have read, and never meet a name of ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from flask_supertokens import (
    SuperTokens,
    create_new_session,
    current_session,
    get_session_information,
    merge_into_access_token_payload,
    verify_session,
)
from flask_supertokens.core.serving import make_core_app
from flask_supertokens.protocol.cdi import VERSIONS
from flask_supertokens.protocol.model import SigningKey
from flask_supertokens.protocol.payloads import OWN_NAMES
from flask_supertokens.signing import AccessTokenSigner, Sealer, to_jwk
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import SECRET, act, clock_of, state_of
from ..support.both import ENGINES, Make, maker
from ..support.cookies import cookie_values, set_cookies
from ..support.engines import SETTINGS
from ..support.plans import HOUR, SECOND, Clock
from ..support.scripted import Answer, ScriptedCore, reply, run_scripted_core
from ..support.served import CORE_KEYS, a_core
from ..support.wire import call, contents, front, run

PROTECTED = {"sub", "iat", "exp", "sessionHandle", "refreshTokenHash1", "parentRefreshTokenHash1", "antiCsrfToken"}
PROTECTED |= {"tId", "rsub", "stt"}
"""What an SDK leaves out of the payload of a token before it sends it back."""
EVERYWHERE = pytest.mark.parametrize("app", [*ENGINES, "a core that keeps what it is given"], indirect=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def core(clock: Clock, keys_of_a_core: list[SigningKey]) -> FlaskClient:
    return make_core_app(a_core(MemoryStore(), clock, *keys_of_a_core)).test_client()


class Sdk:
    """A service on an SDK, with one session: the payload of its access token is the user's to it."""

    def __init__(self, core: FlaskClient, version: str, *, dynamic: bool = True, **payload: Any) -> None:
        self._core, self._version, self._dynamic = core, version, dynamic
        new = {"userId": "u", "userDataInJWT": payload, "userDataInDatabase": {}, "enableAntiCsrf": False}
        self._take(self.ask("POST", "/recipe/session", **new, useDynamicSigningKey=dynamic))

    def ask(self, method: str, path: str, **fields: Any) -> Any:
        sent = {"query_string": fields} if method == "GET" else {"data": json.dumps(fields)}
        response = self._core.open(path, method=method, headers={"cdi-version": self._version}, **sent)
        assert (response.status_code, response.json["status"]) == (200, "OK"), response.text
        return response.json

    def _take(self, answer: Any) -> None:
        self.handle, self.told = answer["session"]["handle"], answer["session"]["userDataInJWT"]
        if "accessToken" in answer:
            self.access_token = answer["accessToken"]["token"]
        if "refreshToken" in answer:
            self.refresh_token = answer["refreshToken"]["token"]

    @property
    def header(self) -> dict[str, Any]:
        return contents(self.access_token)[0]

    @property
    def payload(self) -> dict[str, Any]:
        claims = contents(self.access_token)[1]
        return {name: claims[name] for name in claims.keys() - PROTECTED}

    @property
    def stored(self) -> Any:
        return self.ask("GET", "/recipe/session", sessionHandle=self.handle)["userDataInJWT"]

    def refresh(self) -> None:
        asked = {} if self._version[0] < "5" else {"useDynamicSigningKey": self._dynamic}
        asked |= {"refreshToken": self.refresh_token, "enableAntiCsrf": False}
        self._take(self.ask("POST", "/recipe/session/refresh", **asked))

    def verify(self, *, check_database: bool) -> None:
        asked = {"enableAntiCsrf": False, "doAntiCsrfCheck": False, "checkDatabase": check_database}
        self._take(self.ask("POST", "/recipe/session/verify", accessToken=self.access_token, **asked))

    def merge(self, **update: Any) -> None:
        payload = {**self.payload, **update}
        asked = {"accessToken": self.access_token, "userDataInJWT": payload}
        self._take(self.ask("POST", "/recipe/session/regenerate", **asked))

    def assert_only(self, **payload: Any) -> None:
        """This is what every answer, the token and the store say, and nothing else."""
        assert self.told == self.payload == self.stored == payload


# -- services on our core ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("dynamic", [True, False])
def test_a_payload_that_is_sent_back_again_and_again_keeps_age_and_kind_of_key(
    core: FlaskClient, clock: Clock, version: str, dynamic: bool
) -> None:
    """Each time the payload of the last token is sent back; the token's age and kind of key go on beside it."""
    service = Sdk(core, version, dynamic=dynamic, role="admin", auth_time=5)
    for life in range(2):
        service.refresh()
        born = clock.now
        for number in range(3):
            clock.wait(SECOND)
            service.merge(life=life, number=number)
            service.assert_only(role="admin", auth_time=5, life=life, number=number)
            assert (service.header["st-born"], service.header["kid"][0]) == (born, "d" if dynamic else "s")
            service.verify(check_database=True)
            service.assert_only(role="admin", auth_time=5, life=life, number=number)
        clock.wait(HOUR)


@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
@pytest.mark.parametrize("value", [None, 1, "x", True, False, {"a": 1}])
def test_names_of_ours_that_a_service_sends_are_dropped(core: FlaskClient, version: str, value: Any) -> None:
    """They are dropped, whatever they say, at log-in, with a token and by handle; nobody meets them again."""
    names = dict.fromkeys(OWN_NAMES, value)
    service = Sdk(core, version, a=1, **names)
    service.assert_only(a=1)
    service.merge(b=2, **names)
    service.assert_only(a=1, b=2)
    service.ask("PUT", "/recipe/jwt/data", sessionHandle=service.handle, userDataInJWT={"c": 3, **names})
    service.verify(check_database=True)
    service.refresh()
    service.assert_only(c=3)
    assert "st-born" not in service.header


def test_cookies_end_with_the_browser_after_a_service_replaced_the_payload(core: FlaskClient, clock: Clock) -> None:
    """It replaces the payload and does not know; the next token of the app that asked for that says it all the same."""
    service = Sdk(core, "5.3", a=1, **{"st-remember": False})
    for _ in range(2):
        service.merge(b=2)
        service.ask(
            "PUT", "/recipe/jwt/data", sessionHandle=service.handle, userDataInJWT={"c": 3, "st-remember": True}
        )
        service.refresh()
        assert service.header["st-remember"] is False
    service.assert_only(c=3)


def test_the_auth_time_that_a_service_sends_is_stored(core: FlaskClient) -> None:
    """``auth_time`` is a claim, as any other: what is sent is stored."""
    service = Sdk(core, "5.3", auth_time=5)
    service.refresh()
    service.merge(auth_time=7)
    service.assert_only(auth_time=7)


# -- our app, on each engine -------------------------------------------------------------------------------------------


@pytest.fixture
def app(request: pytest.FixtureRequest) -> Iterator[Flask]:
    if request.param in ENGINES:
        make: Make = maker(request)
        yield make()
        return
    with run_scripted_core() as core:
        app, clock = Flask("tests.core.test_payloads"), Clock()
        KeepsAll(core, clock, request.getfixturevalue("keys_of_a_core"))
        app.config.update(
            {"SECRET_KEY": SECRET, "SUPERTOKENS_COOKIE_SECURE": False, "SUPERTOKENS_CONNECTION_URI": core.uri}
        )
        SuperTokens(app)
        state_of(app).engine.clock = clock  # type: ignore[attr-defined]
        app.add_url_rule("/run", "run", act)
        app.add_url_rule("/run-verified", "run-verified", verify_session(act))
        yield app


class KeepsAll:
    """As a real core does: the payload that it is given goes into tokens and answers as it is, whatever its names."""

    def __init__(self, core: ScriptedCore, clock: Clock, keys: list[SigningKey]) -> None:
        store = MemoryStore()
        for key in keys:
            store.swap_keys(frozenset(known.kid for known in store.keys()), key, frozenset())
        self._signer = AccessTokenSigner(CORE_KEYS, Sealer(SETTINGS.secret_keys), store, 0)
        self._clock = clock
        self.payload: dict[str, Any] = {}
        core.answers = {
            "/.well-known/jwks.json": reply({"keys": [to_jwk(key) for key in keys]}),
            "/public/recipe/session": self._answering(self._grant),
            "/recipe/session/regenerate": self._answering(self._grant),
            "/recipe/session/refresh": self._answering(self._grant),
            "/recipe/session": self._answering(self._information),
            "/recipe/jwt/data": self._answering(lambda: {"status": "OK"}),
        }

    def _answering(self, answer: Callable[[], Any]) -> Answer:
        def send(connection: Any, request: Any) -> None:
            if request.method != "GET" and "userDataInJWT" in request.json:
                self.payload = request.json["userDataInJWT"]
            reply(answer())(connection, request)

        return send

    def _grant(self) -> Any:
        now = self._clock.now
        own = {"iat": now // 1000, "exp": now // 1000 + 3600, "sub": "user-1", "tId": "public", "rsub": "user-1"}
        own |= {
            "sessionHandle": "h",
            "refreshTokenHash1": "a" * 64,
            "parentRefreshTokenHash1": None,
            "antiCsrfToken": None,
        }
        token = {"token": self._signer.sign({**self.payload, **own}, now).raw, "expiry": now + HOUR, "createdTime": now}
        session = {"handle": "h", "userId": "user-1", "recipeUserId": "user-1", "tenantId": "public"}
        session |= {"userDataInJWT": self.payload}
        refresh = {"token": "r" * 64, "expiry": now + 100 * HOUR, "createdTime": now}
        return {"status": "OK", "session": session, "accessToken": token, "refreshToken": refresh}

    def _information(self) -> Any:
        known = {"sessionHandle": "h", "userId": "user-1", "recipeUserId": "user-1", "tenantId": "public"}
        times = {"expiry": self._clock.now + HOUR, "timeCreated": self._clock.now}
        return {"status": "OK", **known, **times, "userDataInJWT": self.payload, "userDataInDatabase": {}}


def log_in(remember: bool) -> str:
    return create_new_session("user-1", {"role": "admin"}, remember=remember).handle


def change() -> dict[str, Any]:
    """Twice, with all that the app and the store show handed back."""
    for number in range(2):
        whole = {**current_session.access_token_payload, **current_session.get_information().access_token_payload}
        current_session.merge_into_access_token_payload({**whole, "number": number})
        assert merge_into_access_token_payload(current_session.handle, {"by handle": number})
    known = get_session_information(current_session.handle)
    assert known is not None
    return {"token": current_session.access_token_payload, "stored": known.access_token_payload}


@EVERYWHERE
@pytest.mark.parametrize("remember", [True, False])
def test_cookies_end_with_the_browser_or_not_up_to_the_last_change(app: Flask, remember: bool) -> None:
    """From log-in to the last change of a refreshed session; neither app nor script sees why."""
    entered = run(app, lambda: log_in(remember))
    answers = [entered, call(app, "POST", "/refresh", refresh=cookie_values(entered)["sRefreshToken"])]
    for _ in range(2):
        clock_of(app).wait(SECOND)
        answers.append(run(app, change, verified=True, access=cookie_values(answers[-1])["sAccessToken"]))
    assert {cookie.expires is None for it in answers for cookie in set_cookies(it).values()} == {not remember}
    payloads = [front(it)["up"] for it in answers] + [payload for it in answers[2:] for payload in it.json.values()]
    assert not [payload for payload in payloads if OWN_NAMES & payload.keys()]
    assert answers[-1].json["stored"].items() >= {"role": "admin", "number": 1, "by handle": 1}.items()


@EVERYWHERE
def test_a_script_reads_all_of_the_payload_but_the_time_of_the_sign_in(app: Flask) -> None:
    """All that stands in the token, as with an official backend, but for the moment of the log-in: that is the app's to know."""
    entered = run(app, lambda: log_in(remember=True))
    refreshed = call(app, "POST", "/refresh", refresh=cookie_values(entered)["sRefreshToken"])
    changed = run(app, change, verified=True, access=cookie_values(refreshed)["sAccessToken"])
    for response in (entered, refreshed, changed):
        claims = contents(cookie_values(response)["sAccessToken"])[1]
        assert claims.pop("auth_time") == 1_700_000_000
        assert front(response)["up"] == claims
        assert claims.keys() >= {"role", "sub", "rsub", "tId", "iat", "exp", "sessionHandle", "refreshTokenHash1"}
    assert changed.json["token"]["auth_time"] == 1_700_000_000
