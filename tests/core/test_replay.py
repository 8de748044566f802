"""Every recorded request is played again on a core of ours: the answers are alike, or differ as the docs say."""

from __future__ import annotations

import pathlib
import re
from collections import Counter
from collections.abc import Callable

import pytest

from flask_supertokens.protocol.model import SigningKey

from ..support.differences import DIFFERENCES, difference_of
from ..support.replay import Exchange, Replay, recordings

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "core.md"


@pytest.fixture(scope="module")
def exchanges(keys_of_a_core: list[SigningKey]) -> list[Exchange]:
    return [exchange for path in recordings() for exchange in Replay(path, keys_of_a_core).play()]


def test_the_recordings_are_there() -> None:
    """Eight of them, from two cores and in five dialects."""
    assert len(recordings()) == 8


def test_responses_are_alike_or_differ_as_is_meant(exchanges: list[Exchange], report: Callable[[str], None]) -> None:
    """Status, content type, fields, values and meaning, those that must differ from run to run aside."""
    unlike = [exchange for exchange in exchanges if exchange.unlike]
    unexplained = [f"{exchange.name}: {exchange.unlike}" for exchange in unlike if difference_of(exchange) is None]
    counted = Counter(difference.name for exchange in unlike if (difference := difference_of(exchange)))
    requests = sum(bool(exchange.request) for exchange in exchanges)
    report(f"replay: {requests} exchanges and {len(exchanges) - requests} decoded tokens;")
    report(f"    {len(exchanges) - len(unlike)} matched, {len(unlike)} intended differences: {dict(counted)}")
    assert unexplained == []


def test_every_listed_difference_shows_in_an_exchange(exchanges: list[Exchange]) -> None:
    """One that no exchange shows any more is to be taken off the list."""
    shown = {difference.name for exchange in exchanges if exchange.unlike and (difference := difference_of(exchange))}
    assert shown == {difference.name for difference in DIFFERENCES}


def test_the_docs_have_the_same_differences() -> None:
    """Name and reason of each."""
    rows = re.findall(r"^\| \*(.+?)\* \| (.+?) \|$", DOCS.read_text("utf-8"), re.MULTILINE)
    assert dict(rows) == {difference.name: difference.reason for difference in DIFFERENCES}
