"""The short form of what ``make torture`` runs; the long form prints the figures."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest

from ..support.records import sqlite_uri
from ..torture.faults import all_faults, under, went_wrong
from ..torture.fire import fire
from ..torture.fuzz import fuzz
from ..torture.kills import kills
from ..torture.lives import WEATHERS, lives

pytestmark = pytest.mark.long


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def uri(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    if request.param == "sqlite":
        return sqlite_uri(tmp_path)
    return str(request.getfixturevalue("postgres_uri")).replace("postgresql+psycopg", "postgresql")


@pytest.mark.parametrize("weather", WEATHERS)
def test_lives_in_virtual_time_raise_no_honest_alarm_and_miss_no_thief(
    weather: str, report: Callable[[str], None]
) -> None:
    """Nobody honest meets an alarm, and no thief who claims the session goes unseen; also when clocks are wrong."""
    figures = lives(60, weather=WEATHERS[weather])
    report(f"lives, {weather}: {dict(figures)}")
    assert (figures["false alarms"], figures["thieves missed"]) == (0, 0)
    assert figures["thieves found"] > 24


def test_hostile_texts_are_never_accepted_and_raise_only_what_is_documented(report: Callable[[str], None]) -> None:
    """None is accepted, none raises what is not documented."""
    figures = fuzz(20_000, seed=1)
    report(f"fuzz: {dict(figures)}")
    assert (figures["accepted"], figures["unhandled"]) == (0, 0)


def test_processes_that_refresh_one_token_at_once_make_one_promotion_a_generation(
    uri: str, report: Callable[[str], None]
) -> None:
    """One promotion a generation, no alarm, no 5xx."""
    figures = fire(uri, 10, workers=4)
    report(f"fire: {dict(figures)}")
    assert (figures["promotions"], figures["5xx"], figures["alarms"], figures["refused"]) == (10, 0, 0, 0)


def test_no_session_is_lost_where_web_processes_are_killed(uri: str, report: Callable[[str], None]) -> None:
    """No session is lost, no alarm is raised."""
    figures = kills(uri, 15, workers=2)
    report(f"kills: {dict(figures)}")
    assert (figures["lost"], figures["kills"]) == (0, 15)


@pytest.mark.postgres
def test_all_goes_on_by_itself_after_databases_fail(report: Callable[[str], None]) -> None:
    """Stopped, cut off, full, locked: calls are 503 with cookies untouched, and all goes on by itself afterwards."""
    with all_faults() as found:
        brief = [name for name in found if not name.endswith(("frozen", "read_only"))]
        assert len(brief) > 3
        for name in brief:
            uri, fault = found[name]
            figures = under(fault, uri, 1.5)
            report(f"{name}: {dict(figures)}")
            assert not went_wrong(figures), name
            noticed = figures["503"] or figures["longest wait (ms)"] > 1000
            assert noticed or name == "postgresql cut", name  # a read on a dead connection is repeated
