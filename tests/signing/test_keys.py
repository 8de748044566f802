"""The life of signing keys: made, published, replaced, outlived."""

from __future__ import annotations

import json
import pathlib
import time
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from itsdangerous.encoding import base64_decode

from flask_supertokens.errors import GeneralError
from flask_supertokens.signing import (
    COOL_DOWN,
    PUBLISH_AHEAD,
    RELOAD_EVERY,
    Sealer,
    make_key,
)
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import an_app_with_users
from ..support.cookies import cookie_values
from ..support.keys import CLAIMS, HOUR, LIFETIME, SECRET, SETTINGS, Shelf, a_ring, a_signer, refused, signs_with
from ..support.plans import Clock
from ..support.records import NOW
from ..support.threads import at_once
from ..support.wire import encode_part


def test_a_key_whose_lifetime_was_shortened_stays_for_its_last_tokens(tmp_path: pathlib.Path) -> None:
    """A restart with a shorter SUPERTOKENS_SIGNING_KEY_LIFETIME replaces the key and forgets no token."""
    clock, store = Clock(time.time_ns() // 1_000_000), MemoryStore()
    before = an_app_with_users(store, clock)
    early = cookie_values(before.test_client().post("/login/alice"))["sAccessToken"]
    clock.wait(5 * 86_400_000)
    fresh = cookie_values(before.test_client().post("/login/alice"))["sAccessToken"]
    after = an_app_with_users(store, clock, SUPERTOKENS_SIGNING_KEY_LIFETIME=86_400)
    after.test_client().post("/login/bob")
    client = after.test_client(use_cookies=False)
    assert client.get("/me", headers={"Cookie": f"sAccessToken={fresh}"}).status_code == 200
    assert client.get("/me", headers={"Cookie": f"sAccessToken={early}"}).json == {"message": "try refresh token"}


def test_the_first_key_is_made_at_first_use_and_signs_at_once() -> None:
    """The first one is made at first use, signs at once, and verifies."""
    shelf = Shelf()
    ring = a_ring(shelf)
    kid, private = ring.signing_key(NOW)
    assert shelf.kids == [kid] == [f"d-{NOW}"]
    assert ring.public_key(kid, NOW) == private.public_key()
    assert [key.kid for key in ring.stored(NOW)] == [kid]


@pytest.mark.parametrize(("algorithm", "bits"), [("ES256", 256), ("EdDSA", 256), ("RS256", 3072)])
def test_a_key_has_128_bits_of_security_at_least(algorithm: str, bits: int) -> None:
    """128 bits of security at least: curves of 256 bits, RSA of 3072."""
    pem = make_key(replace(SETTINGS, algorithm=algorithm), Sealer((SECRET,)), NOW).public_pem
    key: Any = serialization.load_pem_public_key(pem.encode())
    size = 8 * len(key.public_bytes_raw()) if algorithm == "EdDSA" else key.key_size
    assert size == bits


def test_the_private_half_is_stored_sealed_only() -> None:
    """Only sealed; the public half is in clear."""
    key = make_key(SETTINGS, Sealer((SECRET,)), NOW)
    assert "PUBLIC KEY" in key.public_pem
    assert "PRIVATE" not in key.public_pem + key.sealed_private
    assert b"BEGIN PRIVATE KEY" in (Sealer((SECRET,)).open(key.sealed_private) or b"")


@pytest.mark.parametrize("sees_the_empty_shelf", [True, False])
def test_two_processes_that_start_one_after_the_other_agree_on_one_key(sees_the_empty_shelf: bool) -> None:
    """They agree on one key, whether or not the second one has looked before the first one made it."""
    shelf = Shelf()
    one, other = a_ring(shelf), a_ring(shelf)
    if sees_the_empty_shelf:
        assert other.stored(NOW) == []
    assert signs_with(one, NOW) == signs_with(other, NOW + 1)
    assert len(shelf.kids) == 1


def test_eight_processes_that_start_at_once_agree_on_one_key() -> None:
    """They agree on one key, even if all would give it the same name."""
    shelf = Shelf()
    shelf.slow = 0.01
    rings = [a_ring(shelf) for _ in range(8)]
    keys = at_once(8, lambda number: rings[number].signing_key(NOW))
    assert len({private.private_numbers().private_value for _, private in keys}) == 1
    assert len(shelf.kids) == 1


def test_eight_threads_that_sign_first_agree_on_one_key() -> None:
    """They agree on one key."""
    shelf = Shelf()
    ring = a_ring(shelf)
    assert len(set(at_once(8, lambda _: signs_with(ring, NOW)))) == len(shelf.kids) == 1


def test_other_processes_that_are_always_faster_are_our_error_after_some_attempts() -> None:
    """After some attempts it is our error."""
    shelf = Shelf()
    shelf.swap_keys = lambda seen, new, gone: False  # type: ignore[method-assign]
    with pytest.raises(GeneralError, match="No signing key could be agreed on"):
        a_ring(shelf).signing_key(NOW)


def test_the_next_key_is_published_60_s_before_it_signs() -> None:
    """The next one is published 60 s before it signs; meanwhile, and after that, both verify in all processes."""
    shelf = Shelf()
    one, other = a_ring(shelf), a_ring(shelf)
    old, due = signs_with(one, NOW), NOW + LIFETIME
    assert signs_with(one, due - 1) == old
    assert shelf.kids == [old]
    assert signs_with(one, due) == signs_with(other, due + PUBLISH_AHEAD - 1) == old
    assert shelf.kids == [old, f"d-{due}"]
    assert signs_with(one, due + PUBLISH_AHEAD) == signs_with(other, due + PUBLISH_AHEAD) == f"d-{due}"
    assert all(ring.public_key(kid, due + PUBLISH_AHEAD) for ring in (one, other) for kid in shelf.kids)


@pytest.mark.parametrize("lifetime", [1000, 3600, PUBLISH_AHEAD])
def test_a_next_key_signs_at_once_where_the_old_one_lives_no_longer_than_it_waits(lifetime: int) -> None:
    """The next one signs at once; both verify."""
    shelf = Shelf()
    ring = a_ring(shelf, lifetime=lifetime)
    assert signs_with(ring, NOW) == signs_with(ring, NOW + lifetime - 1) == f"d-{NOW}"
    assert signs_with(ring, NOW + lifetime) == f"d-{NOW + lifetime}"
    assert all(ring.public_key(kid, NOW + lifetime) for kid in shelf.kids)


def test_all_processes_know_the_next_key_before_it_signs() -> None:
    """All processes know it before it signs, since they read the keys every 30 s."""
    shelf = Shelf()
    one, other = a_ring(shelf), a_ring(shelf)
    signs_with(one, NOW)
    signs_with(other, NOW + LIFETIME - 1)
    signs_with(one, NOW + LIFETIME)
    assert f"d-{NOW + LIFETIME}" in [key.kid for key in other.stored(NOW + LIFETIME - 1 + RELOAD_EVERY)]


def test_the_last_token_of_an_old_key_verifies_until_it_expires() -> None:
    """It verifies until it expires, also when a key is published by hand meanwhile."""
    shelf = Shelf()
    signer = a_signer(shelf, cache_size=0)
    signer.sign(CLAIMS, NOW)
    signer.keys.signing_key(NOW + LIFETIME)
    last = NOW + LIFETIME + PUBLISH_AHEAD - 1
    token = signer.sign(CLAIMS, last)
    assert token.kid == f"d-{NOW}"
    signer.keys.rotate(last + HOUR)
    assert signer.is_genuine(token, last + HOUR)


def test_an_outlived_key_goes_with_the_key_after_the_next() -> None:
    """With the key after the next it goes, from the shelf and from all processes, and with it what they had verified."""
    shelf = Shelf()
    one, other = a_signer(shelf), a_signer(shelf)
    token = one.sign({**CLAIMS, "exp": NOW // 1000 + 10**9}, NOW)
    assert other.is_genuine(token, NOW)
    for now in (NOW + LIFETIME, NOW + 2 * LIFETIME + PUBLISH_AHEAD):
        one.keys.signing_key(now)
    assert shelf.kids == [f"d-{NOW + LIFETIME}", f"d-{NOW + 2 * LIFETIME + PUBLISH_AHEAD}"]
    assert [signer.is_genuine(token, now) for signer in (one, other)] == [False, False]
    assert [len(signer._verified) for signer in (one, other)] == [0, 0]


def test_after_a_year_without_signing_the_old_key_signs_60_s_more() -> None:
    """As at any other time the old key signs 60 s more, and its last token verifies."""
    signer, later = a_signer(Shelf(), cache_size=0), NOW + 52 * LIFETIME
    signer.sign(CLAIMS, NOW)
    last = signer.sign(CLAIMS, later)
    assert last.kid == f"d-{NOW}"
    assert signer.sign(CLAIMS, later + PUBLISH_AHEAD).kid == f"d-{later}"
    assert signer.is_genuine(last, later + HOUR)


def test_a_key_published_by_hand_signs_after_60_s() -> None:
    """It signs after 60 s."""
    shelf = Shelf()
    ring = a_ring(shelf)
    signs_with(ring, NOW)
    ring.rotate(NOW + HOUR)
    assert signs_with(ring, NOW + HOUR + PUBLISH_AHEAD - 1) == f"d-{NOW}"
    assert signs_with(ring, NOW + HOUR + PUBLISH_AHEAD) == f"d-{NOW + HOUR}"


def test_static_keys_are_not_replaced() -> None:
    """A static key has a random name and signs for ever; it is not taken for a dynamic one, nor the other way round."""
    shelf = Shelf()
    ring = a_ring(shelf, dynamic=False)
    kid = signs_with(ring, NOW)
    assert kid.startswith("s-")
    assert signs_with(ring, NOW + 100 * LIFETIME) == kid
    assert signs_with(a_ring(shelf), NOW + 100 * LIFETIME) == f"d-{NOW + 100 * LIFETIME}"
    assert len(shelf.kids) == 2


TEN_YEARS = 520 * LIFETIME


def test_hosts_sign_with_keys_of_their_own_time_beside_a_key_from_the_future() -> None:
    """A host whose clock was ten years ahead made it: the others sign with keys of their own time, and replace them."""
    shelf = Shelf()
    signs_with(a_ring(shelf), NOW + TEN_YEARS)
    ring = a_ring(shelf)
    assert signs_with(ring, NOW) == f"d-{NOW}"
    signs_with(ring, NOW + LIFETIME)
    assert signs_with(ring, NOW + LIFETIME + PUBLISH_AHEAD) == f"d-{NOW + LIFETIME}"


def test_a_key_from_the_future_goes_with_the_next_key_that_is_due() -> None:
    """It goes with the next key that is due, so that what it signed is over; one that is not due takes no other along."""
    shelf = Shelf()
    signs_with(a_ring(shelf), NOW + TEN_YEARS)
    ring = a_ring(shelf)
    signs_with(ring, NOW)
    assert shelf.kids == [f"d-{NOW + TEN_YEARS}", f"d-{NOW}"]
    signs_with(ring, NOW + LIFETIME)
    assert shelf.kids == [f"d-{NOW}", f"d-{NOW + LIFETIME}"]


def test_a_key_published_by_hand_beside_one_from_the_future_signs_after_60_s() -> None:
    """It signs after 60 s all the same."""
    shelf = Shelf()
    signs_with(a_ring(shelf), NOW + TEN_YEARS)
    ring = a_ring(shelf)
    signs_with(ring, NOW)
    assert ring.rotate(NOW + HOUR).kid == f"d-{NOW + HOUR}"
    assert signs_with(ring, NOW + HOUR + PUBLISH_AHEAD) == f"d-{NOW + HOUR}"


@pytest.mark.parametrize(("apart", "most"), [(2 * 60_000, 5), (8 * 60_000, 6), (TEN_YEARS, 20)])
def test_hosts_whose_clocks_are_apart_make_no_more_keys_than_needed(apart: int, most: int) -> None:
    """They sign for four weeks without making a key more than their lifetimes ask for, and each with one that it knows."""
    shelf, made = Shelf(), 0
    rings = [(a_ring(shelf), 0), (a_ring(shelf), apart)]
    for now in range(NOW, NOW + 4 * LIFETIME, HOUR // 2):
        for ring, ahead in rings:
            before = set(shelf.kids)
            kid = signs_with(ring, now + ahead)
            made += len(set(shelf.kids) - before)
            assert kid in shelf.kids
    assert made <= most


@pytest.mark.parametrize("wrong", [TEN_YEARS, -TEN_YEARS])
def test_the_database_s_clock_keeps_a_host_from_ending_keys_that_others_sign_with(wrong: int) -> None:
    """A host whose clock is ahead ends no key that the others sign with; nor one whose clock is behind."""
    shelf, clock = Shelf(), Clock(NOW)
    shelf.server_time = clock  # type: ignore[method-assign,assignment]
    right, off = a_ring(shelf), a_ring(shelf)
    for _ in range(4 * 7 * 24):
        kid = signs_with(right, clock.now)
        signs_with(off, clock.now + wrong)
        assert kid in shelf.kids
        clock.wait(HOUR)


def test_ending_old_keys_makes_a_new_one_sign_and_ends_what_they_signed() -> None:
    """One new key signs at once; what the old ones signed is not genuine, in other processes after 30 s at most."""
    shelf = Shelf()
    one, other = a_signer(shelf), a_signer(shelf)
    tokens = [signer.sign(CLAIMS, NOW) for signer in (one, other)]
    static = other.keys.signing_key(NOW, False)[0]
    new = one.keys.rotate(NOW + HOUR, ending=frozenset({tokens[0].kid, static}))
    assert shelf.kids == [new.kid] == [signs_with(one.keys, NOW + HOUR)]
    assert not any(one.is_genuine(token, NOW + HOUR) for token in tokens)
    assert not any(other.is_genuine(token, NOW + RELOAD_EVERY) for token in tokens)


def test_the_new_key_tells_other_processes_that_old_ones_ended() -> None:
    """Its first token makes them read the keys, so that they need not wait."""
    shelf = Shelf()
    one, other = a_signer(shelf), a_signer(shelf)
    token = one.sign(CLAIMS, NOW)
    assert other.is_genuine(token, NOW)
    one.keys.rotate(NOW + COOL_DOWN, ending=frozenset({token.kid}))
    assert other.is_genuine(one.sign(CLAIMS, NOW + COOL_DOWN), NOW + COOL_DOWN)
    assert not other.is_genuine(token, NOW + COOL_DOWN)


def test_a_changed_algorithm_makes_a_new_key_and_the_old_one_verifies_no_new_token() -> None:
    """A new key of the new kind signs; a token that names the old key with the new algorithm is not genuine."""
    shelf = Shelf()
    old = a_signer(shelf, algorithm="EdDSA").sign(CLAIMS, NOW)
    signer = a_signer(shelf)
    new = signer.sign(CLAIMS, NOW + 1)
    assert len(shelf.kids) == 2
    assert signer.is_genuine(new, NOW + 1)
    header, claims, signature = new.raw.split(".")
    header = encode_part({**decoded(header), "kid": old.kid})
    assert refused(signer, f"{header}.{claims}.{signature}")


def decoded(part: str) -> Any:
    return json.loads(base64_decode(part))
