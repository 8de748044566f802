"""What the figures of one run should be to each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from . import crowds, least, protected, sdk, starts, unused
from .figures import Results

JWT_EXTENDED = "Flask-JWT-Extended RS256"


class Goal(NamedTuple):
    """``measure`` is a `KeyError` where the run has not the figures."""

    sentence: str
    limit: float
    measure: Callable[[Results], float]
    at_least: bool = False


class Judged(NamedTuple):
    """A goal and what became of it; ``measured`` is ``None`` where the run has not the figures."""

    sentence: str
    limit: str
    measured: float | None
    verdict: str


def judged(results: Results) -> list[Judged]:
    return [_judge(goal, results) for goal in GOALS]


def _judge(goal: Goal, results: Results) -> Judged:
    limit = f"{'≥' if goal.at_least else '≤'} {goal.limit:.4g}"
    try:
        measured = goal.measure(results)
    except KeyError:
        return Judged(goal.sentence, limit, None, "not measured")
    reached = measured >= goal.limit if goal.at_least else measured <= goal.limit
    return Judged(goal.sentence, limit, measured, "ok" if reached else "missed")


def figure(part: str, name: str) -> Callable[[Results], float]:
    return lambda results: results[part].figures[name]


def ratio(part: str, name: str, other: str) -> Callable[[Results], float]:
    return lambda results: results[part].figures[name] / results[part].figures[other]


def _crowd(store: str) -> Goal:
    names = [crowds.name_of("refresh", store, clients) for clients in (16, 1)]
    return Goal(f"16 clients refresh as often as one, {store}", 0.9, ratio("crowds", *names), at_least=True)


GOALS = [
    Goal("seen before, to Flask-JWT-Extended RS256", 1 / 8, ratio("protected", protected.SEEN, JWT_EXTENDED)),
    Goal("seen before, to supertokens-python", 1 / 10, ratio("protected", protected.SEEN, sdk.NAME)),
    Goal("first sight, to a bare jwt.decode", 1.4, ratio("protected", protected.FIRST, protected.DECODE)),
    Goal(
        "refreshes on SQLite, to SELECT; UPDATE; COMMIT and a signature",
        0.6,
        ratio("least", least.SQL, least.EMBEDDED),
        at_least=True,
    ),
    Goal("a refresh on a core, to the bare call", 1.3, ratio("least", least.REMOTE, least.BARE_HTTP)),
    Goal("round trips of a refresh on PostgreSQL", 2, figure("trips", "refresh")),
    *map(_crowd, crowds.STORES),
    Goal("ms to import the extension", 60, figure("starts", starts.IMPORT)),
    Goal("requests is loaded without a core", 0, figure("starts", starts.REQUESTS)),
    Goal("µs that a request without sessions pays", 3, figure("unused", unused.DIFFERENCE)),
]
