"""What a hostile or broken client sends: *unauthorised* or *try refresh token*, never a 500, and no state changed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as some

from flask_supertokens.protocol.tokens import parse_access_token
from flask_supertokens.protocol.transport import CookieNames, read

from .support.web import Tokens, an_app, ask, cookie_lines, log_in

NAMES = CookieNames("sAccessToken", "sRefreshToken", "/", "/refresh")


def encoded(part: Any) -> str:
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def decoded(part: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=="))
    return value


@pytest.fixture(scope="module")
def app() -> Flask:
    return an_app()


@pytest.fixture(scope="module")
def tokens(app: Flask) -> Tokens:
    return log_in(app)


def with_header(token: str, **changes: Any) -> str:
    header, claims, signature = token.split(".")
    return ".".join([encoded({**decoded(header), **changes}), claims, signature])


def with_claims(token: str, **changes: Any) -> str:
    header, claims, signature = token.split(".")
    return ".".join([header, encoded({**decoded(claims), **changes}), signature])


def confused(token: str, app: Flask) -> str:
    """HS256 with our own public key as the secret."""
    public = app.extensions["supertokens"].engine.keys()[0].public_pem.encode()
    header, claims, _ = token.split(".")
    signed = f"{encoded({**decoded(header), 'alg': 'HS256'})}.{claims}"
    return f"{signed}.{encoded(hmac.new(public, signed.encode(), hashlib.sha256).digest())}"


#: name → (how the token is spoiled, what is answered); "absent" tokens are those that are not of our form
SPOILED: dict[str, tuple[Any, str]] = {
    "garbage": (lambda t, app: "garbage", "unauthorised"),
    "three parts of garbage": (lambda t, app: "a.b.c", "unauthorised"),
    "cut": (lambda t, app: t.access[:-10], "try refresh token"),
    "cut in the claims": (lambda t, app: t.access[:200], "unauthorised"),
    "four parts": (lambda t, app: t.access + ".x", "unauthorised"),
    "another signature": (lambda t, app: t.access[:-5] + "AAAAA", "try refresh token"),
    "the refresh token": (lambda t, app: t.refresh, "unauthorised"),
    "alg none": (lambda t, app: with_header(t.access, alg="none"), "unauthorised"),
    "alg none, no signature": (
        lambda t, app: with_header(t.access, alg="none").rpartition(".")[0] + ".",
        "unauthorised",
    ),
    "HS256 with the public key": (lambda t, app: confused(t.access, app), "unauthorised"),
    "RS256": (lambda t, app: with_header(t.access, alg="RS256"), "unauthorised"),
    "alg a list": (lambda t, app: with_header(t.access, alg=["ES256"]), "unauthorised"),
    "unknown kid": (lambda t, app: with_header(t.access, kid="d-1"), "try refresh token"),
    "kid a path": (lambda t, app: with_header(t.access, kid="d-../../etc/passwd"), "unauthorised"),
    "kid with NUL": (lambda t, app: with_header(t.access, kid="d-\0"), "unauthorised"),
    "kid of 10 kB": (lambda t, app: with_header(t.access, kid="d-" + "1" * 10_000), "unauthorised"),
    "crit": (lambda t, app: with_header(t.access, crit=["exp"]), "unauthorised"),
    "jwk": (lambda t, app: with_header(t.access, jwk={"kty": "EC"}), "try refresh token"),
    "jku": (lambda t, app: with_header(t.access, jku="https://evil.example/keys"), "try refresh token"),
    "version 2": (lambda t, app: with_header(t.access, version="2"), "unauthorised"),
    "version a number": (lambda t, app: with_header(t.access, version=5), "unauthorised"),
    "typ": (lambda t, app: with_header(t.access, typ="at+jwt"), "unauthorised"),
    "another user": (lambda t, app: with_claims(t.access, sub="admin"), "try refresh token"),
    "sub a number": (lambda t, app: with_claims(t.access, sub=5), "unauthorised"),
    "tId missing": (lambda t, app: with_claims(t.access, tId=None), "unauthorised"),
    "rsub a list": (lambda t, app: with_claims(t.access, rsub=[]), "unauthorised"),
    "exp a string": (lambda t, app: with_claims(t.access, exp="9"), "unauthorised"),
    "exp true": (lambda t, app: with_claims(t.access, exp=True), "unauthorised"),
    "exp huge": (lambda t, app: with_claims(t.access, exp=10**400), "unauthorised"),
    "iat huge float": (lambda t, app: with_claims(t.access, iat=1e300), "unauthorised"),
    "an OAuth token": (lambda t, app: with_claims(t.access, stt=1), "unauthorised"),
    "anti-CSRF a number": (lambda t, app: with_claims(t.access, antiCsrfToken=5), "unauthorised"),
    "NaN": (lambda t, app: spoiled_text(t.access, b'{"exp":NaN}'), "unauthorised"),
    "Infinity": (lambda t, app: spoiled_text(t.access, b'{"exp":1e999}'), "unauthorised"),
    "deep": (lambda t, app: spoiled_text(t.access, b"[" * 9_000), "unauthorised"),
    "digits": (lambda t, app: spoiled_text(t.access, b'{"exp":' + b"9" * 9_000 + b"}"), "unauthorised"),
    "no object": (lambda t, app: spoiled_text(t.access, b"[]"), "unauthorised"),
    "no UTF-8": (lambda t, app: spoiled_text(t.access, b'{"a":"\xff"}'), "unauthorised"),
    "100 kB": (lambda t, app: "a" * 100_000 + ".b.c", "unauthorised"),
    "non-ASCII": (lambda t, app: "ü.ß.é", "unauthorised"),
    "percent": (lambda t, app: "%00%ff%zz", "unauthorised"),
}


def spoiled_text(token: str, claims: bytes) -> str:
    header, _, signature = token.split(".")
    return f"{header}.{encoded(claims)}.{signature}"


@pytest.mark.parametrize("method", ["cookie", "header"])
@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_access_token(app: Flask, tokens: Tokens, name: str, method: str) -> None:
    """It opens nothing, breaks nothing and clears nothing."""
    spoil, message = SPOILED[name]
    token = spoil(tokens, app).encode().decode("latin-1")
    sent = {"cookies": f"sAccessToken={token}"} if method == "cookie" else {"bearer": token}
    response = ask(app, "GET", "/me", **sent)
    assert (response.status_code, response.json) == (401, {"message": message})
    assert cookie_lines(response) == []


REFRESH: dict[str, Any] = {
    "garbage": lambda t: "garbage",
    "the access token": lambda t: t.access,
    "cut": lambda t: t.refresh[:-1],
    "longer": lambda t: t.refresh + "A",
    "the last character spelled otherwise": lambda t: t.refresh[:-1] + chr(ord(t.refresh[-1]) + 1),
    "content changed": lambda t: "B" + t.refresh[1:],
    "100 kB": lambda t: "a" * 100_000,
    "a compression bomb": lambda t: ".eJzs" + "A" * 1000 + ".sig",
    "non-ASCII": lambda t: "ü" * 20,
    "NUL": lambda t: "%00",
}


@pytest.mark.parametrize("name", REFRESH)
def test_a_spoiled_refresh_token(app: Flask, tokens: Tokens, name: str) -> None:
    """*Unauthorised*, no theft, and the real one still works."""
    token = REFRESH[name](tokens).encode().decode("latin-1")
    assert ask(app, "POST", "/refresh", f"sRefreshToken={token}").json == {"message": "unauthorised"}
    assert ask(app, "POST", "/refresh", f"sRefreshToken={tokens.refresh}").status_code == 200


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data", "text/html; charset=\xff", "x"])
def test_a_body_that_is_none(app: Flask, tokens: Tokens, content_type: str) -> None:
    """The routes read no body, whatever it claims to be."""
    client = app.test_client(use_cookies=False)
    headers = {"Cookie": f"sRefreshToken={tokens.refresh}", "Content-Type": content_type}
    assert client.post("/refresh", data=b"\xff{", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "header", ["", ";", "=", ";;=;", "sAccessToken", "sAccessToken=", 'sAccessToken="', "a=b; =c; d"]
)
def test_a_cookie_header_that_is_none(app: Flask, header: str) -> None:
    """An empty value counts as absent."""
    assert ask(app, "GET", "/me", header).json == {"message": "unauthorised"}


@pytest.mark.parametrize("value", ["Bearer", "Bearer ", "bearer x", "Basic x", "Bearer\tx", "Bearer   ", "\x7f"])
def test_an_authorization_header_that_is_none(app: Flask, value: str) -> None:
    """Only exactly ``Bearer`` and a space counts; foreign schemes are not ours to judge."""
    assert ask(app, "GET", "/me", authorization=value).json == {"message": "unauthorised"}


@given(some.text(max_size=300))
def test_any_cookie_header_is_read(header: str) -> None:
    """No text makes the reader fail."""
    presented = read("GET", header, lambda name: None, NAMES)
    assert all(presented.access_cookies + presented.refresh_cookies)


@given(
    some.one_of(some.text(max_size=200), some.binary(max_size=200).map(lambda raw: f"{encoded(raw)}.{encoded(raw)}.x"))
)
def test_any_token_is_judged(token: str) -> None:
    """No text is an access token of ours by chance, and none makes the parser fail."""
    assert parse_access_token(token, frozenset({"ES256"})) is None


JSON = some.recursive(
    some.none() | some.booleans() | some.floats() | some.integers() | some.text(max_size=9),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
CLAIMS = some.sampled_from(
    ["sub", "rsub", "tId", "sessionHandle", "refreshTokenHash1", "parentRefreshTokenHash1", "exp", "iat", "nbf", "stt"]
)


@given(name=CLAIMS, value=JSON)
def test_claims_of_any_type(app: Flask, tokens: Tokens, name: str, value: Any) -> None:
    """A forged claim of whatever type is refused with 401."""
    token = with_claims(tokens.access, **{name: value, "forged": 1})
    assert ask(app, "GET", "/me", f"sAccessToken={token}").status_code == 401
