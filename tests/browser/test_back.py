"""*Back* after a sign-out, in a browser with its back/forward cache and in one without."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask import Flask, Response, request
from playwright.sync_api import Browser, Page, expect

from flask_supertokens.stores.memory import MemoryStore
from tests.support.both import serve
from tests.support.browser import CHROMIUM_ARGUMENTS, chromium, quiet_contexts
from tests.support.docs import ROOT
from tests.support.rendered import create_app

pytestmark = pytest.mark.browser

PLAYWRIGHTS_OWN = ["--disable-back-forward-cache"]
"""Playwright switches that cache off; here it is what is tested."""
MARK, IS_MARKED = "window.marked = true", "window.marked === true"
LETTER, OTHER = "/letter", "/checked"


@pytest.fixture
def app() -> Flask:
    return create_app(MemoryStore(), SUPERTOKENS_ACCESS_TOKEN_LIFETIME=600)


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    with serve(app) as address:
        yield address.replace("127.0.0.1", "localhost")


@pytest.fixture(params=[True, False], ids=["with-bfcache", "without"])
def has_bfcache(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def page(browser: Browser, address: str, has_bfcache: bool) -> Iterator[Page]:
    """A user's tab, logged in and on a page that was marked."""
    another = browser.browser_type.launch(
        executable_path=chromium(),
        args=list(CHROMIUM_ARGUMENTS),
        ignore_default_args=PLAYWRIGHTS_OWN if has_bfcache else None,
    )
    with quiet_contexts(another.new_context, "none") as make:
        page = make().new_page()
        page.goto(address + LETTER)
        page.get_by_label("Name").fill("ada")
        press(page, "Log in")
        expect(page).to_have_url(address + LETTER)
        page.evaluate(MARK)
        yield page
    another.close()


def press(page: Page, button: str) -> None:
    page.get_by_role("button", name=button, exact=True).click()


def go_back(page: Page, pages: int = 1) -> None:
    page.evaluate(f"setTimeout(() => history.go(-{pages}))")


def heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


def test_back_without_a_sign_out_shows_the_page_from_the_cache(page: Page, address: str, has_bfcache: bool) -> None:
    """A page that reads the session is in the back/forward cache like any other."""
    page.goto(address + OTHER)
    go_back(page)
    expect(page).to_have_url(address + LETTER)
    assert page.evaluate(IS_MARKED) is has_bfcache


def test_back_to_a_page_before_the_sign_out_asks_for_a_sign_in(page: Page, address: str) -> None:
    """The browser asks for it again, and its user is asked to log in."""
    page.goto(address + OTHER)
    press(page, "Log out")
    heading(page, "Everybody's page")
    go_back(page, 2)
    heading(page, "Log in here")


def test_back_to_the_page_of_the_sign_out_asks_for_a_sign_in_where_nothing_is_stored(
    app: Flask, page: Page, address: str, has_bfcache: bool
) -> None:
    """It comes into the back/forward cache only after that; ``no-store`` takes it out with the cookie, and no earlier."""
    app.after_request_funcs[None].append(_store_nothing)
    page.goto(address + OTHER)
    page.evaluate(MARK)
    page.goto(address + LETTER)
    go_back(page)
    expect(page).to_have_url(address + OTHER)
    assert page.evaluate(IS_MARKED) is has_bfcache
    press(page, "Log out")
    heading(page, "Everybody's page")
    go_back(page)
    heading(page, "Log in here")


def test_back_to_a_page_with_the_docs_script_asks_for_it_again(page: Page) -> None:
    """The one of the docs asks for it again."""
    script = re.search(r"`(addEventListener\(.*)`", (ROOT / "docs" / "server-rendered.md").read_text("utf-8"))
    assert script is not None
    page.evaluate(script[1])
    press(page, "Log out")
    heading(page, "Everybody's page")
    go_back(page)
    heading(page, "Log in here")


def _store_nothing(response: Response) -> Response:
    if request.path == OTHER:
        response.headers["Cache-Control"] = "no-store"
    return response
