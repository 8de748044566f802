"""Forks, those that Python makes and those in C: what a child begins anew."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flask_supertokens.forks import ForkSafeLock
from flask_supertokens.protocol.model import SigningKey
from flask_supertokens.signing import BoundedCache, KeyRing, KeySettings, Sealer
from flask_supertokens.signing.keys import COOL_DOWN, make_key
from flask_supertokens.stores.memory import MemoryStore

from ..support.threads import at_once
from ..support.workers import FORKS, in_a_fork

pytestmark = pytest.mark.parametrize("fork", FORKS.values(), ids=FORKS)
Fork = Callable[[], int]


class Owner:
    """Counts how often it began anew."""

    def __init__(self) -> None:
        self.beginnings = 0
        self.lock = ForkSafeLock(self.begin)

    def begin(self) -> None:
        self.beginnings += 1


def test_a_child_has_a_lock_of_its_own_though_it_was_taken_before_the_fork(fork: Fork) -> None:
    """The child has one of its own, and so may have a grandchild; the parent keeps it."""
    lock = ForkSafeLock()
    with lock:
        assert in_a_fork(lambda: lock.acquire(timeout=1) and in_a_fork(lambda: lock.acquire(timeout=1), fork), fork)
        assert lock.locked()
    assert lock.acquire(blocking=False)


def test_the_owner_begins_anew_once_before_eight_threads_of_a_child_have_the_lock(fork: Fork) -> None:
    """The owner has begun anew before one of them has it, once; in the parent it never does."""
    owner = Owner()

    def take(_number: int) -> int:
        with owner.lock:
            return owner.beginnings

    assert in_a_fork(lambda: at_once(8, take) == [1] * 8, fork)
    assert take(0) == 0


def test_a_lock_that_outlives_its_owner_works_in_a_child(fork: Fork) -> None:
    """A lock that outlives its owner works in a child."""
    lock = Owner().lock
    assert in_a_fork(lambda: lock.acquire(timeout=1), fork)


def test_a_child_forked_while_the_cache_changes_begins_with_an_empty_cache(fork: Fork) -> None:
    """The child's cache begins empty: half of an entry would be in its way for ever."""
    cache: BoundedCache[str] = BoundedCache(2)
    cache.put("old", "value", "owner")
    with cache._lock:
        del cache._keys_of["owner"]  # as far as a thread of the parent came
        assert in_a_fork(lambda: (cache.put("old", "new", "owner"), cache.get("old") == "new")[1], fork)


class ForkingStore(MemoryStore):
    """Forks when its keys are read for the second time; what the child makes of that."""

    def __init__(self, fork: Fork) -> None:
        super().__init__()
        self.fork = fork
        self.reads = 0
        self.child = lambda: False
        self.was_right: bool | None = None

    def keys(self) -> list[SigningKey]:
        self.reads += 1
        if self.reads == 2:
            self.was_right = in_a_fork(self.child, self.fork)
        return super().keys()


def test_a_child_forked_while_the_keys_are_read_reads_them_at_once(fork: Fork) -> None:
    """The child does not take its parent's attempt for one of its own: a token of a new key is good there at once."""
    settings, sealer, store = (
        KeySettings("ES256", 7 * 86_400_000, True, 3_600_000),
        Sealer(("secret",)),
        ForkingStore(fork),
    )
    ring = KeyRing(settings, sealer, store, lambda: None)
    first, second = ring.signing_key(0)[0], make_key(settings, sealer, 1)
    store.reads = 1
    store.swap_keys(frozenset({first}), second, frozenset())
    store.child = lambda: ring.public_key(second.kid, 2 * COOL_DOWN + 1) is not None
    assert ring.public_key("d-99", 2 * COOL_DOWN) is None
    assert store.was_right
