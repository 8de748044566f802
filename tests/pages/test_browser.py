"""What a browser that navigates is answered: pages, the refresh hop, ways to the log-in page, a sign-out by a form."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from flask import Blueprint, Flask, redirect, render_template_string
from jinja2 import DictLoader
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client, TestResponse

from flask_supertokens import (
    CrossSiteRequestError,
    GeneralError,
    InvalidClaimError,
    SessionTokens,
    SuperTokensError,
    TokenTheftError,
    TryRefreshTokenError,
    blueprint,
    browser,
    create_new_session,
    get_session,
    verify_session,
)

from ..support.apps import BrokenStore, a_session, add, an_app, clock_of, close_database, handles, signed_in, state_of
from ..support.cookies import parsed_cookie, set_cookies
from ..support.docs import ROOT, blocks
from ..support.plans import Clock
from ..support.wire import THEFT, TRY_REFRESH, UNAUTHORISED, call, cleared, untouched

HOUR = 3_600_000
PAGE = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
FORM = {**PAGE, "Content-Type": "application/x-www-form-urlencoded"}
FIREFOX_88 = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"}
LATE = SessionTokens("", 0, "")


def expired(app: Flask, **arguments: Any) -> SessionTokens:
    """The tokens of a session whose access token has expired."""
    tokens = signed_in(app, **arguments)
    clock_of(app).wait(HOUR + 1000)
    return tokens


def navigate(
    app: Flask, path: str, method: str = "GET", *, by: Mapping[str, str] = PAGE, **request: Any
) -> TestResponse:
    """A link, an address that was typed, or a form."""
    return call(app, method, path, headers={**by, **request.pop("headers", {})}, **request)


def submit(app: Flask, path: str, tokens: SessionTokens = LATE, **request: Any) -> TestResponse:
    """A form of our own, with the cookies of a session."""
    request = {"data": {"typed": "text"}, "access": tokens.access_token or None, **request}
    return navigate(app, path, "POST", by=request.pop("by", FORM), **request)


def title(response: TestResponse) -> str:
    """The heading of one of our pages."""
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    (found,) = re.findall(r"<h1>(.*?)</h1>", response.text)
    return str(found)


def form_of(response: TestResponse) -> tuple[str, str | None]:
    """Where the page's form goes to, and the hidden ``next``, if it has one."""
    assert title(response) == "One moment"
    (action,) = re.findall(r'<form id="supertokens-refresh" method="post" action="(.*?)">', response.text)
    hidden = re.findall(r'<input type="hidden" name="next" value="(.*?)">', response.text)
    return html.unescape(action), html.unescape(hidden[0]) if hidden else None


def files_of(app: Flask, response: TestResponse, **request: Any) -> list[str]:
    """The addresses of the page's files, which are there."""
    urls: list[str] = re.findall(r'(?:src|href)="(.*?)"', response.text)
    for url in urls:
        with call(app, "GET", url, **request) as file:
            assert file.status_code == 200
    return urls


def without_mark(response: TestResponse) -> TestResponse:
    """The answer without the mark of a hop, which has its own tests."""
    lines = response.headers.getlist("Set-Cookie")
    response.headers.setlist("Set-Cookie", [line for line in lines if not line.startswith("sRefreshHop=")])
    return response


def next_of(url: str | None) -> str | None:
    return parse_qs(urlsplit(url or "").query).get("next", [None])[0]


def login_link(response: TestResponse) -> str | None:
    found = re.findall(r'<a class="button" href="(.*?)">Log in</a>', response.text)
    return html.unescape(found[0]) if found else None


# -- who gets a page ---------------------------------------------------------------------------------------------------

SCRIPTS: list[tuple[str, dict[str, str]]] = [
    ("GET", {"Sec-Fetch-Mode": "cors", **FIREFOX_88}),
    ("GET", {"Sec-Fetch-Mode": "same-origin"}),
    ("GET", {"Sec-Fetch-Mode": "no-cors", **FIREFOX_88}),
    ("GET", {**FIREFOX_88, "X-Requested-With": "XMLHttpRequest"}),
    ("GET", {**FIREFOX_88, "rid": "anti-csrf"}),
    ("GET", {**FIREFOX_88, "st-auth-mode": "cookie"}),
    ("GET", {"Accept": "application/json"}),
    ("GET", {"Accept": "application/json, text/html;q=0.9"}),
    ("GET", {"Accept": "application/json, text/plain, */*"}),
    ("GET", {"Accept": "*/*"}),
    ("GET", {}),
    ("HEAD", {"Accept": "*/*"}),
    ("POST", {"Accept": "*/*", "Content-Type": "application/json"}),
    ("POST", {"Sec-Fetch-Mode": "cors", "Content-Type": "application/x-www-form-urlencoded"}),
    ("POST", {"Accept": "*/*", "Content-Type": "application/x-www-form-urlencoded"}),
    ("PUT", {"Sec-Fetch-Mode": "cors", "Accept": "text/html"}),
    ("DELETE", {"Accept": "*/*"}),
]


@pytest.mark.parametrize(("method", "headers"), SCRIPTS)
def test_a_script_gets_the_fixed_body_and_no_page(method: str, headers: dict[str, str]) -> None:
    """It never gets HTML, a redirect or a cookie: the fixed body only."""
    app = an_app(login_url="/login")
    for access, body in ((expired(app).access_token, TRY_REFRESH), (None, UNAUTHORISED)):
        response = call(app, method, "/me", access=access, headers=headers)
        assert (response.status_code, response.mimetype) == (401, "application/json")
        assert method == "HEAD" or response.json == body
        assert untouched(response)


@pytest.mark.parametrize("path", ["/refresh", "/signout"])
@pytest.mark.parametrize("headers", [headers for method, headers in SCRIPTS if method == "GET"])
def test_our_routes_give_a_script_json(path: str, headers: dict[str, str]) -> None:
    """JSON as ever."""
    app = an_app()
    tokens = signed_in(app)
    response = call(app, "POST", path, access=tokens.access_token, refresh=tokens.refresh_token, headers=headers)
    assert (response.status_code, response.json) == (200, {} if path == "/refresh" else {"status": "OK"})


@pytest.mark.parametrize("by", [PAGE, FIREFOX_88, {"Accept": "text/html"}])
def test_a_browser_that_navigates_gets_a_page(by: dict[str, str]) -> None:
    """A page; browsers of before Fetch Metadata are known by what they accept."""
    app = an_app()
    tokens = expired(app)
    assert title(navigate(app, "/me", by=by, access=tokens.access_token)) == "One moment"
    assert title(navigate(app, "/me", by=by)) == "Please log in"


def test_a_head_request_gets_the_status_of_the_page() -> None:
    """The status of the page, and nothing else."""
    app = an_app()
    response = navigate(app, "/me", "HEAD", access=expired(app).access_token)
    assert (response.status_code, response.mimetype, response.data) == (401, "text/html", b"")


# -- the hop: a page ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "returns"),
    [
        ("/me", "/me"),
        ("/me?a=b&c=%C3%A4%20+%26", "/me?a=b&c=%C3%A4%20+%26"),
        ("/me?a=\\b", "/me?a=%5Cb"),
        ("/me?a=[b]|{c}&d=e?f", "/me?a=%5Bb%5D%7Cc%7D&d=e?f".replace("%7Cc", "%7C%7Bc")),
        ("/me?a=\xc3\xa4", "/me?a=%C3%A4"),
        ("/any/100%25?b", "/any/100%25?b"),
        ("/any/a%3Fb%23c", "/any/a%3Fb%23c"),
        ("/any/%5Cevil.example", "/any/%5Cevil.example"),
        ("/any/%C3%A4%20", "/any/%C3%A4%20"),
    ],
)
def test_an_expired_token_leads_to_a_hop_that_knows_the_way_back(asked: str, returns: str) -> None:
    """A form that goes to the refresh route and knows the way back, query included."""
    app = an_app()
    app.add_url_rule("/any/<path:rest>", view_func=verify_session(lambda rest: rest))
    path, _, query = asked.partition("?")
    environ = {"QUERY_STRING": query}
    response = navigate(app, path, access=expired(app).access_token, environ_overrides=environ)
    action, hidden = form_of(response)
    assert (response.status_code, next_of(action), hidden) == (401, returns, None)
    assert (response.headers["Cache-Control"], untouched(response)) == ("no-store", True)
    assert cleared(response) == set()


def test_a_strict_policy_lets_the_page_of_the_hop_through() -> None:
    """A strict Content-Security-Policy lets it through: its script and its style are files of ours."""
    app = an_app()
    response = navigate(app, "/me", access=expired(app).access_token)
    assert not re.search(r"<style|style=|<script>|onload|onclick|javascript:|https?:", response.text)
    assert len(files_of(app, response)) == 2


def test_a_hop_leads_back_with_new_tokens_and_a_mark() -> None:
    """303 to the page, with new tokens, and a mark that ends after half of the token's life, ten seconds at most."""
    for lifetime, seconds in ((3600, 10), (8, 4), (1, 1)):
        app = an_app(access_token_lifetime=lifetime)
        tokens = expired(app)
        response = submit(app, "/refresh?next=/me%3Fa%3Db", tokens, refresh=tokens.refresh_token, data={})
        assert (response.status_code, response.headers["Location"]) == (303, "/me?a=b")
        cookies = {line.partition("=")[0]: line for line in response.headers.getlist("Set-Cookie")}
        assert cookies.keys() == {"sAccessToken", "sRefreshToken", "sRefreshHop"}
        assert re.search(rf"Max-Age={seconds}; HttpOnly; Path=/; SameSite=Lax$", cookies["sRefreshHop"])


@pytest.mark.parametrize(
    ("settings", "cookie"),
    [
        ({"cookie_secure": True}, "__Host-sRefreshHop=/refresh; Secure; HttpOnly; Path=/; SameSite=Lax"),
        ({"cookie_secure": True, "cookie_prefix": ""}, "sRefreshHop=/refresh; Secure; HttpOnly; Path=/; SameSite=Lax"),
        (
            {"cookie_secure": True, "cookie_same_site": "none"},
            "__Host-sRefreshHop=/refresh; Secure; HttpOnly; Path=/; SameSite=None",
        ),
        ({"cookie_same_site": "strict"}, "sRefreshHop=/refresh; HttpOnly; Path=/; SameSite=Strict"),
    ],
)
def test_the_mark_of_a_hop_has_the_attributes_of_the_session_cookies(settings: dict[str, Any], cookie: str) -> None:
    """It goes wherever the session's cookies go, in a frame of another site too."""
    response = submit(an_app(**settings), "/refresh")
    (line,) = [line for line in response.headers.getlist("Set-Cookie") if "Hop" in line]
    assert re.sub(" Expires=[^;]*;| Max-Age=10;", "", line) == cookie


def by_script(app: Flask, tokens: SessionTokens, path: str = "/refresh?next=/me", **request: Any) -> TestResponse:
    """The refresh of the script on the page of a hop."""
    marks = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin", "supertokens-hop": "1"}
    request = {"refresh": tokens.refresh_token, "access": tokens.access_token or None, "data": {}, **request}
    return call(app, "POST", path, headers={**marks, "Content-Type": FORM["Content-Type"]}, **request)


@pytest.mark.parametrize("anti_csrf", ["NONE", "VIA_CUSTOM_HEADER", "VIA_TOKEN"])
def test_a_hop_by_script_gets_a_mark_and_no_redirect(anti_csrf: str) -> None:
    """It is answered no redirect, since it asks for the page itself; the mark of the hop is set all the same."""
    app = an_app(anti_csrf=anti_csrf)
    response = by_script(app, expired(app, anti_csrf=anti_csrf == "VIA_TOKEN"))
    assert (response.status_code, response.json) == (200, {})
    cookies = {line.partition("=")[0] for line in response.headers.getlist("Set-Cookie")}
    assert cookies == {"sAccessToken", "sRefreshToken", "sRefreshHop"}


def test_a_hop_by_script_that_is_refused_leaves_no_tokens() -> None:
    """As by form: no tokens are left, and the page is asked for again."""
    response = by_script(an_app(login_url="/login"), SessionTokens("", 0, "", refresh_token="unknown"))
    assert (response.status_code, response.json) == (200, {})
    assert cleared(without_mark(response)) == {"cookie", "header"}


def test_a_hop_by_script_that_fails_gets_the_page_for_its_user() -> None:
    """The script gets the page that its user has to read, *try again* leads to where the browser was; other scripts get JSON."""
    store = BrokenStore()
    app = an_app(store)
    tokens = expired(app)
    store.down = True
    response = by_script(app, tokens, "/refresh?next=/me%3Fa")
    assert (response.status_code, title(response)) == (503, "Please try again in a moment")
    assert 'href="/me?a">Try again' in response.text
    response = call(app, "POST", "/me", access="garbage", headers={"Sec-Fetch-Mode": "cors", "supertokens-hop": "1"})
    assert response.json == UNAUTHORISED


FILE = {"Content-Disposition": "attachment; filename=a.txt"}


@pytest.mark.parametrize(
    ("answer", "mark", "told"),
    [
        (("a", FILE), "/refresh", True),
        (("", 204), "/refresh", True),
        (("a", {"Content-Disposition": "Attachment"}), "/refresh", True),
        (("a", {"Content-Disposition": "inline"}), "/refresh", False),
        (("a", {"Content-Type": "application/zip"}), "/refresh", True),
        (("a", {"Content-Type": "text/csv"}), "/refresh", True),
        (("a", {"Content-Type": "application/pdf"}), "/refresh", False),
        (("a", 302, {"Location": "/file", "Content-Type": "application/zip"}), "/refresh", False),
        (("a", 200), "/refresh", False),
        (("a", FILE), "/shop/refresh", False),
        (("a", FILE), None, False),
    ],
)
@pytest.mark.parametrize("prefix", ["", "__Host-"])
def test_a_file_after_a_hop_is_told_to_the_page_of_the_hop_by_a_cookie(
    prefix: str, answer: Any, mark: str | None, told: bool
) -> None:
    """The page of the hop is told by a cookie that it can read, and that it knew before; nobody else is told."""
    app = add(an_app(cookie_secure=bool(prefix)), lambda: answer)
    waiting = navigate(app, "/view?a=b", cookies=[] if mark is None else [f"{prefix}sRefreshHop={mark}"])
    lines = [line for line in waiting.headers.getlist("Set-Cookie") if "sDownload" in line]
    assert bool(lines) is told
    for line in lines:
        assert re.match(rf"{prefix}sDownload=\w{{16}}; Expires=.*; Max-Age=10; (Secure; )?Path=/; SameSite=Lax$", line)


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Mode": "no-cors"}, {"Sec-Fetch-Mode": "cors"}, {"Accept": "image/*,*/*"}]
)
def test_what_a_page_loads_after_a_hop_is_not_told_as_its_file(headers: dict[str, str]) -> None:
    """An icon that is not there (204), a script's call: the page of the hop still waits for the address that was asked for."""
    app = add(an_app(), lambda: ("", 204))
    back = call(app, "GET", "/view", cookies=["sRefreshHop=/refresh:0123456789abcdef"], headers=headers)
    assert back.status_code == 204
    assert "Set-Cookie" not in back.headers


def test_each_address_has_a_cookie_of_its_own_for_its_file() -> None:
    """It is the one that the file brings: another address has another."""
    app = add(an_app(), verify_session(lambda: ("a", FILE)))
    tokens, hopped = signed_in(app), {"cookies": ["sRefreshHop=/refresh"]}
    paths = ("/view?a=b", "/view?a=c")
    cookies = [navigate(app, path, access=tokens.access_token, **hopped).headers["Set-Cookie"] for path in paths]
    clock_of(app).wait(HOUR + 1000)
    (known,) = re.findall('data-cookie="(.*?)"', navigate(app, paths[0], access=tokens.access_token).text)
    assert [cookie.startswith(f"{known};") for cookie in cookies] == [True, False]


def test_a_file_behind_a_redirect_is_told_to_the_page_of_the_hop() -> None:
    """The page of the hop waits for the address that was asked for, and is told of the file that came at another one."""
    app = add(an_app(), verify_session(lambda: redirect("/file")))
    app.add_url_rule("/file", "file", verify_session(lambda: ("a", FILE)))
    tokens = expired(app)
    page = navigate(app, "/view?a=b", access=tokens.access_token)
    (known,) = re.findall('data-cookie="(.*?)"', page.text)
    action, _ = form_of(page)
    back = submit(app, action, tokens, refresh=tokens.refresh_token)
    kept = {cookie.name: cookie.value for cookie in set_cookies(back).values()}
    jar = [f"{name}={value}" for name, value in kept.items()]
    assert navigate(app, "/file", cookies=jar).headers["Set-Cookie"].startswith(f"{known};")


def test_the_mark_of_a_hop_is_partitioned_as_the_session_cookies_are() -> None:
    """As the session's cookies are, when it is set and when it is removed."""
    app = an_app(cookie_partitioned=True, cookie_secure=None, cookie_prefix="")
    add(app, verify_session(lambda: "never reached"))
    access = expired(app).access_token
    after = navigate(app, "/view", access=access, cookies=["sRefreshHop=/refresh"])
    for response in (submit(app, "/refresh"), after):
        (line,) = [line for line in response.headers.getlist("Set-Cookie") if "Hop" in line]
        assert parsed_cookie(line).partitioned, line


def test_a_refused_hop_leads_back_to_the_page_without_tokens() -> None:
    """Back to the page all the same, without tokens: a public page stays reachable, another one leads to the log-in."""
    app = an_app(login_url="/login")
    response = submit(app, "/refresh?next=/maybe", refresh="unknown")
    assert (response.status_code, response.headers["Location"]) == (303, "/maybe")
    assert cleared(without_mark(response)) == {"cookie", "header"}
    assert navigate(app, "/maybe", cookies=["sRefreshHop=/refresh"]).json == {"user": None, "method": None}
    response = navigate(app, "/me?a=b", cookies=["sRefreshHop=/refresh"])
    assert (response.status_code, response.headers["Location"]) == (303, "/login?next=/me%3Fa%3Db")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_hop_that_did_not_help_ends_in_a_page_and_not_in_a_loop(method: str) -> None:
    """The second time there is a page instead of a loop, and the third time may try again."""
    app = an_app(login_url="/login")
    add(app, verify_session(lambda: "never reached"))
    access = expired(app).access_token
    response = navigate(app, "/view", method, by=FORM, access=access, cookies=["sRefreshHop=/refresh"])
    assert (response.status_code, title(response)) == (401, "Your session has ended")
    (cookie,) = map(parsed_cookie, response.headers.getlist("Set-Cookie"))
    assert (cookie.name, cookie.cleared) == ("sRefreshHop", True)


def test_the_mark_of_another_app_of_this_origin_is_ignored() -> None:
    """Its mark is not ours: the browser gets its own hop here."""
    app = an_app()
    response = navigate(app, "/me", access=expired(app).access_token, cookies=["sRefreshHop=/shop/refresh"])
    assert form_of(response)[0] == "/refresh?next=/me"


def test_a_refresh_view_that_asks_for_a_refresh_is_no_page_to_come_back_to() -> None:
    """A view of the app's at that path that raises so is no page to come back to."""
    app = an_app(register_routes=False)
    add(app, verify_session(lambda: "never reached"), "/refresh")
    response = submit(app, "/refresh", expired(app))
    assert (response.status_code, title(response)) == (401, "Your session has ended")


def test_a_hop_with_doubled_cookies_is_repeated_once() -> None:
    """The old ones are removed, the refresh is repeated, and the browser comes back; it is repeated once only."""
    app = an_app(older_cookie_domain="old.example")
    tokens = expired(app)
    double = [f"sRefreshToken={tokens.refresh_token}"]
    request: dict[str, Any] = {"refresh": tokens.refresh_token, "data": {}}
    response = submit(app, "/refresh?next=/me", tokens, cookies=double, **request)
    again = response.headers["Location"]
    assert (response.status_code, again) == (307, "/refresh?next=/me&again=1")
    assert "Domain=old.example" in response.headers["Set-Cookie"]
    assert submit(app, again, tokens, **request).headers["Location"] == "/me"
    response = submit(app, again, tokens, cookies=double, **request)
    assert (response.status_code, title(response)) == (200, "Refused")


def test_an_address_too_long_for_a_redirect_travels_in_the_body() -> None:
    """A page's way back goes into the form's body."""
    app = an_app()
    tokens = expired(app)
    asked = "/me?q=" + "%C3%A4" * 500
    action, hidden = form_of(navigate(app, asked, access=tokens.access_token))
    assert (action, hidden) == ("/refresh", asked)
    response = submit(app, action, tokens, refresh=tokens.refresh_token, data={"next": hidden})
    assert (response.status_code, response.headers["Location"]) == (303, asked)
    response = submit(app, asked, tokens)
    assert (response.status_code, title(response)) == (401, "Your session has ended")


# -- the hop: a form ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"])
def test_a_form_with_an_expired_token_is_sent_on_twice_by_307(kind: str) -> None:
    """307 to the refresh route, 307 back: the browser sends the same body each time."""
    app = an_app()
    tokens = expired(app)
    by = {**PAGE, "Content-Type": kind}
    response = submit(app, "/me?a=b", tokens, by=by, data=b"typed")
    url = response.headers["Location"]
    assert (response.status_code, url) == (307, "/refresh?next=/me%3Fa%3Db&replay=1")
    response = submit(app, url, tokens, by=by, data=b"typed", refresh=tokens.refresh_token)
    assert (response.status_code, response.headers["Location"]) == (307, "/me?a=b")


@pytest.mark.parametrize("kind", ["application/json", "application/octet-stream", None])
def test_a_post_that_is_no_form_gets_a_page_and_is_not_repeated(kind: str | None) -> None:
    """A browser that navigates sends no such thing; there is a page, and nothing is repeated."""
    app = an_app()
    by = PAGE if kind is None else {**PAGE, "Content-Type": kind}
    response = submit(app, "/me", expired(app), by=by, data=b"{}")
    assert (response.status_code, title(response)) == (401, "Your session has ended")


def test_a_body_is_read_before_any_response() -> None:
    """Whatever the answer is: a server that leaves it unread may cut the connection."""
    app = an_app()
    tokens, url = expired(app), "/refresh?replay=1&next=/me"
    for path, access in (("/me", tokens.access_token), ("/me", None), (url, None)):
        body = BytesIO(b"a" * 200_000)
        call(app, "POST", path, access=access, headers=FORM, input_stream=body, content_length=200_000)
        assert body.read() == b""


@pytest.mark.parametrize("path", ["/me", "/refresh?next=/me&replay=1"])
def test_a_body_too_large_is_413_and_leaves_the_session(path: str) -> None:
    """413 and a sentence, and the session is as it was."""
    app = an_app(MAX_CONTENT_LENGTH=1000)
    tokens = expired(app)
    body = {"data": {"typed": "a" * 1001}, "refresh": tokens.refresh_token}
    response = submit(app, path, tokens, **body)
    assert response.status_code == 413
    assert "What you sent is larger than 1000 bytes, which is all that this app takes." in response.text
    assert "Set-Cookie" not in response.headers


def test_a_chunked_body_too_large_is_413() -> None:
    """Its length is not known beforehand; the answer is the same."""
    app = an_app(MAX_CONTENT_LENGTH=1000)
    chunks = {"wsgi.input": BytesIO(b"a" * 1001), "wsgi.input_terminated": True}
    response = call(app, "POST", "/me", access=expired(app).access_token, headers=FORM, environ_overrides=chunks)
    assert response.status_code == 413
    assert "What you sent is larger than 1000 bytes" in response.text


class Endless(BytesIO):
    """A body without an end, that counts what is read of it."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        assert (size or -1) >= 0, "read without a bound"
        assert size is not None
        self.taken += size
        return b"a" * size


@pytest.mark.parametrize("kind", [FORM["Content-Type"], "multipart/form-data; boundary=b", "image/png"])
@pytest.mark.parametrize("length", [None, 400_000_000])
@pytest.mark.parametrize("path", ["/me", "/refresh", "/refresh?next=/me&replay=1", "/signout"])
def test_an_endless_body_is_read_up_to_our_bound(path: str, length: int | None, kind: str) -> None:
    """No more of it is read than our bound, also where the app sets none; the answer is the one of a small body."""
    body, app = Endless(), an_app(SUPERTOKENS_LOGIN_URL="/login")
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    sent = {"CONTENT_LENGTH": str(length)} if length else chunked
    headers = {**PAGE, "Content-Type": kind}
    response = call(app, "POST", path, headers=headers, environ_overrides={"wsgi.input": body, **sent})
    assert response.status_code == (307 if "replay" in path else 303)
    assert body.taken <= (0 if length else browser.LARGEST_BODY + 65_536)


@pytest.mark.parametrize("path", ["/me", "/refresh?next=/me&replay=1"])
def test_the_apps_own_page_for_413_wins(path: str) -> None:
    """It wins."""
    app = an_app(MAX_CONTENT_LENGTH=1000)
    app.register_error_handler(413, lambda error: ("mine", 413))
    assert submit(app, path, expired(app), data={"typed": "a" * 1001}).text == "mine"


def test_a_client_that_goes_away_is_no_failure_of_ours() -> None:
    """Half a body is no failure of ours."""
    app = an_app()
    environ = {"wsgi.input": BytesIO(b"a" * 10), "CONTENT_LENGTH": "200"}
    response = call(app, "POST", "/me", access=expired(app).access_token, headers=FORM, environ_overrides=environ)
    assert response.status_code == 307


@pytest.mark.parametrize("anti_csrf", ["NONE", "VIA_CUSTOM_HEADER", "VIA_TOKEN"])
@pytest.mark.parametrize(
    "by",
    [
        FORM,
        {**FORM, "Sec-Fetch-Site": "none", "Origin": "http://localhost"},
        {**FIREFOX_88, "Origin": "http://localhost", "Content-Type": FORM["Content-Type"]},
    ],
)
def test_a_form_of_our_origin_passes_every_anti_csrf_mode_without_a_header(by: dict[str, str], anti_csrf: str) -> None:
    """In every anti-CSRF mode the browser's word for its own origin refreshes, reaches a view, and signs out."""
    app = an_app(anti_csrf=anti_csrf)
    tokens = expired(app, anti_csrf=anti_csrf == "VIA_TOKEN")
    response = submit(app, "/refresh?next=/me", tokens, by=by, refresh=tokens.refresh_token)
    assert (response.status_code, response.headers["Location"]) == (303, "/me")
    line = next(line for line in response.headers.getlist("Set-Cookie") if line.startswith("sAccessToken="))
    fresh = SessionTokens(line.partition("=")[2].partition(";")[0], 0, "")
    assert submit(app, "/me", fresh, by=by).status_code == 200
    assert submit(app, "/signout", fresh, by=by).status_code == 303
    assert handles(app) == []


@pytest.mark.parametrize("settings", [{}, {"cookie_same_site": "none", "cookie_secure": True, "cookie_prefix": ""}])
@pytest.mark.parametrize("by", [{**FORM, "Sec-Fetch-Site": "cross-site"}, {**FORM, "Sec-Fetch-Site": "same-site"}])
@pytest.mark.parametrize("path", ["/me", "/refresh?next=/me", "/refresh?next=/me&replay=1", "/signout?next=/me"])
def test_a_form_of_another_site_is_403_and_does_nothing(
    path: str, by: dict[str, str], settings: dict[str, Any]
) -> None:
    """403 and no hop, whether its token has expired or not; nothing is done."""
    app = an_app(**settings)
    for tokens in (signed_in(app), expired(app)):
        response = submit(app, path, tokens, by=by, refresh=tokens.refresh_token)
        assert (response.status_code, title(response)) == (403, "Refused")
        assert "Location" not in response.headers
        assert "Set-Cookie" not in response.headers
    assert len(handles(app)) == 2


@pytest.mark.parametrize("path", ["/me", "/refresh?next=/me", "/signout"])
def test_a_form_of_our_web_site_passes_unless_a_header_is_required(path: str) -> None:
    """``SUPERTOKENS_WEBSITE_DOMAIN`` may call; where a header is asked for, its plain forms can't bring one: 403, no log-out."""
    app = an_app(anti_csrf="VIA_CUSTOM_HEADER", website_domain="https://www.example.com")
    by = {**FORM, "Sec-Fetch-Site": "same-site", "Origin": "https://www.example.com"}
    tokens = signed_in(app)
    response = submit(app, path, tokens, by=by, refresh=tokens.refresh_token)
    assert (response.status_code, title(response)) == (403, "Refused")
    assert "Set-Cookie" not in response.headers
    assert len(handles(app)) == 1


# -- where to ----------------------------------------------------------------------------------------------------------

ELSEWHERE = [
    "https://evil.example/",
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\r\nX: y",
    "http://user@evil.example",
    "javascript:alert(1)",
    "/" + "a" * 5000,
    "/\x00",
    "",
]


@pytest.mark.parametrize("place", ELSEWHERE)
@pytest.mark.parametrize("replay", ["", "&replay=1"])
def test_a_refresh_whose_next_points_elsewhere_leads_to_the_first_page(replay: str, place: str) -> None:
    """The browser goes to the first page of the app; nothing is submitted there."""
    app = an_app()
    tokens = expired(app)
    url = f"/refresh?next={quote(place, safe='')}{replay}"
    response = submit(app, url, tokens, refresh=tokens.refresh_token, data={})
    assert (response.status_code, response.headers["Location"]) == (303, "/")


@pytest.mark.parametrize("place", ELSEWHERE)
@pytest.mark.parametrize("where", ["query", "form"])
def test_a_sign_out_whose_next_points_elsewhere_leads_to_the_first_page(where: str, place: str) -> None:
    """The same."""
    app = an_app()
    path, data = (f"/signout?next={quote(place, safe='')}", {}) if where == "query" else ("/signout", {"next": place})
    response = submit(app, path, signed_in(app), data=data)
    assert (response.status_code, response.headers["Location"]) == (303, "/")


def test_an_address_with_two_slashes_leads_back_to_our_host() -> None:
    """It would be another host; the browser comes back to one of ours."""
    app = an_app()
    app.before_request(verify_session(lambda: None))
    environ = {"PATH_INFO": "//evil.example"}
    response = navigate(app, "/x", access=expired(app).access_token, environ_overrides=environ)
    assert form_of(response) == ("/refresh?next=/evil.example", None)


@pytest.mark.parametrize(
    ("login_url", "path", "location"),
    [
        ("/login", "/me?a=b", "/login?next=/me%3Fa%3Db"),
        ("/login?lang=de", "/me", "/login?lang=de&next=/me"),
        ("pages.login", "/me", "/sign/in?next=/me"),
    ],
)
def test_a_visitor_is_led_to_the_sign_in_that_knows_the_way_back(login_url: str, path: str, location: str) -> None:
    """A page leads to the log-in, which knows the way back."""
    app = an_app(login_url=login_url)
    pages = Blueprint("pages", __name__)
    pages.add_url_rule("/sign/in", "login", lambda: "log in")
    app.register_blueprint(pages)
    response = navigate(app, path)
    assert (response.status_code, response.headers["Location"]) == (303, location)


@pytest.mark.parametrize(
    ("referer", "way"),
    [
        ("http://localhost/form?a=b", "/login?next=/form%3Fa%3Db"),
        ("http://localhost/form?a=\\b", "/login?next=/form%3Fa%3D%255Cb"),
        ("http://evil.example/form", "/login"),
        ("http://localhost@evil.example/form", "/login"),
        ("http://localhost//evil.example", "/login"),
        ("http://[evil", "/login"),
        ("nonsense", "/login"),
        (None, "/login"),
    ],
)
def test_a_visitor_who_submits_a_form_is_led_back_to_the_page_of_the_form(referer: str | None, way: str) -> None:
    """The way back is the page that the form was on, where that is ours: its own address may be for POST only."""
    app = an_app(login_url="/login")
    response = submit(app, "/me", headers={} if referer is None else {"Referer": referer})
    assert (response.status_code, response.headers["Location"]) == (303, way)


def test_a_sign_in_page_that_asks_for_a_session_makes_no_loop() -> None:
    """A mistake of the app's that must not become a loop."""
    app = an_app(login_url="/me")
    response = navigate(app, "/me")
    assert (response.status_code, title(response), login_link(response)) == (401, "Please log in", None)


# -- signing out -------------------------------------------------------------------------------------------------------


def test_a_sign_out_by_form_leads_on_to_next() -> None:
    """The session is over, and the browser goes on to ``next``, which may stand in the query or in the form."""
    app = an_app()
    for path, data in (("/signout?next=/bye%3Fa", {}), ("/signout", {"next": "/bye?a"})):
        response = submit(app, path, signed_in(app), data=data)
        assert (response.status_code, response.headers["Location"]) == (303, "/bye?a")
        assert cleared(response) == {"cookie"}
    assert handles(app) == []


def test_a_sign_out_by_form_with_an_expired_token_refreshes_on_the_way() -> None:
    """By way of the refresh route."""
    app = an_app()
    tokens = expired(app)
    response = submit(app, "/signout?next=/bye", tokens)
    assert (response.status_code, response.headers["Location"]) == (
        307,
        "/refresh?next=/signout%3Fnext%3D/bye&replay=1",
    )


@pytest.mark.parametrize("tokens", [LATE, SessionTokens("garbage", 0, "")])
def test_a_second_sign_out_by_form_leads_on_too(tokens: SessionTokens) -> None:
    """Whoever is signed out already goes on as well."""
    response = submit(an_app(), "/signout?next=/bye", tokens)
    assert response.headers["Location"] == "/bye"
    assert cleared(response) == {"cookie", "header"}


def test_a_sign_out_by_a_form_of_nowhere_leaves_what_the_browser_has() -> None:
    """Nobody vouches for it (its cookies may have been held back), so what the browser has stays."""
    by = {**FIREFOX_88, "Content-Type": FORM["Content-Type"]}
    response = submit(an_app(), "/signout?next=/bye", by=by)
    assert response.headers["Location"] == "/bye"
    assert "Set-Cookie" not in response.headers


# -- pages -------------------------------------------------------------------------------------------------------------

STALE = [{"id": "st-auth-time", "reason": {}}]


@pytest.mark.parametrize(
    ("error", "status", "heading", "link"),
    [
        (TokenTheftError(user_id="u", session_handle="h"), 401, "You have been logged out", True),
        (InvalidClaimError(errors=[{"id": "role"}]), 403, "Not allowed", True),
        (InvalidClaimError(errors=STALE), 403, "Please log in again", True),
        (GeneralError("secret"), 503, "Please try again in a moment", False),
        (GeneralError("secret", retry=False), 500, "Refused", False),
        (CrossSiteRequestError("secret"), 403, "Refused", False),
    ],
)
def test_each_error_has_a_page_with_its_status_and_none_of_its_secrets(
    error: SuperTokensError, status: int, heading: str, link: bool
) -> None:
    """With the error's status, what it clears, a way to the log-in where that helps, and none of its secrets."""
    app = an_app(login_url="/login")

    def view() -> None:
        raise error

    response = navigate(add(app, view), "/view?a=b")
    assert (response.status_code, title(response)) == (status, heading)
    assert cleared(response) == ({"cookie", "header"} if error.clears else set())
    assert login_link(response) == ("/login?next=/view%3Fa%3Db" if link else None)
    assert "secret" not in response.text
    assert ('<html lang="en">' in response.text, "viewport" in response.text) == (True, True)


def test_a_theft_found_by_a_hop_is_told_and_the_sign_in_leads_back() -> None:
    """The page says so, the session is over, and the log-in leads back to where the browser was."""
    app = an_app(login_url="/login")
    tokens = expired(app)
    for _ in range(2):
        response = submit(app, "/refresh?next=/me", refresh=tokens.refresh_token)
        clock_of(app).wait(HOUR)
        fresh = next((line for line in response.headers.getlist("Set-Cookie") if line.startswith("sRefreshToken")), "")
        if response.status_code == 303:
            submit(app, "/refresh", refresh=fresh.partition("=")[2].partition(";")[0])
            clock_of(app).wait(HOUR)
    assert (response.status_code, title(response)) == (401, "You have been logged out")
    assert (cleared(response), login_link(response)) == ({"cookie", "header"}, "/login?next=/me")
    assert handles(app) == []
    assert call(app, "POST", "/refresh", refresh=tokens.refresh_token).json in (UNAUTHORISED, THEFT)


@pytest.mark.parametrize(
    ("method", "path", "retry"),
    [
        ("GET", "/checked?a=b", "/checked?a=b"),
        ("POST", "/checked", None),
        ("POST", "/refresh?next=/me%3Fa", "/me?a"),
        ("POST", "/refresh?next=//evil.example", "/"),
        ("POST", "/refresh?next=/me&replay=1", None),
        ("POST", "/signout", None),
    ],
)
def test_a_store_that_is_down_is_503_and_leaves_all_cookies(method: str, path: str, retry: str | None) -> None:
    """503, when to come back, how to try again, and all cookies as they were; a form is sent again by a reload."""
    store = BrokenStore()
    app = an_app(store)
    app.add_url_rule("/checked", "checked", verify_session(check_database=True)(lambda: "x"), methods=["GET", "POST"])
    tokens = signed_in(app)
    store.down = True
    response = navigate(
        app,
        path,
        method,
        by=FORM,
        access=tokens.access_token,
        refresh=tokens.refresh_token,
        data={} if method == "POST" else None,
    )
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert (title(response), "Set-Cookie" in response.headers) == ("Please try again in a moment", False)
    link = re.findall(r'href="(.*?)">Try again', response.text)
    assert link == ([] if retry is None else [retry])
    assert ("reload this page" in response.text) is (retry is None)


# -- the app's own -----------------------------------------------------------------------------------------------------


def test_a_template_of_the_apps_own_wins() -> None:
    """A template of the same name wins: one page, or the frame of all."""
    app = an_app()
    app.jinja_loader = DictLoader(  # type: ignore[misc]
        {
            "supertokens/base.html": "<title>mine</title>{% if current_session %}!{% endif %}{% block content %}{% endblock %}",
            "supertokens/unauthorised.html": "log in, please",
        }
    )
    assert navigate(app, "/me").text == "log in, please"
    response = navigate(app, "/me", access=expired(app).access_token)
    assert response.text.startswith("<title>mine</title>\n<p>Your session")
    assert response.status_code == 401


@pytest.mark.parametrize("handled", [TryRefreshTokenError, SuperTokensError])
def test_a_handler_of_the_apps_own_wins_for_browsers_too(handled: type[SuperTokensError]) -> None:
    """It wins for browsers too."""
    app = an_app()
    app.register_error_handler(handled, lambda error: ("mine", 418))
    assert navigate(app, "/me", access=expired(app).access_token).text == "mine"


def test_a_guard_of_the_whole_app_lets_the_hop_and_its_files_through() -> None:
    """The hop's route and the files of its page stay reachable, expired token or not."""
    app = an_app()
    app.before_request(verify_session(lambda: None))
    tokens = expired(app)
    response = navigate(app, "/maybe", access=tokens.access_token)
    assert len(files_of(app, response, access=tokens.access_token)) == 2
    assert submit(app, form_of(response)[0], tokens, refresh=tokens.refresh_token).status_code == 303


def test_a_guard_lets_our_view_through_and_no_view_of_the_apps() -> None:
    """The refresh route is reachable where the app serves our view; a view of the app's at such a path is guarded."""
    app = an_app(register_routes=False)
    app.add_url_rule("/refresh", view_func=blueprint.refresh, methods=["POST"])
    add(app, lambda: "never reached", "/signout")
    app.before_request(verify_session(lambda: None))
    tokens = expired(app)
    assert submit(app, "/refresh?next=/me", tokens, refresh=tokens.refresh_token).headers["Location"] == "/me"
    assert submit(app, "/signout").status_code == 401


# -- pages that call by scripts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "element"),
    [
        ({}, '<script src="/supertokens-assets/fetch.js" data-refresh="/refresh"></script>'),
        (
            {"login_url": "/login?a=1&b", "api_base_path": "/auth"},
            '<script src="/auth/supertokens-assets/fetch.js" data-refresh="/auth/session/refresh"'
            ' data-login="/login?a=1&amp;b"></script>',
        ),
    ],
)
def test_one_call_in_a_template_includes_the_script_with_its_paths(settings: dict[str, Any], element: str) -> None:
    """One call in a template writes the element, with the paths that the script needs; the file is there."""
    app = add(an_app(**settings), lambda: render_template_string("{{ supertokens_script() }}"))
    response = navigate(app, "/view")
    assert response.text == element
    assert len(files_of(app, response)) == 1


def test_the_paths_of_the_script_are_below_the_script_root() -> None:
    """All paths are below it."""
    app = add(an_app(login_url="/login"), lambda: render_template_string("{{ supertokens_script() }}"))
    text = Client(DispatcherMiddleware(lambda *_: [], {"/shop": app})).get("/shop/view").text
    assert re.findall('="(.*?)"', text) == ["/shop/supertokens-assets/fetch.js", "/shop/refresh", "/shop/login"]


def test_an_app_without_our_routes_is_told_how_to_include_the_script() -> None:
    """An app that registers the routes itself is told what to write."""
    app = add(an_app(register_routes=False, TESTING=True), lambda: render_template_string("{{ supertokens_script() }}"))
    with pytest.raises(RuntimeError, match="data-refresh"):
        navigate(app, "/view")


# -- other addresses ---------------------------------------------------------------------------------------------------


def test_the_hop_of_a_mounted_app_stays_below_its_script_root() -> None:
    """All addresses go under the script root, and the browser comes back below it."""
    app = an_app(login_url="/login", cookie_secure=False)
    client = Client(DispatcherMiddleware(lambda *_: [], {"/shop": app}))
    client.post("/shop/login")
    clock_of(app).wait(HOUR + 1000)
    response = client.get("/shop/me?a=b", headers=PAGE)
    action, _ = form_of(response)
    assert action == "/shop/refresh?next=/shop/me%3Fa%3Db"
    assert 'src="/shop/supertokens-assets/refresh.js"' in response.text
    assert client.post(action, headers=FORM).headers["Location"] == "/shop/me?a=b"
    assert client.get("/shop/me", headers=PAGE).status_code == 200
    assert client.post("/shop/signout", headers=FORM).headers["Location"] == "/shop/"
    assert client.get("/shop/me", headers=PAGE).headers["Location"] == "/shop/login?next=/shop/me"


BAD_ROOTS = pytest.mark.parametrize(
    "root", ["//evil.example", "@evil.example", "/\\evil.example", "/a//evil.example", "evil.example"]
)


def told_its_root(root: str, **settings: Any) -> tuple[Flask, Mapping[str, Any]]:
    """An app that believes a proxy's header, and the arguments of a request with that header."""
    app = an_app(cookie_secure=False, **settings)
    app.add_url_rule("/sign-in", "sign_in", lambda: "")
    app.wsgi_app = ProxyFix(app.wsgi_app, x_prefix=1)  # type: ignore[method-assign]
    return app, {"headers": {"X-Forwarded-Prefix": root}}


@BAD_ROOTS
@pytest.mark.parametrize("login", ["/sign-in", "sign_in"])
def test_no_redirect_link_or_cookie_follows_a_script_root_that_is_no_path(root: str, login: str) -> None:
    """No redirect and no link leads there, and no cookie goes there."""
    app, so = told_its_root(root, login_url=login)
    assert submit(app, "/signout", signed_in(app), **so).headers["Location"] == "/"
    assert navigate(app, "/me", **so).headers["Location"] == "/sign-in?next=/me"
    assert submit(app, "/me", expired(app), **so).headers["Location"] == "/refresh?next=/me&replay=1"
    lines = call(app, "POST", "/login", **so).headers.getlist("Set-Cookie")
    assert [parsed_cookie(line).path for line in lines] == ["/", "/refresh"]


@BAD_ROOTS
def test_a_hop_stays_where_it_is_below_a_script_root_that_is_no_path(root: str) -> None:
    """Form, script and style stay where they are, and so does the way back."""
    app, so = told_its_root(root)
    tokens = expired(app)
    page = navigate(app, "/me?a=b", access=tokens.access_token, **so)
    assert form_of(page) == ("/refresh?next=/me%3Fa%3Db", None)
    assert files_of(app, page, **so) == ["/supertokens-assets/pages.css", "/supertokens-assets/refresh.js"]
    for target in ("", "?next=/me"):
        back = submit(app, f"/refresh{target}", tokens, refresh=tokens.refresh_token, **so)
        assert back.headers["Location"] == ("/me" if target else "/")


POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none';"
    " frame-ancestors 'self'"
)


@pytest.mark.parametrize("is_hop", [True, False])
def test_our_pages_are_sent_with_a_strict_policy(is_hop: bool) -> None:
    """A strict policy, no frames of others, no sniffing. The hop's form may lead elsewhere in the end."""
    app = an_app()
    headers = navigate(app, "/me", access=expired(app).access_token if is_hop else None).headers
    assert headers["Content-Security-Policy"] == POLICY + ("" if is_hop else "; form-action 'self'")
    assert (headers["X-Frame-Options"], headers["X-Content-Type-Options"]) == ("SAMEORIGIN", "nosniff")


def test_a_policy_of_the_apps_own_stays() -> None:
    """What it says in ``after_request`` stays."""
    app = an_app()
    app.after_request(lambda response: response.headers.update({"Content-Security-Policy": "mine"}) or response)
    assert navigate(app, "/me").headers.getlist("Content-Security-Policy") == ["mine"]


def test_only_the_page_of_the_hop_has_a_script() -> None:
    """One has a script, the page of the hop. It reloads, which would repeat a refused POST as our own: it comes of no POST."""
    pages = ROOT / "flask_supertokens" / "pages"
    with_script = [page.name for page in pages.glob("*/*.html") if "<script" in page.read_text("utf-8")]
    assert with_script == ["refresh.html"]
    assert [path.name for path in (pages / "assets").glob("*.js") if "reload()" in path.read_text("utf-8")] == [
        "refresh.js"
    ]
    app = an_app()
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert "refresh.js" not in navigate(app, "/me", method, by=FORM, access=expired(app).access_token).text


def test_an_unknown_sign_in_page_is_a_page_without_a_link_and_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A page without a link, not a failure; the log says what to mend."""
    response = navigate(an_app(login_url="no_such_endpoint"), "/me")
    assert (response.status_code, title(response), login_link(response)) == (401, "Please log in", None)
    assert "SUPERTOKENS_LOGIN_URL: the app has no endpoint 'no_such_endpoint'" in caplog.text


def test_the_base_path_moves_the_hop_and_its_files() -> None:
    """``SUPERTOKENS_API_BASE_PATH`` moves the hop and its files."""
    app = an_app(api_base_path="/auth")
    response = navigate(app, "/me", access=expired(app).access_token)
    assert form_of(response)[0] == "/auth/session/refresh?next=/me"
    assert re.findall(r'(?:src|href)="(.*?)"', response.text) == [
        "/auth/supertokens-assets/pages.css",
        "/auth/supertokens-assets/refresh.js",
    ]


def test_routes_that_the_app_registers_itself_serve_the_hop_without_files() -> None:
    """The functions behind our routes serve at paths of the app's; the page has its button, and no files."""
    app = an_app(register_routes=False)
    app.add_url_rule("/refresh", view_func=blueprint.refresh, methods=["POST"])
    app.add_url_rule("/signout", view_func=blueprint.sign_out, methods=["POST"])
    tokens = expired(app)
    response = navigate(app, "/me", access=tokens.access_token)
    assert "<button" in response.text
    assert re.findall("(?:src|href)=", response.text) == []
    response = submit(app, form_of(response)[0], tokens, refresh=tokens.refresh_token)
    assert (response.status_code, response.headers["Location"]) == (303, "/me")
    assert submit(app, "/signout?next=/bye").headers["Location"] == "/bye"


def test_pages_have_the_status_for_old_clients() -> None:
    """Pages have it as well."""
    app = an_app(session_expired_status_code=440)
    assert navigate(app, "/me", access=expired(app).access_token).status_code == 440


def test_a_sign_in_form_reads_next_safely_by_asked_target() -> None:
    """It reads ``next`` safely by a function of ours."""
    from flask_supertokens.browser import asked_target

    app = an_app()

    def view() -> str:
        create_new_session("user-1")
        return render_template_string("{{ target }}", target=asked_target())

    add(app, view)
    for target, text in (("/me%3Fa", "/me?a"), ("//evil.example", "None"), ("", "None")):
        assert submit(app, f"/view?next={target}").text == html.escape(text)


def test_a_token_that_lives_shorter_than_the_mark_makes_a_hop_of_its_own() -> None:
    """Tokens that live shorter than the mark: the next hop counts as one of its own."""
    app = an_app(access_token_lifetime=4, refresh_race_window=1)
    tokens = signed_in(app)
    client = app.test_client()
    client.set_cookie("sAccessToken", tokens.access_token)
    client.set_cookie("sRefreshToken", str(tokens.refresh_token), path="/refresh")
    for _ in range(3):
        clock_of(app).wait(4001)
        client.delete_cookie("sRefreshHop")  # two seconds have passed
        action, _ = form_of(client.get("/me", headers=PAGE))
        assert re.search(r"Hop=/refresh:\w{16};.* Max-Age=[12];", str(client.post(action, headers=FORM).headers))
        assert client.get("/me", headers=PAGE).status_code == 200


def test_the_app_of_the_docs_leads_to_the_sign_in_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Led to the log-in, back, a letter with an expired token, out."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "a_page_of_the_docs"}
    exec("\n".join(blocks((ROOT / "docs" / "server-rendered.md").read_text("utf-8"))), names)
    client = names["app"].test_client()
    client.environ_base |= {
        "wsgi.url_scheme": "https",
        "HTTP_SEC_FETCH_MODE": "navigate",
        "HTTP_SEC_FETCH_SITE": "same-origin",
    }
    clock = state_of(names["app"]).engine.clock = Clock()  # type: ignore[attr-defined]
    response = client.get("/letter", follow_redirects=True)
    assert (response.request.full_path, 'action=""' in response.text) == ("/login?next=/letter", True)
    login = {"name": "ada", "password": "correct horse"}
    assert "ada writes:" in client.post("/login?next=/letter", data=login, follow_redirects=True).text
    clock.wait(HOUR + 1000)
    url = "/letter"
    for status in (307, 307, 200):
        response = client.post(url, data={"text": "abc"})
        assert response.status_code == status
        url = response.headers.get("Location", "")
    assert response.text == "ada wrote 3 letters."
    assert client.post("/signout?next=/goodbye", follow_redirects=True).text == "You are logged out."
    assert client.get("/letter").status_code == 303
    close_database(names["app"])


def test_a_hop_of_one_browser_means_nothing_for_another() -> None:
    """A hop of one browser means nothing for another one."""
    app = an_app()
    session = a_session(app)
    clock_of(app).wait(HOUR + 1000)
    for _ in range(2):
        form_of(navigate(app, "/me", access=session.access_token))
    assert state_of(app).settings.login_url is None


def test_a_page_of_ours_in_an_app_whose_templates_ask_for_the_session() -> None:
    """Flask-Login's context processor does: asking again inside of the answer to an error was another error."""
    app = an_app()
    app.context_processor(lambda: {"session": get_session(session_required=False)})
    app.add_url_rule("/page", view_func=verify_session(lambda: "in"))
    clock_now = app.extensions["supertokens"].engine.clock
    token = signed_in(app).access_token
    app.extensions["supertokens"].engine.clock = lambda: clock_now() + 7_200_000
    headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin", "Cookie": f"sAccessToken={token}"}
    response = app.test_client(use_cookies=False).get("/page", headers=headers)
    assert (response.status_code, "<form" in response.text) == (401, True)
