"""What a request asks of its session, or why it is refused: every rule of the wire in one place, in its order.

* A token in a header wins over cookies, and only cookies can be sent by another site.
* A refresh without any token is judged like one with cookies: SameSite may have held them back, and the response clears them.
* Two cookies of one name: the right one can't be told, and trying the other could look like theft.
* What speaks against a refresh whatever its token goes to the engine with it: a theft is told all the same.
* Who sent a request is what the browser says: Fetch Metadata, ``Origin`` where that says nothing.
* Nothing is looked up and nothing is changed here. The engine judges the token itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal, Protocol

from .model import AccessToken, AllowedMethod, AntiCsrfMode, Masked, Method
from .presented import Presented
from .tokens import is_legacy, same_secret

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
SESSIONLESS_METHODS = frozenset({"OPTIONS", "TRACE"})


class Policy(Protocol):
    """What an app allows, and where this request was sent to."""

    @property
    def anti_csrf(self) -> AntiCsrfMode:
        """The app's anti-CSRF mode."""

    @property
    def own_origins(self) -> tuple[str, ...]:
        """The origins that are the app's own."""

    @property
    def website_names(self) -> list[str]:
        """The web sites that may call, as a sentence names them."""

    def allowed_method(self, *, for_create: bool) -> AllowedMethod:
        """Say which transfer method this request may use."""

    def allows_origin(self, origin: str) -> bool:
        """Say whether a web site of this origin may call."""


@dataclass(frozen=True)
class Refusal:
    """Why a request goes no further: which error it is, and a sentence for the log."""

    kind: Literal["unauthorised", "no token", "try refresh", "cross-site", "duplicates"]
    sentence: str


@dataclass(frozen=True)
class RefreshCall:
    """A refresh token and how it came.

    ``checks_anti_csrf``: the session's anti-CSRF token must come with it. ``refusal``: what speaks against the request, whatever
    its token.
    """

    method: Method
    token: Masked[str]
    checks_anti_csrf: bool = False
    refusal: Refusal | None = None


@dataclass(frozen=True)
class AccessCall:
    """An access token of our form, not verified yet, and how it came."""

    method: Method
    token: AccessToken = field(repr=False)


LEGACY = Refusal("try refresh", "using legacy session, please call the refresh API")
OLD_VERSION = Refusal("try refresh", "The access token is of an old version.")
SEVERAL_ACCESS_TOKENS = Refusal("try refresh", "Multiple access tokens present in the request cookies.")
NO_ACCESS_TOKEN = Refusal("no token", "There is no access token in the request.")
NO_ANTI_CSRF_TOKEN = Refusal("try refresh", "The anti-CSRF token is missing, or is not this session's.")
NO_MARKER = Refusal("try refresh", "The rid header is missing (anti-CSRF).")
NO_MARKER_TO_REFRESH = Refusal("unauthorised", NO_MARKER.sentence)
FOREIGN_FORM = Refusal("cross-site", "A form of another origin has no rid header.")
DUPLICATES = Refusal("duplicates", "The request contains multiple session cookies.")
ONLY_ACCESS_TOKEN = Refusal("unauthorised", "Refresh token not found but access token is present. Clearing all tokens.")
NO_REFRESH_TOKEN = Refusal("unauthorised", "Refresh token not found. Are you sending the refresh token in the request?")
NO_HOST_COOKIE = Refusal(
    "unauthorised", "A browser sent a refresh cookie without the access cookie that belongs beside it."
)
_NO_ORIGIN = (
    " Without TLS a form of this app's own comes so if its page has Referrer-Policy: no-referrer. Nothing tells it from another"
    " site's then: use the policy same-origin, or https."
)


def judge_refresh(presented: Presented, policy: Policy) -> RefreshCall | Refusal:
    """Say what a request to refresh asks for, or the first rule that refuses it."""
    allowed, own_origins = policy.allowed_method(for_create=False), policy.own_origins
    if allowed != "cookie" and presented.bearer:
        return RefreshCall("header", Masked(presented.bearer))
    if is_foreign(presented, own_origins, policy.allows_origin):
        return _refuse_foreign(presented, policy, "A refresh")
    if allowed == "header":
        return NO_REFRESH_TOKEN
    if len(presented.access_cookies) > 1 or len(presented.refresh_cookies) > 1:
        return DUPLICATES
    if not presented.refresh_cookies:
        return ONLY_ACCESS_TOKEN if presented.access_cookies else NO_REFRESH_TOKEN
    is_own, mode = is_own_form(presented, own_origins), policy.anti_csrf
    headers, refusal = presented.headers, None
    # A sibling host can set the refresh cookie (__Secure-), to make a visitor somebody else; the access cookie (__Host-) not.
    is_browser = headers.get("HTTP_SEC_FETCH_SITE") is not None or headers.get("HTTP_ORIGIN") is not None
    if is_browser and not presented.access_cookies and presented.names.is_host_only:
        refusal = NO_HOST_COOKIE
    elif mode == "VIA_CUSTOM_HEADER" and not is_own and headers.get("HTTP_RID") is None:
        refusal = FOREIGN_FORM if _is_submitted(presented) else NO_MARKER_TO_REFRESH
    token = Masked(presented.refresh_cookies[0])
    return RefreshCall("cookie", token, mode == "VIA_TOKEN" and not is_own, refusal)


def judge_access(
    presented: Presented,
    policy: Policy,
    read_token: Callable[[str], AccessToken | None],
    *,
    checks_anti_csrf: bool | None,
    cleared: frozenset[Method] = frozenset(),
) -> AccessCall | Refusal:
    """Say which access token a request for a view comes with, or the first rule that refuses it.

    :param read_token: reads a token of our form; ``None`` for any other, which counts as absent.
    :param checks_anti_csrf: ask for the marker or token of the anti-CSRF mode; ``None``: on any method but GET and HEAD.
    :param cleared: the methods whose tokens this request has cleared already.
    """
    if presented.legacy:
        return LEGACY
    call = _pick_access(presented, policy.allowed_method(for_create=False), read_token)
    if isinstance(call, Refusal):
        return call
    if call is None or call.method in cleared:
        return NO_ACCESS_TOKEN
    if call.method == "header":
        return call
    is_safe = presented.http_method in SAFE_METHODS
    may_be_foreign = not is_safe or presented.opens_websocket
    if may_be_foreign and is_foreign(presented, policy.own_origins, policy.allows_origin):
        return _refuse_foreign(presented, policy, "A request with cookies")
    wanted = not is_safe if checks_anti_csrf is None else checks_anti_csrf
    return (_check_anti_csrf(presented, policy, call.token) if wanted else None) or call


def _pick_access(
    presented: Presented, allowed: AllowedMethod, read_token: Callable[[str], AccessToken | None]
) -> AccessCall | Refusal | None:
    """Pick the access token that counts. One that is not of our form counts as absent."""
    if allowed != "cookie" and presented.bearer is not None:
        token = read_token(presented.bearer)
        if token is not None:
            return AccessCall("header", token)
        if is_legacy(presented.bearer):
            return OLD_VERSION
    if allowed == "header" or not presented.access_cookies:
        return None
    if len(presented.access_cookies) > 1:
        return SEVERAL_ACCESS_TOKENS
    token = read_token(presented.access_cookies[0])
    if token is not None:
        return AccessCall("cookie", token)
    return OLD_VERSION if is_legacy(presented.access_cookies[0]) else None


def _check_anti_csrf(presented: Presented, policy: Policy, token: AccessToken) -> Refusal | None:
    """Refuse a request without the marker or token of the app's mode; a form of our own origin needs neither.

    A form that a browser submits can't bring a header: no refresh would help, and none is lost.
    """
    mode = policy.anti_csrf
    if mode == "NONE" or is_own_form(presented, policy.own_origins):
        return None
    if mode == "VIA_CUSTOM_HEADER" and presented.headers.get("HTTP_RID") is None:
        return FOREIGN_FORM if _is_submitted(presented) else NO_MARKER
    if mode == "VIA_TOKEN" and not same_secret(token.anti_csrf_token, presented.headers.get("HTTP_ANTI_CSRF")):
        return NO_ANTI_CSRF_TOKEN
    return None


# -- what the browser says ---------------------------------------------------------------------------------------------


def is_foreign(presented: Presented, own_origins: Collection[str], is_allowed: Callable[[str], bool]) -> bool:
    """Say whether another site sent this (Fetch Metadata; ``Origin`` where that says nothing).

    A websocket's handshake always has an ``Origin`` (RFC 6455, 4.1), and not every browser sends Fetch Metadata with it.
    ``none`` is said of what the browser's user does by himself; a foreign ``Origin`` beside it is none of his.
    """
    origin = presented.headers.get("HTTP_ORIGIN")
    site = (presented.headers.get("HTTP_SEC_FETCH_SITE") or "none").lower()
    if site != "none" and not presented.opens_websocket:
        is_elsewhere = site in ("cross-site", "same-site")
    else:
        is_elsewhere = origin is not None and origin not in own_origins
    return is_elsewhere and not (origin is not None and is_allowed(origin))


def is_own_form(presented: Presented, own_origins: Collection[str]) -> bool:
    """Say whether the browser vouches that a form of our own origin was submitted."""
    if not presented.is_form:
        return False
    headers = presented.headers
    site = (headers.get("HTTP_SEC_FETCH_SITE") or "none").lower()  # "none": by the browser's user, a reload of a form
    return site == "same-origin" or (site == "none" and headers.get("HTTP_ORIGIN") in own_origins)


def _is_submitted(presented: Presented) -> bool:
    """Say whether a browser submits a form, by navigating; no script has a hand in that request."""
    return presented.is_form and (presented.headers.get("HTTP_SEC_FETCH_MODE") or "").lower() == "navigate"


def _refuse_foreign(presented: Presented, policy: Policy, what: str) -> Refusal:
    """Name what the browser said and what is allowed: mostly it is the app's own site, which no setting names."""
    origin, site = presented.headers.get("HTTP_ORIGIN"), presented.headers.get("HTTP_SEC_FETCH_SITE")
    allowed = ", ".join([*policy.own_origins, *policy.website_names])
    hint = _NO_ORIGIN if origin == "null" and site is None else ""
    shown_origin, shown_site = ("none" if said is None else repr(said[:200]) for said in (origin, site))
    return Refusal(
        "cross-site",
        f"{what} came from another site: Origin {shown_origin}, Sec-Fetch-Site {shown_site}; allowed are {allowed}"
        f" (SUPERTOKENS_WEBSITE_DOMAIN names web sites).{hint}",
    )
