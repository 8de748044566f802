"""What a request asks for, or the rule that refuses it: a line a rule, and which rule comes first."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_supertokens.protocol.model import AccessToken, AllowedMethod, AntiCsrfMode, Method
from flask_supertokens.protocol.presented import CookieNames, Presented, read
from flask_supertokens.protocol.requests import (
    DUPLICATES,
    FOREIGN_FORM,
    LEGACY,
    NO_ACCESS_TOKEN,
    NO_ANTI_CSRF_TOKEN,
    NO_HOST_COOKIE,
    NO_REFRESH_TOKEN,
    OLD_VERSION,
    ONLY_ACCESS_TOKEN,
    SEVERAL_ACCESS_TOKENS,
    AccessCall,
    RefreshCall,
    Refusal,
    is_foreign,
    judge_access,
    judge_refresh,
)
from flask_supertokens.protocol.tokens import LEGACY_HEADERS

from ..support.cookies import environ
from ..support.wire import CLAIMS

PLAIN = CookieNames("sAccessToken", "sRefreshToken", "/", "/refresh")
HOST_ONLY = CookieNames("__Host-sAccessToken", "__Secure-sRefreshToken", "/", "/refresh")
OLD = next(iter(LEGACY_HEADERS))
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
OWN_FORM = {**FORM, "Sec-Fetch-Site": "same-origin"}
FOREIGN = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
ALLOWED = {"Sec-Fetch-Site": "cross-site", "Origin": "https://www.example.com"}
SUBMITTED = {**FORM, **ALLOWED, "Sec-Fetch-Mode": "navigate"}
HANDSHAKE = {"Upgrade": "websocket", "Origin": "https://evil.example"}
MARKER = {"rid": "anti-csrf"}
NO_MARKER = "The rid header is missing (anti-CSRF)."


@dataclass(frozen=True)
class AnApp:
    """What an app allows; it is served at ``https://app.example.com``."""

    allowed: AllowedMethod = "any"
    anti_csrf: AntiCsrfMode = "NONE"
    names: CookieNames = PLAIN
    website_names: list[str] = field(default_factory=lambda: ["https://www.example.com"])

    def allowed_method(self, *, for_create: bool) -> AllowedMethod:
        assert not for_create
        return self.allowed

    @property
    def own_origins(self) -> tuple[str, ...]:
        return ("https://app.example.com",)

    def allows_origin(self, origin: str) -> bool:
        return origin in self.website_names


MARKED = AnApp(anti_csrf="VIA_CUSTOM_HEADER")
WITH_TOKEN = AnApp(anti_csrf="VIA_TOKEN")
BY_HEADER = AnApp(allowed="header")
BY_COOKIE = AnApp(allowed="cookie")


def present(method: str, cookies: str, headers: dict[str, str], app: AnApp) -> Presented:
    return read(method, environ(cookies, headers), app.names)


def a_token(raw: str) -> AccessToken | None:
    """Reads ``at`` and ``at-2``: the anti-CSRF token of both is ``csrf``."""
    claims = {**CLAIMS, "antiCsrfToken": "csrf"}
    return AccessToken(raw, "d-1", 5, claims) if raw.startswith("at") else None


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# -- a refresh ---------------------------------------------------------------------------------------------------------

BOTH = "sAccessToken=at; sRefreshToken=rt"


@pytest.mark.parametrize(
    ("app", "cookies", "headers", "asked"),
    [
        (AnApp(), BOTH, {}, ("cookie", "rt")),
        (AnApp(), BOTH, bearer("h"), ("header", "h")),
        (AnApp(), "", bearer("h"), ("header", "h")),
        (BY_HEADER, BOTH, bearer("h"), ("header", "h")),
        (BY_COOKIE, BOTH, bearer("h"), ("cookie", "rt")),
        (AnApp(), "sRefreshToken=rt", {}, ("cookie", "rt")),
        (AnApp(), BOTH, {**FOREIGN, **bearer("h")}, ("header", "h")),
        (AnApp(), BOTH, ALLOWED, ("cookie", "rt")),
        (AnApp(), BOTH + "; sRefreshToken=rt", bearer("h"), ("header", "h")),
        (MARKED, BOTH, MARKER, ("cookie", "rt")),
        (MARKED, BOTH, OWN_FORM, ("cookie", "rt")),
        (MARKED, "", bearer("h"), ("header", "h")),
    ],
)
def test_a_refresh_that_nothing_speaks_against_asks_with_one_token_by_one_method(
    app: AnApp, cookies: str, headers: dict[str, str], asked: tuple[Method, str]
) -> None:
    """One token, by one method; nothing is said against it."""
    call = judge_refresh(present("POST", cookies, headers, app), app)
    assert isinstance(call, RefreshCall)
    assert (call.method, call.token.value, call.refusal, call.checks_anti_csrf) == (*asked, None, False)


@pytest.mark.parametrize(
    ("app", "cookies", "headers", "refusal"),
    [
        (AnApp(), "", {}, NO_REFRESH_TOKEN),
        (AnApp(), "sAccessToken=at", {}, ONLY_ACCESS_TOKEN),
        (BY_HEADER, BOTH, {}, NO_REFRESH_TOKEN),
        (BY_COOKIE, "", bearer("h"), NO_REFRESH_TOKEN),
        (AnApp(), "sRefreshToken=a; sRefreshToken=b", {}, DUPLICATES),
        (AnApp(), "sAccessToken=a; sAccessToken=b", {}, DUPLICATES),
        (BY_HEADER, "sRefreshToken=a; sRefreshToken=b", {}, NO_REFRESH_TOKEN),
    ],
)
def test_a_refresh_without_one_clear_token_is_refused(
    app: AnApp, cookies: str, headers: dict[str, str], refusal: Refusal
) -> None:
    """No token that counts, or no telling which."""
    assert judge_refresh(present("POST", cookies, headers, app), app) is refusal


@pytest.mark.parametrize("app", [AnApp(), BY_HEADER, BY_COOKIE, MARKED])
@pytest.mark.parametrize("cookies", ["", BOTH, "sRefreshToken=a; sRefreshToken=b"])
def test_a_refresh_from_another_site_is_refused_before_its_cookies_are_looked_at(app: AnApp, cookies: str) -> None:
    """Whatever cookies came along: the response would clear them. The sentence names both sides."""
    refusal = judge_refresh(present("POST", cookies, FOREIGN, app), app)
    assert isinstance(refusal, Refusal)
    assert refusal.kind == "cross-site"
    assert refusal.sentence.startswith("A refresh came from another site: Origin 'https://evil.example'")
    assert "https://app.example.com, https://www.example.com" in refusal.sentence


@pytest.mark.parametrize(
    ("headers", "hinted"),
    [
        ({"Origin": "null"}, True),
        ({"Origin": "null", "Sec_Fetch_Site": "cross-site"}, False),
        ({"Origin": "https://evil.example"}, False),
    ],
)
def test_a_refusal_of_a_hidden_origin_says_how_an_own_form_comes_so(headers: dict[str, str], hinted: bool) -> None:
    """Only where nothing tells it from a form of the app's own, the sentence says how such a form would come."""
    refusal = judge_refresh(present("POST", BOTH, headers, AnApp()), AnApp())
    assert isinstance(refusal, Refusal)
    assert ("Referrer-Policy: no-referrer" in refusal.sentence) is hinted


@pytest.mark.parametrize(
    ("app", "headers", "refusal"),
    [
        (MARKED, {}, Refusal("unauthorised", NO_MARKER)),
        (MARKED, SUBMITTED, FOREIGN_FORM),
        (AnApp(names=HOST_ONLY), {"Sec-Fetch-Site": "same-origin"}, NO_HOST_COOKIE),
        (AnApp(names=HOST_ONLY), {}, None),
        (AnApp(anti_csrf="VIA_CUSTOM_HEADER", names=HOST_ONLY), {"Sec-Fetch-Site": "same-origin"}, NO_HOST_COOKIE),
    ],
)
def test_what_speaks_against_a_refresh_goes_on_with_its_token_so_that_thefts_are_told(
    app: AnApp, headers: dict[str, str], refusal: Refusal | None
) -> None:
    """The token is handed on all the same, so that a theft is told."""
    call = judge_refresh(present("POST", f"{app.names.refresh}=rt", headers, app), app)
    assert isinstance(call, RefreshCall)
    assert (call.token.value, call.refusal) == ("rt", refusal)


@pytest.mark.parametrize(
    ("app", "cookies", "headers", "checked"),
    [
        (WITH_TOKEN, BOTH, {}, True),
        (WITH_TOKEN, BOTH, OWN_FORM, False),
        (WITH_TOKEN, "", bearer("h"), False),
        (MARKED, BOTH, MARKER, False),
        (AnApp(), BOTH, {}, False),
    ],
)
def test_a_refresh_by_cookie_asks_for_the_token_of_the_session_in_mode_via_token(
    app: AnApp, cookies: str, headers: dict[str, str], checked: bool
) -> None:
    """In mode VIA_TOKEN, of what comes by cookie and is no form of our own."""
    call = judge_refresh(present("POST", cookies, headers, app), app)
    assert isinstance(call, RefreshCall)
    assert call.checks_anti_csrf is checked


# -- a view ------------------------------------------------------------------------------------------------------------

AT = "sAccessToken=at"


@pytest.mark.parametrize(
    ("app", "method", "cookies", "headers", "asked"),
    [
        (AnApp(), "GET", AT, {}, ("cookie", "at")),
        (AnApp(), "POST", AT, {}, ("cookie", "at")),
        (AnApp(), "GET", AT, bearer("at-2"), ("header", "at-2")),
        (AnApp(), "GET", AT, bearer("another's"), ("cookie", "at")),
        (BY_COOKIE, "GET", AT, bearer("at-2"), ("cookie", "at")),
        (BY_HEADER, "GET", AT, bearer("at-2"), ("header", "at-2")),
        (AnApp(), "GET", AT, FOREIGN, ("cookie", "at")),
        (AnApp(), "POST", AT, ALLOWED, ("cookie", "at")),
        (AnApp(), "POST", AT, {**FOREIGN, **bearer("at-2")}, ("header", "at-2")),
        (AnApp(), "GET", AT + "; " + AT, bearer("at-2"), ("header", "at-2")),
        (MARKED, "GET", AT, {}, ("cookie", "at")),
        (MARKED, "POST", AT, MARKER, ("cookie", "at")),
        (MARKED, "POST", AT, OWN_FORM, ("cookie", "at")),
        (MARKED, "POST", "", bearer("at"), ("header", "at")),
        (WITH_TOKEN, "POST", AT, {"anti-csrf": "csrf"}, ("cookie", "at")),
        (WITH_TOKEN, "POST", AT, OWN_FORM, ("cookie", "at")),
    ],
)
def test_a_request_to_a_view_asks_with_one_token_by_one_method(
    app: AnApp, method: str, cookies: str, headers: dict[str, str], asked: tuple[Method, str]
) -> None:
    """One token of our form, by one method."""
    call = judge_access(present(method, cookies, headers, app), app, a_token, checks_anti_csrf=None)
    assert isinstance(call, AccessCall)
    assert (call.method, call.token.raw) == asked


@pytest.mark.parametrize(
    ("app", "method", "cookies", "headers", "refusal"),
    [
        (AnApp(), "GET", "", {}, NO_ACCESS_TOKEN),
        (AnApp(), "GET", "sAccessToken=another's", {}, NO_ACCESS_TOKEN),
        (BY_HEADER, "GET", AT, {}, NO_ACCESS_TOKEN),
        (BY_COOKIE, "GET", "", bearer("at"), NO_ACCESS_TOKEN),
        (AnApp(), "GET", AT + "; " + AT, {}, SEVERAL_ACCESS_TOKENS),
        (AnApp(), "GET", AT + "; sIdRefreshToken=x", {}, LEGACY),
        (AnApp(), "GET", f"sAccessToken={OLD}", {}, OLD_VERSION),
        (AnApp(), "GET", AT, bearer(OLD), OLD_VERSION),
        (BY_COOKIE, "GET", "", bearer(OLD), NO_ACCESS_TOKEN),
        (BY_HEADER, "GET", f"sAccessToken={OLD}", {}, NO_ACCESS_TOKEN),
        (MARKED, "POST", AT, {}, Refusal("try refresh", NO_MARKER)),
        (MARKED, "POST", AT, SUBMITTED, FOREIGN_FORM),
        (WITH_TOKEN, "POST", AT, {}, NO_ANTI_CSRF_TOKEN),
        (WITH_TOKEN, "POST", AT, {"anti-csrf": "another"}, NO_ANTI_CSRF_TOKEN),
    ],
)
def test_a_request_to_a_view_is_refused_by_the_first_rule_that_fits(
    app: AnApp, method: str, cookies: str, headers: dict[str, str], refusal: Refusal
) -> None:
    """The first rule that refuses."""
    assert judge_access(present(method, cookies, headers, app), app, a_token, checks_anti_csrf=None) == refusal


@pytest.mark.parametrize(("method", "headers"), [("POST", FOREIGN), ("DELETE", FOREIGN), ("GET", HANDSHAKE)])
@pytest.mark.parametrize("app", [AnApp(), MARKED, WITH_TOKEN])
def test_an_unsafe_request_or_websocket_of_another_site_is_refused_in_every_mode(
    app: AnApp, method: str, headers: dict[str, str]
) -> None:
    """What changes something, and a websocket, is refused in every mode, also where the app checks nothing more."""
    refusal = judge_access(present(method, AT, {**headers, **MARKER}, app), app, a_token, checks_anti_csrf=False)
    assert isinstance(refusal, Refusal)
    assert (refusal.kind, refusal.sentence[:23]) == ("cross-site", "A request with cookies ")


@pytest.mark.parametrize(("checks", "method", "refused"), [(True, "GET", True), (False, "POST", False)])
def test_the_view_s_anti_csrf_check_counts_more_than_the_method(checks: bool, method: str, refused: bool) -> None:
    """``anti_csrf_check`` of the view counts more than the method."""
    call = judge_access(present(method, AT, {}, MARKED), MARKED, a_token, checks_anti_csrf=checks)
    assert isinstance(call, Refusal) is refused


@pytest.mark.parametrize(
    ("cleared", "headers", "is_there"),
    [
        (set(), {}, True),
        ({"cookie"}, {}, False),
        ({"header"}, {}, True),
        ({"header"}, bearer("at-2"), False),
        ({"cookie"}, bearer("at-2"), True),
    ],
)
def test_a_token_that_this_request_has_cleared_counts_as_absent(
    cleared: set[Method], headers: dict[str, str], is_there: bool
) -> None:
    """Counts as absent."""
    call = judge_access(
        present("GET", AT, headers, AnApp()), AnApp(), a_token, checks_anti_csrf=None, cleared=frozenset(cleared)
    )
    assert (call is not NO_ACCESS_TOKEN) is is_there


HEADERS = st.dictionaries(
    st.sampled_from(
        ["Authorization", "Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Content-Type", "Upgrade", "rid", "anti-csrf"]
    ),
    st.text(st.characters(codec="latin-1"), max_size=40)
    | st.sampled_from(
        ["Bearer at", "cross-site", "same-origin", "none", "null", "navigate", "text/plain", "websocket"]
    ),
)
APPS = st.builds(
    AnApp,
    allowed=st.sampled_from(["any", "cookie", "header"]),
    anti_csrf=st.sampled_from(["NONE", "VIA_CUSTOM_HEADER", "VIA_TOKEN"]),
    names=st.sampled_from([PLAIN, HOST_ONLY]),
)


@given(
    app=APPS,
    method=st.sampled_from(["GET", "POST", "OPTIONS"]),
    cookies=st.text(st.characters(codec="latin-1"), max_size=60) | st.sampled_from([BOTH, AT, AT + "; " + AT]),
    headers=HEADERS,
)
def test_whatever_comes_is_judged_without_raising_or_passing_other_sites(
    app: AnApp, method: str, cookies: str, headers: dict[str, Any]
) -> None:
    """No request raises; one by cookie that another site sent is never let through to what changes something."""
    presented = present(method, cookies, headers, app)
    refresh = judge_refresh(presented, app)
    access = judge_access(presented, app, a_token, checks_anti_csrf=None)
    assert isinstance(refresh, RefreshCall | Refusal)
    assert isinstance(access, AccessCall | Refusal)
    if headers.get("Sec-Fetch-Site") == "cross-site" and headers.get("Origin") != "https://www.example.com":
        assert isinstance(refresh, Refusal) or refresh.method == "header"
        assert method != "POST" or isinstance(access, Refusal) or access.method == "header"


# -- who sent it -------------------------------------------------------------------------------------------------------

OWN = ("https://app.example.com",)
OF_THE_WEBSITE = {"https://www.example.com"}.__contains__


def request(**headers: str) -> Presented:
    """A request with an access token; ``headers`` with underscores for hyphens."""
    return read("GET", environ("sAccessToken=at", headers), PLAIN)


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({}, False),
        ({"Sec_Fetch_Site": "same-origin"}, False),
        ({"Sec_Fetch_Site": "none"}, False),
        ({"Sec_Fetch_Site": "none", "Origin": "https://app.example.com"}, False),
        ({"Sec_Fetch_Site": "none", "Origin": "https://www.example.com"}, False),
        ({"Sec_Fetch_Site": "none", "Origin": "https://evil.com"}, True),
        ({"Sec_Fetch_Site": "None", "Origin": "https://evil.example.com"}, True),
        ({"Sec_Fetch_Site": "none", "Origin": "null"}, True),
        ({"Sec_Fetch_Site": "same-site"}, True),
        ({"Sec_Fetch_Site": "cross-site"}, True),
        ({"Sec_Fetch_Site": "Cross-Site"}, True),
        ({"Origin": "https://app.example.com"}, False),
        ({"Origin": "https://evil.example.com"}, True),
        ({"Origin": "http://app.example.com"}, True),
        ({"Origin": "https://app.example.com:8443"}, True),
        ({"Origin": "https://app.example.com.evil.com"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": ""}, True),
        ({"Origin": "https://www.example.com"}, False),
        ({"Origin": "https://www.example.com", "Sec_Fetch_Site": "cross-site"}, False),
        ({"Origin": "https://www.example.com", "Sec_Fetch_Site": "same-site"}, False),
        ({"Origin": "https://evil.com", "Sec_Fetch_Site": "cross-site"}, True),
        ({"Origin": "https://app.example.com", "Sec_Fetch_Site": "same-origin"}, False),
        ({"Origin": "null", "Sec_Fetch_Site": "same-origin"}, False),
    ],
)
def test_fetch_metadata_and_then_origin_decide_which_site_a_request_is_from(
    headers: dict[str, str], foreign: bool
) -> None:
    """Fetch Metadata decides, ``Origin`` where that is missing or says *none*; the website's own origins are let in."""
    assert is_foreign(request(**headers), OWN, OF_THE_WEBSITE) is foreign


def test_the_app_is_asked_for_an_origin() -> None:
    """No frame above its function shows the cookies that came."""
    shown: list[str] = []

    def is_allowed(origin: str) -> bool:
        caller = inspect.currentframe().f_back  # type: ignore[union-attr]
        shown.append(repr(caller.f_locals))  # type: ignore[union-attr]
        return origin == FOREIGN["Origin"]

    assert not is_foreign(request(**FOREIGN), OWN, is_allowed)
    assert FOREIGN["Origin"] in shown[0]
    assert "sAccessToken=at" not in shown[0]


A_FORM = "application/x-www-form-urlencoded; charset=UTF-8"


@pytest.mark.parametrize(
    ("headers", "marked"),
    [
        ({}, False),
        ({"rid": "anti-csrf"}, True),
        ({"rid": ""}, True),
        ({"Content_Type": A_FORM}, False),
        ({"Content_Type": A_FORM, "Sec_Fetch_Site": "same-origin"}, True),
        ({"Content_Type": "MULTIPART/form-data; boundary=x", "Sec_Fetch_Site": "same-origin"}, True),
        ({"Content_Type": "text/plain", "Origin": OWN[0]}, True),
        ({"Content_Type": A_FORM, "Origin": "https://evil.com"}, False),
        ({"Content_Type": A_FORM, "Origin": OWN[0], "Sec_Fetch_Site": "same-site"}, False),
        ({"Content_Type": A_FORM, "Sec_Fetch_Site": "none"}, False),
        ({"Content_Type": A_FORM, "Sec_Fetch_Site": "none", "Origin": OWN[0]}, True),
        ({"Content_Type": A_FORM, "Sec_Fetch_Site": "none", "Origin": "null"}, False),
        ({"Content_Type": "application/json", "Sec_Fetch_Site": "same-origin"}, False),
        ({"Sec_Fetch_Site": "same-origin"}, False),
    ],
)
def test_a_rid_header_or_a_form_of_our_own_pages_counts_as_a_mark(headers: dict[str, str], marked: bool) -> None:
    """A ``rid`` header of any value, or a form that our own pages sent."""
    call = judge_access(request(**headers), MARKED, a_token, checks_anti_csrf=True)
    assert isinstance(call, AccessCall) is marked


BROWSER = {"Sec-Fetch-Site": "same-origin"}


@pytest.mark.parametrize(
    ("access", "cookie", "headers", "lacks"),
    [
        ("__Host-sAccessToken", "__Secure-sRefreshToken=b", BROWSER, True),
        ("__Host-sAccessToken", "__Secure-sRefreshToken=b", {"Origin": "https://app.example.com"}, True),
        ("__Host-sAccessToken", "__Secure-sRefreshToken=b", {}, False),
        ("__Host-sAccessToken", "__Secure-sRefreshToken=b; __Host-sAccessToken=a", BROWSER, False),
        ("__Secure-sAccessToken", "__Secure-sRefreshToken=b", BROWSER, False),
        ("sAccessToken", "__Secure-sRefreshToken=b", BROWSER, False),
    ],
)
def test_only_a_host_prefixed_access_cookie_is_missed_beside_a_refresh_cookie(
    access: str, cookie: str, headers: dict[str, str], lacks: bool
) -> None:
    """A browser has ours together; only a name with ``__Host-`` can't be set by another host, so only it is missed."""
    app = AnApp(names=CookieNames(access, "__Secure-sRefreshToken", "/", "/refresh"))
    call = judge_refresh(present("POST", cookie, headers, app), app)
    assert isinstance(call, RefreshCall)
    assert (call.refusal is NO_HOST_COOKIE) is lacks
