"""Cookies that are there twice, of an older domain, or tossed in by another host."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from ..support.apps import an_app, clock_of, handles, signed_in, state_of
from ..support.cookies import BOTH_COOKIES, cleared_cookies, cookie_lines, cookie_values, set_cookies
from ..support.plans import HOUR, Clock
from ..support.wire import (
    THEFT,
    TRY_REFRESH,
    UNAUTHORISED,
    ask,
    assert_response,
    call,
    front,
    log_in,
    post_refresh,
    sets_no_tokens,
)


@pytest.mark.parametrize("values", [("a", "b"), ("a=1", "b=1"), ('"a"', "a")])
def test_two_access_cookies_get_try_refresh(values: tuple[str, str]) -> None:
    """*Try refresh token*; a header token is not concerned."""
    app = an_app()
    cookies = [f"sAccessToken={value}" for value in values]
    assert_response(call(app, "GET", "/maybe", cookies=cookies), 401, TRY_REFRESH)
    bearer = signed_in(app).access_token
    assert call(app, "GET", "/me", cookies=cookies, bearer=bearer).json["method"] == "header"
    by_header = an_app(token_transfer_method="header")
    assert call(by_header, "GET", "/maybe", cookies=cookies).json["user"] is None


TWO = {"message": "The request contains multiple session cookies. Set SUPERTOKENS_OLDER_COOKIE_DOMAIN"}


CLEARING = {
    "message": "The request contains multiple session cookies. We are clearing the cookie from older_cookie_domain. "
    "Session will be refreshed in the next refresh call."
}


TWO_ACCESS = ["sAccessToken=a=1", "sAccessToken=b=2"]


TWO_REFRESH = ["sRefreshToken=a", "sRefreshToken=b"]


@pytest.mark.parametrize("cookies", [TWO_ACCESS, TWO_REFRESH, TWO_ACCESS + TWO_REFRESH])
def test_a_refresh_with_doubled_cookies_is_500_and_names_the_setting(
    cookies: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """500, the one mistake that only the operator can fix: logged, the setting is named, the session is kept."""
    app = an_app()
    signed_in(app)
    response = post_refresh(app, cookies=cookies)
    assert response.status_code == 500
    assert response.json["message"].startswith(TWO["message"])
    assert sets_no_tokens(response)
    assert "SUPERTOKENS_OLDER_COOKIE_DOMAIN" in caplog.text
    assert len(handles(app)) == 1


@pytest.mark.parametrize(("older", "domain"), [("", None), ("old.example.com", "old.example.com")])
@pytest.mark.parametrize(
    ("cookies", "names"),
    [
        (TWO_ACCESS, {"sAccessToken"}),
        (TWO_REFRESH, {"sRefreshToken"}),
        (TWO_ACCESS + TWO_REFRESH, {"sAccessToken", "sRefreshToken"}),
    ],
)
def test_doubled_cookies_are_cleared_on_the_older_domain_and_a_placeholder_is_set(
    cookies: list[str], names: set[str], older: str, domain: str | None
) -> None:
    """200 and a placeholder: the doubled ones are cleared on the older domain, no token is used, none is made."""
    app = an_app(older_cookie_domain=older, cookie_domain="example.com")
    state_of(app).engine.store = None  # type: ignore[attr-defined]
    response = post_refresh(app, cookies=cookies)
    assert_response(response, 200, CLEARING)
    found = set_cookies(response)
    assert set(found) == names
    assert all(cookie.cleared and cookie.domain == domain for cookie in found.values())
    assert front(response) == {"ate": 0, "uid": "", "up": {}}


def test_a_header_token_is_refreshed_beside_doubled_cookies() -> None:
    """The cookies are not looked at; nor are they where only headers are allowed."""
    app = an_app()
    tokens = signed_in(app)
    assert post_refresh(app, bearer=tokens.refresh_token, cookies=TWO_REFRESH).status_code == 200
    by_header = an_app(token_transfer_method="header")
    assert_response(post_refresh(by_header, cookies=TWO_REFRESH), 401, UNAUTHORISED)


def refreshed_by(app: Flask, access: str | None, *refresh: str | None) -> TestResponse:
    """A refresh by cookies that have the names of https."""
    pairs = [("__Host-sAccessToken", access), *(("__Secure-sRefreshToken", value) for value in refresh)]
    return post_refresh(app, cookies=[f"{name}={value}" for name, value in pairs if value is not None])


@pytest.mark.parametrize("days", [0, 30], ids=["today", "when the key of the access token is gone"])
@pytest.mark.parametrize("first", [True, False])
def test_a_refresh_uses_the_cookie_of_its_own_session_beside_a_tossed_one(first: bool, days: int) -> None:
    """The ``__Host-`` access cookie tells which one is the user's own; the other one is not touched."""
    app = an_app(cookie_secure=True)
    own, tossed = signed_in(app), signed_in(app, "mallory")
    clock_of(app).wait(days * 24 * HOUR)
    pair = [own.refresh_token, tossed.refresh_token]
    response = refreshed_by(app, own.access_token, *(pair if first else reversed(pair)))
    assert (response.status_code, front(response)["uid"]) == (200, "user-1")
    assert refreshed_by(app, tossed.access_token, tossed.refresh_token).status_code == 200


def test_a_stolen_refresh_token_beside_a_tossed_one_is_a_theft() -> None:
    """It rings the alarm as it does alone."""
    app = an_app(cookie_secure=True)
    own, tossed = signed_in(app), signed_in(app, "mallory")
    child = cookie_values(refreshed_by(app, own.access_token, own.refresh_token))["__Secure-sRefreshToken"]
    clock_of(app).wait(HOUR)
    assert refreshed_by(app, own.access_token, child).status_code == 200
    assert_response(refreshed_by(app, own.access_token, tossed.refresh_token, own.refresh_token), 401, THEFT)
    assert (handles(app), len(handles(app, "mallory"))) == ([], 1)


def test_a_tossed_refresh_cookie_is_cleared_on_the_older_domain() -> None:
    """With the older domain known the refresh goes on, and removes it there."""
    app = an_app(cookie_secure=True, older_cookie_domain="example.com")
    own, tossed = signed_in(app), signed_in(app, "mallory")
    two = [f"__Secure-sRefreshToken={tokens.refresh_token}" for tokens in (tossed, own)]
    response = refreshed_by(app, own.access_token, tossed.refresh_token, own.refresh_token)
    lines = {(line.domain, line.cleared) for line in cookie_lines(response) if "Refresh" in line.name}
    assert (response.status_code, lines) == (200, {(None, False), ("example.com", True)})
    foreign = {"Cookie": f"__Host-sAccessToken={own.access_token}; {'; '.join(two)}", "Sec-Fetch-Site": "same-site"}
    assert sets_no_tokens(post_refresh(app, headers=foreign))


@pytest.mark.parametrize("case", ["own twice", "none is own", "no access cookie", "garbage beside them", "plain names"])
def test_a_refresh_is_500_where_the_own_cookie_cannot_be_told(case: str) -> None:
    """500 as ever: nothing is used, the sessions stay."""
    app = an_app(cookie_secure=True, cookie_prefix="" if case == "plain names" else "auto")
    own, tossed, other = (signed_in(app, name) for name in ("user-1", "mallory", "mallory"))
    first = other.refresh_token if case == "none is own" else own.refresh_token
    second = own.refresh_token if case == "own twice" else tossed.refresh_token
    access = {"no access cookie": None, "garbage beside them": "garbage"}.get(case, own.access_token)
    response = refreshed_by(app, access, first, second)
    if case == "plain names":
        response = post_refresh(app, access=access, cookies=[f"sRefreshToken={first}", f"sRefreshToken={second}"])
    assert (response.status_code, sets_no_tokens(response), len(handles(app))) == (500, True, 1)


@pytest.mark.parametrize("path", ["/me", "/maybe"])
@pytest.mark.parametrize("settings", [{}, {"access_token_path": "/m"}, {"cookie_domain": "example.com"}], ids=str)
def test_a_tossed_cookie_of_an_old_sdk_is_ignored_where_our_names_have_a_prefix(
    settings: dict[str, Any], path: str
) -> None:
    """Where our names have a prefix no old SDK left it: public pages stay public, and a visitor is a visitor."""
    app = an_app(cookie_secure=True, **settings)
    response = call(app, "GET", path, cookies=["sIdRefreshToken=x"])
    assert (response.status_code, response.json) == ((401, UNAUTHORISED) if path == "/me" else (200, NOBODY))
    assert sets_no_tokens(response)


NOBODY = {"user": None, "method": None}


def test_two_access_cookies_in_a_view_are_refused_since_neither_can_be_trusted() -> None:
    """Which one is right can't be told; values with ``=`` and quotes are counted too."""
    app = an_app()
    access = log_in(app).access
    for other in ("x=y", '"q"', "z"):
        response = ask(app, "GET", "/me", f"sAccessToken={access}; sAccessToken={other}")
        assert (response.status_code, response.json) == (401, {"message": "try refresh token"})


@pytest.mark.parametrize("name", ["sAccessToken", "sRefreshToken"])
def test_two_cookies_of_a_name_at_a_refresh_are_a_500_that_names_the_setting(name: str) -> None:
    """A 500 that names the setting; the session is kept."""
    app = an_app()
    tokens = log_in(app)
    jar = f"sAccessToken={tokens.access}; sRefreshToken={tokens.refresh}"
    response = ask(app, "POST", "/refresh", f"{jar}; {name}=other")
    assert response.status_code == 500
    assert response.json["message"].startswith("The request contains multiple session cookies.")
    assert "SUPERTOKENS_OLDER_COOKIE_DOMAIN" in response.json["message"]
    assert cookie_lines(response) == []
    assert ask(app, "POST", "/refresh", jar).status_code == 200


@pytest.mark.parametrize(("older", "domain"), [("", None), ("old.example", "old.example")])
def test_two_cookies_of_a_name_are_cleared_where_the_older_domain_is_known(older: str, domain: str | None) -> None:
    """The duplicated one is cleared there, with a 200 and a placeholder that keeps the web client going."""
    clock = Clock()
    app = an_app(clock=clock, SUPERTOKENS_OLDER_COOKIE_DOMAIN=older, SUPERTOKENS_COOKIE_DOMAIN="example.com")
    tokens = log_in(app)
    clock.wait(5_000)
    jar = f"sAccessToken={tokens.access}; sRefreshToken={tokens.refresh}; sRefreshToken=old"
    response = ask(app, "POST", "/refresh", jar)
    (line,) = cookie_lines(response)
    front = json.loads(base64.b64decode(response.headers["front-token"]))
    assert response.status_code == 200
    assert "We are clearing the cookie from older_cookie_domain" in response.json["message"]
    assert (line.name, line.value, line.domain) == ("sRefreshToken", "", domain)
    assert (front["ate"], front["uid"], front["up"]["iat"]) == (0, "user-1", clock.now // 1000)


def test_a_refresh_cookie_that_was_tossed_in_is_unauthorised() -> None:
    """A genuine access cookie of another session, expired or not, makes the refresh *unauthorised*."""
    clock = Clock()
    app = an_app(clock=clock)
    mine, theirs = log_in(app), log_in(app)
    for _ in range(2):
        response = ask(app, "POST", "/refresh", f"sAccessToken={mine.access}; sRefreshToken={theirs.refresh}")
        assert (response.json, cleared_cookies(response)) == ({"message": "unauthorised"}, BOTH_COOKIES)
        clock.wait(2 * HOUR)


def test_doubled_cookies_with_equal_signs_are_counted() -> None:
    """Pairs are split at the first ``=`` only."""
    cookies = ["sAccessToken=a=b", "sAccessToken=a=b"]
    assert call(an_app(), "POST", "/refresh", cookies=cookies).status_code == 500
    assert_response(call(an_app(), "GET", "/me", cookies=cookies), 401, TRY_REFRESH)
