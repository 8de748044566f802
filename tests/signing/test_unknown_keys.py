"""Keys that a process does not know: how often it asks, and who waits."""

from __future__ import annotations

import threading
import time

import pytest

from flask_supertokens.errors import GeneralError
from flask_supertokens.signing import (
    COOL_DOWN,
    RELOAD_EVERY,
)

from ..support.apps import an_app, signed_in, state_of
from ..support.engines import CountingStore
from ..support.keys import Shelf, a_ring, signs_with
from ..support.records import NOW
from ..support.threads import at_once
from ..support.wire import HEADER, TRY_REFRESH, assert_response, call, forge


def test_a_hundred_random_key_ids_read_the_keys_once() -> None:
    """A hundred of them read the keys once."""
    store = CountingStore()
    app = an_app(store)
    signed_in(app)
    state_of(app).engine.clock.wait(10_000)  # type: ignore[attr-defined]
    store.counted()
    for number in range(100):
        assert_response(
            call(app, "GET", "/me", access=forge(header={**HEADER, "kid": f"d-{number}"})), 401, TRY_REFRESH
        )
    assert store.counted() == {"keys": 1}


def test_known_keys_are_read_again_every_30_s() -> None:
    """They are read again every 30 s, and also when the clock was set back."""
    shelf = Shelf()
    ring = a_ring(shelf)
    kid = signs_with(ring, NOW)
    moments = {NOW + RELOAD_EVERY - 1: 0, NOW + RELOAD_EVERY: 1, NOW + RELOAD_EVERY + 1: 0, NOW - 1: 1, NOW: 0}
    for now, expected in moments.items():
        before = shelf.loads
        assert ring.public_key(kid, now)
        assert shelf.loads - before == expected, now


def test_an_unknown_key_makes_one_read_in_a_cool_down() -> None:
    """The shelf is read at once, but within the cool-down only once, however many are asked for."""
    shelf = Shelf()
    ring = a_ring(shelf)
    signs_with(ring, NOW)
    later, before = NOW + COOL_DOWN, shelf.loads
    assert [ring.public_key(f"d-{number}", later + number) for number in range(COOL_DOWN)] == [None] * COOL_DOWN
    assert shelf.loads == before + 1
    assert ring.public_key("d-1", later + COOL_DOWN) is None
    assert shelf.loads == before + 2


def test_a_key_that_another_process_made_is_found_at_its_first_token() -> None:
    """It is found at its first token."""
    shelf = Shelf()
    one, other = a_ring(shelf), a_ring(shelf)
    signs_with(other, NOW)
    one.rotate(NOW + COOL_DOWN)
    assert other.public_key(f"d-{NOW + COOL_DOWN}", NOW + COOL_DOWN) is not None


def test_one_of_eight_threads_reads_the_first_key_and_all_get_it() -> None:
    """No key is known yet: one of them reads the shelf, all get the key."""
    shelf = Shelf()
    signs_with(a_ring(shelf), NOW)
    ring, before, shelf.slow = a_ring(shelf), shelf.loads, 0.05
    found = at_once(8, lambda _: ring.public_key(f"d-{NOW}", NOW))
    assert None not in found
    assert shelf.loads == before + 1


def test_one_thread_waits_for_a_store_that_hangs_and_the_others_find_no_key_at_once() -> None:
    """One thread waits for it; whoever comes meanwhile, however late, is told at once that there is no such key."""
    shelf = Shelf()
    ring = a_ring(shelf)
    signs_with(ring, NOW)
    reading, go_on, load = threading.Event(), threading.Event(), shelf.keys
    shelf.keys = lambda: (reading.set(), go_on.wait(3), load())[-1]  # type: ignore[func-returns-value,method-assign]
    first = threading.Thread(target=ring.public_key, args=("d-1", NOW + COOL_DOWN))
    first.start()
    assert reading.wait(10)
    begun, moments = time.monotonic(), [NOW + (number + 2) * COOL_DOWN for number in range(12)]
    assert at_once(12, lambda number: ring.public_key(f"d-{number}", moments[number])) == [None] * 12
    assert time.monotonic() - begun < 1
    go_on.set()
    first.join()


@pytest.mark.parametrize("down", [True, False])
def test_threads_at_the_start_share_one_attempt_at_a_store_that_hangs(down: bool) -> None:
    """All share one attempt and its outcome, also those who came longer after it began than the cool-down lasts."""
    shelf = Shelf()
    signs_with(a_ring(shelf), NOW)
    ring, before, shelf.slow, shelf.down = a_ring(shelf), shelf.loads, 0.3, down

    def ask(number: int) -> str:
        now = NOW + number * (COOL_DOWN + 1)
        try:
            return signs_with(ring, now) if number % 2 else "known" if ring.public_key(f"d-{NOW}", now) else "unknown"
        except GeneralError:
            return "down"

    assert at_once(8, ask) == (["down"] * 8 if down else ["known", f"d-{NOW}"] * 4)
    assert shelf.loads == before + 1


def test_a_known_key_is_not_waited_for_while_the_keys_are_read_again() -> None:
    """Who has a known key does not wait for it."""
    shelf = Shelf()
    ring = a_ring(shelf)
    kid = signs_with(ring, NOW)
    reading, go_on, load = threading.Event(), threading.Event(), shelf.keys
    shelf.keys = lambda: (reading.set(), go_on.wait(10), load())[-1]  # type: ignore[func-returns-value,method-assign]
    thread = threading.Thread(target=lambda: ring.public_key(kid, NOW + RELOAD_EVERY))
    thread.start()
    assert reading.wait(10)
    assert ring.public_key(kid, NOW + RELOAD_EVERY) is not None
    assert signs_with(ring, NOW + RELOAD_EVERY) == kid
    go_on.set()
    thread.join()


def test_known_keys_go_on_while_the_store_is_down_and_an_unknown_one_is_our_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Known keys go on, an unknown one is our error and not *no such key*; the store is asked once in the cool-down."""
    shelf = Shelf()
    ring = a_ring(shelf)
    kid = signs_with(ring, NOW)
    shelf.down, before, later = True, shelf.loads, NOW + RELOAD_EVERY
    for now in range(later, later + COOL_DOWN, 500):
        assert ring.public_key(kid, now) is not None
        assert signs_with(ring, now) == kid
        with pytest.raises(GeneralError):
            ring.public_key("d-1", now)
    assert shelf.loads == before + 1
    assert "the known ones stay in use" in caplog.text


def test_everything_is_known_again_after_the_cool_down_when_the_store_is_back() -> None:
    """After the cool-down everything is known again."""
    shelf = Shelf()
    ring, other = a_ring(shelf), a_ring(shelf)
    signs_with(ring, NOW)
    shelf.down = True
    with pytest.raises(GeneralError):
        other.public_key(f"d-{NOW}", NOW)
    shelf.down = False
    assert other.public_key(f"d-{NOW}", NOW + COOL_DOWN) is not None
    assert other.public_key("d-1", NOW + COOL_DOWN) is None


def test_nothing_is_signed_while_the_store_is_down_at_the_start() -> None:
    """There is nothing to sign or verify with; the next attempt works when it is back."""
    shelf = Shelf()
    ring = a_ring(shelf)
    shelf.down = True
    for ask in (ring.signing_key, ring.stored, lambda now: ring.public_key("d-1", now)):
        with pytest.raises(GeneralError):
            ask(NOW)
    shelf.down = False
    assert signs_with(ring, NOW) == f"d-{NOW}"
