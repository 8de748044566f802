"""Two clients with one session: the second claim on one token ends it, and both windows say so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.browser import (
    CALL,
    REFRESH,
    answer,
    log_in,
    newest_steps,
    notice,
    post_refresh,
    press,
    session_cookies,
    steal,
    wait_for_expiry,
    with_copied_cookies,
)

pytestmark = pytest.mark.browser

THEFT = "Token theft detected: the session was ended"
UNAUTHORISED = (401, '{"message":"unauthorised"}')


def test_owner_refreshes_after_the_thief(page: Page, context: BrowserContext, hasty_address: str) -> None:
    """Stolen by the button: the thief goes on first, so the owner's refresh is the alarm; the thief learns it next."""
    log_in(page, hasty_address)
    thief = steal(page)
    _refresh_and_call(thief)
    wait_for_expiry(thief)
    wait_for_expiry(page)
    copied = session_cookies(context)
    press(page, "Call the API")
    expect(notice(page)).to_contain_text(THEFT)
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert newest_steps(page) == [f"{CALL} → 401 try refresh token", f"{REFRESH} → 401 token theft detected"]
    assert session_cookies(context) == {}
    assert post_refresh(hasty_address, copied) == UNAUTHORISED
    press(thief, "Refresh")
    expect(notice(thief)).to_contain_text("The session has ended")


def test_thief_refreshes_after_the_owner(page: Page, hasty_address: str) -> None:
    """Stolen by the button: the owner goes on first, so the thief's refresh is the alarm; the owner learns it next."""
    log_in(page, hasty_address)
    thief = steal(page)
    wait_for_expiry(page)
    press(page, "Call the API")
    expect(answer(page)).to_have_text("200 Hello Ada")
    wait_for_expiry(page)
    press(thief, "Refresh")
    expect(notice(thief)).to_contain_text(THEFT)
    press(page, "Call the API")
    expect(notice(page)).to_contain_text("Your session was ended by the server")
    assert newest_steps(page) == [f"{CALL} → 401 try refresh token", f"{REFRESH} → 401 unauthorised"]


def test_cookies_copied_into_another_browser(
    page: Page, context: BrowserContext, new_context: Callable[[], BrowserContext], hasty_address: str
) -> None:
    """The thief has the cookies and the web client, and refreshes first; the owner's next call ends it for both."""
    log_in(page, hasty_address)
    thief = with_copied_cookies(new_context(), context)
    thief.goto(hasty_address)
    wait_for_expiry(thief)
    press(thief, "Call the API")
    expect(answer(thief)).to_have_text("200 Hello Ada")
    wait_for_expiry(thief)
    press(page, "Call the API")
    expect(notice(page)).to_contain_text(THEFT)
    press(thief, "Call the API")
    expect(notice(thief)).to_contain_text("Your session was ended by the server")
    assert session_cookies(thief.context) == {}


def test_thief_is_served_until_both_have_refreshed(page: Page, address: str) -> None:
    """Within the race window a thief looks like a second tab: both are served, and nobody is thrown out."""
    log_in(page, address)
    thief = steal(page)
    _refresh_and_call(thief)
    press(page, "Expire the access token")
    press(page, "Call the API")
    expect(answer(page)).to_have_text("200 Hello Ada")
    expect(notice(page)).to_be_empty()
    press(thief, "Call the API")
    expect(answer(thief)).to_have_text("200 Hello Ada")


def test_stolen_tokens_are_in_no_address_and_no_cookie_of_the_thief(page: Page, address: str) -> None:
    """They go from window to window; the thief sends them in a header only."""
    log_in(page, address)
    thief = steal(page)
    with thief.expect_request("**/auth/session/refresh") as sent:
        press(thief, "Refresh")
    headers = sent.value.all_headers()
    assert "cookie" not in headers
    assert headers["authorization"].startswith("Bearer ")
    assert thief.url == f"{address}/thief"


def _refresh_and_call(thief: Page) -> None:
    """The thief takes new tokens and uses them."""
    press(thief, "Refresh")
    expect(answer(thief)).to_contain_text("200")
    press(thief, "Call the API")
    expect(answer(thief)).to_have_text("200 Hello Ada")
