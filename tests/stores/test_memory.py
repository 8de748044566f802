"""The store in memory, under the contract of all stores."""

from contextlib import AbstractContextManager
from typing import Any

import pytest

from flask_supertokens import GeneralError
from flask_supertokens.stores.memory import MemoryStore

from .contract import SharedStoreContract


class TestMemoryStore(SharedStoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


class LostStore(MemoryStore):
    """A store of an app's own whose driver fails before a row is read."""

    driver_errors = (OSError,)

    def turn(self) -> AbstractContextManager[Any]:
        raise OSError("gone")


def test_an_error_of_the_driver_in_a_turn_is_an_error_of_ours() -> None:
    """As in each verb: the response is 503."""
    with pytest.raises(GeneralError, match=r"failed in turn\. OSError: gone"):
        LostStore().turn()
