"""The plans of browsers and thieves through the whole stack: HTTP, cookies, Flask, engine and each store."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.typing import ResponseReturnValue
from sqlalchemy import make_url

from flask_supertokens import SuperTokens, create_new_session, current_session, revoke_session, verify_session
from flask_supertokens.stores.memory import MemoryStore

from .support.plans import (
    ACCESS_LIFETIME,
    HONEST_ROUNDS,
    OFFSETS,
    REFRESH_LIFETIME,
    SCENARIOS,
    WINDOW,
    Answer,
    Clock,
    Jar,
    Outcome,
    Scenario,
    found_in_round,
    play,
    play_round,
)
from .support.served import a_core

HONEST = list(itertools.product(HONEST_ROUNDS, repeat=2))
DUELS = list(itertools.product(itertools.product(OFFSETS, repeat=4), (True, False), (True, False)))[::241]
MESSAGES: dict[str, Outcome] = {
    "try refresh token": "try refresh",
    "unauthorised": "unauthorised",
    "token theft detected": "theft",
}


def embedded(database_uri: str) -> dict[str, Any]:
    """Settings for the embedded engine, with the plans' lifetimes."""
    return {
        "SECRET_KEY": "a secret of the tests",
        "SUPERTOKENS_DATABASE_URI": database_uri,
        "SUPERTOKENS_ACCESS_TOKEN_LIFETIME": ACCESS_LIFETIME / 1000,
        "SUPERTOKENS_REFRESH_TOKEN_LIFETIME": REFRESH_LIFETIME / 1000,
        "SUPERTOKENS_REFRESH_RACE_WINDOW": WINDOW / 1000,
    }


def an_app(folder: pathlib.Path, **settings: Any) -> Flask:
    """An app with three views."""
    app = Flask(__name__, instance_path=str(folder))
    app.config.update(SUPERTOKENS_COOKIE_SECURE=False, **settings)
    SuperTokens(app)

    @app.post("/login")
    def login() -> ResponseReturnValue:
        return {"handle": create_new_session("user-1").handle}

    @app.get("/me")
    @verify_session
    def me() -> ResponseReturnValue:
        return {"user": current_session.user_id}

    @app.get("/checked")
    @verify_session(check_database=True)
    def checked() -> ResponseReturnValue:
        return {"user": current_session.user_id}

    return app


class FlaskServer:
    """One session on an app, spoken to by HTTP requests with cookies."""

    def __init__(self, app: Flask, clock: Clock) -> None:
        self.clock = clock
        self._app = app
        self._handle = ""
        app.extensions["supertokens"].engine.clock = clock

    def create(self) -> Jar:
        response = self._app.test_client(use_cookies=False).post("/login")
        self._handle = response.json["handle"]
        cookies = _cookies(response.headers.getlist("Set-Cookie"))
        return Jar(cookies["sAccessToken"], cookies["sRefreshToken"])

    def refresh(self, token: str) -> Answer:
        return self._answer("POST", "/refresh", f"sRefreshToken={token}")

    def use(self, access_token: str, *, check_database: bool = False) -> Answer:
        return self._answer("GET", "/checked" if check_database else "/me", f"sAccessToken={access_token}")

    def revoke(self) -> None:
        with self._app.app_context():
            revoke_session(self._handle)

    def _answer(self, method: str, path: str, cookie: str) -> Answer:
        client = self._app.test_client(use_cookies=False)
        response = client.open(path, method=method, headers={"Cookie": cookie})
        if response.status_code != 200:
            assert response.status_code == 401, response.text
            return Answer(MESSAGES[response.json["message"]])
        cookies = _cookies(response.headers.getlist("Set-Cookie"))
        return Answer("ok", cookies.get("sAccessToken"), cookies.get("sRefreshToken"))


def _cookies(lines: list[str]) -> dict[str, str]:
    pairs = (line.split(";")[0].partition("=") for line in lines)
    return {name: value for name, _, value in pairs}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres), "core"])
def server(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[FlaskServer]:
    """The app on a SQLite file, on PostgreSQL, and on a core of ours that is spoken to over a socket."""
    if request.param == "core":
        clock = Clock()
        uri, put = request.getfixturevalue("core_server")
        put(a_core(MemoryStore(), clock, *request.getfixturevalue("keys_of_a_core")))
        yield FlaskServer(an_app(tmp_path, SUPERTOKENS_CONNECTION_URI=uri), clock)
        return
    uri = "sqlite:///sessions.sqlite3"
    if request.param == "postgresql":
        uri = make_url(request.getfixturevalue("postgres_uri")).render_as_string(hide_password=False)
    app = an_app(tmp_path, **embedded(uri))
    yield FlaskServer(app, Clock())
    app.extensions["supertokens"].engine.store._engine.dispose()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.sentence)
def test_a_scenario_is_played_over_http(server: FlaskServer, scenario: Scenario) -> None:
    """The answers are those of the rule, whatever lies between."""
    assert play(server, scenario.steps) == scenario.outcome


def test_one_browser_is_honest_over_http(
    server: FlaskServer, report: Callable[[str], None], request: pytest.FixtureRequest
) -> None:
    """No plan of two honest rounds raises an alarm."""
    for plan in HONEST:
        jar = server.create()
        for honest_round in plan:
            jar = play_round(server, jar, honest_round)
    report(f"{request.node.name}: {len(HONEST)} plans, 0 false alarms")


def test_owner_and_thief_refresh_in_turn_over_http(
    server: FlaskServer, report: Callable[[str], None], request: pytest.FixtureRequest
) -> None:
    """In a sample of the duels the thief is found in the second round at the latest."""
    rounds = [found_in_round(server, *duel) for duel in DUELS]
    assert set(rounds) <= {1, 2}
    report(f"{request.node.name}: {len(DUELS)} duels, {rounds.count(None)} missed")
