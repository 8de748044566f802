"""The plans of browsers and thieves on the embedded engine and each store."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from flask_supertokens.engines.embedded import EmbeddedEngine

from ..support.engines import EmbeddedServer
from ..support.plans import HONEST_ROUNDS, OFFSETS, SCENARIOS, Clock, Scenario, found_in_round, play, play_round

HONEST = list(itertools.product(HONEST_ROUNDS, repeat=3))
DUELS = list(itertools.product(itertools.product(OFFSETS, repeat=4), (True, False), (True, False)))[::61]

Reporter = Callable[[str], None]


@pytest.fixture
def server(engine: EmbeddedEngine, clock: Clock) -> EmbeddedServer:
    return EmbeddedServer(engine, clock)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.sentence)
def test_a_scenario_gets_the_responses_of_the_rule(server: EmbeddedServer, scenario: Scenario) -> None:
    """The answers are those of the rule."""
    assert play(server, scenario.steps) == scenario.outcome


def test_no_plan_of_an_honest_browser_raises_an_alarm(
    server: EmbeddedServer, report: Reporter, request: pytest.FixtureRequest
) -> None:
    """No plan of three honest rounds raises an alarm."""
    for plan in HONEST:
        jar = server.create()
        for honest_round in plan:
            jar = play_round(server, jar, honest_round)
    report(f"{request.node.name}: {len(HONEST)} plans, 0 false alarms")


def test_a_thief_who_refreshes_in_turn_with_the_owner_is_found_by_round_two(
    server: EmbeddedServer, report: Reporter, request: pytest.FixtureRequest
) -> None:
    """In a sample of the duels of four rounds the thief is found in the second round at the latest."""
    rounds = [found_in_round(server, *duel) for duel in DUELS]
    assert set(rounds) <= {1, 2}
    report(f"{request.node.name}: {len(DUELS)} duels, {rounds.count(None)} missed")
