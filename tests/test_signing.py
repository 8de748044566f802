"""Refresh tokens, sealing, the life of signing keys, access tokens."""

from __future__ import annotations

import base64
import hmac
import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from itsdangerous import URLSafeSerializer
from itsdangerous.encoding import base64_decode

from flask_supertokens.errors import GeneralError
from flask_supertokens.protocol.model import RefreshToken
from flask_supertokens.protocol.tokens import fingerprint, preimage
from flask_supertokens.signing import (
    ALGORITHMS,
    COOL_DOWN,
    PUBLISH_AHEAD,
    RELOAD_EVERY,
    AccessTokenSigner,
    BoundedCache,
    RefreshTokenSigner,
    Sealer,
    make_key,
)

from .support.keys import CLAIMS, HOUR, LIFETIME, SECRET, SETTINGS, Shelf, a_ring, a_signer, signs_with
from .support.plans import Clock
from .support.records import NOW, kids_of
from .support.threads import at_once

# -- refresh tokens ----------------------------------------------------------------------------------------------------


@pytest.fixture
def refresh_tokens() -> RefreshTokenSigner:
    return RefreshTokenSigner((SECRET,))


@pytest.fixture
def minted(refresh_tokens: RefreshTokenSigner) -> RefreshToken:
    return refresh_tokens.mint("handle-1", NOW, None)


def test_a_refresh_token_is_minted(refresh_tokens: RefreshTokenSigner, minted: RefreshToken) -> None:
    """It reads as it was made, and its fingerprint is twice SHA-256 of the string."""
    assert refresh_tokens.read(minted.raw) == minted
    assert (minted.handle, minted.born, minted.parent_preimage, minted.parent_fingerprint) == (
        "handle-1",
        NOW,
        None,
        None,
    )
    assert minted.fingerprint == fingerprint(preimage(minted.raw))


def test_a_child_is_minted(refresh_tokens: RefreshTokenSigner, minted: RefreshToken) -> None:
    """It carries the proof of its parent, from which the hash in the row follows."""
    child = refresh_tokens.read(refresh_tokens.mint("handle-1", NOW + 1, minted).raw)
    assert child is not None
    assert (child.parent_preimage, child.parent_fingerprint) == (preimage(minted.raw), minted.fingerprint)


def test_refresh_tokens_are_minted_in_the_same_millisecond(refresh_tokens: RefreshTokenSigner) -> None:
    """Each has 256 random bits of its own."""
    tokens = {refresh_tokens.mint("handle-1", NOW, None).raw for _ in range(100)}
    assert len(tokens) == 100
    content = json.loads(base64_decode(tokens.pop().split(".")[0]))
    assert len(base64_decode(content[3])) == 32


def test_a_refresh_token_is_cut(refresh_tokens: RefreshTokenSigner, minted: RefreshToken) -> None:
    """No part of it is a token, from the left or from the right."""
    raw = minted.raw
    assert not any(
        refresh_tokens.read(part) for end in range(len(raw)) for part in (raw[:end], raw[-end:] if end else "")
    )


def test_one_character_of_a_refresh_token_is_changed(refresh_tokens: RefreshTokenSigner, minted: RefreshToken) -> None:
    """At every place, to every character of base64: none is a token."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.= "
    for place, was in enumerate(minted.raw):
        for char in alphabet.replace(was, ""):
            assert refresh_tokens.read(minted.raw[:place] + char + minted.raw[place + 1 :]) is None


def test_the_same_signature_is_spelled_otherwise(refresh_tokens: RefreshTokenSigner, minted: RefreshToken) -> None:
    """Base64's last character has unused bits; a token that differs only there would hash differently, and is refused."""
    body, _, signature = minted.raw.rpartition(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twins = [signature[:-1] + char for char in alphabet if char != signature[-1]]
    twins = [twin for twin in twins if base64_decode(twin) == base64_decode(signature)]
    assert len(twins) == 3
    assert [refresh_tokens.read(f"{body}.{twin}") for twin in [*twins, signature + "="]] == [None] * 4


def test_parts_of_two_refresh_tokens_are_put_together(refresh_tokens: RefreshTokenSigner) -> None:
    """The content of one and the signature of the other are no token."""
    one, other = (refresh_tokens.mint(f"handle-{number}", NOW, None).raw.rpartition(".") for number in (1, 2))
    assert refresh_tokens.read(f"{one[0]}.{other[2]}") is None


@pytest.mark.parametrize("raw", ["", ".", "..", "x", "a.b", "😀", "\0", "\ud800", "x" * 100_000, ".." * 50_000, "[]"])
def test_the_refresh_token_is_garbage(refresh_tokens: RefreshTokenSigner, raw: str) -> None:
    """It is refused without an exception."""
    assert refresh_tokens.read(raw) is None


def test_a_refresh_token_of_another_secret_key_comes(minted: RefreshToken) -> None:
    """It is not ours."""
    assert RefreshTokenSigner(("another secret",)).read(minted.raw) is None


def test_the_secret_key_was_replaced() -> None:
    """The order is Flask's: fallbacks first, `SECRET_KEY` last. All are read, the last one signs."""
    old, new = RefreshTokenSigner(("old",)), RefreshTokenSigner((b"new",))
    both = RefreshTokenSigner(("old", "new"))
    token = both.mint("handle-1", NOW, None).raw
    assert both.read(old.mint("handle-1", NOW, None).raw) is not None
    assert new.read(token) is not None
    assert old.read(token) is None


def test_something_else_is_signed_with_the_secret_key(refresh_tokens: RefreshTokenSigner) -> None:
    """A value that Flask or the app signed with the same key is no refresh token."""
    content = [1, "handle-1", NOW, "nonce", None]
    for salt in ("cookie-session", "itsdangerous"):
        assert refresh_tokens.read(str(URLSafeSerializer(SECRET, salt=salt).dumps(content))) is None


@pytest.mark.parametrize(
    "content",
    [
        [2, "handle-1", NOW, "nonce", None],
        [1, "handle-1", NOW, "nonce"],
        [1, "handle-1", True, "nonce", None],
        [1, "handle-1", str(NOW), "nonce", None],
        [1, None, NOW, "nonce", None],
        [1, "handle-1", NOW, "nonce", "A" * 64],
        [1, "handle-1", NOW, "nonce", "a" * 63],
        {"handle": "handle-1"},
        None,
    ],
)
def test_the_content_has_another_form(refresh_tokens: RefreshTokenSigner, content: Any) -> None:
    """Signed by us or not, it is refused."""
    assert refresh_tokens.read(str(refresh_tokens._serializer.dumps(content))) is None


# -- sealing -----------------------------------------------------------------------------------------------------------


def test_a_secret_is_sealed() -> None:
    """It opens under the same key, is not readable, and looks different each time."""
    sealer = Sealer((SECRET,))
    one, other = sealer.seal(b"private"), sealer.seal(b"private")
    assert sealer.open(one) == sealer.open(other) == b"private"
    assert one != other
    assert b"private" not in base64.urlsafe_b64decode(one)


def test_a_secret_was_sealed_under_another_key() -> None:
    """It does not open; with the old key among the fallbacks it does, and new ones are sealed under the new key."""
    sealed = Sealer(("old",)).seal(b"private")
    assert Sealer(("new",)).open(sealed) is None
    assert Sealer(("old", "new")).open(sealed) == b"private"
    assert Sealer((b"new",)).open(Sealer(("old", "new")).seal(b"private")) == b"private"


@pytest.mark.parametrize("damage", [lambda s: "", lambda s: s[:-5], lambda s: s[::-1], lambda s: "😀"])
def test_a_sealed_secret_is_damaged(damage: Callable[[str], str]) -> None:
    """It does not open, without an exception."""
    sealer = Sealer((SECRET,))
    assert sealer.open(damage(sealer.seal(b"private"))) is None


# -- the life of keys --------------------------------------------------------------------------------------------------


def test_there_is_no_key_yet() -> None:
    """The first one is made at first use, signs at once, and verifies."""
    shelf = Shelf()
    ring = a_ring(shelf)
    kid, private = ring.signing_key(NOW)
    assert shelf.kids == [kid] == [f"d-{NOW}"]
    assert ring.public_key(kid, NOW) == private.public_key()
    assert [key.kid for key in ring.stored(NOW)] == [kid]


@pytest.mark.parametrize(("algorithm", "bits"), [("ES256", 256), ("EdDSA", 256), ("RS256", 3072)])
def test_a_key_is_strong(algorithm: str, bits: int) -> None:
    """128 bits of security at least: curves of 256 bits, RSA of 3072."""
    pem = make_key(replace(SETTINGS, algorithm=algorithm), Sealer((SECRET,)), NOW).public_pem
    key: Any = serialization.load_pem_public_key(pem.encode())
    size = 8 * len(key.public_bytes_raw()) if algorithm == "EdDSA" else key.key_size
    assert size == bits


def test_the_private_half_is_stored() -> None:
    """Only sealed; the public half is in clear."""
    key = make_key(SETTINGS, Sealer((SECRET,)), NOW)
    assert "PUBLIC KEY" in key.public_pem
    assert "PRIVATE" not in key.public_pem + key.sealed_private
    assert b"BEGIN PRIVATE KEY" in (Sealer((SECRET,)).open(key.sealed_private) or b"")


@pytest.mark.parametrize("sees_the_empty_shelf", [True, False])
def test_two_processes_start_one_after_the_other(sees_the_empty_shelf: bool) -> None:
    """They agree on one key, whether or not the second one has looked before the first one made it."""
    shelf = Shelf()
    one, other = a_ring(shelf), a_ring(shelf)
    if sees_the_empty_shelf:
        assert other.stored(NOW) == []
    assert signs_with(one, NOW) == signs_with(other, NOW + 1)
    assert len(shelf.kids) == 1


def test_eight_processes_start_at_once() -> None:
    """They agree on one key, even if all would give it the same name."""
    shelf = Shelf()
    shelf.slow = 0.01
    rings = [a_ring(shelf) for _ in range(8)]
    keys = at_once(8, lambda number: rings[number].signing_key(NOW))
    assert len({private.private_numbers().private_value for _, private in keys}) == 1
    assert len(shelf.kids) == 1


def test_eight_threads_of_a_process_sign_first() -> None:
    """They agree on one key."""
    shelf = Shelf()
    ring = a_ring(shelf)
    assert len(set(at_once(8, lambda _: signs_with(ring, NOW)))) == len(shelf.kids) == 1


def test_other_processes_are_always_faster() -> None:
    """After some attempts it is our error."""
    shelf = Shelf()
    shelf.swap_keys = lambda seen, new, gone: False  # type: ignore[method-assign]
    with pytest.raises(GeneralError, match="No signing key could be agreed on"):
        a_ring(shelf).signing_key(NOW)


def test_a_key_reaches_its_lifetime() -> None:
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
def test_a_key_lives_no_longer_than_the_next_one_waits(lifetime: int) -> None:
    """The next one signs at once; both verify."""
    shelf = Shelf()
    ring = a_ring(shelf, lifetime=lifetime)
    assert signs_with(ring, NOW) == signs_with(ring, NOW + lifetime - 1) == f"d-{NOW}"
    assert signs_with(ring, NOW + lifetime) == f"d-{NOW + lifetime}"
    assert all(ring.public_key(kid, NOW + lifetime) for kid in shelf.kids)


def test_the_next_key_is_published_by_another_process() -> None:
    """All processes know it before it signs, since they read the keys every 30 s."""
    shelf = Shelf()
    one, other = a_ring(shelf), a_ring(shelf)
    signs_with(one, NOW)
    signs_with(other, NOW + LIFETIME - 1)
    signs_with(one, NOW + LIFETIME)
    assert f"d-{NOW + LIFETIME}" in [key.kid for key in other.stored(NOW + LIFETIME - 1 + RELOAD_EVERY)]


def test_the_last_token_of_an_old_key_lives() -> None:
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


def test_a_key_is_outlived() -> None:
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


def test_nobody_signs_for_a_year() -> None:
    """As at any other time the old key signs 60 s more, and its last token verifies."""
    signer, later = a_signer(Shelf(), cache_size=0), NOW + 52 * LIFETIME
    signer.sign(CLAIMS, NOW)
    last = signer.sign(CLAIMS, later)
    assert last.kid == f"d-{NOW}"
    assert signer.sign(CLAIMS, later + PUBLISH_AHEAD).kid == f"d-{later}"
    assert signer.is_genuine(last, later + HOUR)


def test_a_key_is_published_by_hand() -> None:
    """It signs after 60 s."""
    shelf = Shelf()
    ring = a_ring(shelf)
    signs_with(ring, NOW)
    ring.rotate(NOW + HOUR)
    assert signs_with(ring, NOW + HOUR + PUBLISH_AHEAD - 1) == f"d-{NOW}"
    assert signs_with(ring, NOW + HOUR + PUBLISH_AHEAD) == f"d-{NOW + HOUR}"


def test_keys_are_not_replaced() -> None:
    """A static key has a random name and signs for ever; it is not taken for a dynamic one, nor the other way round."""
    shelf = Shelf()
    ring = a_ring(shelf, dynamic=False)
    kid = signs_with(ring, NOW)
    assert kid.startswith("s-")
    assert signs_with(ring, NOW + 100 * LIFETIME) == kid
    assert signs_with(a_ring(shelf), NOW + 100 * LIFETIME) == f"d-{NOW + 100 * LIFETIME}"
    assert len(shelf.kids) == 2


TEN_YEARS = 520 * LIFETIME


def test_a_key_comes_from_the_future() -> None:
    """A host whose clock was ten years ahead made it: the others sign with keys of their own time, and replace them."""
    shelf = Shelf()
    signs_with(a_ring(shelf), NOW + TEN_YEARS)
    ring = a_ring(shelf)
    assert signs_with(ring, NOW) == f"d-{NOW}"
    signs_with(ring, NOW + LIFETIME)
    assert signs_with(ring, NOW + LIFETIME + PUBLISH_AHEAD) == f"d-{NOW + LIFETIME}"


def test_a_key_from_the_future_is_passed_over() -> None:
    """It goes with the next key that is due, so that what it signed is over; one that is not due takes no other along."""
    shelf = Shelf()
    signs_with(a_ring(shelf), NOW + TEN_YEARS)
    ring = a_ring(shelf)
    signs_with(ring, NOW)
    assert shelf.kids == [f"d-{NOW + TEN_YEARS}", f"d-{NOW}"]
    signs_with(ring, NOW + LIFETIME)
    assert shelf.kids == [f"d-{NOW}", f"d-{NOW + LIFETIME}"]


def test_a_key_is_published_by_hand_beside_one_from_the_future() -> None:
    """It signs after 60 s all the same."""
    shelf = Shelf()
    signs_with(a_ring(shelf), NOW + TEN_YEARS)
    ring = a_ring(shelf)
    signs_with(ring, NOW)
    assert ring.rotate(NOW + HOUR).kid == f"d-{NOW + HOUR}"
    assert signs_with(ring, NOW + HOUR + PUBLISH_AHEAD) == f"d-{NOW + HOUR}"


@pytest.mark.parametrize(("apart", "most"), [(2 * 60_000, 5), (8 * 60_000, 6), (TEN_YEARS, 20)])
def test_the_clocks_of_two_hosts_are_apart(apart: int, most: int) -> None:
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
def test_the_database_has_a_clock(wrong: int) -> None:
    """A host whose clock is ahead ends no key that the others sign with; nor one whose clock is behind."""
    shelf, clock = Shelf(), Clock(NOW)
    shelf.server_time = clock  # type: ignore[method-assign,assignment]
    right, off = a_ring(shelf), a_ring(shelf)
    for _ in range(4 * 7 * 24):
        kid = signs_with(right, clock.now)
        signs_with(off, clock.now + wrong)
        assert kid in shelf.kids
        clock.wait(HOUR)


# -- reading the keys --------------------------------------------------------------------------------------------------


def test_the_keys_are_known() -> None:
    """They are read again every 30 s, and also when the clock was set back."""
    shelf = Shelf()
    ring = a_ring(shelf)
    kid = signs_with(ring, NOW)
    moments = {NOW + RELOAD_EVERY - 1: 0, NOW + RELOAD_EVERY: 1, NOW + RELOAD_EVERY + 1: 0, NOW - 1: 1, NOW: 0}
    for now, expected in moments.items():
        before = shelf.loads
        assert ring.public_key(kid, now)
        assert shelf.loads - before == expected, now


def test_an_unknown_key_is_asked_for() -> None:
    """The shelf is read at once, but within the cool-down only once, however many are asked for."""
    shelf = Shelf()
    ring = a_ring(shelf)
    signs_with(ring, NOW)
    later, before = NOW + COOL_DOWN, shelf.loads
    assert [ring.public_key(f"d-{number}", later + number) for number in range(COOL_DOWN)] == [None] * COOL_DOWN
    assert shelf.loads == before + 1
    assert ring.public_key("d-1", later + COOL_DOWN) is None
    assert shelf.loads == before + 2


def test_another_process_has_made_a_key() -> None:
    """It is found at its first token."""
    shelf = Shelf()
    one, other = a_ring(shelf), a_ring(shelf)
    signs_with(other, NOW)
    one.rotate(NOW + COOL_DOWN)
    assert other.public_key(f"d-{NOW + COOL_DOWN}", NOW + COOL_DOWN) is not None


def test_eight_threads_ask_for_a_key_at_the_start() -> None:
    """No key is known yet: one of them reads the shelf, all get the key."""
    shelf = Shelf()
    signs_with(a_ring(shelf), NOW)
    ring, before, shelf.slow = a_ring(shelf), shelf.loads, 0.05
    found = at_once(8, lambda _: ring.public_key(f"d-{NOW}", NOW))
    assert None not in found
    assert shelf.loads == before + 1


def test_unknown_keys_are_asked_for_while_the_store_hangs() -> None:
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
def test_the_store_hangs_at_the_start(down: bool) -> None:
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


def test_the_keys_are_being_read_again() -> None:
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


def test_the_store_is_down(caplog: pytest.LogCaptureFixture) -> None:
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


def test_the_store_is_back() -> None:
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


def test_the_store_is_down_at_the_start() -> None:
    """There is nothing to sign or verify with; the next attempt works when it is back."""
    shelf = Shelf()
    ring = a_ring(shelf)
    shelf.down = True
    for ask in (ring.signing_key, ring.stored, lambda now: ring.public_key("d-1", now)):
        with pytest.raises(GeneralError):
            ask(NOW)
    shelf.down = False
    assert signs_with(ring, NOW) == f"d-{NOW}"


# -- keys that can't be used -------------------------------------------------------------------------------------------


def test_the_secret_key_is_another_one(caplog: pytest.LogCaptureFixture) -> None:
    """The key neither signs nor verifies nor is published, which is logged once; a new one does."""
    shelf = Shelf()
    old = a_signer(shelf, "old").sign(CLAIMS, NOW)
    after = a_signer(shelf, "new")
    new = after.sign(CLAIMS, NOW + 1)
    assert [after.is_genuine(token, NOW + COOL_DOWN) for token in (old, new)] == [False, True]
    assert kids_of(after.keys.stored(NOW + 10 * RELOAD_EVERY)) == [new.kid]
    assert caplog.text.count(f"cannot decrypt signing key {old.kid}") == 1


def test_a_token_of_a_key_that_does_not_open_comes_again_and_again() -> None:
    """The shelf is not asked for it each time; when the key's row is right again, it counts."""
    shelf = Shelf()
    ring, kid, sealed = a_ring(shelf), signs_with(a_ring(shelf), NOW), shelf.store.keys()[0].sealed_private
    shelf.change(kid, sealed_private="garbage")
    assert ring.public_key(kid, NOW) is None
    before = shelf.loads
    assert {ring.public_key(kid, NOW + later) for later in range(0, RELOAD_EVERY, 1000)} == {None}
    shelf.change(kid, sealed_private=sealed)
    assert ring.public_key(kid, NOW + RELOAD_EVERY) is not None
    assert shelf.loads == before + 1


@pytest.mark.parametrize("sealed", ["", "of another secret", "of our key"])
def test_somebody_adds_a_key_to_the_table(sealed: str) -> None:
    """Who can write there but has no SECRET_KEY makes no token that counts, whatever is beside his public key."""
    shelf = Shelf()
    signer = a_signer(shelf, cache_size=0)
    signer.sign(CLAIMS, NOW)
    theirs = Shelf(make_key(SETTINGS, Sealer(("another",)), NOW + 1))
    forged, [row] = a_signer(theirs, "another").sign(CLAIMS, NOW + 1), theirs.store.keys()
    texts = {"of another secret": row.sealed_private, "of our key": shelf.store.keys()[0].sealed_private}
    shelf.swap_keys(frozenset(shelf.kids), replace(row, sealed_private=texts.get(sealed, "")), frozenset())
    for process in (signer, a_signer(shelf)):
        assert not process.is_genuine(forged, NOW + RELOAD_EVERY)
        assert row.public_pem not in [key.public_pem for key in process.keys.stored(NOW + RELOAD_EVERY)]


def test_the_key_of_a_verified_token_is_exchanged() -> None:
    """A row that holds another private half now ends what was verified by the first one."""
    shelf = Shelf()
    signer = a_signer(shelf)
    token = signer.sign(CLAIMS, NOW)
    other = make_key(SETTINGS, Sealer((SECRET,)), NOW)
    shelf.change(token.kid, sealed_private=other.sealed_private)
    assert signer.is_genuine(token, NOW + RELOAD_EVERY - 1)
    assert not signer.is_genuine(token, NOW + RELOAD_EVERY)


@pytest.mark.parametrize("dynamic", [True, False])
def test_keys_that_do_not_open_are_outlived(dynamic: bool) -> None:
    """As long as tokens may be out they are told of; long after a key that opens took over they go."""
    shelf, hours = Shelf(), HOUR * 3
    old = signs_with(a_ring(shelf, "old", dynamic=dynamic), NOW)
    ring = a_ring(shelf, "new")
    ring.stored(NOW + HOUR)
    assert ring.unusable_ids(NOW + HOUR) == [old]
    for kind in (True, False):
        ring.signing_key(NOW + HOUR, kind)
    assert [ring.unusable_ids(NOW + HOUR + later) for later in (1, hours)] == [[old], []]
    assert old in shelf.kids
    for week in (1, 2):
        ring.signing_key(NOW + week * LIFETIME + hours)
    assert old not in shelf.kids
    assert len(shelf.kids) == 3


def test_two_secret_keys_live_side_by_side() -> None:
    """Each process signs with its own key; they do not make more and more of them."""
    shelf = Shelf()
    rings = [a_ring(shelf, "old"), a_ring(shelf, "new")]
    kids = [[signs_with(ring, NOW + minute * 60_000 + i) for i, ring in enumerate(rings)] for minute in range(60)]
    assert {tuple(pair) for pair in kids} == {tuple(kids[0])}
    assert len(shelf.kids) == 2


def test_two_secret_keys_live_side_by_side_for_months() -> None:
    """Each process makes a key a week and removes what it has outlived: the table stays small."""
    shelf = Shelf()
    rings = [a_ring(shelf, "old"), a_ring(shelf, "new"), a_ring(shelf, "old", "new")]
    static = [ring.signing_key(NOW, False)[0] for ring in rings]
    for day in range(100):
        for i, ring in enumerate(rings):
            ring.signing_key(NOW + day * LIFETIME // 7 + i)
            assert ring.signing_key(NOW + day * LIFETIME // 7 + i, False)[0] in static
        assert len(shelf.kids) <= 8


def test_the_old_secret_key_is_a_fallback() -> None:
    """The key goes on signing."""
    shelf = Shelf()
    assert signs_with(a_ring(shelf, "old"), NOW) == signs_with(a_ring(shelf, "old", "new"), NOW + 1)


@pytest.mark.parametrize(
    "sealed",
    ["", "garbage", "é", pytest.param(Sealer((SECRET,)).seal(b"not a key"), id="not a key")],
)
def test_a_private_half_is_damaged(sealed: str) -> None:
    """A new key signs; the damaged one's tokens are not ours any more."""
    shelf = Shelf()
    token = a_signer(shelf).sign(CLAIMS, NOW)
    shelf.change(token.kid, sealed_private=sealed)
    fresh = a_signer(shelf)
    assert fresh.sign(CLAIMS, NOW + 1).kid != token.kid
    assert not fresh.is_genuine(token, NOW + 1)


def public_pem(key: Any) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return str(key.public_key().public_bytes(encoding, form).decode())


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "garbage",
        "é",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        pytest.param(public_pem(x25519.X25519PrivateKey.generate()), id="of another kind"),
        pytest.param(public_pem(ec.generate_private_key(ec.SECP256R1())), id="of another key"),
    ],
)
def test_a_public_half_is_not_its_private_half_s(pem: str, caplog: pytest.LogCaptureFixture) -> None:
    """What the private half says counts: for verifying, and for what is published. It is logged once."""
    shelf = Shelf()
    token, [before] = a_signer(shelf).sign(CLAIMS, NOW), shelf.store.keys()
    shelf.change(token.kid, public_pem=pem)
    fresh = a_signer(shelf)
    assert fresh.is_genuine(token, NOW)
    assert [key.public_pem for key in fresh.keys.stored(NOW + 2 * RELOAD_EVERY)] == [before.public_pem]
    assert caplog.text.count(f"public half of signing key {token.kid}") == 1


@pytest.mark.parametrize("algorithm", ["HS999", "EdDSA", "RS256"])
def test_a_key_is_said_to_be_of_another_kind(algorithm: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, once, and not used; its tokens are not genuine, without an exception, and a new key signs."""
    shelf = Shelf()
    token = a_signer(shelf).sign(CLAIMS, NOW)
    shelf.change(token.kid, algorithm=algorithm)
    fresh = a_signer(shelf)
    assert fresh.is_genuine(token, NOW) is False
    assert fresh.sign(CLAIMS, NOW + 1).kid != token.kid
    fresh.keys.stored(NOW + 2 * RELOAD_EVERY)
    assert caplog.text.count(f"Signing key {token.kid} is damaged") == 1


# -- sealing again, and ending -----------------------------------------------------------------------------------------


def test_keys_are_sealed_again() -> None:
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


def test_nobody_seals_keys_again_by_itself() -> None:
    """A process that has a new SECRET_KEY leaves the keys as they are: others may not have it yet."""
    shelf = Shelf()
    signs_with(a_ring(shelf, "old"), NOW)
    before = shelf.store.keys()
    signs_with(a_ring(shelf, "old", "new"), NOW + RELOAD_EVERY)
    assert shelf.store.keys() == before


def test_a_key_changes_while_it_is_sealed_again() -> None:
    """It is looked at once more, and not brought back if it is gone."""
    shelf = Shelf()
    kid = signs_with(a_ring(shelf, "old"), NOW)
    ring, swap, lost = a_ring(shelf, "old", "new"), shelf.reseal_key, [False]
    shelf.reseal_key = lambda *args: lost.pop() if lost else swap(*args)  # type: ignore[method-assign]
    assert ring.reseal(NOW + 1) == [kid]
    shelf.store._keys.clear()
    assert (ring.reseal(NOW + 2), shelf.kids) == ([], [])


def test_keys_are_sealed_again_too_early() -> None:
    """A process without the new SECRET_KEY loses them, makes one of its own, and goes on; others read that one."""
    shelf = Shelf()
    early, both = a_ring(shelf, "old"), a_ring(shelf, "old", "new")
    kid = signs_with(early, NOW)
    both.reseal(NOW + 1)
    own = [signs_with(early, NOW + RELOAD_EVERY + hour * HOUR) for hour in range(24)]
    assert set(own) == {f"d-{NOW + RELOAD_EVERY}"}
    assert shelf.kids == [kid, own[0]]
    assert both.public_key(own[0], NOW + RELOAD_EVERY) is not None


def test_old_keys_are_ended() -> None:
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


def test_the_algorithm_was_changed() -> None:
    """A new key of the new kind signs; a token that names the old key with the new algorithm is not genuine."""
    shelf = Shelf()
    old = a_signer(shelf, algorithm="EdDSA").sign(CLAIMS, NOW)
    signer = a_signer(shelf)
    new = signer.sign(CLAIMS, NOW + 1)
    assert len(shelf.kids) == 2
    assert signer.is_genuine(new, NOW + 1)
    header, claims, signature = new.raw.split(".")
    header = encoded({**decoded(header), "kid": old.kid})
    assert refused(signer, f"{header}.{claims}.{signature}")


# -- access tokens -----------------------------------------------------------------------------------------------------


def encoded(part: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def decoded(part: str) -> Any:
    return json.loads(base64_decode(part))


def refused(signer: AccessTokenSigner, raw: str) -> bool:
    """Whether the structure or the signature is not ours."""
    token = signer.read(raw)
    return token is None or not signer.is_genuine(token, NOW)


@pytest.fixture(scope="module")
def shelves() -> dict[str, Shelf]:
    """A shelf with a key for each algorithm; RSA keys take their time."""
    return {name: Shelf(make_key(replace(SETTINGS, algorithm=name), Sealer((SECRET,)), NOW)) for name in ALGORITHMS}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_access_token_is_signed(shelves: dict[str, Shelf], algorithm: str) -> None:
    """Another process reads the same claims, and finds the signature good; the header is that of version 5."""
    token = a_signer(shelves[algorithm], algorithm=algorithm).sign(CLAIMS, NOW)
    other = a_signer(shelves[algorithm], algorithm=algorithm)
    assert other.read(token.raw) == token
    assert other.is_genuine(token, NOW)
    assert jwt.get_unverified_header(token.raw) == {"alg": algorithm, "kid": f"d-{NOW}", "typ": "JWT", "version": "5"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("extra", [{}, {"a": "x"}, {"a": "xx"}, {"a": "好😀", "n": [None, 2**70]}])
def test_the_size_is_foretold(shelves: dict[str, Shelf], algorithm: str, extra: dict[str, Any]) -> None:
    """To the byte, for each algorithm."""
    signer = a_signer(shelves[algorithm], algorithm=algorithm)
    claims = {**extra, **CLAIMS}
    assert signer.size_of(claims) == len(signer.sign(claims, NOW).raw)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_of_another_database_comes(shelves: dict[str, Shelf], algorithm: str) -> None:
    """Its key has the same name and is another key: not genuine."""
    stranger = Shelf(make_key(replace(SETTINGS, algorithm=algorithm), Sealer((SECRET,)), NOW))
    token = a_signer(stranger, algorithm=algorithm).sign(CLAIMS, NOW)
    assert refused(a_signer(shelves[algorithm], algorithm=algorithm), token.raw)


def respelled(part: str) -> set[str]:
    """Other texts that lenient readers of base64 take for this one."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    value = base64_decode(part)
    twins = {part[:-1] + char for char in alphabet if base64_decode(part[:-1] + char) == value}
    twins |= {twin.replace("-", "+").replace("_", "/") for twin in twins}
    twins |= {twin + pad for twin in twins for pad in ("=", "==", "===", "====")}
    return twins - {part}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("number", range(3))
def test_an_access_token_is_spelled_otherwise(shelves: dict[str, Shelf], algorithm: str, number: int) -> None:
    """The same bytes in other letters are refused in each of the three parts: one token, one text, one entry of the cache."""
    signer = a_signer(shelves[algorithm], algorithm=algorithm)
    parts = signer.sign({**CLAIMS, "odd": "ÿÿ>>??"}, NOW).raw.split(".")
    twins = respelled(parts[number])
    assert len(twins) >= 4
    assert all(refused(signer, ".".join([*parts[:number], twin, *parts[number + 1 :]])) for twin in twins)
    assert len(signer._verified) == 1


def test_the_structure_is_spelled_otherwise_by_whoever_signs() -> None:
    """Header and claims in letters that no core writes are foreign, though the signature over them be good."""
    shelf = Shelf()
    signer = a_signer(shelf)
    _, private = signer.keys.signing_key(NOW)
    method = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
    parts = [
        encoded({"alg": "ES256", "kid": f"d-{NOW}", "typ": "JWT", "version": "5"}),
        encoded({**CLAIMS, "odd": "x"}),
    ]
    for number, part in enumerate(parts):
        for twin in {part, *respelled(part)}:
            text = ".".join([*parts[:number], twin, *parts[number + 1 :]])
            signature = base64.urlsafe_b64encode(method.sign(text.encode(), private)).rstrip(b"=").decode()
            assert refused(signer, f"{text}.{signature}") == (twin != part)


ATTACKER = ec.generate_private_key(ec.SECP256R1())
GOOD = {"alg": "ES256", "kid": f"d-{NOW}", "typ": "JWT", "version": "5"}
JWK = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ATTACKER.public_key()))


def by_attacker(text: str, _pem: str) -> bytes:
    return jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).sign(text.encode(), ATTACKER)


def by_public_key(text: str, pem: str) -> bytes:
    return hmac.digest(pem.encode(), text.encode(), "sha256")


def by_nobody(_text: str, _pem: str) -> bytes:
    return b""


Attack = tuple[dict[str, Any], Callable[[str, str], bytes]]
ATTACKS: dict[str, Attack] = {
    "another key under our name": (GOOD, by_attacker),
    "no signature": (GOOD, by_nobody),
    "a signature of zeros": (GOOD, lambda text, pem: bytes(64)),
    "a signature that is too long": (GOOD, lambda text, pem: by_attacker(text, pem) + bytes(1)),
    "alg none": ({**GOOD, "alg": "none"}, by_nobody),
    "alg None": ({**GOOD, "alg": "None"}, by_nobody),
    "alg null": ({**GOOD, "alg": None}, by_nobody),
    "no alg": ({name: value for name, value in GOOD.items() if name != "alg"}, by_attacker),
    "HS256 with the public key": ({**GOOD, "alg": "HS256"}, by_public_key),
    "our alg, HMAC with the public key": (GOOD, by_public_key),
    "an algorithm that is not set": ({**GOOD, "alg": "RS256"}, by_attacker),
    "a list of algorithms": ({**GOOD, "alg": ["ES256"]}, by_attacker),
    "jwk": ({**GOOD, "jwk": JWK}, by_attacker),
    "jwk and an unknown kid": ({**GOOD, "kid": "d-1", "jwk": JWK}, by_attacker),
    "jku": ({**GOOD, "jku": "https://evil.example/jwks.json"}, by_attacker),
    "x5u": ({**GOOD, "x5u": "https://evil.example/cert.pem"}, by_attacker),
    "an unknown kid": ({**GOOD, "kid": "d-1"}, by_attacker),
    "a kid that is a path": ({**GOOD, "kid": "../../dev/null"}, by_attacker),
    "a kid that is SQL": ({**GOOD, "kid": "d-1' OR '1'='1"}, by_attacker),
    "a kid that is an object": ({**GOOD, "kid": {"d": 1}}, by_attacker),
}


@pytest.mark.parametrize("letter", ["é", "\ud800"])
def test_a_signature_holds_no_base64(shelves: dict[str, Shelf], letter: str) -> None:
    """A letter that no header can carry is no error either: a token may have come some other way."""
    signer = a_signer(shelves["ES256"])
    assert refused(signer, signer.sign(dict(CLAIMS), NOW).raw + letter)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_token_is_forged(shelves: dict[str, Shelf], attack: str) -> None:
    """Whatever its header says, only our key decides."""
    header, sign = ATTACKS[attack]
    text = f"{encoded(header)}.{encoded(CLAIMS)}"
    signature = sign(text, shelves["ES256"].store.keys()[0].public_pem)
    raw = f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert refused(a_signer(shelves["ES256"]), raw)


@pytest.mark.parametrize(
    "change",
    [
        {"typ": "at+jwt"},
        {"typ": None},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"version": "2"},
        {"version": 5},
        {"kid": "x-1"},
    ],
)
def test_our_key_has_signed_something_else(shelves: dict[str, Shelf], change: dict[str, Any]) -> None:
    """A good signature does not make it an access token."""
    signer = a_signer(shelves["ES256"])
    _, private = signer.keys.signing_key(NOW)
    text = f"{encoded({**GOOD, **change})}.{encoded(CLAIMS)}"
    signature = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).sign(text.encode(), private)
    raw = f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert refused(signer, raw)


def test_the_claims_are_of_another_token(shelves: dict[str, Shelf]) -> None:
    """A token that was seen lends its good name to no other one."""
    signer = a_signer(shelves["ES256"])
    raw = signer.sign(CLAIMS, NOW).raw
    header, _, signature = raw.split(".")
    assert not refused(signer, raw)
    assert refused(signer, f"{header}.{encoded({**CLAIMS, 'sub': 'admin'})}.{signature}")


# -- tokens seen before ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cache_size", "checks"), [(100, 1), (0, 3)])
def test_a_token_is_seen_again(
    shelves: dict[str, Shelf], monkeypatch: pytest.MonkeyPatch, cache_size: int, checks: int
) -> None:
    """Its signature is checked once, or every time if nothing may be remembered."""
    signer, seen = a_signer(shelves["ES256"], cache_size=cache_size), []
    token = a_signer(shelves["ES256"]).sign(CLAIMS, NOW)
    check = signer._method.verify
    monkeypatch.setattr(signer._method, "verify", lambda *args: seen.append(1) or check(*args))
    assert [signer.is_genuine(token, NOW) for _ in range(3)] == [True] * 3
    assert len(seen) == checks


def test_an_expired_token_is_genuine(shelves: dict[str, Shelf]) -> None:
    """It takes no room in the cache."""
    signer, token = a_signer(shelves["ES256"]), a_signer(shelves["ES256"]).sign(CLAIMS, NOW)
    assert signer.is_genuine(token, token.expires_at)
    assert len(signer._verified) == 0


def test_sessions_are_forgotten(shelves: dict[str, Shelf]) -> None:
    """Their tokens leave the cache, the others stay."""
    signer = a_signer(shelves["ES256"])
    tokens = [signer.sign({**CLAIMS, "sessionHandle": handle}, NOW) for handle in ("a", "b", "c")]
    signer.forget(["a", "c", "unknown"])
    assert [signer._verified.get(token.raw) is not None for token in tokens] == [False, True, False]


def test_the_cache_is_full() -> None:
    """It forgets its oldest entry."""
    cache: BoundedCache[int] = BoundedCache(2)
    for number in range(3):
        cache.put(str(number), number)
    assert [cache.get(str(number)) for number in range(3)] == [None, 1, 2]
    assert len(cache) == 2


def test_the_cache_has_no_room() -> None:
    """Size 0 keeps nothing."""
    cache: BoundedCache[int] = BoundedCache(0)
    cache.put("a", 1)
    assert (cache.get("a"), len(cache)) == (None, 0)


def test_entries_of_the_cache_are_dropped() -> None:
    """Those that are unwanted, or all."""
    cache: BoundedCache[int] = BoundedCache(10)
    for number in range(6):
        cache.put(str(number), number)
    cache.drop(lambda value: value % 2 == 0)
    assert [cache.get(str(number)) for number in range(6)] == [None, 1, None, 3, None, 5]
    cache.drop()
    assert len(cache) == 0


def test_the_entries_of_an_owner_are_forgotten() -> None:
    """Those that are there still, and nothing is kept of an owner who has none."""
    cache: BoundedCache[int] = BoundedCache(3)
    for number, owner in enumerate("aabca"):
        cache.put(str(number), number, owner)
    cache.put("2", 5, "d")  # it changes hands
    cache.forget(["a", "b", "unknown"])
    assert [cache.get(str(number)) for number in range(5)] == [None, None, 5, 3, None]
    cache.drop()
    assert cache._keys_of == {}


def test_many_threads_use_the_cache() -> None:
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


def test_nothing_secret_is_shown(caplog: pytest.LogCaptureFixture, minted: RefreshToken) -> None:
    """`repr` and log hold no token and no key."""
    caplog.set_level(logging.DEBUG)
    shelf = Shelf()
    signer = a_signer(shelf)
    token = signer.sign(CLAIMS, NOW)
    shown = repr([minted, token, shelf.store.keys(), signer.keys._keys]) + caplog.text
    for secret in (minted.raw, token.raw, shelf.store.keys()[0].sealed_private, "PrivateKey"):
        assert secret not in shown
