"""Headers and cookies in: cookies read by hand, methods chosen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_supertokens.protocol.model import AllowedMethod, Method
from flask_supertokens.protocol.presented import CookieNames, Presented, method_for_new_session, read
from flask_supertokens.protocol.requests import is_foreign, is_own_form
from flask_supertokens.protocol.tokens import same_secret

from ..support.cookies import environ

NAMES = CookieNames("sAccessToken", "sRefreshToken", "/", "/refresh")
OWN = ("https://app.example.com",)
ALLOWED = {"https://www.example.com"}.__contains__


def request(cookie: str = "", method: str = "GET", **headers: str) -> Presented:
    """A request; ``headers`` with underscores for hyphens."""
    return read(method, environ(cookie, headers), NAMES)


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
        ('sAccessToken="a', ['"a']),
        ('sAccessToken=a"', ['a"']),
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
def test_a_cookie_header_is_split_decoded_once_and_its_duplicates_counted(header: str, values: list[str]) -> None:
    """Pairs are split at the first ``=`` only, values decoded once; duplicates count, empty values do not."""
    assert list(request(header).access_cookies) == values


@pytest.mark.parametrize("mark", ["\x85", "\xa0", "\x1f", "\u2003"])
def test_a_cookie_with_a_disguised_name_is_none_of_ours(mark: str) -> None:
    """A cookie that a browser takes for another name, so that prefixes do not bind it, is no cookie of ours."""
    presented = request(f"{mark}sAccessToken=a; {mark}sRefreshToken=b; {mark}sIdRefreshToken=c; sAccessToken{mark}=d")
    assert (presented.access_cookies, presented.refresh_cookies, presented.legacy) == ((), (), False)


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
def test_a_bearer_token_is_read_from_an_authorization_header_in_any_case(
    authorization: str, bearer: str | None
) -> None:
    """The scheme is ``Bearer`` in any case (RFC 9110, section 11.1), then comes a blank; the rest is stripped."""
    assert request(Authorization=authorization).bearer == bearer


@pytest.mark.parametrize(("cookie", "legacy"), [("sIdRefreshToken=x", True), ("sIdRefreshToken=", False), ("", False)])
def test_the_cookie_of_an_old_sdk_is_noticed_when_it_has_a_value(cookie: str, legacy: bool) -> None:
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
def test_an_old_sdk_s_cookie_counts_only_where_our_cookies_have_the_names_of_that_time(
    access: str, legacy: bool
) -> None:
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
def test_cookies_of_one_name_are_counted_in_the_raw_header(cookie: str, duplicates: tuple[bool, bool]) -> None:
    """Counted in the raw header, before anything is parsed away."""
    assert request(cookie).duplicates == duplicates


@given(st.text(), st.text(), st.text())
def test_no_headers_raise_and_nothing_empty_counts(method: str, cookie: str, authorization: str) -> None:
    """No text raises, and nothing empty counts."""
    every = dict.fromkeys(
        ("Authorization", "Origin", "Sec-Fetch-Site", "Content-Type", "Upgrade", "rid"), authorization
    )
    presented = read(method, environ(f"sAccessToken={cookie}", every), NAMES)
    assert all((*presented.access_cookies, *presented.refresh_cookies))
    assert presented.bearer is None or presented.bearer.strip()
    is_foreign(presented, OWN, ALLOWED)
    is_own_form(presented, OWN)
    same_secret(cookie, authorization)


def test_tokens_are_masked_where_what_a_request_presented_is_printed() -> None:
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
def test_a_new_session_uses_cookies_unless_setting_or_client_choose_headers(
    asked: AllowedMethod | None, mode: str | None, method: Method
) -> None:
    """Cookies, unless the setting says otherwise or leaves it to a client that asks for headers."""
    assert method_for_new_session(asked, mode) == method
