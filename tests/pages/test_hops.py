"""The hop: an expired token leads to the refresh route and back, in a loop never."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask, redirect
from werkzeug.test import TestResponse

from flask_supertokens import (
    SessionTokens,
    verify_session,
)

from ..support.apps import BrokenStore, add, an_app, clock_of, signed_in
from ..support.cookies import parsed_cookie, set_cookies
from ..support.navigating import (
    FORM,
    HOUR,
    expired,
    files_of,
    form_of,
    navigate,
    next_of,
    submit,
    title,
    without_mark,
)
from ..support.wire import UNAUTHORISED, call, cleared_methods, sets_no_tokens


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
    assert (response.headers["Cache-Control"], sets_no_tokens(response)) == ("no-store", True)
    assert cleared_methods(response) == set()


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
    """It gets no redirect, since it asks for the page itself; the mark of the hop is set all the same."""
    app = an_app(anti_csrf=anti_csrf)
    response = by_script(app, expired(app, anti_csrf=anti_csrf == "VIA_TOKEN"))
    assert (response.status_code, response.json) == (200, {})
    cookies = {line.partition("=")[0] for line in response.headers.getlist("Set-Cookie")}
    assert cookies == {"sAccessToken", "sRefreshToken", "sRefreshHop"}


def test_a_hop_by_script_that_is_refused_leaves_no_tokens() -> None:
    """As by form: no tokens are left, and the page is asked for again."""
    response = by_script(an_app(login_url="/login"), SessionTokens("", 0, "", refresh_token="unknown"))
    assert (response.status_code, response.json) == (200, {})
    assert cleared_methods(without_mark(response)) == {"cookie", "header"}


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
    assert cleared_methods(without_mark(response)) == {"cookie", "header"}
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
