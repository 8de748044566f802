"""Fixtures for all tests, their order, how long Hypothesis searches, and the numbers at the end of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from flask_supertokens.protocol.model import SigningKey
from flask_supertokens.stores.memory import MemoryStore

from .support.both import ENGINES, Make, maker
from .support.mariadb import mariadb_server, mariadb_uri
from .support.pgbouncer import pooled_uri
from .support.plans import Clock
from .support.postgres import postgres_server, postgres_uri
from .support.served import Serving, a_core, core_keys, serving

__all__ = ["mariadb_server", "mariadb_uri", "pooled_uri", "postgres_server", "postgres_uri"]

NUMBERS = "number"

settings.register_profile(
    "ci", derandomize=True, database=None, deadline=None, max_examples=500, stateful_step_count=30
)
settings.register_profile("long", derandomize=False, deadline=None, max_examples=10_000, stateful_step_count=60)
settings.load_profile("ci")


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Adds a line to the summary at the end of the run."""
    return lambda line: record_property(NUMBERS, line)


@pytest.fixture(params=ENGINES)
def make(request: pytest.FixtureRequest) -> Make:
    """Makes apps on one engine after the other."""
    return maker(request)


@pytest.fixture(scope="session")
def keys_of_a_core() -> list[SigningKey]:
    return core_keys()


@pytest.fixture(scope="session")
def core_server(keys_of_a_core: list[SigningKey]) -> Iterator[Serving]:
    with serving(a_core(MemoryStore(), Clock(), *keys_of_a_core)) as served:
        yield served


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first; the others stay in the order of their folders, which share browsers and servers."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests reported."""
    tests = [test for outcome in ("passed", "failed") for test in terminalreporter.stats.get(outcome, [])]
    lines = [value for test in tests for name, value in test.user_properties if name == NUMBERS]
    if lines:
        terminalreporter.section("numbers")
        for line in lines:
            terminalreporter.write_line(line)
