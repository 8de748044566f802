"""Flask-CORS: a page of another site, in a real browser, with the official web client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, send_file
from flask_cors import CORS
from playwright.sync_api import BrowserContext, BrowserType, Page
from werkzeug.serving import make_server, make_ssl_devcert

from flask_supertokens import get_cors_headers
from tests.support.browser import WEB_CLIENT, across_sites, chromium_driver, quiet_contexts, with_copied_cookies
from tests.support.docs import blocks, example, section
from tests.support.gunicorn import gunicorn

from .conftest import Run

API, WEBSITE, FOREIGN = "https://api.example.com", "https://www.example.org", "https://evil.example.net"
LIFETIME, WINDOW = 2, 1
LIFETIMES = {"SUPERTOKENS_ACCESS_TOKEN_LIFETIME": LIFETIME, "SUPERTOKENS_REFRESH_RACE_WINDOW": WINDOW}
CALL, REFRESH, SIGN_OUT = "GET /me", "POST /auth/session/refresh", "POST /auth/signout"
EXPECTED_ERROR = "Failed to load resource: the server responded with a status of (401|403)"


# -- two servers and a browser that takes them for two sites -------------------------------------------------------------


def website() -> Flask:
    """A page at ``/<transfer method>`` with the web client, set up as the document says."""
    app = Flask("website")
    (init,) = blocks(section("Flask-CORS"), "js")
    app.get("/web-client.js")(lambda: send_file(WEB_CLIENT))

    @app.get("/<method>")
    def page(method: str) -> str:
        more = f'init({{ tokenTransferMethod: "{method}", onHandleEvent: (event) => events.push(event.action),'
        script = f"const events = []; {init.replace('init({', more)}"
        return f'<!doctype html><link rel="icon" href="data:,"><script src="/web-client.js"></script><script>{script}</script>'

    return app


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where Chromium finds the document's hosts: the API, and the website for everything else."""
    folder = tmp_path_factory.mktemp("cors")
    certificate, key = make_ssl_devcert(str(folder / "tls"), host="api.example.com")
    (folder / "served.py").write_text(example("Flask-CORS", **LIFETIMES), "utf-8")
    pages = make_server("127.0.0.1", 0, website(), threaded=True, ssl_context=(certificate, key))
    serving = threading.Thread(target=pages.serve_forever, args=(0.02,))
    serving.start()
    options = ("--certfile", certificate, "--keyfile", key, "--threads", "4")
    with gunicorn(folder, "served:app", *options) as port:
        yield f"--host-resolver-rules=MAP api.example.com:443 127.0.0.1:{port}, MAP *:443 127.0.0.1:{pages.port}"
    pages.shutdown()
    serving.join()
    pages.server_close()


@pytest.fixture(scope="module")
def driver() -> Iterator[BrowserType]:
    with chromium_driver() as driver:
        yield driver


@pytest.fixture
def new_context(
    driver: BrowserType, hosts: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], BrowserContext]]:
    def across() -> BrowserContext:
        return across_sites(driver, tmp_path_factory.mktemp("profile"), hosts)

    with quiet_contexts(across, EXPECTED_ERROR) as make:
        yield make


@pytest.fixture
def page(new_context: Callable[[], BrowserContext]) -> Page:
    return new_context().new_page()


# -- what a script of the page does --------------------------------------------------------------------------------------


def fetch(page: Page, path: str, method: str = "GET") -> tuple[int, dict[str, Any]]:
    """Status and body of a call to the API."""
    call = "async ([url, method]) => { const r = await fetch(url, { method }); return [r.status, await r.json()]; }"
    status, body = page.evaluate(call, [API + path, method])
    return status, body


def log_in(page: Page, method: str) -> None:
    page.goto(f"{WEBSITE}/{method}")
    assert fetch(page, "/login", "POST") == (200, {"status": "OK"})


def traffic(page: Page) -> list[tuple[str, int]]:
    """The answers of the API from now on, without those to preflights."""
    seen: list[tuple[str, int]] = []

    def note(response: Any) -> None:
        if response.url.startswith(API) and response.request.method != "OPTIONS":
            seen.append((f"{response.request.method} {response.url.removeprefix(API)}", response.status))

    page.on("response", note)
    return seen


def let_expire(page: Page) -> None:
    page.wait_for_timeout(LIFETIME * 1000 + 100)


def is_logged_in(page: Page) -> bool:
    return bool(page.evaluate("supertokens.doesSessionExist()"))


# -- tests in the browser ------------------------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("method", ["cookie", "header"])
def test_a_user_of_another_site_signs_in_refreshes_and_signs_out(page: Page, method: str) -> None:
    """Log in, call, refresh when the access token has expired, sign out."""
    log_in(page, method)
    assert fetch(page, "/me") == fetch(page, "/me", "POST") == (200, {"user": "user-1"})
    let_expire(page)
    seen = traffic(page)
    assert fetch(page, "/me") == (200, {"user": "user-1"})
    page.evaluate("supertokens.signOut()")
    assert seen == [(CALL, 401), (REFRESH, 200), (CALL, 200), (SIGN_OUT, 200)]
    assert not is_logged_in(page)
    told = [event for event in page.evaluate("events") if event != "ACCESS_TOKEN_PAYLOAD_UPDATED"]
    assert told == ["SESSION_CREATED", "REFRESH_SESSION", "SIGN_OUT"]


@pytest.mark.browser
@pytest.mark.parametrize("method", ["cookie", "header"])
def test_a_theft_on_another_site_is_told_at_the_owner_s_refresh(
    page: Page, new_context: Callable[[], BrowserContext], method: str
) -> None:
    """The thief goes on first; the owner's refresh is the alarm, and the page is told that the session ended."""
    log_in(page, method)
    thief = with_copied_cookies(new_context(), page.context)
    let_expire(page)
    thief.goto(f"{WEBSITE}/{method}")
    assert fetch(thief, "/me") == (200, {"user": "user-1"})
    thief.wait_for_timeout(WINDOW * 1000 + 100)
    seen = traffic(page)
    with page.expect_response(f"{API}/auth/session/refresh") as refresh:
        assert fetch(page, "/me")[0] == 401
    assert refresh.value.json() == {"message": "token theft detected"}
    assert seen == [(CALL, 401), (REFRESH, 401)]
    assert page.evaluate("events")[-1] == "UNAUTHORISED"
    assert not is_logged_in(page)
    assert page.context.cookies(API) == []
    assert thief.evaluate("supertokens.attemptRefreshingSession()") is False


@pytest.mark.browser
def test_the_browser_keeps_cookies_that_the_website_s_scripts_cannot_see(page: Page) -> None:
    """By cookie: Secure, HttpOnly and sent across sites. The website's own scripts see no token."""
    log_in(page, "cookie")
    kept = {cookie["name"]: cookie for cookie in page.context.cookies(f"{API}/auth/session/refresh")}
    assert kept.keys() == {"__Host-sAccessToken", "__Secure-sRefreshToken"}
    for cookie in kept.values():
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "None")
    assert "sFrontToken" in page.evaluate("document.cookie")
    assert "ccessToken" not in page.evaluate("document.cookie")


@pytest.mark.browser
def test_the_browser_keeps_no_cookie_in_header_mode(page: Page) -> None:
    """By header: no cookie of the API; the website's scripts hold the tokens."""
    log_in(page, "header")
    assert page.context.cookies(f"{API}/auth/session/refresh") == []
    assert "st-access-token" in page.evaluate("document.cookie")


@pytest.mark.browser
def test_requests_of_a_foreign_page_are_refused_and_the_session_goes_on(page: Page) -> None:
    """The browser sends its requests with the cookies; they are refused, and the session goes on."""
    log_in(page, "cookie")
    other = page.context.new_page()
    other.goto(f"{FOREIGN}/cookie")
    send = 'url => window.__supertokensOriginalFetch(url, { method: "POST", mode: "no-cors", credentials: "include" })'
    for path in ("/me", "/auth/signout", "/auth/session/refresh"):
        with other.expect_response(API + path) as answer:
            other.evaluate(f"async url => {{ await ({send})(url); }}", API + path)
        assert answer.value.status == 403
    assert fetch(page, "/me") == (200, {"user": "user-1"})


# -- tests without it ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cors_first", [True, False])
def test_headers_that_app_and_extension_expose_arrive_together(cors_first: bool) -> None:
    """Both extensions' names arrive, whichever was set up first."""
    from flask_supertokens import SuperTokens, create_new_session
    from flask_supertokens.stores.memory import MemoryStore

    app = Flask("exposing")
    app.config.update(SECRET_KEY="a secret of the tests", SUPERTOKENS_WEBSITE_DOMAIN=WEBSITE)
    app.post("/login")(lambda: create_new_session("user-1") and "")
    steps = [
        lambda: CORS(app, origins=WEBSITE, supports_credentials=True, expose_headers=["X-Total"]),
        lambda: SuperTokens(app, store=MemoryStore()),
    ]
    for step in steps if cors_first else reversed(steps):
        step()
    headers = app.test_client().post("/login", headers={"Origin": WEBSITE, "st-auth-mode": "header"}).headers
    exposed = ", ".join(headers.getlist("Access-Control-Expose-Headers")).split(", ")
    assert sorted(exposed) == ["X-Total", "front-token", "st-access-token", "st-refresh-token"]
    assert headers.getlist("Access-Control-Allow-Credentials") == ["true"]


def test_cors_of_one_view_covers_its_preflights_and_refusals_and_no_other_view(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    """Its preflights and its responses have the headers, also the one that refuses; other views have none."""
    client, asked = run("Flask-CORS on one view").app.test_client(), {"Origin": WEBSITE}
    preflight = client.options("/orders", headers={**asked, "Access-Control-Request-Method": "GET"})
    access = client.post("/login", headers={"st-auth-mode": "header"}).headers["st-access-token"]
    answer = client.get("/orders", headers={**asked, "Authorization": f"Bearer {access}"})
    assert (preflight.status_code, answer.json) == (200, {"user": "user-1"})
    allowed = [response.headers.get("Access-Control-Allow-Origin") for response in (preflight, answer)]
    assert (allowed, caplog.text) == ([WEBSITE, WEBSITE], "")
    assert "Access-Control-Allow-Origin" not in client.get("/me", headers=asked).headers


@pytest.mark.parametrize("path", ["/me", "/auth/session/refresh", "/auth/signout"])
def test_a_preflight_reaches_no_session_check_and_allows_the_web_client_s_headers(run: Run, path: str) -> None:
    """It reaches no session check, and allows all that the web client sends."""
    asked = {
        "Origin": WEBSITE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": ", ".join(get_cors_headers()),
    }
    answer = run("Flask-CORS").app.test_client().options(path, headers=asked)
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, WEBSITE)
    assert set(answer.headers["Access-Control-Allow-Headers"].split(", ")) == set(get_cors_headers())
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]


WEBSITES = [
    ("Flask-CORS and many websites", "https://a.b.example.org", True),
    ("Flask-CORS and many websites", "capacitor://localhost", True),
    ("Flask-CORS and many websites", "https://example.org", False),
    ("Flask-CORS and many websites", "https://a.example.org.evil.com", False),
    ("Flask-CORS and many websites", "http://a.example.org", False),
    ("CORS by a function", "https://shop.example", True),
    ("CORS by a function", "https://evil.example", False),
]


@pytest.mark.parametrize(("title", "origin", "is_allowed"), WEBSITES)
def test_cors_lets_those_websites_in_that_the_extension_lets_in(
    run: Run, title: str, origin: str, is_allowed: bool
) -> None:
    """CORS lets those in that the extension lets in, and they read what a refresh answers."""
    client = run(title).app.test_client()
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "rid"}
    preflight = client.options("/refresh", headers=asked)
    response = client.post("/refresh", headers={"Origin": origin, "Sec-Fetch-Site": "cross-site", "rid": "anti-csrf"})
    assert response.status_code == (401 if is_allowed else 403)
    allowed = [answer.headers.get("Access-Control-Allow-Origin") for answer in (preflight, response)]
    assert allowed == ([origin] * 2 if is_allowed else [None] * 2)
    assert ("rid" in preflight.headers.get("Access-Control-Allow-Headers", "")) is is_allowed
