"""One browser for all tests of this folder, and the example app served in three ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.support.browser import CHROMIUM_ARGUMENTS, chromium, chromium_driver, example_server, quiet_contexts

EXPECTED_ERROR = "Failed to load resource: the server responded with a status of (401|422)"
"""Chromium writes this for every refusal; the web client lives on 401s, and a wrong password is a 422."""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium. It ends with this folder: its event loop would be in the way of other tests."""
    with chromium_driver() as driver:
        browser = driver.launch(executable_path=chromium(), args=list(CHROMIUM_ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def new_context(browser: Browser) -> Iterator[Callable[[], BrowserContext]]:
    """Makes browsers that know nothing of each other; afterwards none of their pages may have complained."""
    with quiet_contexts(browser.new_context, EXPECTED_ERROR) as make:
        yield make


@pytest.fixture
def context(new_context: Callable[[], BrowserContext]) -> BrowserContext:
    """The owner's browser."""
    return new_context()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A page of the owner."""
    return context.new_page()


@pytest.fixture(scope="package")
def address(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The example app as it comes: nothing expires while a test runs."""
    with example_server(tmp_path_factory.mktemp("example")) as running:
        yield running


@pytest.fixture(scope="package")
def hasty_address(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The example app with access tokens of three seconds and a race window of one: what has expired is outside of it."""
    lifetimes = {"SUPERTOKENS_ACCESS_TOKEN_LIFETIME": 3, "SUPERTOKENS_REFRESH_RACE_WINDOW": 1}
    with example_server(tmp_path_factory.mktemp("hasty"), **lifetimes) as running:
        yield running


@pytest.fixture
def debug_address(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The example app in debug mode."""
    with example_server(tmp_path_factory.mktemp("debug"), DEBUG=1) as running:
        yield running
