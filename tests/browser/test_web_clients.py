"""The JavaScript of the page *Web clients*, as it stands there, in a real browser on the page's own app."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, send_file
from playwright.sync_api import BrowserContext, Page

from flask_supertokens import list_sessions, revoke_all_sessions_for_user
from flask_supertokens.stores.memory import MemoryStore
from tests.support.both import serve
from tests.support.browser import WEB_CLIENT
from tests.support.docs import ROOT, blocks, section
from tests.support.plans import HOUR, Clock

pytestmark = pytest.mark.browser
TEXT = (ROOT / "docs" / "web-clients.md").read_text("utf-8")
INIT, CALLS, OWN_FETCH = blocks(TEXT, "js")
LOG_IN = """fetch("/login", {method: "POST", headers: {"Content-Type": "application/json"}, body: '{"name": "ada"}'})"""
ME, REFRESH = "GET /me", "POST /auth/session/refresh"


class Site:
    """The page's app with a clock moved by hand, and pages with scripts."""

    def __init__(self) -> None:
        code = blocks(TEXT)[0].replace("SuperTokens(app)", "SuperTokens(app, store=MemoryStore())")
        names: dict[str, Any] = {"__name__": "web_clients", "MemoryStore": MemoryStore}
        exec(compile(code, "web-clients.md", "exec"), names)
        self.app: Flask = names["app"]
        self.app.config["TESTING"] = True
        self.clock = self.app.extensions["supertokens"].engine.clock = Clock(time.time_ns() // 1_000_000)
        self.app.add_url_rule("/web-client.js", "web_client", lambda: send_file(WEB_CLIENT))
        self.app.add_url_rule("/", "front", lambda: '<!doctype html><link rel="icon" href="data:,">')
        self.app.add_url_rule("/official", "official", official)


def official() -> str:
    return (
        f'<!doctype html><link rel="icon" href="data:,"><script src="/web-client.js"></script><script>{INIT}</script>'
    )


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def address(site: Site) -> Iterator[str]:
    with serve(site.app) as running:
        yield running


def own_page(context: BrowserContext, address: str) -> Page:
    """A page with the functions of one's own."""
    page = context.new_page()
    page.goto(address)
    page.add_script_tag(content=OWN_FETCH)
    return page


def watch(*pages: Page) -> list[str]:
    """What the pages ask, in the order of the answers."""
    seen: list[str] = []
    for page in pages:
        page.on("response", lambda got: seen.append(f"{got.request.method} /{got.url.split('/', 3)[3]} {got.status}"))
    return seen


def test_the_official_client_gets_a_call_answered_after_the_token_expired(page: Page, site: Site, address: str) -> None:
    """Logged in by the page's code; an hour later a call is answered all the same."""
    page.goto(f"{address}/official")
    said = page.evaluate(f"async () => {{ {CALLS} return [user, isLoggedIn, await supertokens.getUserId()]; }}")
    assert said == ["ada", True, "ada"]
    site.clock.wait(HOUR)
    seen = watch(page)
    assert page.evaluate("async () => (await (await fetch('/me')).json())") == {"user": "ada"}
    assert seen == [f"{ME} 401", f"{REFRESH} 200", f"{ME} 200"]
    page.evaluate("supertokens.signOut()")
    with site.app.app_context():
        assert list_sessions("ada") == []


def test_calls_of_two_tabs_at_once_make_one_refresh(context: BrowserContext, site: Site, address: str) -> None:
    """Five calls of each on an expired token: ten answers, one refresh."""
    tabs = [own_page(context, address), own_page(context, address)]
    tabs[0].evaluate(LOG_IN)
    site.clock.wait(HOUR)
    seen = watch(*tabs)
    for tab in tabs:
        tab.evaluate("() => { window.five = Promise.all([1, 2, 3, 4, 5].map(() => call('/me'))); }")
    said = [tab.evaluate("async () => (await window.five).map((answer) => answer.status)") for tab in tabs]
    assert said == [[200] * 5] * 2
    assert seen.count(f"{REFRESH} 200") == 1


def test_a_page_of_nobody_gets_the_401_and_nothing_goes_round_in_circles(
    context: BrowserContext, site: Site, address: str
) -> None:
    """The page gets the 401, whether there never was a session or it has ended; nothing goes round in circles."""
    page = own_page(context, address)
    assert page.evaluate("async () => (await call('/me')).json()") == {"message": "unauthorised"}
    page.evaluate(LOG_IN)
    with site.app.app_context():
        revoke_all_sessions_for_user("ada")
    site.clock.wait(HOUR)
    seen = watch(page)
    assert page.evaluate("async () => (await call('/me')).json()") == {"message": "unauthorised"}
    assert seen == [f"{ME} 401", f"{REFRESH} 401", f"{ME} 401"]


def test_the_client_looks_after_calls_to_another_origin_with_the_documented_line(page: Page, address: str) -> None:
    """With the line of *Living with others* the client looks after the calls to that origin."""
    (line,) = blocks(section("Flask-CORS"), "js")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    cors = {"Access-Control-Allow-Origin": address, "Access-Control-Allow-Credentials": "true"}
    page.route("https://api.example.com/**", lambda route: route.fulfill(status=401, json={}, headers=cors))
    page.goto(address)
    page.add_script_tag(path=WEB_CLIENT)
    page.evaluate(line)
    page.evaluate("fetch('https://api.example.com/me').then(() => 0)")
    assert "https://api.example.com/auth/session/refresh" in asked
