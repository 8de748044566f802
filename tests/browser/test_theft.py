"""Two browsers with copies of one session's cookies: the second claim on one token ends it for both."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.support.browser import (
    CALL,
    REFRESH,
    Traffic,
    answer,
    log_in,
    notice,
    post_refresh,
    press,
    session_cookies,
    wait_for_expiry,
    with_copied_cookies,
)

pytestmark = pytest.mark.browser

ENDED = "Your session was ended. Log in again."
UNAUTHORISED = (401, '{"message":"unauthorised"}')
Contexts = Callable[[], BrowserContext]


def rob(page: Page, new_context: Contexts, address: str) -> Page:
    """A thief's page, with the cookies of an owner who has just logged in."""
    log_in(page, address)
    thief = with_copied_cookies(new_context(), page.context)
    thief.goto(address)
    return thief


def call(page: Page) -> None:
    """Call the API with an expired token, and be answered after a refresh."""
    wait_for_expiry(page)
    press(page, "Call the API")
    expect(answer(page)).to_have_text("200 Hello Ada")


def test_an_owner_who_refreshes_after_the_thief_raises_the_alarm(
    page: Page, new_context: Contexts, hasty_address: str
) -> None:
    """The thief goes on first, so the owner's refresh is the alarm; every copy is worthless, and the thief learns it next."""
    thief = rob(page, new_context, hasty_address)
    call(thief)
    wait_for_expiry(thief)
    copied, traffic = session_cookies(page.context), Traffic().watch(page)
    press(page, "Call the API")
    expect(notice(page)).to_have_text(ENDED)
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert traffic.seen == [(CALL, 401), (REFRESH, 401)]
    assert session_cookies(page.context) == {}
    assert post_refresh(hasty_address, copied) == UNAUTHORISED
    press(thief, "Call the API")
    expect(notice(thief)).to_have_text(ENDED)
    assert session_cookies(thief.context) == {}


def test_a_thief_who_refreshes_after_the_owner_raises_the_alarm(
    page: Page, new_context: Contexts, hasty_address: str
) -> None:
    """The owner goes on first, so the thief's refresh is the alarm; the owner learns it next."""
    thief = rob(page, new_context, hasty_address)
    call(page)
    wait_for_expiry(page)
    press(thief, "Call the API")
    expect(notice(thief)).to_have_text(ENDED)
    press(page, "Call the API")
    expect(notice(page)).to_have_text(ENDED)


def test_a_thief_within_the_window_is_served_like_a_tab(page: Page, new_context: Contexts, address: str) -> None:
    """Refreshes at nearly the same time look like two tabs: both are served, and nobody is thrown out yet."""
    thief = rob(page, new_context, address)
    for one in (page, thief):
        assert one.evaluate("supertokens.attemptRefreshingSession()") is True
        press(one, "Call the API")
        expect(answer(one)).to_have_text("200 Hello Ada")
        expect(notice(one)).to_be_empty()
