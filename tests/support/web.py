"""Apps and requests of the tests of the Flask side; cookies are read attribute by attribute here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from flask import Flask
from werkzeug.test import TestResponse

from flask_supertokens import SuperTokens, create_new_session, current_session, get_session, verify_session
from flask_supertokens.stores.base import Store
from flask_supertokens.stores.memory import MemoryStore

from .plans import Clock


def an_app(store: Store | None = None, clock: Callable[[], int] | None = None, **settings: Any) -> Flask:
    """An app on a store in memory, with a log-in, a view that needs a session, one that does not, and an unsafe one."""
    app = Flask("an_app")
    app.config.update({"SECRET_KEY": "a secret of the tests", "SUPERTOKENS_COOKIE_SECURE": False, **settings})
    SuperTokens(app, store=store or MemoryStore())
    app.extensions["supertokens"].engine.clock = clock or Clock()

    @app.post("/login")
    def login() -> dict[str, str]:
        return {"handle": create_new_session("user-1", {"role": "admin"}).handle}

    @app.get("/me")
    @verify_session
    def me() -> dict[str, str]:
        return {"user": current_session.user_id}

    @app.get("/maybe")
    def maybe() -> dict[str, bool]:
        return {"session": get_session(session_required=False) is not None}

    @app.post("/act")
    @verify_session
    def act() -> dict[str, str]:
        return {"user": current_session.user_id}

    return app


class CookieLine(NamedTuple):
    """One Set-Cookie line."""

    name: str
    value: str
    attributes: dict[str, str | bool]


def cookie_lines(response: TestResponse) -> list[CookieLine]:
    """The Set-Cookie lines of a response, in order."""
    lines = []
    for line in response.headers.getlist("Set-Cookie"):
        first, *rest = line.split("; ")
        name, _, value = first.partition("=")
        attributes = {part.partition("=")[0]: part.partition("=")[2] or True for part in rest}
        lines.append(CookieLine(name, value, attributes))
    return lines


def set_cookies(response: TestResponse) -> dict[str, str]:
    """Names and values of the cookies that a response sets."""
    return {line.name: line.value for line in cookie_lines(response) if line.value}


def cleared_cookies(response: TestResponse) -> set[str]:
    """Names of the cookies that a response removes."""
    return {line.name for line in cookie_lines(response) if not line.value}


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
    cookies = set_cookies(response)
    names = {name.rpartition("-")[2]: value for name, value in cookies.items()}
    return Tokens(response.json["handle"], names["sAccessToken"], names["sRefreshToken"], headers.get("anti-csrf"))


def ask(
    app: Flask, method: str, path: str, cookies: str = "", bearer: str | None = None, **headers: str
) -> TestResponse:
    """One request with just these cookies and headers (``sec_fetch_site="…"`` is ``Sec-Fetch-Site``)."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if cookies:
        sent["Cookie"] = cookies
    if bearer is not None:
        sent["Authorization"] = f"Bearer {bearer}"
    return app.test_client(use_cookies=False).open(path, method=method, headers=sent)
