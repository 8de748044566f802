"""Headers and cookies in, a response plan out: cookies read by hand, methods chosen, clears before sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_supertokens.protocol.model import AllowedMethod, Method, SessionTokens
from flask_supertokens.protocol.transport import (
    ACCESS_COOKIE_LIFETIME,
    CORS_HEADERS,
    CookieNames,
    CookieRules,
    Presented,
    ResponsePlan,
    SetCookie,
    Sets,
    has_request_marker,
    is_foreign,
    is_own_form,
    lacks_host_cookie,
    method_for_new_session,
    plan_cookies,
    plan_headers,
    read,
    same_secret,
)

from ..support.cookies import environ

NOW = 1_700_000_000_000
NAMES = CookieNames("sAccessToken", "sRefreshToken", "/", "/refresh")
RULES = CookieRules(secure=True, same_site="lax", domain=None, older_domain=None)
TOKENS = SessionTokens("at", NOW + 1, "front", "rt", NOW + 2, "csrf")
RENEWED = SessionTokens("at-2", NOW + 1, "front-2")
OWN = ("https://app.example.com",)
ALLOWED = {"https://www.example.com"}.__contains__


def request(cookie: str = "", method: str = "GET", **headers: str) -> Presented:
    """A request; ``headers`` with underscores for hyphens."""
    return read(method, environ(cookie, headers), NAMES)


def sets(method: Method = "cookie", tokens: SessionTokens = TOKENS, handle: str = "h", remember: bool = True) -> Sets:
    return Sets(handle, method, tokens, remember)


# -- in ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("", []),
        ("sAccessToken=a", ["a"]),
        ("x=1; sAccessToken=a; y=2", ["a"]),
        ("sAccessToken=a;sAccessToken=b", ["a", "b"]),
        ("sAccessToken=a=b==; sAccessToken=c", ["a=b==", "c"]),
        ("  sAccessToken  =  a  ", ["a"]),
        ('sAccessToken="a b"', ["a b"]),
        ('sAccessToken="', ['"']),
        ('sAccessToken=""', []),
        ("sAccessToken=", []),
        ("sAccessToken", []),
        ("sAccessToken=; sAccessToken=a", ["a"]),
        ("sAccessToken=a%2Fb%2Bc%3D", ["a/b+c="]),
        ("sAccessToken=a+b", ["a+b"]),
        ("sAccessToken=%2561", ["%61"]),
        ("sAccessToken=%zz%", ["%zz%"]),
        ("sAccessToken=%ff", ["\ufffd"]),
        ("SACCESSTOKEN=a; xsAccessToken=b; sAccessTokenx=c", []),
        ("sAccessToken=\xff\x00\x7f", ["\xff\x00\x7f"]),
        (";;;=;==;", []),
    ],
)
def test_a_cookie_header_is_read(header: str, values: list[str]) -> None:
    """Pairs are split at the first ``=`` only, values decoded once; duplicates count, empty values do not."""
    assert list(request(header).access_cookies) == values


@pytest.mark.parametrize("mark", ["\x85", "\xa0", "\x1f", "\u2003"])
def test_a_name_is_disguised(mark: str) -> None:
    """A cookie that a browser takes for another name, so that prefixes do not bind it, is no cookie of ours."""
    presented = request(f"{mark}sAccessToken=a; {mark}sRefreshToken=b; {mark}sIdRefreshToken=c; sAccessToken{mark}=d")
    assert (presented.access_cookies, presented.refresh_cookies, presented.legacy) == ((), (), False)


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
def test_a_refresh_cookie_comes_alone(access: str, cookie: str, headers: dict[str, str], lacks: bool) -> None:
    """A browser has ours together; only a name with ``__Host-`` can't be set by another host, so only it is missed."""
    names = replace(NAMES, access=access, refresh="__Secure-sRefreshToken")
    assert lacks_host_cookie(read("POST", environ(cookie, headers), names)) is lacks


@pytest.mark.parametrize(
    ("authorization", "bearer"),
    [
        ("Bearer abc", "abc"),
        ("Bearer   abc  ", "abc"),
        ("bearer abc", "abc"),
        ("BEARER abc", "abc"),
        ("beareR  abc", "abc"),
        ("Bearerabc", None),
        ("xBearer abc", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearer\tabc", None),
        (" Bearer abc", None),
        ("Basic abc", None),
        ("", None),
    ],
)
def test_an_authorization_header_is_read(authorization: str, bearer: str | None) -> None:
    """The scheme is ``Bearer`` in any case (RFC 9110, section 11.1), then comes a blank; the rest is stripped."""
    assert request(Authorization=authorization).bearer == bearer


@pytest.mark.parametrize(("cookie", "legacy"), [("sIdRefreshToken=x", True), ("sIdRefreshToken=", False), ("", False)])
def test_an_old_sdk_left_its_cookie(cookie: str, legacy: bool) -> None:
    """It is noticed when it has a value."""
    assert request(cookie).legacy is legacy


@pytest.mark.parametrize(
    ("access", "legacy"),
    [
        ("__Host-sAccessToken", False),
        ("__Secure-sAccessToken", False),
        ("my-sAccessToken", False),
        ("sAccessToken", True),
    ],
)
def test_a_sibling_host_sets_the_cookie_of_an_old_sdk(access: str, legacy: bool) -> None:
    """It counts only where our names are those of that time: elsewhere it can't be of an old SDK's session."""
    names = replace(NAMES, access=access)
    assert read("GET", environ(f"sIdRefreshToken=x; {access}=a", {}), names).legacy is legacy
    assert read("GET", environ("sIdRefreshToken=x", {}), names).legacy is legacy


@pytest.mark.parametrize(
    ("cookie", "duplicates"),
    [
        ("sAccessToken=a; sRefreshToken=b", (False, False)),
        ("sAccessToken=a=; sAccessToken=a=", (True, False)),
        ("sRefreshToken=a; sRefreshToken=b; sAccessToken=c", (False, True)),
        ("sRefreshToken=a; sRefreshToken=", (False, False)),
    ],
)
def test_cookies_of_one_name_are_counted(cookie: str, duplicates: tuple[bool, bool]) -> None:
    """Counted in the raw header, before anything is parsed away."""
    assert request(cookie).duplicates == duplicates


@given(st.text(), st.text(), st.text())
def test_any_headers_are_read(method: str, cookie: str, authorization: str) -> None:
    """No text raises, and nothing empty counts."""
    every = dict.fromkeys(
        ("Authorization", "Origin", "Sec-Fetch-Site", "Content-Type", "Upgrade", "rid"), authorization
    )
    presented = read(method, environ(f"sAccessToken={cookie}", every), NAMES)
    assert all((*presented.access_cookies, *presented.refresh_cookies))
    assert presented.bearer is None or presented.bearer.strip()
    is_foreign(presented, OWN, ALLOWED)
    has_request_marker(presented)
    same_secret(cookie, authorization)


def test_what_a_request_brought_is_printed() -> None:
    """Tokens are masked."""
    shown = repr(request("sAccessToken=secret-1; sRefreshToken=secret-2", Authorization="Bearer secret-3"))
    assert "secret" not in shown


# -- which method ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "mode", "method"),
    [
        (None, None, "cookie"),
        ("any", None, "cookie"),
        ("any", "cookie", "cookie"),
        ("any", "header", "header"),
        ("any", "HEADER", "header"),
        ("any", "any", "cookie"),
        ("any", "nonsense", "cookie"),
        ("any", "", "cookie"),
        ("cookie", "header", "cookie"),
        ("header", "cookie", "header"),
        ("header", None, "header"),
    ],
)
def test_a_method_is_chosen_for_a_new_session(asked: AllowedMethod | None, mode: str | None, method: Method) -> None:
    """Cookies, unless the setting says otherwise or leaves it to a client that asks for headers."""
    assert method_for_new_session(asked, mode) == method


# -- requests from elsewhere -------------------------------------------------------------------------------------------


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
def test_a_browser_says_where_a_request_is_from(headers: Mapping[str, str], foreign: bool) -> None:
    """Fetch Metadata decides, ``Origin`` where that is missing or says *none*; the website's own origins are let in."""
    assert is_foreign(request(**headers), OWN, ALLOWED) is foreign


FORM = "application/x-www-form-urlencoded; charset=UTF-8"


@pytest.mark.parametrize(
    ("headers", "marked"),
    [
        ({}, False),
        ({"rid": "anti-csrf"}, True),
        ({"rid": ""}, True),
        ({"Content_Type": FORM}, False),
        ({"Content_Type": FORM, "Sec_Fetch_Site": "same-origin"}, True),
        ({"Content_Type": "MULTIPART/form-data; boundary=x", "Sec_Fetch_Site": "same-origin"}, True),
        ({"Content_Type": "text/plain", "Origin": OWN[0]}, True),
        ({"Content_Type": FORM, "Origin": "https://evil.com"}, False),
        ({"Content_Type": FORM, "Origin": OWN[0], "Sec_Fetch_Site": "same-site"}, False),
        ({"Content_Type": FORM, "Sec_Fetch_Site": "none"}, False),
        ({"Content_Type": FORM, "Sec_Fetch_Site": "none", "Origin": OWN[0]}, True),
        ({"Content_Type": FORM, "Sec_Fetch_Site": "none", "Origin": "null"}, False),
        ({"Content_Type": "application/json", "Sec_Fetch_Site": "same-origin"}, False),
        ({"Sec_Fetch_Site": "same-origin"}, False),
    ],
)
def test_a_request_carries_a_mark(headers: Mapping[str, str], marked: bool) -> None:
    """A ``rid`` header of any value, or a form that our own pages sent."""
    presented = request(**headers)
    assert (has_request_marker(presented) or is_own_form(presented, OWN)) is marked


@pytest.mark.parametrize(
    ("expected", "given", "same"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("ä", "ä", True),
        (None, None, False),
        ("a", None, False),
        (None, "a", False),
    ],
)
def test_secrets_are_compared(expected: str | None, given: str | None, same: bool) -> None:
    """Two absent values are not the same."""
    assert same_secret(expected, given) is same


def test_a_web_client_of_another_origin_sends_headers() -> None:
    """These must be allowed to it."""
    assert CORS_HEADERS == ("content-type", "rid", "fdi-version", "anti-csrf", "authorization", "st-auth-mode")


# -- out: cookies ------------------------------------------------------------------------------------------------------


def cookies(plan: ResponsePlan, **rules: Any) -> list[SetCookie]:
    return plan_cookies(plan, NAMES, replace(RULES, **rules), NOW)


def test_nothing_happened() -> None:
    """An empty plan writes nothing."""
    assert ResponsePlan().empty
    assert (cookies(ResponsePlan()), plan_headers(ResponsePlan(), expose_access_token=True)) == ([], {})


def test_tokens_are_set_as_cookies() -> None:
    """The access cookie lives a year, so that an expired token still arrives; the refresh cookie as long as its token."""
    assert cookies(ResponsePlan(sets=sets()), domain=".example.com") == [
        SetCookie("sAccessToken", "at", "/", ".example.com", NOW + ACCESS_COOKIE_LIFETIME, 31_536_000),
        SetCookie("sRefreshToken", "rt", "/refresh", ".example.com", NOW + 2, 1),
    ]


def test_tokens_shall_end_with_the_browser() -> None:
    """Neither cookie says when it expires."""
    lines = cookies(ResponsePlan(sets=sets(remember=False)))
    assert [(line.expires, line.max_age) for line in lines] == [(None, None), (None, None)]


def test_an_access_token_is_set_alone() -> None:
    """The refresh cookie is left as it is."""
    assert [line.name for line in cookies(ResponsePlan(sets=sets(tokens=RENEWED)))] == ["sAccessToken"]


def test_a_token_holds_signs_that_cookies_can_not() -> None:
    """Values are percent-encoded, ``/`` stays literal."""
    tokens = replace(TOKENS, access_token="a.b-c_d~/+=% ä;")
    assert cookies(ResponsePlan(sets=sets(tokens=tokens)))[0].value == "a.b-c_d~/%2B%3D%25%20%C3%A4%3B"


def test_cookies_are_cleared() -> None:
    """Both are emptied where they were set."""
    assert cookies(ResponsePlan().cleared(["cookie"]), domain="example.com") == [
        SetCookie("sAccessToken", "", "/", "example.com", 0, 0),
        SetCookie("sRefreshToken", "", "/refresh", "example.com", 0, 0),
    ]


@pytest.mark.parametrize("tokens", [TOKENS, RENEWED])
def test_cookies_are_cleared_and_set(tokens: SessionTokens) -> None:
    """What is set is not cleared as well: one line a cookie, clears first."""
    plan = ResponsePlan().cleared().with_sets(sets(tokens=tokens))
    values = [(line.name, line.value) for line in cookies(plan)]
    refresh = ("sRefreshToken", tokens.refresh_token or "")
    assert sorted(values) == [("sAccessToken", tokens.access_token), refresh]
    assert values == sorted(values, key=lambda pair: pair[1] != "")


@pytest.mark.parametrize(
    ("older_domain", "domain"), [("", None), ("old.example.com", "old.example.com")], ids=["host only", "a domain"]
)
@pytest.mark.parametrize("which", [(True, False), (False, True), (True, True)])
def test_duplicates_are_cleared(which: tuple[bool, bool], older_domain: str, domain: str | None) -> None:
    """Only the duplicated names, on the older domain."""
    plan = ResponsePlan(clears_duplicates=which)
    both = [SetCookie("sAccessToken", "", "/", domain, 0, 0), SetCookie("sRefreshToken", "", "/refresh", domain, 0, 0)]
    expected = [line for line, wanted in zip(both, which, strict=True) if wanted]
    assert cookies(plan, older_domain=older_domain, domain="new.example.com") == expected


def test_the_cookie_of_an_old_sdk_is_cleared() -> None:
    """At ``/``, where that SDK set it."""
    expected = [SetCookie("sIdRefreshToken", "", "/", None, 0, 0)]
    assert cookies(ResponsePlan().without_legacy()) == expected


# -- out: headers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "expose", "headers"),
    [
        (ResponsePlan(sets=sets()), False, {"front-token": "front", "anti-csrf": "csrf"}),
        (
            ResponsePlan(sets=sets()),
            True,
            {"front-token": "front", "anti-csrf": "csrf", "st-access-token": "at"},
        ),
        (
            ResponsePlan(sets=sets("header")),
            False,
            {"front-token": "front", "st-access-token": "at", "st-refresh-token": "rt"},
        ),
        (ResponsePlan(sets=sets("header", RENEWED)), False, {"front-token": "front-2", "st-access-token": "at-2"}),
        (ResponsePlan(sets=sets(tokens=RENEWED)), False, {"front-token": "front-2"}),
        (ResponsePlan().cleared(["cookie"]), True, {"front-token": "remove"}),
        (
            ResponsePlan().cleared(["header"]),
            False,
            {"front-token": "remove", "st-access-token": "", "st-refresh-token": ""},
        ),
        (
            ResponsePlan().with_sets(sets(), clear_other=True),
            False,
            {"front-token": "front", "anti-csrf": "csrf", "st-access-token": "", "st-refresh-token": ""},
        ),
        (
            ResponsePlan().with_sets(sets("header"), clear_other=True),
            False,
            {"front-token": "front", "st-access-token": "at", "st-refresh-token": "rt"},
        ),
        (ResponsePlan(placeholder="p", clears_duplicates=(True, False)), False, {"front-token": "p"}),
        (ResponsePlan().without_legacy(), False, {}),
    ],
)
def test_headers_are_written(plan: ResponsePlan, expose: bool, headers: dict[str, str]) -> None:
    """Each name once; ``front-token`` with every access token and every clear, the new one where both happen."""
    assert plan_headers(plan, expose_access_token=expose) == headers


# -- out: what comes later wins ----------------------------------------------------------------------------------------


def test_an_event_clears_after_tokens_were_made() -> None:
    """Pending sets are dropped: ``front-token: remove``, no ``anti-csrf``, no token anywhere."""
    plan = ResponsePlan().with_sets(sets()).cleared()
    assert [line.value for line in cookies(plan)] == ["", ""]
    headers = plan_headers(plan, expose_access_token=True)
    assert headers == {"front-token": "remove", "st-access-token": "", "st-refresh-token": ""}


def test_a_payload_changes_after_a_log_in() -> None:
    """The newer access token goes out with the refresh token and the anti-CSRF token from before."""
    plan = ResponsePlan().with_sets(sets()).with_sets(sets(tokens=RENEWED))
    assert [line.value for line in cookies(plan)] == ["at-2", "rt"]
    assert plan_headers(plan, expose_access_token=False) == {"front-token": "front-2", "anti-csrf": "csrf"}


def test_another_session_is_made_in_the_same_request() -> None:
    """Nothing of the first one is left."""
    plan = ResponsePlan().with_sets(sets()).with_sets(sets(tokens=RENEWED, handle="other"))
    assert [line.value for line in cookies(plan)] == ["at-2"]
    assert "anti-csrf" not in plan_headers(plan, expose_access_token=False)


def test_a_plan_is_printed() -> None:
    """Tokens are masked."""
    tokens = SessionTokens("secret-1", NOW, "secret-2", "secret-3", NOW, "secret-4")
    plan = ResponsePlan(sets=sets(tokens=tokens), placeholder="secret-5")
    assert "secret" not in repr(plan) + repr(cookies(plan))


def test_tokens_for_a_body_of_json() -> None:
    """All that a client keeps, under the names of the attributes; what is not there is left out."""
    times = {"access_token_expires_at": NOW + 1, "refresh_token_expires_at": NOW + 2}
    assert TOKENS.as_dict() == {"access_token": "at", "refresh_token": "rt", "anti_csrf_token": "csrf", **times}
    assert RENEWED.as_dict() == {"access_token": "at-2", "access_token_expires_at": NOW + 1}
