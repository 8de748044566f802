"""Refresh tokens: minted, cut, spelled otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from itsdangerous import URLSafeSerializer
from itsdangerous.encoding import base64_decode

from flask_supertokens.protocol.model import RefreshToken
from flask_supertokens.protocol.tokens import fingerprint, preimage
from flask_supertokens.signing import (
    RefreshTokenSigner,
)

from ..support.keys import SECRET
from ..support.records import NOW


def test_a_minted_refresh_token_reads_as_it_was_made(refresh_tokens: RefreshTokenSigner, minted: RefreshToken) -> None:
    """It reads as it was made, and its fingerprint is twice SHA-256 of the string."""
    assert refresh_tokens.read(minted.raw) == minted
    assert (minted.handle, minted.born, minted.parent_preimage, minted.parent_fingerprint) == (
        "handle-1",
        NOW,
        None,
        None,
    )
    assert minted.fingerprint == fingerprint(preimage(minted.raw))


def test_a_minted_child_carries_the_proof_of_its_parent(
    refresh_tokens: RefreshTokenSigner, minted: RefreshToken
) -> None:
    """It carries the proof of its parent, from which the hash in the row follows."""
    child = refresh_tokens.read(refresh_tokens.mint("handle-1", NOW + 1, minted).raw)
    assert child is not None
    assert (child.parent_preimage, child.parent_fingerprint) == (preimage(minted.raw), minted.fingerprint)


def test_refresh_tokens_minted_in_the_same_millisecond_have_256_random_bits_each(
    refresh_tokens: RefreshTokenSigner,
) -> None:
    """Each has 256 random bits of its own."""
    tokens = {refresh_tokens.mint("handle-1", NOW, None).raw for _ in range(100)}
    assert len(tokens) == 100
    content = json.loads(base64_decode(tokens.pop().split(".")[0]))
    assert len(base64_decode(content[3])) == 32


def test_a_refresh_token_that_is_cut_is_none(refresh_tokens: RefreshTokenSigner, minted: RefreshToken) -> None:
    """No part of it is a token, from the left or from the right."""
    raw = minted.raw
    assert not any(
        refresh_tokens.read(part) for end in range(len(raw)) for part in (raw[:end], raw[-end:] if end else "")
    )


def test_a_refresh_token_with_one_character_changed_is_none(
    refresh_tokens: RefreshTokenSigner, minted: RefreshToken
) -> None:
    """At every place, to every character of base64: none is a token."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.= "
    for place, was in enumerate(minted.raw):
        for char in alphabet.replace(was, ""):
            assert refresh_tokens.read(minted.raw[:place] + char + minted.raw[place + 1 :]) is None


def test_a_refresh_token_whose_signature_is_spelled_otherwise_is_refused(
    refresh_tokens: RefreshTokenSigner, minted: RefreshToken
) -> None:
    """Base64's last character has unused bits; a token that differs only there would hash differently, and is refused."""
    body, _, signature = minted.raw.rpartition(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twins = [signature[:-1] + char for char in alphabet if char != signature[-1]]
    twins = [twin for twin in twins if base64_decode(twin) == base64_decode(signature)]
    assert len(twins) == 3
    assert [refresh_tokens.read(f"{body}.{twin}") for twin in [*twins, signature + "="]] == [None] * 4


def test_parts_of_two_refresh_tokens_are_no_token(refresh_tokens: RefreshTokenSigner) -> None:
    """The content of one and the signature of the other are no token."""
    one, other = (refresh_tokens.mint(f"handle-{number}", NOW, None).raw.rpartition(".") for number in (1, 2))
    assert refresh_tokens.read(f"{one[0]}.{other[2]}") is None


@pytest.mark.parametrize("raw", ["", ".", "..", "x", "a.b", "😀", "\0", "\ud800", "x" * 100_000, ".." * 50_000, "[]"])
def test_garbage_for_a_refresh_token_is_refused_without_an_exception(
    refresh_tokens: RefreshTokenSigner, raw: str
) -> None:
    """It is refused without an exception."""
    assert refresh_tokens.read(raw) is None


def test_a_refresh_token_of_another_secret_key_is_not_ours(minted: RefreshToken) -> None:
    """It is not ours."""
    assert RefreshTokenSigner(("another secret",)).read(minted.raw) is None


def test_all_secret_keys_read_refresh_tokens_and_the_last_one_signs() -> None:
    """The order is Flask's: fallbacks first, `SECRET_KEY` last. All are read, the last one signs."""
    old, new = RefreshTokenSigner(("old",)), RefreshTokenSigner((b"new",))
    both = RefreshTokenSigner(("old", "new"))
    token = both.mint("handle-1", NOW, None).raw
    assert both.read(old.mint("handle-1", NOW, None).raw) is not None
    assert new.read(token) is not None
    assert old.read(token) is None


def test_something_else_signed_with_the_secret_key_is_no_refresh_token(refresh_tokens: RefreshTokenSigner) -> None:
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
def test_content_of_another_form_is_refused_signed_or_not(refresh_tokens: RefreshTokenSigner, content: Any) -> None:
    """Signed by us or not, it is refused."""
    assert refresh_tokens.read(str(refresh_tokens._serializer.dumps(content))) is None
