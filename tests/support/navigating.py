"""A browser that navigates, and what our pages show it."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flask import Flask
from werkzeug.test import TestResponse

from flask_supertokens import (
    SessionTokens,
)

from .apps import clock_of, signed_in
from .wire import call

HOUR = 3_600_000


PAGE = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}


FORM = {**PAGE, "Content-Type": "application/x-www-form-urlencoded"}


LATE = SessionTokens("", 0, "")

FIREFOX_88 = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"}


def expired(app: Flask, **arguments: Any) -> SessionTokens:
    """The tokens of a session whose access token has expired."""
    tokens = signed_in(app, **arguments)
    clock_of(app).wait(HOUR + 1000)
    return tokens


def navigate(
    app: Flask, path: str, method: str = "GET", *, by: Mapping[str, str] = PAGE, **request: Any
) -> TestResponse:
    """A link, an address that was typed, or a form."""
    return call(app, method, path, headers={**by, **request.pop("headers", {})}, **request)


def submit(app: Flask, path: str, tokens: SessionTokens = LATE, **request: Any) -> TestResponse:
    """A form of our own, with the cookies of a session."""
    request = {"data": {"typed": "text"}, "access": tokens.access_token or None, **request}
    return navigate(app, path, "POST", by=request.pop("by", FORM), **request)


def title(response: TestResponse) -> str:
    """The heading of one of our pages."""
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    (found,) = re.findall(r"<h1>(.*?)</h1>", response.text)
    return str(found)


def form_of(response: TestResponse) -> tuple[str, str | None]:
    """Where the page's form goes to, and the hidden ``next``, if it has one."""
    assert title(response) == "One moment"
    (action,) = re.findall(r'<form id="supertokens-refresh" method="post" action="(.*?)">', response.text)
    hidden = re.findall(r'<input type="hidden" name="next" value="(.*?)">', response.text)
    return html.unescape(action), html.unescape(hidden[0]) if hidden else None


def files_of(app: Flask, response: TestResponse, **request: Any) -> list[str]:
    """The addresses of the page's files, which are there."""
    urls: list[str] = re.findall(r'(?:src|href)="(.*?)"', response.text)
    for url in urls:
        with call(app, "GET", url, **request) as file:
            assert file.status_code == 200
    return urls


def without_mark(response: TestResponse) -> TestResponse:
    """The answer without the mark of a hop, which has its own tests."""
    lines = response.headers.getlist("Set-Cookie")
    response.headers.setlist("Set-Cookie", [line for line in lines if not line.startswith("sRefreshHop=")])
    return response


def next_of(url: str | None) -> str | None:
    return parse_qs(urlsplit(url or "").query).get("next", [None])[0]


def login_link(response: TestResponse) -> str | None:
    found = re.findall(r'<a class="button" href="(.*?)">Log in</a>', response.text)
    return html.unescape(found[0]) if found else None
