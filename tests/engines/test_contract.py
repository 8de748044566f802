"""Both engines under the contract of all engines: the embedded one on each store, the remote one on a core."""

from __future__ import annotations

import itertools

import pytest

from flask_supertokens.engines.base import Engine
from flask_supertokens.engines.embedded import EmbeddedEngine
from flask_supertokens.engines.remote.engine import RemoteEngine
from flask_supertokens.protocol.model import SigningKey
from flask_supertokens.stores.base import Store
from flask_supertokens.stores.memory import MemoryStore

from ..support.engines import an_engine
from ..support.plans import Clock
from ..support.served import (
    TEST_CORE_API_KEY,
    TEST_CORE_URI,
    RealClock,
    Serving,
    a_core,
    a_remote_engine,
    an_app_of_the_test_core,
)
from .contract import Ability, EngineContract


class TestEmbeddedEngine(EngineContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def engine(self, store: Store, clock: Clock) -> EmbeddedEngine:
        return an_engine(store, clock)


class TestRemoteEngine(EngineContract):
    """On a core of ours, over a real socket."""

    lacks = frozenset(Ability)

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def engine(self, core_server: Serving, keys_of_a_core: list[SigningKey], clock: Clock) -> RemoteEngine:
        uri, put = core_server
        put(a_core(MemoryStore(), clock, *keys_of_a_core))
        return a_remote_engine(uri, clock)


_numbers = itertools.count()


if TEST_CORE_URI is not None:

    class TestRemoteEngineOnACore(EngineContract):
        """On the core that the environment names, each test in an app of its own."""

        lacks = frozenset(Ability)

        @pytest.fixture
        def clock(self) -> Clock:
            return RealClock()

        @pytest.fixture
        def engine(self, clock: Clock) -> Engine:
            uri = an_app_of_the_test_core(TEST_CORE_URI.rstrip("/"), next(_numbers))
            return a_remote_engine(uri, clock, TEST_CORE_API_KEY)
