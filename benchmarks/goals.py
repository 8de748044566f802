"""What the figures of one run should be to each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from . import crowds, least, protected, sdk, starts, unused
from .figures import Results

JWT_EXTENDED = "Flask-JWT-Extended RS256"


class Goal(NamedTuple):
    """``measure`` raises `KeyError` if the run does not have the figures."""

    sentence: str
    limit: float
    measure: Callable[[Results], float]
    at_least: bool = False


class GoalResult(NamedTuple):
    """Whether a goal is reached; ``measured`` is ``None`` if the run does not have the figures."""

    sentence: str
    limit: str
    measured: float | None
    verdict: str


def judge_goals(results: Results) -> list[GoalResult]:
    return [_judge(goal, results) for goal in GOALS]


def _judge(goal: Goal, results: Results) -> GoalResult:
    limit = f"{'≥' if goal.at_least else '≤'} {goal.limit:.4g}"
    try:
        measured = goal.measure(results)
    except KeyError:
        return GoalResult(goal.sentence, limit, None, "not measured")
    reached = measured >= goal.limit if goal.at_least else measured <= goal.limit
    return GoalResult(goal.sentence, limit, measured, "ok" if reached else "missed")


def read_figure(part: str, name: str) -> Callable[[Results], float]:
    return lambda results: results[part].figures[name]


def read_ratio(part: str, name: str, other: str) -> Callable[[Results], float]:
    return lambda results: results[part].figures[name] / results[part].figures[other]


def _make_crowd_goal(store: str) -> Goal:
    names = [crowds.name_case("refresh", store, clients) for clients in (16, 1)]
    return Goal(f"16 clients refresh as often as one, {store}", 0.9, read_ratio("crowds", *names), at_least=True)


GOALS = [
    Goal("seen before, to Flask-JWT-Extended RS256", 1 / 8, read_ratio("protected", protected.SEEN, JWT_EXTENDED)),
    Goal("seen before, to supertokens-python", 1 / 10, read_ratio("protected", protected.SEEN, sdk.NAME)),
    Goal("first sight, to a bare jwt.decode", 1.4, read_ratio("protected", protected.FIRST, protected.DECODE)),
    Goal(
        "refreshes on SQLite, to SELECT; UPDATE; COMMIT and a signature",
        0.6,
        read_ratio("least", least.SQL, least.EMBEDDED),
        at_least=True,
    ),
    Goal("a refresh on a core, to the bare call", 1.3, read_ratio("least", least.REMOTE, least.BARE_HTTP)),
    Goal("round trips of a refresh on PostgreSQL", 2, read_figure("trips", "refresh")),
    *map(_make_crowd_goal, crowds.STORES),
    Goal("ms to import the extension", 60, read_figure("starts", starts.IMPORT)),
    Goal("requests is loaded without a core", 0, read_figure("starts", starts.REQUESTS)),
    Goal("µs that a request without sessions pays", 3, read_figure("unused", unused.DIFFERENCE)),
]
