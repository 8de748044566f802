"""What a request brought over the wire: headers and cookies, undecided.

* A token travels by one of two methods, ``cookie`` or ``header``. Which one is *allowed* is a setting; a header token wins.
* Duplicates are counted in the raw ``Cookie`` header before it is parsed; pairs are split at the first ``=`` only, and a name
  is what the browser took it for: only blanks and tabs around it are dropped.
* The cookie of an old SDK counts only where ours have the plain names of that time: elsewhere a sibling host has set it, to
  make us refresh for ever.
* Cookie names and paths depend on the request (script root, secure or not), so they come in as `CookieNames`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from .model import AllowedMethod, Method

ACCESS_NAME, REFRESH_NAME = "sAccessToken", "sRefreshToken"
LEGACY_COOKIE = "sIdRefreshToken"
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
_BLANKS = " \t"
"""What may stand around a cookie's name. ``str.strip`` takes more, and what is stripped hides a prefix from the browser."""


@dataclass(frozen=True)
class CookieNames:
    """How this request's cookies are called and where they live."""

    access: str
    refresh: str
    access_path: str
    refresh_path: str

    @property
    def is_host_only(self) -> bool:
        """Whether no other host can set the access cookie."""
        return self.access.startswith("__Host-")


@dataclass(frozen=True)
class Presented:
    """What a request brought. Token strings are as they came; an empty value counts as absent.

    ``legacy``: the cookie of an old SDK came. ``opens_websocket``: this is a websocket's handshake, a GET that no preflight and
    no same-origin policy guards. ``is_form``: its body is of a kind that forms send, and that no preflight guards.
    """

    http_method: str
    bearer: str | None = field(repr=False)
    access_cookies: tuple[str, ...] = field(repr=False)
    refresh_cookies: tuple[str, ...] = field(repr=False)
    legacy: bool
    opens_websocket: bool
    is_form: bool
    names: CookieNames
    headers: Mapping[str, Any] = field(repr=False)
    """By the names of a WSGI environ (PEP 3333): ``HTTP_ORIGIN``."""

    @property
    def duplicates(self) -> tuple[bool, bool]:
        """Whether there are several access cookies, several refresh cookies."""
        return len(self.access_cookies) > 1, len(self.refresh_cookies) > 1


def read(http_method: str, headers: Mapping[str, Any], names: CookieNames) -> Presented:
    """Read a request; ``headers`` are by the names of a WSGI environ."""
    cookies, authorization = headers.get("HTTP_COOKIE"), headers.get("HTTP_AUTHORIZATION")
    access, refresh, legacy = _read_cookies(cookies, names) if cookies else ((), (), False)
    bearer = None
    if authorization:
        scheme, _, token = authorization.partition(" ")
        bearer = token.strip() or None if scheme.lower() == "bearer" else None  # in any case: RFC 9110, section 11.1
    opens_websocket = "websocket" in (headers.get("HTTP_UPGRADE") or "").lower()
    content_type = headers.get("CONTENT_TYPE") or ""
    is_form = content_type != "" and content_type.partition(";")[0].strip().lower() in FORM_TYPES
    return Presented(http_method, bearer, access, refresh, legacy, opens_websocket, is_form, names, headers)


def _read_cookies(header: str, names: CookieNames) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    found: dict[str, list[str]] = {names.access: [], names.refresh: [], LEGACY_COOKIE: []}
    for pair in header.split(";"):
        name, _, value = pair.partition("=")
        values = found.get(name.strip(_BLANKS))
        if values is None:
            continue
        value = value.strip(_BLANKS)
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
        if value:
            values.append(unquote(value) if "%" in value else value)
    access, refresh = tuple(found[names.access]), tuple(found[names.refresh])
    return access, refresh, bool(found[LEGACY_COOKIE]) and names.access == ACCESS_NAME


def method_for_new_session(asked: AllowedMethod | None, st_auth_mode: str | None) -> Method:
    """Choose the method of a session that is created: ``asked`` by a setting or callback, else as the client says, or cookie."""
    if asked in ("cookie", "header"):
        return asked
    return "header" if (st_auth_mode or "").lower() == "header" else "cookie"
