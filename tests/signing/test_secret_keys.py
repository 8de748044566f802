"""A SECRET_KEY is replaced, and keys that do not open."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, x25519

from flask_supertokens.signing import (
    COOL_DOWN,
    RELOAD_EVERY,
    Sealer,
    make_key,
)

from ..support.keys import CLAIMS, HOUR, LIFETIME, SECRET, SETTINGS, Shelf, a_ring, a_signer, signs_with
from ..support.records import NOW, kids_of


def test_a_key_that_another_secret_key_sealed_is_not_used_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The key neither signs nor verifies nor is published, which is logged once; a new one does."""
    shelf = Shelf()
    old = a_signer(shelf, "old").sign(CLAIMS, NOW)
    after = a_signer(shelf, "new")
    new = after.sign(CLAIMS, NOW + 1)
    assert [after.is_genuine(token, NOW + COOL_DOWN) for token in (old, new)] == [False, True]
    assert kids_of(after.keys.stored(NOW + 10 * RELOAD_EVERY)) == [new.kid]
    assert caplog.text.count(f"cannot decrypt signing key {old.kid}") == 1


def test_a_key_that_does_not_open_is_not_read_anew_for_each_of_its_tokens() -> None:
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
def test_a_key_added_to_the_table_without_the_secret_key_makes_no_token_that_counts(sealed: str) -> None:
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


def test_an_exchanged_key_ends_what_the_first_one_verified() -> None:
    """A row that holds another private half now ends what was verified by the first one."""
    shelf = Shelf()
    signer = a_signer(shelf)
    token = signer.sign(CLAIMS, NOW)
    other = make_key(SETTINGS, Sealer((SECRET,)), NOW)
    shelf.change(token.kid, sealed_private=other.sealed_private)
    assert signer.is_genuine(token, NOW + RELOAD_EVERY - 1)
    assert not signer.is_genuine(token, NOW + RELOAD_EVERY)


@pytest.mark.parametrize("dynamic", [True, False])
def test_keys_that_do_not_open_are_told_of_until_they_are_outlived(dynamic: bool) -> None:
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


def test_two_secret_keys_side_by_side_make_no_more_and_more_keys() -> None:
    """Each process signs with its own key; they do not make more and more of them."""
    shelf = Shelf()
    rings = [a_ring(shelf, "old"), a_ring(shelf, "new")]
    kids = [[signs_with(ring, NOW + minute * 60_000 + i) for i, ring in enumerate(rings)] for minute in range(60)]
    assert {tuple(pair) for pair in kids} == {tuple(kids[0])}
    assert len(shelf.kids) == 2


def test_two_secret_keys_side_by_side_for_months_keep_the_table_small() -> None:
    """Each process makes a key a week and removes what it has outlived: the table stays small."""
    shelf = Shelf()
    rings = [a_ring(shelf, "old"), a_ring(shelf, "new"), a_ring(shelf, "old", "new")]
    static = [ring.signing_key(NOW, False)[0] for ring in rings]
    for day in range(100):
        for i, ring in enumerate(rings):
            ring.signing_key(NOW + day * LIFETIME // 7 + i)
            assert ring.signing_key(NOW + day * LIFETIME // 7 + i, False)[0] in static
        assert len(shelf.kids) <= 8


def test_the_key_goes_on_signing_where_the_old_secret_key_is_a_fallback() -> None:
    """The key goes on signing."""
    shelf = Shelf()
    assert signs_with(a_ring(shelf, "old"), NOW) == signs_with(a_ring(shelf, "old", "new"), NOW + 1)


@pytest.mark.parametrize(
    "sealed",
    ["", "garbage", "é", pytest.param(Sealer((SECRET,)).seal(b"not a key"), id="not a key")],
)
def test_tokens_of_a_damaged_private_half_are_not_ours_and_a_new_key_signs(sealed: str) -> None:
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
def test_the_private_half_counts_where_the_public_one_is_not_its_own(
    pem: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What the private half says counts: for verifying, and for what is published. It is logged once."""
    shelf = Shelf()
    token, [before] = a_signer(shelf).sign(CLAIMS, NOW), shelf.store.keys()
    shelf.change(token.kid, public_pem=pem)
    fresh = a_signer(shelf)
    assert fresh.is_genuine(token, NOW)
    assert [key.public_pem for key in fresh.keys.stored(NOW + 2 * RELOAD_EVERY)] == [before.public_pem]
    assert caplog.text.count(f"public half of signing key {token.kid}") == 1


@pytest.mark.parametrize("algorithm", ["HS999", "EdDSA", "RS256"])
def test_a_key_said_to_be_of_another_kind_is_logged_once_and_not_used(
    algorithm: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, once, and not used; its tokens are not genuine, without an exception, and a new key signs."""
    shelf = Shelf()
    token = a_signer(shelf).sign(CLAIMS, NOW)
    shelf.change(token.kid, algorithm=algorithm)
    fresh = a_signer(shelf)
    assert fresh.is_genuine(token, NOW) is False
    assert fresh.sign(CLAIMS, NOW + 1).kid != token.kid
    fresh.keys.stored(NOW + 2 * RELOAD_EVERY)
    assert caplog.text.count(f"Signing key {token.kid} is damaged") == 1
