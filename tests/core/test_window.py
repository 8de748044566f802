"""The recorded refreshes and first uses again, with the race window on: what differs from a real core is in the docs."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterable
from typing import Any

import pytest

from flask_supertokens.protocol.model import SigningKey
from flask_supertokens.protocol.rotation import Window

from ..support import replay
from ..support.plans import WINDOW
from ..support.replay import Exchange, Replay

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "core.md"
SCENARIOS = ("refresh, the normal way", "theft", "lost response", "promotion by refresh")
MOMENTS = {"within the window": 7, "later than that": WINDOW + 10_000}
"""Milliseconds from one request to the next."""
ROW = re.compile(r"^\| \*(.+), (\d+)\*: .+? \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def runs(keys_of_a_core: list[SigningKey]) -> list[list[Exchange]]:
    return [play(keys_of_a_core, step) for step in MOMENTS.values()]


def play(keys: list[SigningKey], step: int) -> list[Exchange]:
    """The refreshes and first uses of one recording, with the default window."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay, "Window", lambda _, refresh_lifetime: Window(WINDOW, refresh_lifetime))
        patch.setattr(replay, "STEP", step)
        exchanges = list(Replay(replay.FOLDER / "core-11.1.3-cdi-5.3.json", keys).play())
    return [it for it in exchanges if it.scenario in SCENARIOS and it.request]


def outcomes(answers: Iterable[dict[str, Any]]) -> list[str]:
    seen: set[str] = set()
    said = []
    for answer in answers:
        token = answer.get("refreshToken", {}).get("token")
        given = "new access token" if "accessToken" in answer else "passes"
        given = given if token is None else "the same refresh token" if token in seen else "new tokens"
        said.append("theft" if answer["status"] == "TOKEN_THEFT_DETECTED" else given)
        seen.add(token)
    return said


def test_the_docs_tell_what_the_window_changes_row_by_row(runs: list[list[Exchange]]) -> None:
    """Row by row: what a real core answered, what ours answers within the window, and later."""
    real = outcomes(it.recorded for it in runs[0])
    ours = [outcomes(it.ours for it in run) for run in runs]
    together = zip(runs[0], zip(real, *ours, strict=True), strict=True)
    rows = {(it.scenario, it.number): said for it, said in together if len(set(said)) > 1}
    told = {(scenario, int(number)): tuple(words) for scenario, number, *words in ROW.findall(DOCS.read_text("utf-8"))}
    assert told == rows


def test_no_response_is_an_error_or_sends_an_honest_client_away(runs: list[list[Exchange]]) -> None:
    """No answer is an error, and none sends an honest client away."""
    statuses = {it.ours["status"] for run in runs for it in run}
    assert statuses == {"OK", "TOKEN_THEFT_DETECTED"}
    assert {it.ours["status"] for it in runs[0]} == {"OK"}
