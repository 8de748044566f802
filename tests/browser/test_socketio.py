"""Flask-SocketIO with its real client in a real browser: the recipe of *Living with others*, both sides."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from flask import Response, render_template_string
from playwright.sync_api import Browser, Page

from flask_supertokens import revoke_all_sessions_for_user
from tests.support.apps import close_database
from tests.support.both import serve
from tests.support.browser import quiet_contexts
from tests.support.docs import blocks, example, section
from tests.support.libraries import library
from tests.support.plans import HOUR, Clock

pytestmark = pytest.mark.browser
EXPECTED_ERROR = r"Failed to load resource: the server responded with a status of 401|WebSocket connection to .* failed"
NAME = "example_with_sockets"
PAGE = """<!doctype html><link rel="icon" href="data:,">{{ supertokens_script() }}<script src="/io.js"></script>"""
SCRIPT = (
    blocks(section("Flask-SocketIO"), "js")[0]
    + """
window.socket = socket;
window.heard = [];
socket.on("connect_error", (error) => heard.push(["connect_error", error.message]));
socket.on("refused", (message) => heard.push(["refused", message]));
socket.on("said", (text) => heard.push(["said", text]));
socket.on("connect", () => heard.push(["connect"]));
"""
)


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time_ns() // 1_000_000)


@pytest.fixture
def module(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The recipe's app, with a page for its client."""
    path = tmp_path / f"{NAME}.py"
    path.write_text(example("Flask-SocketIO", TESTING=True), "utf-8")
    specification = importlib.util.spec_from_file_location(NAME, path)
    assert specification is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, NAME, module)
    specification.loader.exec_module(module)  # type: ignore[union-attr]
    module.app.extensions["supertokens"].engine.clock = clock
    module.app.add_url_rule("/io.js", "io", lambda: Response(library("socket.io"), mimetype="text/javascript"))
    module.app.add_url_rule("/page", "page", lambda: render_template_string(PAGE))
    yield module
    close_database(module.app)


@pytest.fixture
def page(browser: Browser, module: ModuleType) -> Iterator[Page]:
    """A page that knows the client, and has not connected."""
    with serve(module.app) as address, quiet_contexts(browser.new_context, EXPECTED_ERROR) as make:
        page = make().new_page()
        page.goto(address.replace("127.0.0.1", "localhost") + "/page")
        yield page
        page.evaluate("window.socket?.disconnect()")
        page.wait_for_timeout(200)


def log_in(page: Page) -> None:
    assert page.evaluate("async () => (await fetch('/login', {method: 'POST'})).status") == 200


def connect(page: Page) -> None:
    page.add_script_tag(content=SCRIPT)


def hears(page: Page, *what: str) -> None:
    """It comes, in this order, and nothing in between."""
    page.wait_for_function("(count) => heard.length >= count", arg=1, timeout=10_000)
    assert page.evaluate("heard.shift()") == list(what)


def test_a_page_with_a_session_is_connected_and_answered(page: Page) -> None:
    """With a session it is connected and answered."""
    log_in(page)
    connect(page)
    hears(page, "connect")
    page.evaluate("socket.emit('say', 'hello')")
    hears(page, "said", "user-1: hello")


def test_a_page_without_a_session_reads_why_it_is_not_connected(page: Page) -> None:
    """The client reads why."""
    connect(page)
    hears(page, "connect_error", "unauthorised")
    page.wait_for_timeout(500)
    assert page.evaluate("[socket.connected, heard.length]") == [False, 0]


def test_a_page_with_an_expired_token_refreshes_and_is_connected(page: Page, clock: Clock) -> None:
    """The first attempt is refused in words."""
    log_in(page)
    clock.wait(HOUR)
    connect(page)
    hears(page, "connect_error", "try refresh token")
    hears(page, "connect")


def test_an_event_after_the_token_expired_makes_the_client_refresh_and_connect(page: Page, clock: Clock) -> None:
    """The next event is refused in words; the client refreshes, connects again, and can talk."""
    log_in(page)
    connect(page)
    hears(page, "connect")
    clock.wait(HOUR)
    page.evaluate("socket.emit('say', 'hello')")
    hears(page, "refused", "try refresh token")
    hears(page, "connect")
    page.evaluate("socket.emit('say', 'again')")
    hears(page, "said", "user-1: again")


def test_an_event_after_the_session_ended_is_refused_and_the_connection_ends(page: Page, module: ModuleType) -> None:
    """The next event is refused in words, and the connection ends."""
    log_in(page)
    connect(page)
    hears(page, "connect")
    with module.app.app_context():
        revoke_all_sessions_for_user("user-1")
    page.evaluate("socket.emit('say', 'hello')")
    hears(page, "refused", "unauthorised")
    page.wait_for_function("!socket.connected")
