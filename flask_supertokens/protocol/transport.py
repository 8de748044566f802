"""What goes over the wire between browser and backend: headers and cookies in, a response plan out.

* A token travels by one of two methods, ``cookie`` or ``header``. Which one is *allowed* is a setting; a header token wins.
* Duplicates are counted in the raw ``Cookie`` header before it is parsed; pairs are split at the first ``=`` only, and a name
  is what the browser took it for: only blanks and tabs around it are dropped.
* One plan for a response: all clears first, then the sets. An event that clears cancels the sets before it; what comes
  later wins. Each cookie and each header is written once.
* The cookie of an old SDK counts only where ours have the plain names of that time: elsewhere a sibling host has set it, to
  have us refresh for ever.
* Cookie names and paths depend on the request (script root, secure or not), so they come in as `CookieNames`.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import quote, unquote

from .model import AllowedMethod, Method, SessionTokens

ACCESS_NAME, REFRESH_NAME = "sAccessToken", "sRefreshToken"
LEGACY_COOKIE = "sIdRefreshToken"
REMOVE = "remove"
ACCESS_COOKIE_LIFETIME = 31_536_000_000
"""One year in ms: an expired access token must still arrive, so that the answer can be *try refresh token*."""
CORS_HEADERS = ("content-type", "rid", "fdi-version", "anti-csrf", "authorization", "st-auth-mode")

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
SESSIONLESS_METHODS = frozenset({"OPTIONS", "TRACE"})
_ORIGIN, _FETCH_SITE, _FETCH_MODE = "HTTP_ORIGIN", "HTTP_SEC_FETCH_SITE", "HTTP_SEC_FETCH_MODE"
_CONTENT_TYPE, _UPGRADE, _RID, _ANTI_CSRF = "CONTENT_TYPE", "HTTP_UPGRADE", "HTTP_RID", "HTTP_ANTI_CSRF"
_FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
_BLANKS = " \t"
"""What may stand around a cookie's name. ``str.strip`` takes more, and what is stripped hides a prefix from the browser."""
_BOTH: frozenset[Method] = frozenset({"cookie", "header"})


# -- in ----------------------------------------------------------------------------------------------------------------


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
    """What a request brought, undecided. Token strings are as they came; an empty value counts as absent."""

    http_method: str
    bearer: str | None = field(repr=False)
    access_cookies: tuple[str, ...] = field(repr=False)
    refresh_cookies: tuple[str, ...] = field(repr=False)
    legacy: bool
    names: CookieNames
    headers: Mapping[str, Any] = field(repr=False)
    """By the names of a WSGI environ (PEP 3333): ``HTTP_ORIGIN``."""

    @property
    def anti_csrf(self) -> str | None:
        return self.headers.get(_ANTI_CSRF)

    @property
    def safe(self) -> bool:
        return self.http_method in SAFE_METHODS

    @property
    def opens_websocket(self) -> bool:
        """Whether this is a websocket's handshake: a GET that no preflight and no same-origin policy guards."""
        return "websocket" in (self.headers.get(_UPGRADE) or "").lower()

    @property
    def duplicates(self) -> tuple[bool, bool]:
        """Whether there are several access cookies, several refresh cookies."""
        return len(self.access_cookies) > 1, len(self.refresh_cookies) > 1

    def access_cookie(self) -> str | None:
        return next(iter(self.access_cookies), None)

    def refresh_cookie(self) -> str | None:
        return next(iter(self.refresh_cookies), None)


def read(http_method: str, headers: Mapping[str, Any], names: CookieNames) -> Presented:
    """Read a request; ``headers`` are by the names of a WSGI environ."""
    cookies, authorization = headers.get("HTTP_COOKIE"), headers.get("HTTP_AUTHORIZATION")
    access, refresh, legacy = _read_cookies(cookies, names) if cookies else ((), (), False)
    bearer = _bearer(authorization) if authorization else None
    return Presented(http_method, bearer, access, refresh, legacy, names, headers)


def _bearer(authorization: str) -> str | None:
    scheme, _, token = authorization.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None  # in any case: RFC 9110, section 11.1


def _read_cookies(header: str, names: CookieNames) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    found: dict[str, list[str]] = {names.access: [], names.refresh: [], LEGACY_COOKIE: []}
    for pair in header.split(";"):
        name, _, value = pair.partition("=")
        values = found.get(name.strip(_BLANKS))
        if values is not None and (value := _cookie_value(value)):
            values.append(value)
    access, refresh = tuple(found[names.access]), tuple(found[names.refresh])
    return access, refresh, bool(found[LEGACY_COOKIE]) and names.access == ACCESS_NAME


def _cookie_value(value: str) -> str:
    value = value.strip(_BLANKS)
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return unquote(value) if "%" in value else value


# -- who is asked for what ---------------------------------------------------------------------------------------------


def method_for_new_session(asked: AllowedMethod | None, st_auth_mode: str | None) -> Method:
    """The method of a session that is created: ``asked`` by a setting or callback, else what the client says, else cookie."""
    if asked in ("cookie", "header"):
        return asked
    return "header" if (st_auth_mode or "").lower() == "header" else "cookie"


# -- requests from elsewhere -------------------------------------------------------------------------------------------


def is_foreign(presented: Presented, own_origins: Iterable[str], is_allowed: Callable[[str], bool]) -> bool:
    """Whether the browser says that another site sent this (Fetch Metadata; ``Origin`` where that says nothing).

    A websocket's handshake always has an ``Origin`` (RFC 6455, 4.1), and not every browser sends Fetch Metadata with it.
    ``none`` is said of what the browser's user does by himself; a foreign ``Origin`` beside it is none of his.
    """
    origin, site = presented.headers.get(_ORIGIN), (presented.headers.get(_FETCH_SITE) or "none").lower()
    if site != "none" and not presented.opens_websocket:
        is_elsewhere = site in ("cross-site", "same-site")
    else:
        is_elsewhere = origin is not None and origin not in own_origins
    return is_elsewhere and not (origin is not None and is_allowed(origin))


def lacks_host_cookie(presented: Presented) -> bool:
    """Whether a browser brings no access cookie where it always has one beside its refresh cookie.

    A sibling host can set the refresh cookie (``__Secure-``), to make a visitor somebody else; the access cookie (``__Host-``)
    it can not.
    """
    is_browser = presented.headers.get(_FETCH_SITE) is not None or presented.headers.get(_ORIGIN) is not None
    return is_browser and presented.names.is_host_only and not presented.access_cookies


def has_request_marker(presented: Presented) -> bool:
    """VIA_CUSTOM_HEADER: a ``rid`` header, which a foreign page can't send unasked."""
    return presented.headers.get(_RID) is not None


def is_submitted(presented: Presented) -> bool:
    """Whether a browser submits a form, by navigating; no script has a hand in that request."""
    return _is_form(presented) and (presented.headers.get(_FETCH_MODE) or "").lower() == "navigate"


def is_own_form(presented: Presented, own_origins: Iterable[str]) -> bool:
    """Whether the browser vouches that a form of our own origin was submitted."""
    if not _is_form(presented):
        return False
    site = (presented.headers.get(_FETCH_SITE) or "none").lower()  # "none": by the browser's user, a reload of a form
    return site == "same-origin" or (site == "none" and presented.headers.get(_ORIGIN) in tuple(own_origins))


def _is_form(presented: Presented) -> bool:
    content_type = (presented.headers.get(_CONTENT_TYPE) or "").partition(";")[0]
    return content_type.strip().lower() in _FORM_TYPES


def same_secret(expected: str | None, given: str | None) -> bool:
    """Constant-time comparison; two absent values are not the same."""
    return expected is not None and given is not None and hmac.compare_digest(_bytes(expected), _bytes(given))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


# -- out ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CookieRules:
    """The attributes that all session cookies share; ``older_domain`` is for clearing duplicates (``""`` = host only)."""

    secure: bool
    same_site: Literal["lax", "none", "strict"]
    domain: str | None
    older_domain: str | None
    partitioned: bool = False


@dataclass(frozen=True)
class Sets:
    """Tokens to hand out, by which method, and whether the cookies outlive the browser."""

    handle: str
    method: Method
    tokens: SessionTokens
    remember: bool


@dataclass(frozen=True)
class SetCookie:
    """One ``Set-Cookie`` line. ``expires`` in ms, ``max_age`` in seconds; ``None`` = ends with the browser, 0 = removed.

    Both are sent: what a client with a clock of its own obeys is ``Max-Age`` (RFC 6265, section 5.3).
    """

    name: str
    value: str = field(repr=False)
    path: str
    domain: str | None
    expires: int | None
    max_age: int | None


@dataclass(frozen=True)
class ResponsePlan:
    """What the response will do to the client's tokens: clear first, then set."""

    clears: frozenset[Method] = frozenset()
    sets: Sets | None = None
    clears_legacy: bool = False
    clears_duplicates: tuple[bool, bool] = (False, False)
    placeholder: str | None = field(default=None, repr=False)
    clears_pages: bool = False

    def cleared(self, methods: Iterable[Method] = _BOTH) -> ResponsePlan:
        """The plan after an event that clears: pending sets are dropped."""
        return replace(self, clears=self.clears | frozenset(methods), sets=None)

    def signed_out(self, methods: Iterable[Method] = _BOTH) -> ResponsePlan:
        """The plan after a sign-out: the browser also drops the pages that it kept to go back to."""
        return replace(self.cleared(methods), clears_pages=True)

    def with_sets(self, sets: Sets, *, clear_other: bool = False) -> ResponsePlan:
        """The plan after tokens were made. A new access token of the same session keeps the refresh token before it."""
        if self.sets is not None and self.sets.handle == sets.handle and sets.tokens.refresh_token is None:
            earlier = self.sets.tokens
            tokens = replace(
                sets.tokens,
                refresh_token=earlier.refresh_token,
                refresh_token_expires_at=earlier.refresh_token_expires_at,
                anti_csrf_token=earlier.anti_csrf_token,
            )
            sets = replace(sets, tokens=tokens)
        clears = self.clears | (_BOTH - {sets.method} if clear_other else frozenset())
        return replace(self, clears=clears, sets=sets)

    def without_legacy(self) -> ResponsePlan:
        """The plan that also removes the cookie of an old SDK."""
        return replace(self, clears_legacy=True)

    @property
    def sets_handle(self) -> str | None:
        """The session whose tokens are about to be set."""
        return None if self.sets is None else self.sets.handle

    @property
    def empty(self) -> bool:
        return self is NO_PLAN or self == NO_PLAN


NO_PLAN = ResponsePlan()
"""Leaves the client's tokens alone."""


def plan_cookies(plan: ResponsePlan, names: CookieNames, rules: CookieRules, now: int) -> list[SetCookie]:
    """The cookies of a plan, at most one a name, domain and path."""
    lines: list[SetCookie] = []
    if plan.sets is not None and plan.sets.method == "cookie":
        lines += _cookies_of(plan.sets, names, rules, now)
    if "cookie" in plan.clears:
        done = {line.name for line in lines}
        both = ((names.access, names.access_path), (names.refresh, names.refresh_path))
        lines = [removal(name, path, rules.domain) for name, path in both if name not in done] + lines
    if plan.clears_legacy:
        lines.append(removal(LEGACY_COOKIE, "/", rules.domain))
    older = rules.older_domain or None
    if plan.clears_duplicates[0]:
        lines.append(removal(names.access, names.access_path, older))
    if plan.clears_duplicates[1]:
        lines.append(removal(names.refresh, names.refresh_path, older))
    return lines


def removal(name: str, path: str, domain: str | None = None) -> SetCookie:
    """What makes a browser forget a cookie."""
    return SetCookie(name, "", path, domain, 0, 0)


def _cookies_of(sets: Sets, names: CookieNames, rules: CookieRules, now: int) -> list[SetCookie]:
    tokens = sets.tokens

    def line(name: str, token: str, path: str, expires: int | None) -> SetCookie:
        if expires is None or not sets.remember:
            return SetCookie(name, _encoded(token), path, rules.domain, None, None)
        return SetCookie(name, _encoded(token), path, rules.domain, expires, max(1, (expires - now) // 1000))

    lines = [line(names.access, tokens.access_token, names.access_path, now + ACCESS_COOKIE_LIFETIME)]
    if tokens.refresh_token is not None:
        lines.append(line(names.refresh, tokens.refresh_token, names.refresh_path, tokens.refresh_token_expires_at))
    return lines


def _encoded(value: str) -> str:
    return quote(value, safe="/-._~")


def plan_headers(plan: ResponsePlan, *, expose_access_token: bool) -> Mapping[str, str]:
    """The token headers of a plan, each name once."""
    headers: dict[str, str] = {}
    if plan.clears:
        headers["front-token"] = REMOVE
    if "header" in plan.clears:
        headers |= {"st-access-token": "", "st-refresh-token": ""}
    if plan.placeholder is not None:
        headers["front-token"] = plan.placeholder
    if plan.sets is not None:
        headers |= _headers_of(plan.sets, expose_access_token)
    return headers


def _headers_of(sets: Sets, expose_access_token: bool) -> dict[str, str]:
    tokens = sets.tokens
    headers = {"front-token": tokens.front_token}
    if sets.method == "header" or expose_access_token:
        headers["st-access-token"] = tokens.access_token
    if sets.method == "header" and tokens.refresh_token is not None:
        headers["st-refresh-token"] = tokens.refresh_token
    if sets.method == "cookie" and tokens.anti_csrf_token is not None:
        headers["anti-csrf"] = tokens.anti_csrf_token
    return headers
