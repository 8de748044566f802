"""The cache of verified tokens."""

from __future__ import annotations

import pytest

from flask_supertokens.signing import (
    BoundedCache,
)

from ..support.keys import CLAIMS, Shelf, a_signer
from ..support.records import NOW
from ..support.threads import at_once


@pytest.mark.parametrize(("cache_size", "checks"), [(100, 1), (0, 3)])
def test_a_token_that_is_seen_again_has_its_signature_checked_once(
    shelves: dict[str, Shelf], monkeypatch: pytest.MonkeyPatch, cache_size: int, checks: int
) -> None:
    """Its signature is checked once, or every time if nothing may be remembered."""
    signer, seen = a_signer(shelves["ES256"], cache_size=cache_size), []
    token = a_signer(shelves["ES256"]).sign(CLAIMS, NOW)
    check = signer._method.verify
    monkeypatch.setattr(signer._method, "verify", lambda *args: seen.append(1) or check(*args))
    assert [signer.is_genuine(token, NOW) for _ in range(3)] == [True] * 3
    assert len(seen) == checks


def test_tokens_of_forgotten_sessions_leave_the_cache(shelves: dict[str, Shelf]) -> None:
    """Their tokens leave the cache, the others stay."""
    signer = a_signer(shelves["ES256"])
    tokens = [signer.sign({**CLAIMS, "sessionHandle": handle}, NOW) for handle in ("a", "b", "c")]
    signer.forget(["a", "c", "unknown"])
    assert [signer._verified.get(token.raw) is not None for token in tokens] == [False, True, False]


def test_a_full_cache_forgets_its_oldest_entry() -> None:
    """It forgets its oldest entry."""
    cache: BoundedCache[int] = BoundedCache(2)
    for number in range(3):
        cache.put(str(number), number)
    assert [cache.get(str(number)) for number in range(3)] == [None, 1, 2]
    assert len(cache) == 2


def test_a_cache_without_room_keeps_nothing() -> None:
    """Size 0 keeps nothing."""
    cache: BoundedCache[int] = BoundedCache(0)
    cache.put("a", 1)
    assert (cache.get("a"), len(cache)) == (None, 0)


def test_dropped_entries_leave_the_cache() -> None:
    """Those that are unwanted, or all."""
    cache: BoundedCache[int] = BoundedCache(10)
    for number in range(6):
        cache.put(str(number), number)
    cache.drop(lambda value: value % 2 == 0)
    assert [cache.get(str(number)) for number in range(6)] == [None, 1, None, 3, None, 5]
    cache.drop()
    assert len(cache) == 0


def test_forgetting_an_owner_drops_its_entries_and_keeps_nothing_of_it() -> None:
    """Those that are there still, and nothing is kept of an owner who has none."""
    cache: BoundedCache[int] = BoundedCache(3)
    for number, owner in enumerate("aabca"):
        cache.put(str(number), number, owner)
    cache.put("2", 5, "d")  # it changes hands
    cache.forget(["a", "b", "unknown"])
    assert [cache.get(str(number)) for number in range(5)] == [None, None, 5, 3, None]
    cache.drop()
    assert cache._keys_of == {}


def test_a_cache_used_by_many_threads_never_grows_over_its_size() -> None:
    """It never grows over its size, and what it answers is what was put."""
    cache: BoundedCache[int] = BoundedCache(50)

    def use(thread: int) -> list[int | None]:
        found = []
        for number in range(500):
            cache.put(str(number), number, str(number % 7))
            found.append(cache.get(str(number)))
            if number % 100 == thread:
                cache.drop(lambda value: value % 3 == 0)
                cache.forget([str(number % 7)])
        return [value for number, value in enumerate(found) if value not in (None, number)]

    assert at_once(8, use) == [[]] * 8
    assert len(cache) == sum(map(len, cache._keys_of.values())) <= 50
