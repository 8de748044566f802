"""What a response does to the client's tokens: one plan, made into cookies and headers at the end.

* All clears come first, then the sets. An event that clears cancels the sets before it; what comes later wins.
* Each cookie and each header is written once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import quote

from .model import Method, SessionTokens, keep_refresh_token
from .presented import LEGACY_COOKIE, CookieNames

REMOVE = "remove"
ACCESS_COOKIE_LIFETIME = 31_536_000_000
"""One year in ms: an expired access token must still arrive, so that the response can be *try refresh token*."""
CORS_HEADERS = ("content-type", "rid", "fdi-version", "anti-csrf", "authorization", "st-auth-mode")
_BOTH: frozenset[Method] = frozenset({"cookie", "header"})


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
        """Clear the tokens; pending sets are dropped."""
        return replace(self, clears=self.clears | frozenset(methods), sets=None)

    def signed_out(self, methods: Iterable[Method] = _BOTH) -> ResponsePlan:
        """Clear the tokens at a sign-out: the browser also drops the pages that it kept to go back to."""
        return replace(self.cleared(methods), clears_pages=True)

    def with_sets(self, sets: Sets, *, clear_other: bool = False) -> ResponsePlan:
        """Set tokens. A new access token of the same session keeps the refresh token before it."""
        if self.sets is not None and self.sets.handle == sets.handle:
            sets = replace(sets, tokens=keep_refresh_token(sets.tokens, self.sets.tokens))
        clears = self.clears | (_BOTH - {sets.method} if clear_other else frozenset())
        return replace(self, clears=clears, sets=sets)

    def clearing_legacy(self) -> ResponsePlan:
        """Clear the cookie of an old SDK too."""
        return replace(self, clears_legacy=True)

    @property
    def sets_handle(self) -> str | None:
        """The session whose tokens are about to be set."""
        return None if self.sets is None else self.sets.handle


NO_PLAN = ResponsePlan()
"""Leaves the client's tokens alone."""


def plan_cookies(plan: ResponsePlan, names: CookieNames, rules: CookieRules, now: int) -> list[SetCookie]:
    """Make the cookies of a plan, at most one a name, domain and path."""
    lines: list[SetCookie] = []
    sets = plan.sets
    if sets is not None and sets.method == "cookie":
        tokens = sets.tokens
        access_ends, refresh_ends = now + ACCESS_COOKIE_LIFETIME, tokens.refresh_token_expires_at
        for name, token, path, ends in (
            (names.access, tokens.access_token, names.access_path, access_ends),
            (names.refresh, tokens.refresh_token, names.refresh_path, refresh_ends),
        ):
            if token is None:
                continue
            expires = ends if sets.remember else None
            max_age = None if expires is None else max(1, (expires - now) // 1000)
            lines.append(SetCookie(name, quote(token, safe="/-._~"), path, rules.domain, expires, max_age))
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
    """Make the line that makes a browser forget a cookie."""
    return SetCookie(name, "", path, domain, 0, 0)


def plan_headers(plan: ResponsePlan, *, expose_access_token: bool) -> Mapping[str, str]:
    """Make the token headers of a plan, each name once."""
    headers: dict[str, str] = {}
    if plan.clears:
        headers["front-token"] = REMOVE
    if "header" in plan.clears:
        headers |= {"st-access-token": "", "st-refresh-token": ""}
    if plan.placeholder is not None:
        headers["front-token"] = plan.placeholder
    if plan.sets is not None:
        method, tokens = plan.sets.method, plan.sets.tokens
        headers["front-token"] = tokens.front_token
        if method == "header" or expose_access_token:
            headers["st-access-token"] = tokens.access_token
        if method == "header" and tokens.refresh_token is not None:
            headers["st-refresh-token"] = tokens.refresh_token
        if method == "cookie" and tokens.anti_csrf_token is not None:
            headers["anti-csrf"] = tokens.anti_csrf_token
    return headers
