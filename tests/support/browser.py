"""The example app as a real server, and what a test does with its page in a real browser."""

from __future__ import annotations

import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, BrowserType, Locator, Page, Response, expect, sync_playwright

from .gunicorn import ROOT, gunicorn

WEB_CLIENT = ROOT / "example_app" / "node_modules" / ".bundle" / "supertokens.js"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    *(("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()),
)
CALL, REFRESH, SIGN_OUT = "GET /api/me", "POST /auth/session/refresh", "POST /auth/signout"


def chromium() -> str | None:
    """Where the browser is."""
    return next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)


def what_is_missing() -> str | None:
    """One sentence that says what the browser tests lack, and how to get it."""
    if chromium() is None:
        return "The browser tests need Chromium: install the package chromium."
    if not WEB_CLIENT.exists():
        return "The browser tests need the web client: run npm ci --prefix example_app."
    return None


# -- the browser -------------------------------------------------------------------------------------------------------


@contextmanager
def chromium_driver() -> Iterator[BrowserType]:
    """What starts Chromium. Where it is missing the test is skipped; in CI it fails."""
    lack = what_is_missing()
    if lack is not None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(lack)
    with sync_playwright() as playwright:
        yield playwright.chromium


@contextmanager
def quiet_contexts(open_one: Callable[[], BrowserContext], expected: str) -> Iterator[Callable[[], BrowserContext]]:
    """Makes browsers that know nothing of each other; afterwards none of their pages may have complained.

    :param expected: complaints that are part of the test, as a regular expression.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def make() -> BrowserContext:
        context = open_one()
        context.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        context.close()
    assert [text for text in complaints if not re.match(expected, text)] == []


def across_sites(driver: BrowserType, profile: Path, *arguments: str) -> BrowserContext:
    """A browser that keeps cookies of other sites, as not all do by default, and takes the tests' certificates."""
    (profile / "Default").mkdir()
    (profile / "Default" / "Preferences").write_text('{"profile": {"cookie_controls_mode": 0}}')
    return driver.launch_persistent_context(
        profile, executable_path=chromium(), args=[*CHROMIUM_ARGUMENTS, *arguments], ignore_https_errors=True
    )


# -- the server --------------------------------------------------------------------------------------------------------


@contextmanager
def example_server(folder: Path, **config: object) -> Iterator[str]:
    """The example app under gunicorn with two workers and a database of its own; its address."""
    with gunicorn(
        folder, "example_app:create_app()", "--workers", "2", environment=_environment(folder, config)
    ) as port:
        yield f"http://localhost:{port}"


def _environment(folder: Path, config: dict[str, object]) -> dict[str, str]:
    settings = {
        "SECRET_KEY": "a-secret-of-the-tests",
        "SUPERTOKENS_DATABASE_URI": f"sqlite:///{folder / 'sessions.sqlite3'}",
        **config,
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FLASK_")}
    return {**inherited, "HOME": str(folder), **{f"FLASK_{name}": str(value) for name, value in settings.items()}}


# -- the page ----------------------------------------------------------------------------------------------------------


def log_in(page: Page, address: str, name: str = "Ada") -> None:
    """Open the page and log in."""
    page.goto(address)
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Password").fill("demo")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name=f"Logged in as {name}")).to_be_visible()


def press(page: Page, button: str) -> None:
    """Press a button of the page."""
    page.get_by_role("button", name=button, exact=True).click()


def wait_for_expiry(page: Page) -> None:
    """Wait until the page's access token has run out, as its front-token says."""
    page.wait_for_function(_HAS_EXPIRED, timeout=10_000)


_HAS_EXPIRED = """() => {
    const [, front] = document.cookie.match(/sFrontToken=([^;]+)/);
    return JSON.parse(atob(front)).ate <= Date.now();
}"""


def answer(page: Page) -> Locator:
    """What the page was answered last."""
    return page.locator("#answer")


def notice(page: Page) -> Locator:
    """The message that stands above everything."""
    return page.get_by_role("alert")


def with_copied_cookies(thief: BrowserContext, owner: BrowserContext) -> Page:
    """A page of another browser that holds copies of all cookies, HttpOnly ones too."""
    thief.add_cookies(owner.cookies())  # type: ignore[arg-type]
    return thief.new_page()


# -- the wire ----------------------------------------------------------------------------------------------------------


@dataclass
class Traffic:
    """The requests that pages made for the session, with the statuses of their answers, in the order of the answers."""

    seen: list[tuple[str, int]] = field(default_factory=list)

    def watch(self, *pages: Page) -> Traffic:
        for page in pages:
            page.on("response", self._note)
        return self

    def _note(self, response: Response) -> None:
        call = f"{response.request.method} /{response.url.split('/', 3)[3]}"
        if call in (CALL, REFRESH, SIGN_OUT):
            self.seen.append((call, response.status))


def session_cookies(context: BrowserContext) -> dict[str, str]:
    """The values of the session's cookies by their names."""
    return {cookie["name"]: cookie["value"] for cookie in context.cookies() if "Token" in cookie["name"]}


def post_refresh(address: str, cookies: dict[str, str]) -> tuple[int, str]:
    """Refresh with these cookies and without a browser; status and body of the answer."""
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    request = urllib.request.Request(f"{address}/auth/session/refresh", b"", {"Cookie": header})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
