"""The plans of browsers and thieves through the whole stack: HTTP, cookies, Flask, engine and each store."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import make_url

from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import close_database
from ..support.flask_server import FlaskServer, an_app, embedded_settings
from ..support.plans import (
    HONEST_ROUNDS,
    OFFSETS,
    SCENARIOS,
    Clock,
    Scenario,
    found_in_round,
    play,
    play_round,
)
from ..support.served import a_core

HONEST = list(itertools.product(HONEST_ROUNDS, repeat=2))
DUELS = list(itertools.product(itertools.product(OFFSETS, repeat=4), (True, False), (True, False)))[::241]


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
    app = an_app(tmp_path, **embedded_settings(uri))
    yield FlaskServer(app, Clock())
    close_database(app)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.sentence)
def test_a_scenario_over_http_gets_the_responses_of_the_rule(server: FlaskServer, scenario: Scenario) -> None:
    """The answers are those of the rule, whatever lies between."""
    assert play(server, scenario.steps) == scenario.outcome


def test_no_plan_of_an_honest_browser_over_http_raises_an_alarm(
    server: FlaskServer, report: Callable[[str], None], request: pytest.FixtureRequest
) -> None:
    """No plan of two honest rounds raises an alarm."""
    for plan in HONEST:
        jar = server.create()
        for honest_round in plan:
            jar = play_round(server, jar, honest_round)
    report(f"{request.node.name}: {len(HONEST)} plans, 0 false alarms")


def test_a_thief_who_refreshes_in_turn_over_http_is_found_by_round_two(
    server: FlaskServer, report: Callable[[str], None], request: pytest.FixtureRequest
) -> None:
    """In a sample of the duels the thief is found in the second round at the latest."""
    rounds = [found_in_round(server, *duel) for duel in DUELS]
    assert set(rounds) <= {1, 2}
    report(f"{request.node.name}: {len(DUELS)} duels, {rounds.count(None)} missed")
