"""Every plan of a kind, played on the pure rule. The numbers stand in the summary at the end of the test run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import product

import pytest

from ..support.plans import HONEST_ROUNDS, OFFSETS, WINDOW, AlarmError, Jar, found_in_round, play_round
from ..support.pure_server import PureServer

DEPTH = 5
ROUNDS = 4


def false_alarms(server: PureServer, jar: Jar, depth: int) -> int:
    """How many of the honest plans of this depth that start here end in an alarm; one last refresh follows each."""
    if depth == 0:
        return server.refresh(jar.refresh).outcome != "ok"
    alarms = 0
    for plan in HONEST_ROUNDS:
        world = server.fork()
        try:
            later = play_round(world, jar, plan)
        except AlarmError:
            alarms += len(HONEST_ROUNDS) ** (depth - 1)
        else:
            alarms += false_alarms(world, later, depth - 1)
    return alarms


@pytest.mark.parametrize("window", [WINDOW, 0])
def test_no_plan_of_one_honest_browser_raises_an_alarm(report: Callable[[str], None], window: int) -> None:
    """All 8^5 sequences of what a browser can meet at a refresh: none looks like a theft, where answers take no time."""
    server = PureServer(window=window)
    alarms, plans = false_alarms(server, server.create(), DEPTH), len(HONEST_ROUNDS) ** DEPTH
    report(f"honest plans of depth {DEPTH}, window {window // 1000} s: {alarms:,} false alarms of {plans:,}")
    assert (alarms, plans) == (0, 32_768)


@pytest.mark.parametrize(("window", "rounds"), [(WINDOW, {1: 3_430, 2: 6_174}), (0, {1: 4_802, 2: 4_802})])
def test_every_duel_of_owner_and_thief_is_found_by_round_two(
    report: Callable[[str], None], window: int, rounds: dict[int, int]
) -> None:
    """All 7^4 offsets, whether owner and thief use their access tokens or not.

    A round is one refresh of each of the two; a duel is *missed* when four rounds pass without an alarm. Those found in
    round 1 are pinned too: the count of children makes them more, and a window that never closes makes them fewer. A token
    without parent at the first use, where the window is 0, changes none of these numbers.
    """
    duels = list(product(product(OFFSETS, repeat=ROUNDS), (True, False), (True, False)))
    found = Counter(found_in_round(PureServer(window=window), *duel) for duel in duels)
    by_round = ", ".join(f"{found[number]:,} in round {number}" for number in range(1, ROUNDS + 1) if found[number])
    report(
        f"duels of depth {ROUNDS}, window {window // 1000} s: {found[None]:,} missed of {len(duels):,}; found {by_round}"
    )
    assert len(duels) == 9_604
    assert found == rounds
