"""Proxies in front of the app, and apps below another path."""

from __future__ import annotations

import pytest
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client, TestResponse

from tests.support.apps import an_app
from tests.support.cookies import cookie_lines

from .conftest import Run

OUTSIDE = "https://shop.example.com"
FORWARDED = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "shop.example.com",
    "X-Forwarded-Prefix": "/shop",
}


def paths(response: TestResponse) -> dict[str, object]:
    """The cookies that are set, and where the browser sends them."""
    return {line.name: line.path for line in cookie_lines(response)}


# -- proxies -----------------------------------------------------------------------------------------------------------


def test_cookies_behind_a_proxy_have_the_names_of_https_and_the_prefix(run: Run) -> None:
    """Their names are those of https; one goes under the proxy's prefix by its path, the other by its name."""
    app: Flask = run("Behind a proxy", TESTING=False).app
    response = app.test_client().post("/login", headers=FORWARDED)
    assert paths(response) == {"__Host-26315ce1-sAccessToken": "/", "__Secure-sRefreshToken": "/shop/refresh"}
    assert all(line.secure for line in cookie_lines(response))


@pytest.mark.parametrize(("section", "status"), [("Behind a proxy", 200), ("async views", 403)])
def test_the_outer_origin_is_ours_behind_a_proxy_only_with_proxy_fix(run: Run, section: str, status: int) -> None:
    """A browser without Fetch Metadata names the origin outside; that is ours only with ``ProxyFix``."""
    client = run(section).app.test_client(use_cookies=False)
    cookies = "; ".join(f"{line.name}={line.value}" for line in cookie_lines(client.post("/login")))
    response = client.post("/refresh", headers={**FORWARDED, "Origin": OUTSIDE, "Cookie": cookies})
    assert response.status_code == status


# -- mounts ------------------------------------------------------------------------------------------------------------


def test_a_session_of_a_mounted_app_lives_below_its_path(run: Run) -> None:
    """A browser that keeps to the cookies' paths logs in, is known, refreshes and signs out."""
    client = Client(run("Below another path").application)
    assert paths(client.post("/shop/login")) == {"sAccessToken": "/shop", "sRefreshToken": "/shop/refresh"}
    assert client.get("/shop/me").json == {"user": "user-1"}
    assert client.post("/shop/refresh").status_code == 200
    assert client.post("/shop/signout").json == {"status": "OK"}
    assert client.get("/shop/me").status_code == 401


@pytest.mark.parametrize(("prefix", "status"), [("", 401), ("desk-", 200)])
def test_an_app_above_a_mounted_one_needs_a_prefix_of_its_own_without_https(prefix: str, status: int) -> None:
    """Without https they need prefixes of their own: the lower one is sent both cookies."""
    desk, shop = an_app(SUPERTOKENS_COOKIE_PREFIX=prefix), an_app()
    client = Client(DispatcherMiddleware(desk, {"/shop": shop}))
    client.post("/login")
    client.post("/shop/login")
    assert client.get("/shop/me").status_code == status
    assert client.get("/me").status_code == 200


def test_sessions_of_apps_on_one_host_over_https_live_and_end_one_by_one() -> None:
    """One above, one below, one beside that: the names differ, so all sessions live, and end one by one."""
    desk, shop, bank = (an_app(SUPERTOKENS_COOKIE_SECURE=True) for _ in range(3))
    client = Client(DispatcherMiddleware(desk, {"/shop": shop, "/bank": bank}))
    for path in ("/login", "/shop/login", "/bank/login", "/refresh", "/shop/refresh", "/bank/refresh"):
        assert client.post(path, base_url=OUTSIDE).status_code == 200
    asked = ("/me", "/shop/me", "/bank/me")
    assert [client.get(path, base_url=OUTSIDE).status_code for path in asked] == [200, 200, 200]
    client.post("/shop/signout", base_url=OUTSIDE)
    assert [client.get(path, base_url=OUTSIDE).status_code for path in asked] == [200, 401, 200]


def test_application_root_does_not_change_the_cookies() -> None:
    """Cookies do not ask it: the request says where the app is."""
    response = Client(an_app(APPLICATION_ROOT="/shop")).post("/login")
    assert paths(response) == {"sAccessToken": "/", "sRefreshToken": "/refresh"}
