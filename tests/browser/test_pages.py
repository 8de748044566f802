"""Server-rendered pages in a real browser: what its user sees when a token expires, a session ends, the store is down."""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, redirect
from playwright.sync_api import Browser, BrowserContext, Download, Page, Response, expect

from flask_supertokens import list_sessions, revoke_all_sessions_for_user, verify_session
from tests.support.apps import BrokenStore
from tests.support.both import serve
from tests.support.browser import CHROMIUM_ARGUMENTS, chromium, quiet_contexts
from tests.support.gunicorn import gunicorn
from tests.support.rendered import LIFETIME, REPORT, create_app

pytestmark = pytest.mark.browser

EXPECTED_ERROR = r"Failed to load resource: the server responded with a status of (401|403|413|503)"
MEGABYTE = 1_000_000
NewContext = Callable[..., BrowserContext]
SCRIPTS = pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])


@pytest.fixture
def store() -> BrokenStore:
    return BrokenStore()


@pytest.fixture
def app(store: BrokenStore) -> Flask:
    return create_app(store)


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    """The app on a server with threads; a secure context, as all of localhost is."""
    with serve(app) as address:
        yield address.replace("127.0.0.1", "localhost")


@pytest.fixture
def a_browser(browser: Browser) -> Iterator[NewContext]:
    """Makes browsers, with scripts or without; a page that breaks the app's policy would complain."""
    options: dict[str, Any] = {}
    with quiet_contexts(lambda: browser.new_context(**options), EXPECTED_ERROR) as make:

        def a_browser(*, scripts: bool = True, **more: Any) -> BrowserContext:
            options.clear()
            options.update(java_script_enabled=scripts, **more)
            context = make()
            context.set_default_timeout(10_000)
            return context

        yield a_browser


def log_in(page: Page, address: str, path: str = "/letter") -> None:
    """Ask for a page, be sent to the log-in, and come back."""
    page.goto(address + path)
    expect(page.get_by_role("heading", name="Log in here")).to_be_visible()
    page.get_by_label("Name").fill("ada")
    press(page, "Log in")
    expect(page).to_have_url(address + path)


def press(page: Page, button: str) -> None:
    page.get_by_role("button", name=button, exact=True).click()


def let_it_expire() -> None:
    time.sleep(LIFETIME + 0.1)


def watch(page: Page) -> list[tuple[str, str, int]]:
    """The pages and redirects that this tab gets from now on."""
    seen: list[tuple[str, str, int]] = []

    def note(response: Response) -> None:
        if response.request.is_navigation_request():
            seen.append((response.request.method, "/" + response.url.split("/", 3)[3], response.status))

    page.on("response", note)
    return seen


def heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


def answer(page: Page) -> dict[str, Any]:
    """What a form's view says that it got."""
    answer: dict[str, Any] = json.loads(page.locator("pre").inner_text())
    return answer


# -- a page ------------------------------------------------------------------------------------------------------------


@SCRIPTS
def test_a_link_with_an_expired_token_leads_to_its_page_after_a_hop(
    address: str, a_browser: NewContext, scripts: bool
) -> None:
    """The page comes by itself, or at the press of a button, at its own address; a strict policy lets it."""
    page = a_browser(scripts=scripts).new_page()
    log_in(page, address)
    let_it_expire()
    seen, path = watch(page), "/letter?a=b&c=%C3%A4%20+&d=\\x"
    page.goto(address + path)
    if not scripts:
        heading(page, "One moment")
        press(page, "Go on")
    heading(page, "Write a letter")
    expect(page.locator("#user")).to_have_text("ada")
    assert page.url == address + (path if scripts else path.replace("\\", "%5C"))
    by_form = [] if scripts else [("POST", 303)]
    assert [(method, status) for method, _, status in seen] == [("GET", 401), *by_form, ("GET", 200)]


@SCRIPTS
def test_a_hop_may_end_at_another_origin_that_the_page_redirects_to(
    app: Flask, address: str, a_browser: NewContext, scripts: bool
) -> None:
    """The hop's form may end at another origin, where the page redirects to."""
    elsewhere = address.replace("localhost", "127.0.0.1") + "/"
    app.add_url_rule("/elsewhere", view_func=verify_session(lambda: redirect(elsewhere)), endpoint="elsewhere")
    page = a_browser(scripts=scripts).new_page()
    log_in(page, address)
    let_it_expire()
    page.goto(address + "/elsewhere")
    if not scripts:
        press(page, "Go on")
    heading(page, "Everybody's page")
    assert page.url == elsewhere


def test_a_hop_in_a_frame_of_the_app_s_own_brings_its_page(app: Flask, address: str, a_browser: NewContext) -> None:
    """The hop happens in it, where the frame is the app's own."""
    app.add_url_rule("/frame", "frame", lambda: "<iframe src='/framed'></iframe>")
    framed = {"Content-Security-Policy": "frame-ancestors 'self'"}
    app.add_url_rule("/framed", "framed", verify_session(lambda: ("<h1>In a frame</h1>", framed)))
    page = a_browser().new_page()
    log_in(page, address)
    let_it_expire()
    page.goto(address + "/frame")
    expect(page.frame_locator("iframe").get_by_role("heading")).to_have_text("In a frame")


def test_the_way_back_after_a_hop_leads_to_the_page_before(address: str, a_browser: NewContext) -> None:
    """The browser's *back* leads to the page before, not into the hop."""
    page = a_browser().new_page()
    log_in(page, address)
    page.goto(address + "/")
    let_it_expire()
    page.goto(address + "/letter?once")
    heading(page, "Write a letter")
    page.go_back()
    heading(page, "Everybody's page")


def test_a_hop_adds_nothing_to_the_history_and_keeps_the_fragment(address: str, a_browser: NewContext) -> None:
    """The fragment is that of the address."""
    page = a_browser().new_page()
    log_in(page, address)
    page.goto(address + "/")
    length = page.evaluate("history.length")
    let_it_expire()
    page.goto(address + "/letter?a=b#text")
    heading(page, "Write a letter")
    assert (page.url, page.evaluate("history.length")) == (address + "/letter?a=b#text", length + 1)


def test_three_tabs_with_an_expired_token_find_their_pages_and_no_thief(address: str, a_browser: NewContext) -> None:
    """As when a browser starts again: each finds its page, and nobody is a thief."""
    context = a_browser()
    log_in(context.new_page(), address)
    let_it_expire()
    tabs = [context.new_page() for _ in range(3)]
    for number, tab in enumerate(tabs):
        tab.evaluate("url => { location.href = url }", f"{address}/letter?{number}")
    for tab in tabs:
        heading(tab, "Write a letter")


def test_a_hop_helps_each_time_that_a_token_expires(address: str, a_browser: NewContext) -> None:
    """Each time a hop helps: the mark of the one before is gone by then."""
    page = a_browser().new_page()
    log_in(page, address)
    for number in range(2):
        let_it_expire()
        page.goto(f"{address}/letter?{number}")
        heading(page, "Write a letter")


# -- a file ------------------------------------------------------------------------------------------------------------


def save_download(download: Download) -> str:
    return Path(download.path()).read_text()


def test_a_file_arrives_after_a_hop_and_the_browser_shows_the_page_before(address: str, a_browser: NewContext) -> None:
    """It arrives, and the browser shows the page that it was on; twice in a row."""
    page = a_browser().new_page()
    log_in(page, address, "/files")
    for _ in range(2):
        let_it_expire()
        with page.expect_download() as file:
            page.get_by_role("link", name="Report", exact=True).click()
        assert save_download(file.value) == REPORT
        heading(page, "Your files")
        expect(page).to_have_url(address + "/files")


def test_a_file_in_a_new_tab_arrives_and_the_tab_says_that_it_can_be_closed(
    address: str, a_browser: NewContext
) -> None:
    """There is nowhere to go back to: the tab says that it can be closed."""
    context = a_browser()
    page = context.new_page()
    log_in(page, address, "/files")
    let_it_expire()
    with context.expect_page() as opened:
        page.get_by_role("link", name="Report in a tab").click()
    heading(opened.value, "Your download has started")
    expect(opened.value.get_by_text("You can close this page, or go back.")).to_be_visible()
    expect(opened.value.get_by_role("button")).to_be_hidden()


def test_a_204_after_a_hop_leaves_the_browser_on_its_page(address: str, a_browser: NewContext) -> None:
    """An answer without content (204) leaves the browser on its page, as it does without a hop."""
    page = a_browser().new_page()
    log_in(page, address, "/files")
    let_it_expire()
    page.get_by_role("link", name="Nothing").click()
    page.wait_for_url(address + "/nothing")
    expect(page).to_have_url(address + "/files")


def test_a_file_without_scripts_is_saved_by_the_button(address: str, a_browser: NewContext) -> None:
    """The button saves it, and the page says what to do then."""
    page = a_browser(scripts=False).new_page()
    log_in(page, address, "/files")
    let_it_expire()
    page.get_by_role("link", name="Report", exact=True).click()
    with page.expect_download() as file:
        press(page, "Go on")
    assert save_download(file.value) == REPORT
    expect(page.get_by_text("If a file was saved, go back.")).to_be_visible()


# -- a form ------------------------------------------------------------------------------------------------------------


@SCRIPTS
def test_a_long_form_with_an_expired_token_loses_nothing_that_was_typed(
    address: str, a_browser: NewContext, scripts: bool
) -> None:
    """Nothing that was typed is lost, and nothing is asked."""
    page = a_browser(scripts=scripts).new_page()
    log_in(page, address, "/letter?to=bob")
    text = "Dear Bob,\r\n" + "ä€🐫 & = % + \\ \" ' <b>\r\n" * 200
    page.get_by_label("Title").fill("On ✓ tokens")
    page.get_by_label("Text").fill(text)
    page.get_by_label("Kind").select_option("b")
    page.get_by_label("Tick").check()
    let_it_expire()
    seen = watch(page)
    press(page, "Send")
    typed = {"title": "On ✓ tokens", "text": text, "kind": "b", "tick": "on"}
    expect(page).to_have_url(address + "/letter?to=bob")
    assert answer(page) == {"typed": typed, "query": {"to": "bob"}, "user": "ada"}
    assert [(method, status) for method, _, status in seen] == [("POST", 307), ("POST", 307), ("POST", 200)]


WORKERS = [("--worker-class", "sync"), ("--worker-class", "gthread", "--threads", "4")]


@pytest.fixture(params=WORKERS, ids=lambda options: options[1])
def gunicorn_address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The app under gunicorn, which may cut off a client that still sends."""
    monkeypatch.setenv("RENDERED_SUPERTOKENS_DATABASE_URI", f"sqlite:///{tmp_path / 'sessions.sqlite3'}")
    monkeypatch.setenv("RENDERED_MAX_CONTENT_LENGTH", str(6 * MEGABYTE))
    with gunicorn(tmp_path, "tests.support.rendered:create_app()", *request.param) as port:
        yield f"http://localhost:{port}"


def a_file(folder: Path, size: int) -> tuple[Path, str]:
    """A file, and what its content comes down to."""
    content = hashlib.shake_128(b"seed").digest(size)
    (folder / "picture.bin").write_bytes(content)
    return folder / "picture.bin", hashlib.sha256(content).hexdigest()


@SCRIPTS
def test_a_large_file_with_an_expired_token_arrives(
    gunicorn_address: str, a_browser: NewContext, tmp_path: Path, scripts: bool
) -> None:
    """Five megabytes go round, and arrive."""
    page = a_browser(scripts=scripts).new_page()
    log_in(page, gunicorn_address)
    file, digest = a_file(tmp_path, 5 * MEGABYTE)
    page.get_by_label("File").set_input_files(file)
    page.get_by_label("About it").fill("Grüße")
    let_it_expire()
    press(page, "Upload")
    expect(page).to_have_url(gunicorn_address + "/file")
    assert answer(page) == {"about": "Grüße", "name": "picture.bin", "size": 5 * MEGABYTE, "digest": digest}


@SCRIPTS
def test_a_file_that_is_too_large_is_told_in_a_sentence_and_the_session_goes_on(
    gunicorn_address: str, a_browser: NewContext, tmp_path: Path, scripts: bool
) -> None:
    """A sentence instead of a broken connection, and the session goes on."""
    page = a_browser(scripts=scripts).new_page()
    log_in(page, gunicorn_address)
    page.get_by_label("File").set_input_files(a_file(tmp_path, 30 * MEGABYTE)[0])
    let_it_expire()
    press(page, "Upload")
    expect(page.get_by_text("larger than 6000000 bytes, which is all that this app takes")).to_be_visible()
    page.goto(gunicorn_address + "/letter")
    if not scripts:
        press(page, "Go on")
    expect(page.locator("#user")).to_have_text("ada")


def test_an_upload_of_nobody_leads_to_the_sign_in_and_back_to_its_form(
    gunicorn_address: str, a_browser: NewContext, tmp_path: Path
) -> None:
    """The browser is sent to the log-in, and from there back to the page that the form was on."""
    context = a_browser(scripts=False)
    page = context.new_page()
    log_in(page, gunicorn_address)
    page.get_by_label("File").set_input_files(a_file(tmp_path, 5 * MEGABYTE)[0])
    context.clear_cookies()
    press(page, "Upload")
    heading(page, "Log in here")
    assert page.url == f"{gunicorn_address}/login?next=/letter"


# -- the end of a session ----------------------------------------------------------------------------------------------


def end_all_sessions(app: Flask) -> None:
    with app.app_context():
        assert revoke_all_sessions_for_user("ada")


@SCRIPTS
def test_an_ended_session_leads_to_the_sign_in_and_leaves_no_cookie(
    app: Flask, address: str, a_browser: NewContext, scripts: bool
) -> None:
    """A page leads to the log-in and back, a public page stays what it is, and no cookie of the session is left."""
    context = a_browser(scripts=scripts)
    page = context.new_page()
    log_in(page, address, "/letter?a=b")
    end_all_sessions(app)
    let_it_expire()
    for path, found in (("/maybe", "Hello stranger"), ("/letter?a=b", "Log in here")):
        page.goto(address + path)
        if path == "/maybe" and not scripts:
            press(page, "Go on")
        heading(page, found)
    assert [cookie["name"] for cookie in context.cookies() if "Token" in cookie["name"]] == []
    page.get_by_label("Name").fill("ada")
    press(page, "Log in")
    expect(page).to_have_url(address + "/letter?a=b")


@pytest.mark.parametrize("path", ["/never", "/never?a=b"])
def test_a_hop_that_never_helps_ends_in_a_page_that_says_so(address: str, a_browser: NewContext, path: str) -> None:
    """One hop, then a page that says so; a reload tries once more, and no more than that."""
    page = a_browser().new_page()
    log_in(page, address)
    seen = watch(page)
    for _ in range(2):
        page.goto(address + path)
        heading(page, "Your session has ended")
    assert [status for _, _, status in seen] == [401, 401] * 2


def test_a_stolen_session_is_over_for_owner_and_thief_and_the_owner_is_told(
    address: str, a_browser: NewContext
) -> None:
    """The owner sees the page on theft; the thief is out as well."""
    owner, thief = a_browser(), a_browser()
    page, other = owner.new_page(), thief.new_page()
    log_in(page, address)
    thief.add_cookies(owner.cookies())  # type: ignore[arg-type]
    for _ in range(2):
        let_it_expire()
        other.goto(address + "/letter")
        heading(other, "Write a letter")
    page.goto(address + "/letter")
    heading(page, "You have been logged out")
    expect(page.get_by_role("link", name="Log in")).to_have_attribute("href", "/login?next=/letter")
    let_it_expire()
    other.goto(address + "/letter")
    heading(other, "Log in here")


# -- other pages -------------------------------------------------------------------------------------------------------


@SCRIPTS
def test_the_page_of_a_503_says_when_to_try_again_and_the_user_stays_signed_in(
    store: BrokenStore, address: str, a_browser: NewContext, scripts: bool
) -> None:
    """The page says when to try again; afterwards the user is still logged in, and a form is sent again by a reload."""
    page = a_browser(scripts=scripts).new_page()
    log_in(page, address)
    page.get_by_label("Title").fill("typed before")
    let_it_expire()
    store.down = True
    with page.expect_response(lambda response: response.status == 503) as refused:
        press(page, "Send")
    heading(page, "Please try again in a moment")
    assert refused.value.headers["retry-after"] == "2"
    store.down = False
    page.reload()
    assert answer(page)["typed"]["title"] == "typed before"


def test_try_again_leads_to_the_page_and_not_to_the_refresh_route(
    store: BrokenStore, address: str, a_browser: NewContext
) -> None:
    """*Try again* leads to the page, not to the refresh route."""
    page = a_browser().new_page()
    log_in(page, address, "/letter?a=b")
    let_it_expire()
    store.down = True
    page.goto(address + "/letter?a=b")
    heading(page, "Please try again in a moment")
    store.down = False
    page.get_by_role("link", name="Try again").click()
    heading(page, "Write a letter")
    expect(page).to_have_url(address + "/letter?a=b")


@pytest.mark.parametrize(("path", "text"), [("/admin", "Not allowed"), ("/fresh", "Please log in again")])
def test_a_claim_that_does_not_suffice_leads_to_a_page_and_the_sign_in(
    address: str, a_browser: NewContext, path: str, text: str
) -> None:
    """A page, and a way to the log-in."""
    page = a_browser().new_page()
    log_in(page, address)
    time.sleep(1)
    page.goto(address + path)
    heading(page, text)
    expect(page.get_by_role("link", name="Log in")).to_have_attribute("href", f"/login?next={path}")


# -- signing out -------------------------------------------------------------------------------------------------------


@SCRIPTS
@pytest.mark.parametrize("expires", [False, True], ids=["fresh", "expired"])
def test_a_form_signs_out_with_an_expired_token_too(
    app: Flask, address: str, a_browser: NewContext, expires: bool, scripts: bool
) -> None:
    """The session is over, with an expired token too, and the browser goes on."""
    context = a_browser(scripts=scripts)
    page = context.new_page()
    log_in(page, address)
    if expires:
        let_it_expire()
    press(page, "Log out")
    expect(page).to_have_url(address + "/?left=1")
    assert [cookie["name"] for cookie in context.cookies() if "Token" in cookie["name"]] == []
    with app.app_context():
        assert list_sessions("ada") == []


# -- anti-CSRF ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["VIA_CUSTOM_HEADER", "VIA_TOKEN"])
def test_our_own_forms_refresh_and_sign_out_with_anti_csrf_on(a_browser: NewContext, mode: str) -> None:
    """Our own forms refresh and sign out without a header of a script."""
    with serve(create_app(SUPERTOKENS_ANTI_CSRF=mode)) as served_at:
        address = served_at.replace("127.0.0.1", "localhost")
        page = a_browser().new_page()
        log_in(page, address)
        let_it_expire()
        page.goto(address + "/letter")
        heading(page, "Write a letter")
        let_it_expire()
        press(page, "Log out")
        expect(page).to_have_url(address + "/?left=1")


@pytest.mark.parametrize("expires", [False, True], ids=["fresh", "expired"])
def test_a_post_from_a_page_of_another_site_is_a_403_and_nothing_else_happens(
    app: Flask, address: str, a_browser: NewContext, expires: bool
) -> None:
    """403 where its form brings the cookies (a sibling host, SameSite notwithstanding), and nothing else happens."""
    page = a_browser().new_page()
    address = address.replace("localhost", "app.site.localhost")
    log_in(page, address)
    if expires:
        let_it_expire()
    for path in ("/letter", "/refresh?next=/letter&replay=1", "/signout"):
        page.route("**/evil", functools.partial(_evil, action=address + path))
        page.goto(address.replace("app", "evil") + "/evil")
        seen = watch(page)
        press(page, "Win")
        heading(page, "Refused")
        assert [(method, status) for method, _, status in seen] == [("POST", 403)]
        page.unroute_all()
    with app.app_context():
        assert len(list_sessions("ada")) == 1


def _evil(route: Any, action: str) -> None:
    form = f'<form method="post" action="{action}"><input name="title" value="x"><button>Win</button></form>'
    route.fulfill(content_type="text/html", body=form)


@pytest.mark.parametrize(("policy", "title"), [("no-referrer", "Refused"), ("same-origin", None)])
def test_a_hop_works_where_the_app_sends_no_referrers_without_tls(
    browser: Browser, caplog: pytest.LogCaptureFixture, policy: str, title: str | None
) -> None:
    """Our page of the hop goes on; a form of the app's own can't be told from another site's under ``no-referrer``: the log
    says so.
    """
    app = create_app(SUPERTOKENS_COOKIE_SECURE=False)
    app.after_request(lambda response: response.headers.update({"Referrer-Policy": policy}) or response)
    arguments = [*CHROMIUM_ARGUMENTS, "--host-resolver-rules=MAP app.test 127.0.0.1"]
    with serve(app) as address, browser.browser_type.launch(executable_path=chromium(), args=arguments) as another:
        page = another.new_page()
        log_in(page, address.replace("127.0.0.1", "app.test"))
        let_it_expire()
        page.reload()
        heading(page, "Write a letter")
        press(page, "Send")
        assert (answer(page)["user"] if title is None else heading(page, title)) == ("ada" if title is None else None)
    assert any("Referrer-Policy: no-referrer" in text for text in caplog.messages) == (title is not None)


# -- scripts -----------------------------------------------------------------------------------------------------------


def test_a_script_never_gets_html(address: str, a_browser: NewContext) -> None:
    """Fetch and XMLHttpRequest are answered JSON, whatever they send and accept."""
    page = a_browser().new_page()
    log_in(page, address)
    let_it_expire()
    answers = page.evaluate(
        """async () => {
            const form = new URLSearchParams({ title: "x" });
            const calls = [{}, { headers: { Accept: "text/html" } }, { method: "POST", body: form },
                { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" }, { method: "PUT", body: "x" }];
            const answers = await Promise.all(calls.map((init) => fetch("/api", init)));
            const found = await Promise.all(answers.map(async (got) => [got.status, (await got.json()).message, got.redirected]));
            const old = new XMLHttpRequest();
            old.open("POST", "/api", false);
            old.setRequestHeader("Accept", "text/html");
            old.send(new FormData());
            return [...found, [old.status, JSON.parse(old.responseText).message, !old.responseURL.endsWith("/api")]];
        }"""
    )
    assert answers == [[401, "try refresh token", False]] * 6
