"""``fetch.js`` in a real browser, on the app of the page *htmx, Turbo and a bit of fetch* and under the real libraries."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, redirect, render_template_string, request
from flask.typing import ResponseReturnValue
from playwright.sync_api import Browser, BrowserContext, Page, expect
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from flask_supertokens import (
    InvalidClaimError,
    current_session,
    revoke_all_sessions_for_user,
    verify_session,
)
from tests.support.apps import BrokenStore
from tests.support.both import serve
from tests.support.browser import quiet_contexts
from tests.support.docs import ROOT, blocks
from tests.support.libraries import library
from tests.support.plans import HOUR, Clock

pytestmark = pytest.mark.browser
TEXT = (ROOT / "docs" / "htmx-turbo.md").read_text("utf-8")
ENDED, EVENTS = blocks(TEXT, "js")
EXPECTED_ERROR = r"Failed to load resource|Response Status Error Code 401 from|JSHandle@object"
REFRESH = "POST /refresh 200"
ICON = '<link rel="icon" href="data:,">'


class Site:
    """The page's app with a clock moved by hand, one library at ``htmx.min.js``, and more views."""

    def __init__(self, folder: Path, name: str, **settings: Any) -> None:
        (folder / "htmx.min.js").write_text(library(name), "utf-8")
        code = blocks(TEXT)[0].replace("SuperTokens(app)", "app.config.update(settings)\nSuperTokens(app, store=store)")
        self.store = BrokenStore()
        names: dict[str, Any] = {"__name__": "htmx_turbo", "store": self.store, "settings": settings}
        exec(compile(code, "htmx-turbo.md", "exec"), names)
        self.app: Flask = names["app"]
        self.app.config["TESTING"] = True
        self.app.static_folder = str(folder)
        self.head: str = names["HEAD"] + ICON
        names["HEAD"] = self.head
        self.clock = self.app.extensions["supertokens"].engine.clock = Clock(time.time_ns() // 1_000_000)
        for path, view, methods in (
            ("/more", verify_session(lambda: render_template_string(self.head + MORE)), ["GET"]),
            ("/echo", verify_session(echo), ["GET", "POST", "PUT", "DELETE"]),
            ("/form", verify_session(form), ["POST"]),
            ("/part", verify_session(lambda: PART), ["GET"]),
            ("/report", verify_session(report), ["GET"]),
            ("/events", verify_session(events), ["GET"]),
            ("/public", lambda: render_template_string(self.head + PUBLIC), ["GET"]),
        ):
            self.app.add_url_rule(path, path, view, methods=methods)

    def expire(self) -> None:
        self.clock.wait(HOUR)

    def end(self) -> None:
        """All sessions end, and what tells so has expired: the next call finds out."""
        with self.app.app_context():
            assert revoke_all_sessions_for_user("ada")
        self.expire()


MORE = """
<h1>More</h1>
<a href="{{ url_for('to_do') }}">To do</a> <a href="{{ url_for('/report') }}" download>Report</a>
<form method="post" action="{{ url_for('/form') }}" enctype="multipart/form-data">
<input name="text" value="ä & b"> <input type="file" name="file"> <button>Send</button></form>
<turbo-frame id="part"><a href="{{ url_for('/part') }}">Part</a></turbo-frame>
<div id="got"></div>
<form id="upload" hx-post="{{ url_for('/echo') }}" hx-encoding="multipart/form-data" hx-target="#got">
<input type="file" name="file" aria-label="Picture"> <button>Upload</button></form>
"""
PUBLIC = """<h1>Everybody's page</h1><button hx-get="/part">Part</button>"""
PART = """<turbo-frame id="part"><p>Here it is.</p></turbo-frame>"""


def echo() -> ResponseReturnValue:
    """What came in."""
    files = {name: hashlib.sha256(file.read()).hexdigest() for name, file in request.files.items()}
    got = {"method": request.method, "form": request.form.to_dict(), "files": files}
    return {**got, "body": "" if request.form or files else request.get_data(as_text=True)}


def form() -> ResponseReturnValue:
    return redirect(f"/more?text={request.form['text']}&size={len(request.files['file'].read())}", 303)


def report() -> ResponseReturnValue:
    return Response("all is well", headers={"Content-Disposition": "attachment; filename=report.txt"})


def events() -> ResponseReturnValue:
    """One event; the client is told to come again soon."""
    return Response(f"retry: 50\ndata: {current_session.user_id}\n\n", mimetype="text/event-stream")


@pytest.fixture
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Site:
    """The app, with the library that the test names."""
    return Site(tmp_path, getattr(request, "param", "htmx2"))


@pytest.fixture
def address(site: Site) -> Iterator[str]:
    with serve(site.app) as running:
        yield running.replace("127.0.0.1", "localhost")


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with quiet_contexts(browser.new_context, EXPECTED_ERROR) as make:
        context = make()
        context.set_default_timeout(10_000)
        yield context


@pytest.fixture
def page(context: BrowserContext, address: str) -> Page:
    """A page of somebody who has logged in."""
    page = context.new_page()
    log_in(page, address)
    return page


def log_in(page: Page, address: str) -> None:
    page.goto(address + "/")
    page.get_by_label("Name").fill("ada")
    press(page, "Log in")
    heading(page, "To do")


def press(page: Page, button: str) -> None:
    page.get_by_role("button", name=button, exact=True).click()


def heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


def watch(*pages: Page) -> list[str]:
    """What the pages ask, in the order of the answers."""
    seen: list[str] = []
    for page in pages:
        page.on("response", lambda got: seen.append(f"{got.request.method} /{got.url.split('/', 3)[3]} {got.status}"))
    return seen


HTMX = pytest.mark.parametrize("site", ["htmx2", "htmx4"], indirect=True)
TURBO = pytest.mark.parametrize("site", ["turbo"], indirect=True)


# -- htmx --------------------------------------------------------------------------------------------------------------


@HTMX
def test_htmx_posts_again_after_one_refresh_with_what_was_typed(site: Site, page: Page) -> None:
    """The list grows as if nothing had been; one refresh, and the form was sent with what was typed."""
    for number in range(2):
        site.expire()
        seen = watch(page)
        page.get_by_label("Thing").fill(f"thing {number}")
        press(page, "Add")
        expect(page.get_by_role("listitem")).to_have_text([f"thing {n}" for n in range(number + 1)])
        assert seen[:3] == ["POST /things 401", REFRESH, "POST /things 200"]


@HTMX
def test_htmx_uploads_again_after_a_refresh_with_the_file_as_it_is(
    site: Site, page: Page, address: str, tmp_path: Path
) -> None:
    """The file arrives as it is."""
    content = hashlib.shake_128(b"seed").digest(3_000_000)
    (tmp_path / "picture.bin").write_bytes(content)
    page.goto(address + "/more")
    page.get_by_label("Picture").set_input_files(tmp_path / "picture.bin")
    site.expire()
    press(page, "Upload")
    expect(page.locator("#got")).to_contain_text(hashlib.sha256(content).hexdigest())


@HTMX
def test_htmx_leads_to_the_sign_in_and_back_when_the_session_is_over(site: Site, page: Page, address: str) -> None:
    """The browser is sent to the log-in, and from there to the page that it was on."""
    site.end()
    press(page, "Add")
    heading(page, "Log in here")
    assert page.url == f"{address}/login?next=%2F"
    page.get_by_label("Name").fill("ada")
    press(page, "Log in")
    expect(page).to_have_url(address + "/")


def test_the_page_is_asked_for_again_where_there_is_no_sign_in_page(context: BrowserContext, tmp_path: Path) -> None:
    """The page is asked for again, and says so."""
    site = Site(tmp_path, "htmx2", SUPERTOKENS_LOGIN_URL=None)
    with serve(site.app) as running:
        page = context.new_page()
        page.goto(running.replace("127.0.0.1", "localhost") + "/login?next=/%3Fa%3Db")
        page.get_by_label("Name").fill("ada")
        press(page, "Log in")
        heading(page, "To do")
        site.end()
        press(page, "Add")
        heading(page, "Please log in")
        assert page.url.endswith("/?a=b")


@HTMX
def test_htmx_of_nobody_leads_to_the_sign_in(site: Site, context: BrowserContext, address: str) -> None:
    """Who was never logged in is sent to the log-in as well."""
    page = context.new_page()
    page.goto(address + "/public")
    press(page, "Part")
    heading(page, "Log in here")


@HTMX
def test_a_page_that_says_itself_that_the_session_is_over_keeps_the_browser(site: Site, page: Page) -> None:
    """It keeps the browser, and what was typed."""
    page.evaluate(ENDED)
    site.end()
    page.get_by_label("Thing").fill("unsaved")
    press(page, "Add")
    heading(page, "You are logged out")
    assert page.get_by_label("Thing").input_value() == "unsaved"


# -- Turbo -------------------------------------------------------------------------------------------------------------


@TURBO
def test_turbo_follows_a_link_with_an_expired_token_without_a_page_in_between(
    site: Site, page: Page, address: str
) -> None:
    """The next page, without a page of ours in between and without a load."""
    page.goto(address + "/more")
    page.evaluate("window.stays = true")
    site.expire()
    page.get_by_role("link", name="To do").click()
    heading(page, "To do")
    expect(page).to_have_url(address + "/")
    assert page.evaluate("window.stays") is True


@TURBO
def test_turbo_submits_text_and_file_with_an_expired_token(
    site: Site, page: Page, address: str, tmp_path: Path
) -> None:
    """Text and file arrive, and the redirect is followed."""
    (tmp_path / "picture.bin").write_bytes(b"a" * 100_000)
    page.goto(address + "/more")
    page.locator("input[name=file]").first.set_input_files(tmp_path / "picture.bin")
    site.expire()
    press(page, "Send")
    expect(page).to_have_url(f"{address}/more?text=%C3%A4%20&%20b=&size=100000".replace("&%20b=", "&%20b"))


@TURBO
def test_turbo_fills_a_frame_with_an_expired_token(site: Site, page: Page, address: str) -> None:
    """The part comes."""
    page.goto(address + "/more")
    site.expire()
    page.get_by_role("link", name="Part").click()
    expect(page.get_by_text("Here it is.")).to_be_visible()


@TURBO
@pytest.mark.parametrize("act", ["To do", "Send", "Part"])
def test_turbo_leads_to_the_sign_in_and_back_when_the_session_is_over(
    site: Site, page: Page, address: str, act: str
) -> None:
    """A link, a form, a frame: the log-in, which leads back."""
    page.goto(address + "/more")
    site.end()
    page.get_by_role("button" if act == "Send" else "link", name=act, exact=True).click()
    heading(page, "Log in here")
    assert page.url in (f"{address}/login?next=%2Fmore", f"{address}/login?next=/")


# -- calls of one's own ------------------------------------------------------------------------------------------------

CALLS = {
    "text": "fetch('/echo', {method: 'PUT', body: 'a'})",
    "form": "fetch('/echo', {method: 'POST', body: new URLSearchParams({a: 'b'})})",
    "Request": "fetch(new Request('/echo', {method: 'POST', body: JSON.stringify({a: 1})}))",
    "Request and more": "fetch(new Request('/echo', {method: 'POST', body: 'x'}), {body: 'a', headers: {'X-Y': 'z'}})",
    "blob": "fetch(new URL('/echo', location.href), {method: 'POST', body: new Blob(['a'.repeat(1e6)])})",
    "delete": "fetch('/echo', {method: 'DELETE'})",
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("mode", ["NONE", "VIA_CUSTOM_HEADER", "VIA_TOKEN"])
def test_a_call_with_an_expired_token_is_answered_as_with_a_fresh_one(
    context: BrowserContext, tmp_path: Path, mode: str, call: str
) -> None:
    """It is answered as with a fresh one, whatever it is and in every anti-CSRF mode."""
    site = Site(tmp_path, "htmx2", SUPERTOKENS_ANTI_CSRF=mode)
    with serve(site.app) as running:
        page = context.new_page()
        log_in(page, running.replace("127.0.0.1", "localhost"))
        page.evaluate("SuperTokensFetch.refresh()")
        fresh = page.evaluate(f"async () => (await {call}).json()")
        site.expire()
        assert page.evaluate(f"async () => (await {call}).json()") == fresh
        assert fresh["method"] in ("PUT", "POST", "DELETE")


def test_calls_of_two_tabs_at_once_make_one_refresh(
    site: Site, page: Page, context: BrowserContext, address: str
) -> None:
    """Five calls of each, half of them by XMLHttpRequest: ten answers, one refresh."""
    tabs = [page, context.new_page()]
    tabs[1].goto(address + "/")
    site.expire()
    seen = watch(*tabs)
    for tab in tabs:
        tab.evaluate(
            f"{XHR}; window.five = Promise.all([1, 2, 3, 4, 5].map((n) => n % 2 ? fetch('/part') : xhr('/part')))"
        )
    said = [tab.evaluate("async () => (await window.five).map((answer) => answer.status)") for tab in tabs]
    assert said == [[200] * 5] * 2
    assert seen.count(REFRESH) == 1


def test_a_call_whose_session_is_over_gets_its_401_and_the_page_stays(site: Site, page: Page, address: str) -> None:
    """The call gets its 401, the page stays, and nothing goes round in circles."""
    site.end()
    seen = watch(page)
    assert page.evaluate("async () => (await fetch('/part')).json()") == {"message": "unauthorised"}
    assert page.evaluate("async () => (await fetch('/part')).status") == 401
    assert seen == ["GET /part 401", "POST /refresh 401", "GET /part 401", "GET /part 401"]
    assert page.url == address + "/"


def test_a_call_gets_the_503_of_the_refresh_while_the_store_is_down(site: Site, page: Page) -> None:
    """The call gets the 503 of the refresh; afterwards the user is still logged in."""
    site.expire()
    site.store.down = True
    assert page.evaluate("async () => (await fetch('/part')).status") == 503
    site.store.down = False
    assert page.evaluate("async () => (await fetch('/part')).status") == 200


def test_a_call_is_repeated_once_where_a_refresh_does_not_help(site: Site, page: Page) -> None:
    """A call is repeated once."""
    site.app.view_functions["/part"] = raise_stale
    seen = watch(page)
    assert page.evaluate("async () => (await fetch('/part')).status") == 401
    assert page.evaluate(f"async () => {{ {XHR}; return (await xhr('/part')).status; }}") == 401
    assert seen == ["GET /part 401", REFRESH, "GET /part 401"] * 2


def raise_stale() -> None:
    from flask_supertokens import TryRefreshTokenError

    raise TryRefreshTokenError


def test_a_403_is_not_refreshed_away(site: Site, page: Page) -> None:
    """403 is not refreshed away."""
    site.app.view_functions["/part"] = raise_invalid
    seen = watch(page)
    assert page.evaluate("async () => (await fetch('/part')).status") == 403
    assert seen == ["GET /part 403"]


def raise_invalid() -> None:
    raise InvalidClaimError


def test_a_call_to_another_origin_is_made_as_it_stands(site: Site, page: Page) -> None:
    """It is made as it stands: no header of ours, no refresh."""
    asked: list[dict[str, str]] = []

    def other(route: Any) -> None:
        asked.append(route.request.headers)
        route.fulfill(status=401, json={"message": "try refresh token"}, headers={"Access-Control-Allow-Origin": "*"})

    page.route("http://other.localhost/**", other)
    seen = watch(page)
    assert page.evaluate("async () => (await fetch('http://other.localhost/x')).status") == 401
    assert page.evaluate(f"async () => {{ {XHR}; return (await xhr('http://other.localhost/x')).status; }}") == 401
    assert ["rid" in headers for headers in asked] == [False, False]
    assert [line for line in seen if "refresh" in line] == []


# -- XMLHttpRequest ----------------------------------------------------------------------------------------------------

XHR = """window.xhr = (url, { method = "GET", type = "", body = null, headers = {} } = {}) => new Promise((done) => {
    const call = new XMLHttpRequest();
    const heard = [];
    for (const name of ["load", "loadend", "error", "abort"]) call.addEventListener(name, () => heard.push(name));
    call.onreadystatechange = () => call.readyState === 4 && heard.push("done");
    call.open(method, url);
    call.responseType = type;
    for (const [name, value] of Object.entries(headers)) call.setRequestHeader(name, value);
    call.onloadend = async () => {
        const got = call.response instanceof Blob ? await call.response.text() : call.response;
        done({ status: call.status, got: typeof got === "string" ? got : JSON.stringify(got), heard });
    };
    call.send(body);
})"""


@pytest.mark.parametrize("kind", ["", "text", "json", "blob"])
def test_an_old_call_with_an_expired_token_hears_of_the_second_response_only(site: Site, page: Page, kind: str) -> None:
    """The page hears of the second answer only, each event once."""
    page.evaluate(XHR)
    options = {"method": "POST", "type": kind, "body": "a", "headers": {"Content-Type": "text/x"}}
    fresh = page.evaluate("(options) => xhr('/echo', options)", options)
    site.expire()
    again = page.evaluate("(options) => xhr('/echo', options)", options)
    assert again == fresh
    assert (again["status"], again["heard"]) == (200, ["done", "load", "loadend"])


def test_an_old_call_that_is_aborted_while_it_refreshes_is_not_made_again(site: Site, page: Page) -> None:
    """It is not made again."""
    site.expire()
    seen = watch(page)
    page.evaluate(
        """() => new Promise((done) => {
            const call = new XMLHttpRequest();
            const { addEventListener } = call;
            call.open("GET", "/part");
            call.send();
            navigator.locks.request("x", async () => {
                while (call.readyState < 4) await new Promise((go) => setTimeout(go, 1));
                call.abort();
                setTimeout(done, 500);
            });
        })"""
    )
    assert seen.count("GET /part 200") == 0


# -- files, events, mounts ---------------------------------------------------------------------------------------------


def test_a_link_with_download_is_followed_after_a_refresh_if_one_is_needed(
    site: Site, page: Page, address: str
) -> None:
    """It is followed after a refresh; while the token is fresh none is needed."""
    page.goto(address + "/more")
    site.expire()
    seen = watch(page)
    for _ in range(2):
        with page.expect_download() as file:
            page.get_by_role("link", name="Report").click()
        assert Path(file.value.path()).read_text() == "all is well"
    assert seen.count(REFRESH) == 1
    heading(page, "More")


def test_an_event_source_refreshes_and_opens_again_until_the_session_is_over(site: Site, page: Page) -> None:
    """After the token has expired it refreshes, and goes on; when the session is over it is closed, and says so."""
    said: list[str] = []
    page.on("console", lambda line: said.append(line.text) if line.type == "info" else None)
    page.evaluate(f"{EVENTS} window.events = events; events.onerror = () => {{ window.failed = events.readyState; }};")
    page.wait_for_timeout(300)
    with page.expect_response("**/refresh"):
        site.expire()
    said.clear()
    page.wait_for_timeout(300)
    assert said[:2] == ["ada", "ada"]
    site.end()
    page.wait_for_function("window.failed === EventSource.CLOSED")


def test_the_script_of_a_mounted_app_finds_its_routes_below_the_script_root(
    context: BrowserContext, tmp_path: Path
) -> None:
    """The script finds the refresh route and the log-in below the script root."""
    site = Site(tmp_path, "htmx2")
    with serve(DispatcherMiddleware(Response("no", 404), {"/shop": site.app})) as running:
        page, address = context.new_page(), running.replace("127.0.0.1", "localhost") + "/shop"
        page.goto(address + "/login?next=/shop/more")
        page.get_by_label("Name").fill("ada")
        press(page, "Log in")
        heading(page, "More")
        site.expire()
        assert page.evaluate("async () => (await fetch('/shop/part')).status") == 200
        site.end()
        press(page, "Upload")
        expect(page).to_have_url(f"{address}/login?next=%2Fshop%2Fmore")
