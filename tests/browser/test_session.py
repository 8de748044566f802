"""One browser, the official web client and the example app: what its user sees, and what goes over the wire."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.support.browser import (
    CALL,
    REFRESH,
    SIGN_OUT,
    Traffic,
    answer,
    log_in,
    notice,
    post_refresh,
    press,
    session_cookies,
    wait_for_expiry,
)

pytestmark = pytest.mark.browser


def test_call_with_an_expired_token_is_answered_after_a_refresh(page: Page, hasty_address: str) -> None:
    """The token runs out, the call is refused, the web client refreshes and repeats it; the page sees the answer only."""
    log_in(page, hasty_address)
    press(page, "Call the API")
    expect(answer(page)).to_have_text("200 Hello Ada")
    wait_for_expiry(page)
    traffic, so_far = Traffic().watch(page), int(page.locator("#refreshes").inner_text())
    with page.expect_response(lambda response: response.url.endswith("/api/me") and response.ok):
        press(page, "Call the API")
    expect(page.locator("#refreshes")).to_have_text(str(so_far + 1))
    expect(answer(page)).to_have_text("200 Hello Ada")
    assert traffic.seen == [(CALL, 401), (REFRESH, 200), (CALL, 200)]


def test_five_calls_at_once_make_one_refresh(page: Page, hasty_address: str) -> None:
    """Parallel calls on an expired token share one refresh; all five are answered."""
    log_in(page, hasty_address)
    wait_for_expiry(page)
    traffic = Traffic().watch(page)
    statuses = page.evaluate(
        "async () => (await Promise.all([1, 2, 3, 4, 5].map(() => fetch('/api/me')))).map(({status}) => status)"
    )
    assert statuses == [200] * 5
    assert [status for call, status in traffic.seen if call == REFRESH] == [200]
    assert traffic.seen.count((CALL, 401)) == traffic.seen.count((CALL, 200)) == 5


def test_two_tabs_call_at_once_with_an_expired_token(context: BrowserContext, hasty_address: str) -> None:
    """Both tabs are refused, both are answered in the end, and nobody takes them for thieves."""
    tabs = [context.new_page(), context.new_page()]
    log_in(tabs[0], hasty_address)
    tabs[1].goto(hasty_address)
    expect(tabs[1].get_by_role("heading", name="Logged in as Ada")).to_be_visible()
    wait_for_expiry(tabs[1])
    traffic = Traffic().watch(*tabs)
    _call_at_once(context, tabs)
    for tab in tabs:
        expect(answer(tab)).to_have_text("200 Hello Ada")
    assert traffic.seen.count((CALL, 401)) == traffic.seen.count((CALL, 200)) == 2
    assert {status for call, status in traffic.seen if call == REFRESH} == {200}


def _call_at_once(context: BrowserContext, tabs: list[Page]) -> None:
    """Hold the first call of each tab until all of them have called."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)
        if len(held) == len(tabs):
            for first in held:
                first.continue_()
        elif len(held) > len(tabs):
            route.continue_()

    context.route("**/api/me", hold)
    for tab in tabs:
        press(tab, "Call the API")


def test_two_refreshes_that_pass_the_client_s_lock_both_succeed(page: Page, hasty_address: str) -> None:
    """The server forgives what a browser without a lock does: both refreshes succeed, and so does the next one."""
    log_in(page, hasty_address)
    statuses = page.evaluate(
        """async () => {
            const refresh = () => window.__supertokensOriginalFetch("/auth/session/refresh", { method: "POST" });
            return (await Promise.all([refresh(), refresh()])).map((response) => response.status);
        }"""
    )
    assert statuses == [200, 200]
    wait_for_expiry(page)
    press(page, "Call the API")
    expect(answer(page)).to_have_text("200 Hello Ada")
    expect(notice(page)).to_be_empty()


def test_reloaded_page_is_still_signed_in(page: Page, address: str) -> None:
    """The session lives in cookies, not in the page."""
    log_in(page, address, "Grace")
    page.reload()
    expect(page.get_by_role("heading", name="Logged in as Grace")).to_be_visible()
    press(page, "Call the API")
    expect(answer(page)).to_have_text("200 Hello Grace")


def test_wrong_password_is_said_and_starts_no_session(page: Page, context: BrowserContext, address: str) -> None:
    """A refused log-in says why, and leaves no cookie."""
    page.goto(address)
    page.get_by_label("Password").fill("open sesame")
    press(page, "Log in")
    expect(notice(page)).to_contain_text("That is not the password")
    assert session_cookies(context) == {}


def test_sign_out_removes_cookies_and_session(page: Page, context: BrowserContext, address: str) -> None:
    """Nothing is left in the browser, and a copy of the cookies is worthless."""
    log_in(page, address)
    copied = session_cookies(context)
    traffic = Traffic().watch(page)
    press(page, "Log out")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert traffic.seen == [(SIGN_OUT, 200)]
    assert session_cookies(context) == {}
    assert len(copied) == 3
    assert post_refresh(address, copied) == (401, '{"message":"unauthorised"}')


def test_cookies_are_secure_prefixed_and_the_refresh_token_is_bound_to_a_path(
    page: Page, context: BrowserContext, address: str
) -> None:
    """Secure, prefixed cookies on http://localhost; the refresh token goes to one path only."""
    log_in(page, address)
    kept = {cookie["name"]: cookie for cookie in context.cookies() if cookie["httpOnly"]}
    common = {"domain": "localhost", "httpOnly": True, "secure": True, "sameSite": "Lax"}
    assert kept.keys() == {"__Host-sAccessToken", "__Secure-sRefreshToken"}
    assert kept["__Host-sAccessToken"].items() >= {**common, "path": "/"}.items()
    assert kept["__Secure-sRefreshToken"].items() >= {**common, "path": "/auth/session/refresh"}.items()
    visible = page.evaluate("document.cookie")
    assert re.search("sFrontToken=", visible)
    assert not re.search("sAccessToken|sRefreshToken", visible)


def test_cookies_of_a_debug_server_are_plain_and_still_http_only(
    page: Page, context: BrowserContext, debug_address: str
) -> None:
    """In debug mode cookies are neither Secure nor prefixed, and still HttpOnly."""
    log_in(page, debug_address)
    kept = {cookie["name"]: cookie for cookie in context.cookies() if cookie["httpOnly"]}
    assert kept.keys() == {"sAccessToken", "sRefreshToken"}
    assert not any(cookie["secure"] for cookie in kept.values())
