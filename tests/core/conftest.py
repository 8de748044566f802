"""A core of ours in memory and on SQLite, one whose store can fail, and a caller of each."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from flask_supertokens.core.serving import make_core_app
from flask_supertokens.protocol.model import SigningKey
from flask_supertokens.stores.base import Store
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import BrokenStore
from ..support.caller import Caller
from ..support.plans import Clock
from ..support.records import sql_store, sqlite_uri
from ..support.served import a_core


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    with sql_store(sqlite_uri(tmp_path)) as store:
        yield store


@pytest.fixture
def client(store: Store, clock: Clock, keys_of_a_core: list[SigningKey]) -> FlaskClient:
    return make_core_app(a_core(store, clock, *keys_of_a_core)).test_client()


@pytest.fixture
def core(client: FlaskClient) -> Caller:
    return Caller(client)


@pytest.fixture(scope="module")
def plain(keys_of_a_core: list[SigningKey]) -> FlaskClient:
    """One in memory for all tests on what neither a store nor the time decides: reading a key takes a while."""
    return make_core_app(a_core(MemoryStore(), Clock(), *keys_of_a_core)).test_client()


@pytest.fixture
def broken(clock: Clock, keys_of_a_core: list[SigningKey]) -> tuple[BrokenStore, Caller]:
    """A store to break, and a core on it."""
    store = BrokenStore()
    return store, Caller(make_core_app(a_core(store, clock, *keys_of_a_core)).test_client())
