"""Requests made by hand, and what the responses say; the apps that they go to stand in `apps`."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import pytest
from flask import Flask
from werkzeug.datastructures import Headers
from werkzeug.test import TestResponse

from flask_supertokens import (
    create_new_session,
)

from .cookies import Cookie, cookie_values, set_cookies

TOKEN_HEADERS = ("front-token", "anti-csrf", "st-access-token", "st-refresh-token")
UNAUTHORISED = {"message": "unauthorised"}
TRY_REFRESH = {"message": "try refresh token"}
THEFT = {"message": "token theft detected"}
FOREIGN = {"message": "cross-site request refused"}
OWN_ROUTES = {
    "refresh": ("POST", "/refresh"),
    "signout": ("POST", "/signout"),
    "jwks": ("GET", "/.well-known/jwks.json"),
    "discovery": ("GET", "/.well-known/openid-configuration"),
    "health": ("GET", "/health"),
    "static": ("GET", "/supertokens-assets/pages.css"),
}
HEADER = {"kid": "d-1795363746113", "typ": "JWT", "version": "5", "alg": "ES256"}
CLAIMS: dict[str, Any] = {
    "iat": 1_700_000_000,
    "exp": 1_700_003_600,
    "sub": "user-1",
    "tId": "public",
    "rsub": "user-1",
    "sessionHandle": "handle-1",
    "refreshTokenHash1": "a" * 64,
    "parentRefreshTokenHash1": None,
    "antiCsrfToken": None,
}


def run(app: Flask, action: Callable[[], Any], *, verified: bool = False, **request: Any) -> TestResponse:
    """Run something in a view, with a session required or not. The answer is JSON."""
    app.config["ACTION"] = action
    return call(app, "GET", "/run-verified" if verified else "/run", **request)


def logging_in(app: Flask, *arguments: Any, **keywords: Any) -> TestResponse:
    """A view that makes a session of the user ``new``; ``tokens`` are the request's."""
    tokens = keywords.pop("tokens", {})
    return run(app, lambda: create_new_session("new", *arguments, **keywords).handle, **tokens)


# -- what goes in ------------------------------------------------------------------------------------------------------


def call(
    app: Flask,
    method: str,
    path: str,
    *,
    access: str | None = None,
    refresh: str | None = None,
    bearer: str | None = None,
    cookies: Iterable[str] = (),
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> TestResponse:
    """Make a request with exactly these tokens, cookies and headers."""
    named = [("sAccessToken", access), ("sRefreshToken", refresh)]
    pairs = [*(f"{name}={value}" for name, value in named if value is not None), *cookies]
    all_headers = Headers(headers or {})
    if pairs:
        all_headers["Cookie"] = "; ".join(pairs)
    if bearer is not None:
        all_headers["Authorization"] = f"Bearer {bearer}"
    return app.test_client(use_cookies=False).open(path, method=method, headers=all_headers, **more)


def post_refresh(app: Flask, **tokens: Any) -> TestResponse:
    return call(app, "POST", "/refresh", **tokens)


class Tokens(NamedTuple):
    """The tokens of one session."""

    handle: str
    access: str
    refresh: str
    anti_csrf: str | None


def log_in(app: Flask, mode: str = "cookie") -> Tokens:
    """A new session by cookies or by headers."""
    response = app.test_client(use_cookies=False).post("/login", headers={"st-auth-mode": mode})
    headers = response.headers
    if mode == "header":
        return Tokens(response.json["handle"], headers["st-access-token"], headers["st-refresh-token"], None)
    names = {name.rpartition("-")[2]: value for name, value in cookie_values(response).items()}
    return Tokens(response.json["handle"], names["sAccessToken"], names["sRefreshToken"], headers.get("anti-csrf"))


def ask(
    app: Flask, method: str, path: str, cookies: str = "", bearer: str | None = None, **headers: str
) -> TestResponse:
    """As `call`, its cookies in one text and headers by name (``sec_fetch_site="…"`` is ``Sec-Fetch-Site``)."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(app, method, path, bearer=bearer, cookies=filter(None, [cookies]), headers=named)


def encode_part(content: object) -> str:
    """A part of a JWT; bytes are taken as they are."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forge(claims: object = CLAIMS, header: object = HEADER, signature: str = "c2lnbmF0dXJl") -> str:
    """A token that nobody signed."""
    return f"{encode_part(header)}.{encode_part(claims)}.{signature}"


def forged_with(**claims: Any) -> str:
    """A token that nobody signed, valid for long, with these claims."""
    return forge({**CLAIMS, "exp": 2**40, **claims})


def without(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != name}


def contents(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a JWT."""
    header, claims, _ = token.split(".")
    return decode_token(header), decode_token(claims)


def decode_token(part: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return content


# -- what comes out ----------------------------------------------------------------------------------------------------


def cleared_methods(response: TestResponse) -> set[str]:
    """The methods whose tokens a response removes: cookie, header."""
    cookies = set_cookies(response)
    by_cookie = all(name in cookies and cookies[name].cleared for name in ("sAccessToken", "sRefreshToken"))
    by_header = all(response.headers.get(name) == "" for name in ("st-access-token", "st-refresh-token"))
    return {name for name, true in (("cookie", by_cookie), ("header", by_header)) if true}


def handed_out(response: TestResponse) -> set[str]:
    """The methods by which a response gives an access token."""
    by_cookie = bool(set_cookies(response).get("sAccessToken", Cookie("", "")).value)
    by_header = bool(response.headers.get("st-access-token"))
    return {name for name, true in (("cookie", by_cookie), ("header", by_header)) if true}


def sets_no_tokens(response: TestResponse) -> bool:
    """Whether the extension wrote no tokens to this response, and cleared none."""
    names = ("Set-Cookie", *TOKEN_HEADERS, "Access-Control-Expose-Headers", "Clear-Site-Data")
    return not any(name in response.headers for name in names)


def front(response: TestResponse) -> dict[str, Any]:
    """What the ``front-token`` says; there must be exactly one."""
    (value,) = response.headers.getlist("front-token")
    content: dict[str, Any] = json.loads(base64.b64decode(value, validate=True))
    return content


def assert_response(response: TestResponse, status: int, body: object) -> None:
    """Status, body and content type of an answer for an API client."""
    assert (response.status_code, response.json) == (status, body)
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"


def all_tokens(caplog: pytest.LogCaptureFixture) -> str:
    """Everything that was logged, as one text."""
    return "\n".join(f"{record.getMessage()} {record.exc_info} {record.__dict__}" for record in caplog.records)
