"""The embedded engine on each store, and its clock."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

import pytest

from flask_supertokens.engines.embedded import EmbeddedEngine
from flask_supertokens.stores.base import Store
from flask_supertokens.stores.memory import MemoryStore

from ..support.engines import an_engine
from ..support.plans import Clock
from ..support.records import sql_store, sqlite_uri

_SERVERS = {"postgresql": "postgres", "mariadb": "mariadb"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(
    params=[
        "memory",
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.postgres),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ]
)
def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Store]:
    """Each store, one after the other."""
    with contextlib.ExitStack() as opened:
        if request.param == "memory":
            yield MemoryStore()
        elif request.param == "sqlite":
            yield opened.enter_context(sql_store(sqlite_uri(tmp_path)))
        else:
            yield opened.enter_context(sql_store(request.getfixturevalue(f"{_SERVERS[request.param]}_uri")))


@pytest.fixture
def engine(store: Store, clock: Clock) -> EmbeddedEngine:
    return an_engine(store, clock)
