"""The alarm: told at least once, never spent where nothing can be done, and judged before what else is wrong with a request."""

from __future__ import annotations

import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from flask_supertokens import (
    GeneralError,
    SuperTokens,
    TokenTheftError,
    UnauthorisedError,
    refresh_session_without_request,
    signals,
)
from flask_supertokens.core.serving import make_core_app
from flask_supertokens.protocol.model import SigningKey
from flask_supertokens.signals import session_revoked, token_theft_detected
from flask_supertokens.stores.connecting import database_engine
from flask_supertokens.stores.sqlalchemy import SQLAlchemyStore

from ..support.apps import SECRET, BrokenStore, a_session, an_app, an_app_with_users, handles, login
from ..support.cookies import BOTH_COOKIES, cleared_cookies, cookie_values, set_cookies
from ..support.plans import HOUR, SECOND, Clock
from ..support.served import Serving, a_core
from ..support.wire import Tokens, all_tokens, ask, call, cleared_methods, log_in, run, sets_no_tokens

STALE_SCRIPT = """
import os, sys
from flask import Flask
from flask_supertokens import SuperTokens, TokenTheftError, create_new_session_without_request
from flask_supertokens import refresh_session_without_request as refresh, list_sessions
from flask_supertokens.signals import token_theft_detected
app = Flask("app", instance_path=os.getcwd())
app.config.update(SECRET_KEY="a secret of the tests")
SuperTokens(app)
engine, step = app.extensions["supertokens"].engine, sys.argv[1]
with app.app_context():
    if step == "steal":
        first = create_new_session_without_request("user-1").tokens.refresh_token
        child = refresh(first).tokens.refresh_token
        now = engine.now()
        engine.clock = lambda: now + 60_000
        refresh(child)
        print(first)
    else:
        def die(sender, **_):
            print("told", flush=True)
            if step == "die":
                os.kill(os.getpid(), 9)
        token_theft_detected.connect(die)
        try:
            refresh(sys.argv[2])
        except TokenTheftError:
            print("theft", len(list_sessions("user-1")))
"""


def stolen(app: Flask, mode: str = "cookie") -> Tokens:
    """The first tokens of a session that was refreshed twice since, an hour ago."""
    clock: Clock = app.extensions["supertokens"].engine.clock
    tokens = log_in(app, mode)
    refresh = tokens.refresh
    for _ in range(2):
        response = present(app, tokens._replace(refresh=refresh), mode)
        cookies = set_cookies(response)
        refresh = cookies["sRefreshToken"].value if cookies else response.headers["st-refresh-token"]
        clock.wait(HOUR)
    return tokens


def present(app: Flask, tokens: Tokens, mode: str = "cookie", **headers: str) -> TestResponse:
    """A refresh with these tokens, with what the anti-CSRF mode of the app asks for unless ``headers`` says otherwise."""
    sent = headers or {"anti-csrf": tokens.anti_csrf or "", "rid": "session"}
    if mode == "header":
        return call(app, "POST", "/refresh", bearer=tokens.refresh, headers=sent)
    return call(app, "POST", "/refresh", refresh=tokens.refresh, access=tokens.access, headers=sent)


class NoRevoke(BrokenStore):
    """A store that can be read and written, but where nothing can be removed while ``down``."""

    def __getattribute__(self, name: str) -> Any:
        return super().__getattribute__(name) if name == "remove" else object.__getattribute__(self, name)


class NoWrites(BrokenStore):
    """A store that takes no decision while ``down``."""

    def __getattribute__(self, name: str) -> Any:
        return super().__getattribute__(name) if name == "swap_line" else object.__getattribute__(self, name)


@pytest.mark.parametrize("mode", ["cookie", "header"])
def test_a_stolen_session_that_cannot_be_revoked_is_a_503_and_alarms_again(
    mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """503 with tokens untouched, logged; the same token rings again, and then the revoke works."""
    store = NoRevoke()
    app = an_app(store)
    tokens = stolen(app, mode)
    store.down = True
    for _ in range(2):
        response = present(app, tokens, mode)
        assert (response.status_code, response.json) == (503, {"message": "service unavailable"})
        assert sets_no_tokens(response)
    assert f"The stolen session {tokens.handle} could not be revoked" in caplog.text
    assert tokens.refresh not in all_tokens(caplog)
    store.down = False
    response = present(app, tokens, mode)
    assert (response.json, cleared_methods(response)) == ({"message": "token theft detected"}, {"cookie", "header"})
    assert handles(app) == []


def test_a_stolen_session_that_cannot_be_revoked_is_found_again_without_a_request() -> None:
    """`GeneralError` instead of `TokenTheftError`; later the theft is found again."""
    store = NoRevoke()
    app = an_app(store)
    tokens = stolen(app)
    with app.app_context():
        store.down = True
        with pytest.raises(GeneralError, match="could not be revoked"):
            refresh_session_without_request(tokens.refresh)
        store.down = False
        with pytest.raises(TokenTheftError):
            refresh_session_without_request(tokens.refresh)
    assert handles(app) == []


def test_a_core_that_cannot_revoke_a_stolen_session_makes_a_503_and_alarms_again(
    core_server: Serving, keys_of_a_core: list[SigningKey]
) -> None:
    """The app on it answers 503 with cookies untouched, and rings when the core works again."""
    store, clock, (uri, put) = NoRevoke(), Clock(), core_server
    put(a_core(store, clock, *keys_of_a_core))
    app = Flask("app")
    app.config.update(SECRET_KEY=SECRET, SUPERTOKENS_COOKIE_SECURE=False, SUPERTOKENS_CONNECTION_URI=uri)
    SuperTokens(app)
    app.extensions["supertokens"].engine.clock = clock
    app.add_url_rule("/login", view_func=login, methods=["POST"])
    tokens = stolen(app)
    store.down = True
    response = present(app, tokens)
    assert (response.status_code, sets_no_tokens(response)) == (503, True)
    store.down = False
    assert present(app, tokens).json == {"message": "token theft detected"}
    assert store.read(tokens.handle) is None


def test_a_core_on_a_database_that_takes_no_writes_gives_no_verdict_of_theft(keys_of_a_core: list[SigningKey]) -> None:
    """It gives no verdict of theft that the service could not act upon: 503."""
    store, clock = NoWrites(), Clock()
    client = make_core_app(a_core(store, clock, *keys_of_a_core)).test_client()
    body = {"userId": "u", "userDataInJWT": {}, "userDataInDatabase": {}, "enableAntiCsrf": False}
    first = client.post("/recipe/session", json=body).json["refreshToken"]["token"]
    token, asked = first, {"enableAntiCsrf": False, "useDynamicSigningKey": True}
    for _ in range(2):
        token = client.post("/recipe/session/refresh", json={"refreshToken": token, **asked}).json["refreshToken"][
            "token"
        ]
        clock.wait(HOUR)
    store.down = True
    assert client.post("/recipe/session/refresh", json={"refreshToken": first, **asked}).status_code == 503
    store.down = False
    answer = client.post("/recipe/session/refresh", json={"refreshToken": first, **asked}).json
    assert answer["status"] == "TOKEN_THEFT_DETECTED"


@pytest.mark.parametrize("fault", ["locked", "read-only"])
def test_a_theft_on_a_database_that_takes_no_writes_alarms_afterwards(
    fault: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite locked by another process, or opened read-only: 503, cookies untouched, no verdict; it rings afterwards."""
    monkeypatch.setattr("flask_supertokens.stores.connecting.BUSY_TIMEOUT_MS", 200)
    file = tmp_path / "sessions.sqlite3"
    store = SQLAlchemyStore(database_engine(f"sqlite:///{file}", ""))
    app = an_app(store)
    tokens = stolen(app)
    with sqlite3.connect(file, isolation_level=None) as other:
        if fault == "locked":
            other.execute("BEGIN IMMEDIATE")
        else:
            with store._engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA query_only=1")
        response = present(app, tokens)
        assert (response.status_code, sets_no_tokens(response)) == (503, True)
        if fault == "locked":
            other.execute("ROLLBACK")
    other.close()
    store._engine.dispose()
    assert present(app, tokens).json == {"message": "token theft detected"}
    assert handles(app) == []
    store._engine.dispose()


def test_a_process_that_dies_while_a_theft_is_told_leaves_the_alarm_to_the_next(tmp_path: pathlib.Path) -> None:
    """Killed in the signal, before the revoke: the same token rings again in the next process, and the session is ended."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", STALE_SCRIPT, *arguments]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)

    token = run("steal").stdout.strip()
    died = run("die", token)
    assert (died.returncode, died.stdout) == (-signal.SIGKILL, "told\n")
    assert run("live", token).stdout == "told\ntheft 0\n"


def test_receivers_hear_of_a_theft_before_it_is_ended() -> None:
    """At least once: the session is still there when the signal is sent, and gone when the response is made."""
    app, seen = an_app(), []
    app.register_error_handler(TokenTheftError, lambda error: (str(len(handles(app))), 401))
    tokens = stolen(app)
    with signals.token_theft_detected.connected_to(lambda sender, **_: seen.append(len(handles(app))), app):
        response = present(app, tokens)
    assert (seen, response.text) == ([1], "0")


# -- before anti-CSRF --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("anti_csrf", "headers"),
    [
        ("VIA_TOKEN", {"rid": "session"}),
        ("VIA_TOKEN", {"anti-csrf": "wrong"}),
        ("VIA_CUSTOM_HEADER", {"x": "y"}),
    ],
)
def test_a_stale_token_without_anti_csrf_is_a_theft(anti_csrf: str, headers: dict[str, str]) -> None:
    """It is a theft, acted upon: the alarm does not wait for a thief who brings all headers."""
    app = an_app(anti_csrf=anti_csrf)
    response = present(app, stolen(app), **headers)
    assert (response.json, cleared_methods(response)) == ({"message": "token theft detected"}, {"cookie", "header"})
    assert handles(app) == []


@pytest.mark.parametrize("anti_csrf", ["VIA_TOKEN", "VIA_CUSTOM_HEADER"])
def test_a_good_token_without_anti_csrf_is_unauthorised_and_changes_no_row(anti_csrf: str) -> None:
    """It is unauthorised, and nothing is counted, promoted or marked: the row stays as it was."""
    app = an_app(anti_csrf=anti_csrf)
    store = app.extensions["supertokens"].engine.store
    tokens = log_in(app)
    child = set_cookies(present(app, tokens))["sRefreshToken"].value
    app.extensions["supertokens"].engine.clock.wait(40 * SECOND)
    before = store.read(tokens.handle)
    for token in (tokens.refresh, child):
        assert present(app, tokens._replace(refresh=token), x="y").json == {"message": "unauthorised"}
    assert store.read(tokens.handle) == before


def test_a_stale_token_without_its_access_cookie_is_a_theft() -> None:
    """The ``__Host-`` cookie that belongs beside it is missing: a theft all the same; a good token stays unauthorised."""
    app = an_app(cookie_secure=True)
    for tokens, message in ((stolen_secure(app), "token theft detected"), (log_in(app), "unauthorised")):
        response = call(
            app,
            "POST",
            "/refresh",
            cookies=[f"__Secure-sRefreshToken={tokens.refresh}"],
            headers={"Sec-Fetch-Site": "same-origin"},
            base_url="https://localhost",
        )
        assert response.json == {"message": message}


def stolen_secure(app: Flask) -> Tokens:
    tokens = log_in(app)
    with app.app_context():
        child = refresh_session_without_request(tokens.refresh).tokens.refresh_token
        app.extensions["supertokens"].engine.clock.wait(HOUR)
        refresh_session_without_request(str(child))
    return tokens


def test_a_stale_token_beside_another_session_is_a_theft() -> None:
    """The access token is of another session: a theft all the same. With a good token it is a cookie that was tossed in."""
    app = an_app()
    for tokens, message in ((stolen(app), "token theft detected"), (log_in(app), "unauthorised")):
        other = log_in(app)
        assert present(app, tokens._replace(access=other.access)).json == {"message": message}
        assert call(app, "GET", "/me", access=other.access).status_code == 200


def test_a_stale_token_from_another_site_is_refused_without_an_alarm() -> None:
    """It is refused before anything is judged: nobody else can ring the alarm."""
    app = an_app()
    response = present(app, stolen(app), **{"Sec-Fetch-Site": "cross-site"})
    assert (response.status_code, len(handles(app))) == (403, 1)


def test_a_wrong_anti_csrf_token_without_a_request_does_not_hide_the_theft() -> None:
    """A given token that is wrong does not hide the theft."""
    app = an_app(anti_csrf="VIA_TOKEN")
    tokens = stolen(app)
    with app.app_context(), pytest.raises(TokenTheftError):
        refresh_session_without_request(tokens.refresh, anti_csrf_token="wrong")
    assert handles(app) == []
    other = log_in(app)
    with app.app_context(), pytest.raises(UnauthorisedError):
        refresh_session_without_request(other.refresh, anti_csrf_token="wrong")


def test_a_theft_that_a_view_raises_is_not_spent_while_the_store_is_down(caplog: pytest.LogCaptureFixture) -> None:
    """503 with cookies untouched, logged; it rings again when the store is back, and then the tokens are cleared."""
    store = BrokenStore()
    app = an_app(store)
    handle = a_session(app).handle

    def view() -> None:
        raise TokenTheftError(user_id="user-1", session_handle=handle)

    store.down = True
    response = run(app, view)
    assert (response.status_code, response.json) == (503, {"message": "service unavailable"})
    assert sets_no_tokens(response)
    assert "could not be revoked" in caplog.text
    store.down = False
    response = run(app, view)
    assert (response.json, cleared_methods(response)) == ({"message": "token theft detected"}, {"cookie", "header"})
    assert handles(app) == []


def test_a_theft_whose_handler_forgets_it_revokes_the_session(caplog: pytest.LogCaptureFixture) -> None:
    """The session is revoked, the tokens are cleared, whatever the handler answers; signal and log name both."""
    clock, told = Clock(), []
    app = an_app(clock=clock)
    app.register_error_handler(TokenTheftError, lambda error: ("welcome", 200))
    tokens = log_in(app)
    child = cookie_values(ask(app, "POST", "/refresh", f"sRefreshToken={tokens.refresh}"))
    ask(app, "GET", "/me", f"sAccessToken={child['sAccessToken']}")
    clock.wait(60_000)
    with signals.token_theft_detected.connected_to(lambda sender, **about: told.append((sender, about)), app):
        response = ask(app, "POST", "/refresh", f"sRefreshToken={tokens.refresh}")
    assert (response.text, cleared_cookies(response)) == ("welcome", BOTH_COOKIES)
    assert told == [(app, {"user_id": "user-1", "session_handle": tokens.handle})]
    assert tokens.handle in caplog.text
    assert ask(app, "POST", "/refresh", f"sRefreshToken={child['sRefreshToken']}").json == {"message": "unauthorised"}


def test_a_theft_that_the_app_found_ends_the_session_of_its_handle() -> None:
    """Raised with a handle it ends that session."""
    app = an_app()

    @app.post("/report/<handle>")
    def report(handle: str) -> str:
        raise TokenTheftError(user_id="user-1", session_handle=handle)

    tokens = log_in(app)
    assert ask(app, "POST", f"/report/{tokens.handle}").json == {"message": "token theft detected"}
    assert ask(app, "POST", "/refresh", f"sRefreshToken={tokens.refresh}").json == {"message": "unauthorised"}


@pytest.mark.parametrize("signal", [token_theft_detected, session_revoked])
def test_a_receiver_that_fails_does_not_keep_a_thief_signed_in(signal: Any) -> None:
    """Tokens are cleared and the session has ended, whatever a listener does."""
    clock = Clock()
    app = an_app_with_users(clock=clock)
    client = app.test_client()
    client.post("/login/alice")
    old = client.get_cookie("sRefreshToken", path="/refresh")
    client.post("/refresh"), client.get("/me")
    clock.wait(60_000)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a receiver of the app's")

    thief = app.test_client()
    thief.set_cookie("sRefreshToken", old.value, path="/refresh")  # type: ignore[union-attr]
    with signal.connected_to(fail, app):
        response = thief.post("/refresh")
    assert response.json == {"message": "token theft detected"}
    assert response.headers["front-token"] == "remove"
