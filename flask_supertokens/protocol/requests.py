"""What a request asks of its session, or why it is refused: every rule of the wire in one place, in its order.

* A token in a header wins over cookies, and only cookies can be sent by another site.
* A refresh without any token is judged like one with cookies: SameSite may have held them back, and the response clears them.
* Two cookies of one name: the right one can't be told, and trying the other could look like theft.
* What speaks against a refresh whatever its token goes to the engine with it: a theft is told all the same.
* Nothing is looked up and nothing is changed here. The engine judges the token itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from .model import AccessToken, AllowedMethod, AntiCsrfMode, Masked, Method
from .tokens import is_legacy
from .transport import (
    Presented,
    has_request_marker,
    is_foreign,
    is_own_form,
    is_submitted,
    lacks_host_cookie,
    same_secret,
)


class Policy(Protocol):
    """What an app allows, and where this request was sent to."""

    @property
    def anti_csrf(self) -> AntiCsrfMode:
        """The app's anti-CSRF mode."""

    @property
    def website_names(self) -> list[str]:
        """The web sites that may call, as a sentence names them."""

    def allowed_method(self, *, for_create: bool) -> AllowedMethod:
        """Which transfer method this request may use."""

    def own_origins(self) -> tuple[str, ...]:
        """The origins that are the app's own."""

    def allows_origin(self, origin: str) -> bool:
        """Whether a web site of this origin may call."""


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
    allowed = policy.allowed_method(for_create=False)
    if allowed != "cookie" and presented.bearer:
        return RefreshCall("header", Masked(presented.bearer))
    if is_foreign(presented, policy.own_origins(), policy.allows_origin):
        return _foreign(presented, policy, "A refresh")
    if allowed == "header":
        return NO_REFRESH_TOKEN
    if any(presented.duplicates):
        return DUPLICATES
    cookie = presented.refresh_cookie()
    if cookie is None:
        return ONLY_ACCESS_TOKEN if presented.access_cookies else NO_REFRESH_TOKEN
    is_own = is_own_form(presented, policy.own_origins())
    refusal = None
    if lacks_host_cookie(presented):
        refusal = NO_HOST_COOKIE
    elif policy.anti_csrf == "VIA_CUSTOM_HEADER" and not is_own and not has_request_marker(presented):
        refusal = _without_marker(presented, NO_MARKER_TO_REFRESH)
    return RefreshCall("cookie", Masked(cookie), policy.anti_csrf == "VIA_TOKEN" and not is_own, refusal)


def judge_access(
    presented: Presented,
    policy: Policy,
    read_token: Callable[[str], AccessToken | None],
    *,
    checks_anti_csrf: bool | None,
    ended: frozenset[Method] = frozenset(),
) -> AccessCall | Refusal:
    """Say which access token a request for a view comes with, or the first rule that refuses it.

    :param read_token: reads a token of our form; ``None`` for any other, which counts as absent.
    :param checks_anti_csrf: ask for the marker or token of the anti-CSRF mode; ``None``: on any method but GET and HEAD.
    :param ended: the methods whose tokens this request has cleared already.
    """
    if presented.legacy:
        return LEGACY
    call = _pick_access(presented, policy.allowed_method(for_create=False), read_token)
    if isinstance(call, Refusal):
        return call
    if call is None or call.method in ended:
        return NO_ACCESS_TOKEN
    if call.method == "header":
        return call
    may_be_foreign = not presented.safe or presented.opens_websocket
    if may_be_foreign and is_foreign(presented, policy.own_origins(), policy.allows_origin):
        return _foreign(presented, policy, "A request with cookies")
    wanted = not presented.safe if checks_anti_csrf is None else checks_anti_csrf
    return (_check_anti_csrf(presented, policy, call.token) if wanted else None) or call


def _pick_access(
    presented: Presented, allowed: AllowedMethod, read_token: Callable[[str], AccessToken | None]
) -> AccessCall | Refusal | None:
    """Pick the access token that counts. One that is not of our form counts as absent."""
    if allowed != "cookie" and presented.bearer is not None:
        if is_legacy(presented.bearer):
            return OLD_VERSION
        token = read_token(presented.bearer)
        if token is not None:
            return AccessCall("header", token)
    if allowed == "header" or not presented.access_cookies:
        return None
    if presented.duplicates[0]:
        return SEVERAL_ACCESS_TOKENS
    if is_legacy(presented.access_cookies[0]):
        return OLD_VERSION
    token = read_token(presented.access_cookies[0])
    return None if token is None else AccessCall("cookie", token)


def _check_anti_csrf(presented: Presented, policy: Policy, token: AccessToken) -> Refusal | None:
    """The marker or token of the app's mode; a form of our own origin needs neither."""
    mode = policy.anti_csrf
    if mode == "NONE" or is_own_form(presented, policy.own_origins()):
        return None
    if mode == "VIA_CUSTOM_HEADER" and not has_request_marker(presented):
        return _without_marker(presented, NO_MARKER)
    if mode == "VIA_TOKEN" and not same_secret(token.anti_csrf_token, presented.anti_csrf):
        return NO_ANTI_CSRF_TOKEN
    return None


def _without_marker(presented: Presented, refusal: Refusal) -> Refusal:
    """What it means; but a form that a browser submits can't bring a header: no refresh would help, and none is lost."""
    return FOREIGN_FORM if is_submitted(presented) else refusal


def _foreign(presented: Presented, policy: Policy, what: str) -> Refusal:
    """Names what the browser said and what is allowed: mostly it is the app's own site, which no setting names."""
    origin, site = presented.headers.get("HTTP_ORIGIN"), presented.headers.get("HTTP_SEC_FETCH_SITE")
    allowed = ", ".join([*policy.own_origins(), *policy.website_names])
    hint = _NO_ORIGIN if origin == "null" and site is None else ""
    return Refusal(
        "cross-site",
        f"{what} came from another site: Origin {_shown(origin)}, Sec-Fetch-Site {_shown(site)}; allowed are {allowed}"
        f" (SUPERTOKENS_WEBSITE_DOMAIN names web sites).{hint}",
    )


def _shown(value: str | None) -> str:
    return "none" if value is None else repr(value[:200])
