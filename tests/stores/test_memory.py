"""The store in memory, under the contract of all stores."""

import pytest

from flask_supertokens.stores.memory import MemoryStore

from .contract import SharedStoreContract


class TestMemoryStore(SharedStoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()
