"""Secrets are sealed."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from flask_supertokens.signing import (
    RELOAD_EVERY,
    Sealer,
)

from ..support.keys import CLAIMS, HOUR, SECRET, Shelf, a_ring, a_signer, signs_with
from ..support.records import NOW


def test_a_sealed_secret_opens_under_its_key_and_looks_different_each_time() -> None:
    """It opens under the same key, is not readable, and looks different each time."""
    sealer = Sealer((SECRET,))
    one, other = sealer.seal(b"private"), sealer.seal(b"private")
    assert sealer.open(one) == sealer.open(other) == b"private"
    assert one != other
    assert b"private" not in base64.urlsafe_b64decode(one)


def test_a_secret_sealed_under_another_key_opens_with_it_among_the_fallbacks_only() -> None:
    """It does not open; with the old key among the fallbacks it does, and new ones are sealed under the new key."""
    sealed = Sealer(("old",)).seal(b"private")
    assert Sealer(("new",)).open(sealed) is None
    assert Sealer(("old", "new")).open(sealed) == b"private"
    assert Sealer((b"new",)).open(Sealer(("old", "new")).seal(b"private")) == b"private"


@pytest.mark.parametrize("damage", [lambda s: "", lambda s: s[:-5], lambda s: s[::-1], lambda s: "😀"])
def test_a_damaged_sealed_secret_does_not_open(damage: Callable[[str], str]) -> None:
    """It does not open, without an exception."""
    sealer = Sealer((SECRET,))
    assert sealer.open(damage(sealer.seal(b"private"))) is None


def test_keys_sealed_again_open_without_the_fallback_and_stay_what_they_were() -> None:
    """Those that a fallback opened open without it; they and their tokens stay what they were. Once is enough."""
    shelf = Shelf()
    token = a_signer(shelf, "old").sign(CLAIMS, NOW)
    both = a_ring(shelf, "old", "new")
    static = both.signing_key(NOW, False)[0]
    assert both.fallback_ids(NOW) == [token.kid]
    assert (both.reseal(NOW + 1), both.reseal(NOW + 2), both.fallback_ids(NOW + 2)) == ([token.kid], [], [])
    after = a_signer(shelf, "new")
    assert after.is_genuine(token, NOW + 1)
    assert {key.kid for key in after.keys.stored(NOW + 1)} == {token.kid, static}
    assert after.keys.signing_key(NOW + 1)[0] == token.kid


def test_a_new_secret_key_alone_seals_no_keys_again() -> None:
    """A process that has a new SECRET_KEY leaves the keys as they are: others may not have it yet."""
    shelf = Shelf()
    signs_with(a_ring(shelf, "old"), NOW)
    before = shelf.store.keys()
    signs_with(a_ring(shelf, "old", "new"), NOW + RELOAD_EVERY)
    assert shelf.store.keys() == before


def test_a_key_that_changes_while_it_is_sealed_again_is_looked_at_once_more() -> None:
    """It is looked at once more, and not brought back if it is gone."""
    shelf = Shelf()
    kid = signs_with(a_ring(shelf, "old"), NOW)
    ring, swap, lost = a_ring(shelf, "old", "new"), shelf.reseal_key, [False]
    shelf.reseal_key = lambda *args: lost.pop() if lost else swap(*args)  # type: ignore[method-assign]
    assert ring.reseal(NOW + 1) == [kid]
    shelf.store._keys.clear()
    assert (ring.reseal(NOW + 2), shelf.kids) == ([], [])


def test_a_process_loses_keys_that_were_sealed_again_too_early_and_makes_its_own() -> None:
    """A process without the new SECRET_KEY loses them, makes one of its own, and goes on; others read that one."""
    shelf = Shelf()
    early, both = a_ring(shelf, "old"), a_ring(shelf, "old", "new")
    kid = signs_with(early, NOW)
    both.reseal(NOW + 1)
    own = [signs_with(early, NOW + RELOAD_EVERY + hour * HOUR) for hour in range(24)]
    assert set(own) == {f"d-{NOW + RELOAD_EVERY}"}
    assert shelf.kids == [kid, own[0]]
    assert both.public_key(own[0], NOW + RELOAD_EVERY) is not None
