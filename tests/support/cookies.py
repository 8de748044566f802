"""What requests bring, and what responses do to cookies: the one place where ``Set-Cookie`` is read, attribute by attribute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from werkzeug.test import TestResponse

EPOCH = "Thu, 01 Jan 1970 00:00:00 GMT"
BOTH_COOKIES = {"sAccessToken", "sRefreshToken"}


def environ(cookies: str, headers: Mapping[str, str]) -> dict[str, str]:
    """A request's headers as a WSGI server hands them over; names with hyphens or underscores."""
    named = {name.upper().replace("-", "_"): value for name, value in headers.items()}
    named = {name if name == "CONTENT_TYPE" else f"HTTP_{name}": value for name, value in named.items()}
    return {**named, **({"HTTP_COOKIE": cookies} if cookies else {})}


@dataclass(frozen=True)
class Cookie:
    """One ``Set-Cookie`` line, attribute by attribute."""

    name: str
    value: str
    path: str | None = None
    domain: str | None = None
    expires: str | None = None
    same_site: str | None = None
    secure: bool = False
    http_only: bool = False
    max_age: str | None = None
    partitioned: bool = False

    @property
    def cleared(self) -> bool:
        return (self.value, self.expires, self.max_age) == ("", EPOCH, "0")


ATTRIBUTES = {
    "path": "path",
    "domain": "domain",
    "expires": "expires",
    "samesite": "same_site",
    "max-age": "max_age",
}
FLAGS = {"secure": "secure", "httponly": "http_only", "partitioned": "partitioned"}


def parsed_cookie(line: str) -> Cookie:
    """An attribute that is not expected is an error, and so is one of ``Expires`` and ``Max-Age`` without the other."""
    pair, *attributes = line.split("; ")
    name, _, value = pair.partition("=")
    fields: dict[str, Any] = {}
    for attribute in attributes:
        key, _, text = attribute.partition("=")
        fields |= {FLAGS[key.lower()]: True} if key.lower() in FLAGS else {ATTRIBUTES[key.lower()]: text}
    assert ("expires" in fields) == ("max_age" in fields)
    return Cookie(name, value, **fields)


def cookie_lines(response: TestResponse) -> list[Cookie]:
    """All of a response, in order."""
    return [parsed_cookie(line) for line in response.headers.getlist("Set-Cookie")]


def set_cookies(response: TestResponse) -> dict[str, Cookie]:
    """The cookies of a response by name; no two lines for one name."""
    cookies = cookie_lines(response)
    assert len({cookie.name for cookie in cookies}) == len(cookies), "two lines for one cookie"
    return {cookie.name: cookie for cookie in cookies}


def cookie_values(response: TestResponse) -> dict[str, str]:
    """Names and values of the cookies that a response gives, not of those that it removes."""
    return {line.name: line.value for line in cookie_lines(response) if line.value}


def cleared_cookies(response: TestResponse) -> set[str]:
    """Names of the cookies that a response removes."""
    return {line.name for line in cookie_lines(response) if line.cleared}
