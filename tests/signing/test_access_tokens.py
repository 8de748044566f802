"""Access tokens: signed, spelled otherwise, forged."""

from __future__ import annotations

import base64
import hmac
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from itsdangerous.encoding import base64_decode

from flask_supertokens.protocol.model import RefreshToken
from flask_supertokens.signing import (
    ALGORITHMS,
    Sealer,
    make_key,
)

from ..support.keys import CLAIMS, SECRET, SETTINGS, Shelf, a_signer, refused
from ..support.records import NOW
from ..support.wire import encode_part


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_signed_access_token_is_read_as_genuine_by_another_process(shelves: dict[str, Shelf], algorithm: str) -> None:
    """Another process reads the same claims, and finds the signature good; the header is that of version 5."""
    token = a_signer(shelves[algorithm], algorithm=algorithm).sign(CLAIMS, NOW)
    other = a_signer(shelves[algorithm], algorithm=algorithm)
    assert other.read(token.raw) == token
    assert other.is_genuine(token, NOW)
    assert jwt.get_unverified_header(token.raw) == {"alg": algorithm, "kid": f"d-{NOW}", "typ": "JWT", "version": "5"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("extra", [{}, {"a": "x"}, {"a": "xx"}, {"a": "好😀", "n": [None, 2**70]}])
def test_the_size_of_a_token_is_foretold_to_the_byte(
    shelves: dict[str, Shelf], algorithm: str, extra: dict[str, Any]
) -> None:
    """To the byte, for each algorithm."""
    signer = a_signer(shelves[algorithm], algorithm=algorithm)
    claims = {**extra, **CLAIMS}
    assert signer.size_of(claims) == len(signer.sign(claims, NOW).raw)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_of_another_database_is_not_genuine(shelves: dict[str, Shelf], algorithm: str) -> None:
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
def test_an_access_token_that_is_spelled_otherwise_is_refused(
    shelves: dict[str, Shelf], algorithm: str, number: int
) -> None:
    """The same bytes in other letters are refused in each of the three parts: one token, one text, one entry of the cache."""
    signer = a_signer(shelves[algorithm], algorithm=algorithm)
    parts = signer.sign({**CLAIMS, "odd": "ÿÿ>>??"}, NOW).raw.split(".")
    twins = respelled(parts[number])
    assert len(twins) >= 4
    assert all(refused(signer, ".".join([*parts[:number], twin, *parts[number + 1 :]])) for twin in twins)
    assert len(signer._verified) == 1


def test_a_structure_that_its_signer_spells_otherwise_is_foreign() -> None:
    """Header and claims in letters that no core writes are foreign, though the signature over them be good."""
    shelf = Shelf()
    signer = a_signer(shelf)
    _, private = signer.keys.signing_key(NOW)
    method = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
    parts = [
        encode_part({"alg": "ES256", "kid": f"d-{NOW}", "typ": "JWT", "version": "5"}),
        encode_part({**CLAIMS, "odd": "x"}),
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
def test_a_signature_that_is_no_base64_is_no_error(shelves: dict[str, Shelf], letter: str) -> None:
    """A letter that no header can carry is no error either: a token may have come some other way."""
    signer = a_signer(shelves["ES256"])
    assert refused(signer, signer.sign(dict(CLAIMS), NOW).raw + letter)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_forged_token_is_not_genuine_whatever_its_header_says(shelves: dict[str, Shelf], attack: str) -> None:
    """Whatever its header says, only our key decides."""
    header, sign = ATTACKS[attack]
    text = f"{encode_part(header)}.{encode_part(CLAIMS)}"
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
def test_something_else_that_our_key_signed_is_no_access_token(
    shelves: dict[str, Shelf], change: dict[str, Any]
) -> None:
    """A good signature does not make it an access token."""
    signer = a_signer(shelves["ES256"])
    _, private = signer.keys.signing_key(NOW)
    text = f"{encode_part({**GOOD, **change})}.{encode_part(CLAIMS)}"
    signature = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).sign(text.encode(), private)
    raw = f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert refused(signer, raw)


def test_a_token_that_was_seen_makes_no_other_one_genuine(shelves: dict[str, Shelf]) -> None:
    """A token that was seen lends its good name to no other one."""
    signer = a_signer(shelves["ES256"])
    raw = signer.sign(CLAIMS, NOW).raw
    header, _, signature = raw.split(".")
    assert not refused(signer, raw)
    assert refused(signer, f"{header}.{encode_part({**CLAIMS, 'sub': 'admin'})}.{signature}")


def test_an_expired_token_is_genuine_and_not_cached(shelves: dict[str, Shelf]) -> None:
    """It takes no room in the cache."""
    signer, token = a_signer(shelves["ES256"]), a_signer(shelves["ES256"]).sign(CLAIMS, NOW)
    assert signer.is_genuine(token, token.expires_at)
    assert len(signer._verified) == 0


def test_no_token_or_key_is_shown(caplog: pytest.LogCaptureFixture, minted: RefreshToken) -> None:
    """`repr` and log hold no token and no key."""
    caplog.set_level(logging.DEBUG)
    shelf = Shelf()
    signer = a_signer(shelf)
    token = signer.sign(CLAIMS, NOW)
    shown = repr([minted, token, shelf.store.keys(), signer.keys._keys]) + caplog.text
    for secret in (minted.raw, token.raw, shelf.store.keys()[0].sealed_private, "PrivateKey"):
        assert secret not in shown
