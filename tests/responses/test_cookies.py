"""Cookies, attribute by attribute."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from flask_supertokens import (
    create_new_session,
)

from ..support.apps import an_app, state_of
from ..support.cookies import Cookie, cookie_lines, set_cookies
from ..support.plans import Clock
from ..support.wire import ask, call, log_in, run

IN_A_YEAR = "Wed, 13 Nov 2024 22:13:20 GMT"


IN_100_DAYS = "Thu, 22 Feb 2024 22:13:20 GMT"


def test_a_sign_in_sets_both_cookies_with_each_attribute_of_the_protocol() -> None:
    """Each attribute as the protocol has it: a year for the access cookie, the token's own life for the other."""
    cookies = set_cookies(call(an_app(), "POST", "/login"))
    access, refresh = cookies["sAccessToken"].value, cookies["sRefreshToken"].value
    assert cookies == {
        "sAccessToken": Cookie("sAccessToken", access, "/", None, IN_A_YEAR, "Lax", False, True, "31536000"),
        "sRefreshToken": Cookie("sRefreshToken", refresh, "/refresh", None, IN_100_DAYS, "Lax", False, True, "8640000"),
    }


@pytest.mark.parametrize(
    ("settings", "attributes"),
    [
        ({"cookie_domain": ".example.com"}, {"domain": "example.com"}),
        ({"cookie_same_site": "strict"}, {"same_site": "Strict"}),
        (
            {"cookie_same_site": "none", "cookie_secure": True, "cookie_prefix": ""},
            {"same_site": "None", "secure": True},
        ),
        ({"cookie_partitioned": True, "cookie_secure": None}, {"partitioned": True, "secure": True}),
    ],
)
def test_cookies_follow_the_settings(settings: dict[str, Any], attributes: dict[str, Any]) -> None:
    """The same for both cookies, set or cleared."""
    app = an_app(**settings)
    for response in (call(app, "POST", "/login"), call(app, "POST", "/refresh")):
        for cookie in set_cookies(response).values():
            assert {name: getattr(cookie, name) for name in attributes} == attributes


@pytest.mark.parametrize(
    ("settings", "root", "names"),
    [
        ({}, "", {"__Host-sAccessToken": "/", "__Secure-sRefreshToken": "/refresh"}),
        ({}, "/v1", {"__Host-2d234c97-sAccessToken": "/", "__Secure-sRefreshToken": "/v1/refresh"}),
        ({}, "//v1", {"__Host-sAccessToken": "/", "__Secure-sRefreshToken": "/refresh"}),
        (
            {"cookie_domain": "a.com"},
            "/v1",
            {"__Secure-sAccessToken": "/v1", "__Secure-sRefreshToken": "/v1/refresh"},
        ),
        ({"access_token_path": "/api"}, "", {"__Secure-sAccessToken": "/api", "__Secure-sRefreshToken": "/refresh"}),
        (
            {"access_token_path": "/api"},
            "/v1",
            {"__Secure-sAccessToken": "/v1/api", "__Secure-sRefreshToken": "/v1/refresh"},
        ),
        ({"cookie_domain": "a.com"}, "", {"__Secure-sAccessToken": "/", "__Secure-sRefreshToken": "/refresh"}),
        ({"cookie_prefix": ""}, "", {"sAccessToken": "/", "sRefreshToken": "/refresh"}),
        ({"cookie_prefix": "my-"}, "", {"my-sAccessToken": "/", "my-sRefreshToken": "/refresh"}),
        ({"cookie_secure": False}, "/v1/", {"sAccessToken": "/v1", "sRefreshToken": "/v1/refresh"}),
        (
            {"api_base_path": "/auth"},
            "",
            {"__Host-sAccessToken": "/", "__Secure-sRefreshToken": "/auth/session/refresh"},
        ),
        ({}, "/é", {"__Host-dd240f6a-sAccessToken": "/", "__Secure-sRefreshToken": "/%C3%A9/refresh"}),
        ({"cookie_prefix": ""}, "/é", {"sAccessToken": "/%C3%A9", "sRefreshToken": "/%C3%A9/refresh"}),
    ],
)
def test_cookies_have_the_best_prefix_and_the_path_that_settings_allow(
    settings: dict[str, Any], root: str, names: dict[str, str]
) -> None:
    """The best prefix that the settings allow; paths go under the script root, or the name does; the session is found again."""
    app = an_app(**{"cookie_secure": True, **settings})
    mounted = {"SCRIPT_NAME": root.encode().decode("latin-1")}
    cookies = set_cookies(call(app, "POST", "/login", environ_overrides=mounted))
    assert {name: cookie.path for name, cookie in cookies.items()} == names
    pairs = [f"{name}={cookie.value}" for name, cookie in cookies.items()]
    assert call(app, "GET", "/me", cookies=pairs, environ_overrides=mounted).status_code == 200
    refresh_path = state_of(app).settings.refresh_path
    assert call(app, "POST", refresh_path, cookies=pairs, environ_overrides=mounted).status_code == 200


@pytest.mark.parametrize(
    ("settings", "secure"),
    [
        ({}, True),
        ({"DEBUG": True}, False),
        ({"TESTING": True}, False),
        ({"api_domain": "http://api.example.com"}, False),
        ({"api_domain": "https://api.example.com"}, True),
        ({"cookie_secure": True, "TESTING": True}, True),
        ({"cookie_secure": False}, False),
        ({"cookie_same_site": "none", "TESTING": True}, True),
    ],
)
def test_cookies_are_secure_unless_api_domain_debug_or_testing_say_otherwise(
    settings: dict[str, Any], secure: bool
) -> None:
    """True unless the API's domain is http, or the app is in debug or testing; a setting decides."""
    cookies = set_cookies(call(an_app(**{"cookie_secure": None, **settings}), "POST", "/login")).values()
    assert [cookie.secure for cookie in cookies] == [secure, secure]
    assert all(cookie.name.startswith("__") is secure for cookie in cookies)


@pytest.mark.parametrize("first", [True, False])
def test_a_change_of_testing_after_the_first_cookie_changes_nothing(first: bool) -> None:
    """What was right when the first cookie was written stays."""
    app = an_app(cookie_secure=None, TESTING=first)
    call(app, "POST", "/login")
    app.testing = not first
    assert all(cookie.secure is not first for cookie in set_cookies(call(app, "POST", "/login")).values())


def test_testing_switched_on_before_the_first_cookie_counts() -> None:
    """Before the first cookie it still counts, though requests were served."""
    app = an_app(cookie_secure=None)
    call(app, "GET", "/me")
    app.testing = True
    assert not any(cookie.secure for cookie in set_cookies(call(app, "POST", "/login")).values())


@pytest.mark.parametrize(
    ("url", "warnings"),
    [
        ("http://example.com", 1),
        ("https://example.com", 0),
        ("http://localhost:5000", 0),
        ("http://127.0.0.1:5000", 0),
        ("http://[::1]:5000", 0),
        ("http://app.localhost", 0),
        ("http://LOCALHOST.:5000", 0),
        ("http://127.1.2.3", 0),
    ],
)
def test_secure_cookies_over_plain_http_are_warned_of_once(
    caplog: pytest.LogCaptureFixture, url: str, warnings: int
) -> None:
    """Where a browser drops them there is one warning, with the fix."""
    app = an_app(cookie_secure=True)
    for _ in range(2):
        call(app, "POST", "/login", base_url=url)
    texts = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(texts) == warnings
    assert all("ProxyFix" in text and "SUPERTOKENS_COOKIE_SECURE" in text for text in texts)


@pytest.mark.parametrize(
    ("browser", "warnings"),
    [
        ("AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15", 1),
        ("AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/123.0 Mobile/15E148 Safari/604.1", 1),
        ("AppleWebKit/537.36 (KHTML, like Gecko) Chrome/123.0.0.0 Safari/537.36", 0),
        ("Gecko/20100101 Firefox/124.0", 0),
        (None, 0),
    ],
)
@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1:5000"])
def test_secure_cookies_for_safari_on_localhost_are_warned_of_once(
    caplog: pytest.LogCaptureFixture, host: str, browser: str | None, warnings: int
) -> None:
    """There is one warning with the fix, and none for browsers that keep them, nor over https."""
    app, headers = an_app(cookie_secure=True), {} if browser is None else {"User-Agent": f"Mozilla/5.0 (…) {browser}"}
    for url in (f"https://{host}", f"http://{host}", f"http://{host}"):
        call(app, "POST", "/login", base_url=url, headers=headers)
    texts = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(texts) == warnings
    assert all("Safari" in text and "SUPERTOKENS_COOKIE_SECURE to False" in text and host in text for text in texts)


def test_the_warning_for_safari_does_not_swallow_that_for_another_host(caplog: pytest.LogCaptureFixture) -> None:
    """Safari's on localhost does not swallow the one on another host."""
    app, safari = an_app(cookie_secure=True), {"User-Agent": "AppleWebKit/605.1.15 Version/17.4 Safari/605.1.15"}
    for url in ("http://localhost", "http://example.com"):
        call(app, "POST", "/login", base_url=url, headers=safari)
    assert ["Safari" in text for text in caplog.messages if "Secure cookies" in text] == [True, False]


def test_cookies_of_a_sign_in_have_these_attributes() -> None:
    """Both cookies, attribute by attribute."""
    clock = Clock()
    app = an_app(clock=clock, SUPERTOKENS_COOKIE_SECURE=True)
    access, refresh = cookie_lines(app.test_client().post("/login", base_url="https://localhost"))
    flags: dict[str, Any] = {"same_site": "Lax", "secure": True, "http_only": True}
    access_end, refresh_end = "Wed, 13 Nov 2024 22:13:20 GMT", "Thu, 22 Feb 2024 22:13:20 GMT"
    assert access == Cookie("__Host-sAccessToken", access.value, "/", expires=access_end, max_age="31536000", **flags)
    assert refresh == Cookie(
        "__Secure-sRefreshToken", refresh.value, "/refresh", expires=refresh_end, max_age="8640000", **flags
    )
    assert access.value
    assert refresh.value


def test_cookies_of_a_sign_out_are_the_same_but_empty_and_in_the_past() -> None:
    """The same names, paths and flags, empty, in the past."""
    app = an_app()
    lines = cookie_lines(ask(app, "POST", "/signout", f"sAccessToken={log_in(app).access}"))
    past: dict[str, Any] = {"expires": "Thu, 01 Jan 1970 00:00:00 GMT", "same_site": "Lax", "http_only": True}
    past["max_age"] = "0"
    assert lines == [Cookie("sAccessToken", "", "/", **past), Cookie("sRefreshToken", "", "/refresh", **past)]


@pytest.mark.parametrize(
    ("settings", "root", "names"),
    [
        ({}, "", ("sAccessToken", "/", "sRefreshToken", "/refresh")),
        ({"SUPERTOKENS_API_BASE_PATH": "/auth"}, "", ("sAccessToken", "/", "sRefreshToken", "/auth/session/refresh")),
        ({}, "/shop", ("sAccessToken", "/shop", "sRefreshToken", "/shop/refresh")),
        (
            {"SUPERTOKENS_COOKIE_SECURE": True},
            "/shop",
            ("__Host-26315ce1-sAccessToken", "/", "__Secure-sRefreshToken", "/shop/refresh"),
        ),
        (
            {"SUPERTOKENS_COOKIE_SECURE": True, "SUPERTOKENS_COOKIE_DOMAIN": "example.com"},
            "",
            ("__Secure-sAccessToken", "/", "__Secure-sRefreshToken", "/refresh"),
        ),
        (
            {"SUPERTOKENS_COOKIE_SECURE": True, "SUPERTOKENS_COOKIE_PREFIX": ""},
            "",
            ("sAccessToken", "/", "sRefreshToken", "/refresh"),
        ),
        (
            {"SUPERTOKENS_ACCESS_TOKEN_PATH": "/api", "SUPERTOKENS_COOKIE_SECURE": True},
            "",
            ("__Secure-sAccessToken", "/api", "__Secure-sRefreshToken", "/refresh"),
        ),
    ],
)
def test_cookies_have_prefixes_and_paths_where_browsers_take_them(
    settings: dict[str, Any], root: str, names: tuple[str, ...]
) -> None:
    """A prefix where browsers take it; paths under the script root."""
    app = an_app(**settings)
    response = app.test_client(use_cookies=False).post("/login", environ_overrides={"SCRIPT_NAME": root})
    access, refresh = cookie_lines(response)
    assert (access.name, access.path, refresh.name, refresh.path) == names


@pytest.mark.parametrize("flag", ["DEBUG", "TESTING"])
def test_cookies_while_developing_are_not_secure_unless_that_is_set(flag: str) -> None:
    """Unless it is set, ``Secure`` is off in debug and testing, as it was when the first cookie was written."""
    app = an_app(SUPERTOKENS_COOKIE_SECURE=None)
    app.config[flag] = True
    assert not cookie_lines(app.test_client().post("/login"))[0].secure
    app.config[flag] = False
    assert not cookie_lines(app.test_client().post("/login"))[0].secure


def test_a_cookie_that_is_written_many_times_is_one_line() -> None:
    """One line a cookie, each header name once."""
    app = an_app(expose_access_token=True)

    def view() -> None:
        session = create_new_session("user-1")
        for number in range(3):
            session.merge_into_access_token_payload({"x": number})

    response = run(app, view, bearer="other")
    assert set(set_cookies(response)) == {"sAccessToken", "sRefreshToken"}
    names = response.headers["Access-Control-Expose-Headers"].split(", ")
    assert len(names) == len(set(names)) == len(response.headers.getlist("front-token")) + 2
