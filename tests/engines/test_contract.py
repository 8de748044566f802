"""The embedded engine, on each store, under the contract of all engines."""

import pytest

from flask_supertokens.engines.embedded import EmbeddedEngine
from flask_supertokens.stores.base import Store

from ..support.engines import an_engine
from ..support.plans import Clock
from .contract import EngineContract


class TestEmbeddedEngine(EngineContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def engine(self, store: Store, clock: Clock) -> EmbeddedEngine:
        return an_engine(store, clock)
