"""The wire between browser and backend, table by table: which token counts, what is set, what is cleared."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from flask import Response

from flask_supertokens import UnauthorisedError, create_new_session, get_cors_headers, get_session
from flask_supertokens.protocol.tokens import front_token

from .support.cookies import Cookie, cleared_cookies, cookie_lines, cookie_values
from .support.plans import Clock
from .support.wire import an_app, ask, log_in

ALLOWED = ("any", "header", "cookie")
BOTH_COOKIES = {"sAccessToken", "sRefreshToken"}
HOUR = 3_600_000


def which_counts(allowed: str, header: bool, cookie: bool) -> str | None:
    """The table of section 6, as the reviewer of a wire protocol would say it: a header token wins where it may."""
    table = {
        "any": {(0, 0): None, (0, 1): "cookie", (1, 0): "header", (1, 1): "header"},
        "header": {(0, 0): None, (0, 1): None, (1, 0): "header", (1, 1): "header"},
        "cookie": {(0, 0): None, (0, 1): "cookie", (1, 0): None, (1, 1): "cookie"},
    }
    return table[allowed][header, cookie]


@pytest.mark.parametrize("allowed", ALLOWED)
@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("cookie", [False, True])
@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("expired", [False, True])
def test_which_access_token_counts(allowed: str, header: bool, cookie: bool, required: bool, expired: bool) -> None:
    """24 outcomes, and 24 with expired tokens: those are *try refresh token* wherever one would have counted."""
    clock = Clock()
    app = an_app(clock=clock, SUPERTOKENS_TOKEN_TRANSFER_METHOD=lambda _, create: "any" if create else allowed)
    handles: dict[str, str] = {}

    @app.get("/which")
    def which() -> dict[str, str | None]:
        session = get_session(session_required=required)
        return {"method": None if session is None else handles[session.handle]}

    of_cookie, of_header = log_in(app), log_in(app, "header")
    handles |= {of_cookie.handle: "cookie", of_header.handle: "header"}
    clock.wait(2 * HOUR if expired else 0)
    cookies = f"sAccessToken={of_cookie.access}" if cookie else ""
    response = ask(app, "GET", "/which", cookies, of_header.access if header else None)
    expected = which_counts(allowed, header, cookie)
    if expected is None:
        wanted: tuple[int, Any] = (401, {"message": "unauthorised"}) if required else (200, {"method": None})
    else:
        wanted = (401, {"message": "try refresh token"}) if expired else (200, {"method": expected})
    assert (response.status_code, response.json) == wanted
    assert cookie_lines(response) == []
    assert "front-token" not in response.headers


REFRESH_ROWS = [
    # allowed, header, cookie → status, set, cleared
    ("any", 0, 0, 401, None, "both"),
    ("any", 0, 1, 200, "cookies", None),
    ("any", 1, 0, 200, "headers", None),
    ("any", 1, 1, 200, "headers", "cookies"),
    ("header", 0, 0, 401, None, "both"),
    ("header", 0, 1, 401, None, "both"),
    ("header", 1, 0, 200, "headers", None),
    ("header", 1, 1, 200, "headers", "cookies"),
    ("cookie", 0, 0, 401, None, "both"),
    ("cookie", 0, 1, 200, "cookies", None),
    ("cookie", 1, 0, 401, None, "both"),
    ("cookie", 1, 1, 200, "cookies", "headers"),
]


@pytest.mark.parametrize(("allowed", "header", "cookie", "status", "sets", "clears"), REFRESH_ROWS)
def test_refresh_by_what_was_sent(
    allowed: str, header: int, cookie: int, status: int, sets: str | None, clears: str | None
) -> None:
    """Twelve rows: what is set, what is cleared, and a front-token that is never ``remove`` on success."""
    app = an_app(
        SUPERTOKENS_ANTI_CSRF="VIA_TOKEN",
        SUPERTOKENS_TOKEN_TRANSFER_METHOD=lambda _, create: "any" if create else allowed,
    )
    of_cookie, of_header = log_in(app), log_in(app, "header")
    cookies = f"sRefreshToken={of_cookie.refresh}" if cookie else ""
    bearer = of_header.refresh if header else None
    response = ask(app, "POST", "/refresh", cookies, bearer, anti_csrf=str(of_cookie.anti_csrf))
    assert response.status_code == status
    assert response.json == ({} if status == 200 else {"message": "unauthorised"})
    assert set(cookie_values(response)) == (BOTH_COOKIES if sets == "cookies" else set())
    assert cleared_cookies(response) == (BOTH_COOKIES if clears in ("both", "cookies") else set())
    in_headers = {name: response.headers.get(name) for name in ("st-access-token", "st-refresh-token")}
    if sets == "headers":
        assert all(in_headers.values())
    else:
        assert set(in_headers.values()) == ({""} if clears in ("both", "headers") else {None})
    assert (response.headers["front-token"] == "remove") == (status == 401)
    assert ("anti-csrf" in response.headers) == (sets == "cookies")


def test_a_refresh_without_any_token_asks_no_engine() -> None:
    """The web client does that before its first request; it costs nothing."""
    app = an_app()
    app.extensions["supertokens"].engine.store = None
    assert ask(app, "POST", "/refresh").status_code == 401


def test_cookies_of_a_log_in() -> None:
    """Both cookies, attribute by attribute."""
    clock = Clock()
    app = an_app(clock=clock, SUPERTOKENS_COOKIE_SECURE=True)
    access, refresh = cookie_lines(app.test_client().post("/login", base_url="https://localhost"))
    flags: dict[str, Any] = {"same_site": "Lax", "secure": True, "http_only": True}
    access_end, refresh_end = "Wed, 13 Nov 2024 22:13:20 GMT", "Thu, 22 Feb 2024 22:13:20 GMT"
    assert access == Cookie("__Host-sAccessToken", access.value, "/", expires=access_end, max_age="31536000", **flags)
    assert refresh == Cookie(
        "__Secure-sRefreshToken", refresh.value, "/refresh", expires=refresh_end, max_age="8640000", **flags
    )
    assert access.value
    assert refresh.value


def test_cookies_of_a_sign_out() -> None:
    """The same names, paths and flags, empty, in the past."""
    app = an_app()
    lines = cookie_lines(ask(app, "POST", "/signout", f"sAccessToken={log_in(app).access}"))
    past: dict[str, Any] = {"expires": "Thu, 01 Jan 1970 00:00:00 GMT", "same_site": "Lax", "http_only": True}
    past["max_age"] = "0"
    assert lines == [Cookie("sAccessToken", "", "/", **past), Cookie("sRefreshToken", "", "/refresh", **past)]


@pytest.mark.parametrize(
    ("settings", "root", "names"),
    [
        ({}, "", ("sAccessToken", "/", "sRefreshToken", "/refresh")),
        ({"SUPERTOKENS_API_BASE_PATH": "/auth"}, "", ("sAccessToken", "/", "sRefreshToken", "/auth/session/refresh")),
        ({}, "/shop", ("sAccessToken", "/shop", "sRefreshToken", "/shop/refresh")),
        (
            {"SUPERTOKENS_COOKIE_SECURE": True},
            "/shop",
            ("__Host-26315ce1-sAccessToken", "/", "__Secure-sRefreshToken", "/shop/refresh"),
        ),
        (
            {"SUPERTOKENS_COOKIE_SECURE": True, "SUPERTOKENS_COOKIE_DOMAIN": "example.com"},
            "",
            ("__Secure-sAccessToken", "/", "__Secure-sRefreshToken", "/refresh"),
        ),
        (
            {"SUPERTOKENS_COOKIE_SECURE": True, "SUPERTOKENS_COOKIE_PREFIX": ""},
            "",
            ("sAccessToken", "/", "sRefreshToken", "/refresh"),
        ),
        (
            {"SUPERTOKENS_ACCESS_TOKEN_PATH": "/api", "SUPERTOKENS_COOKIE_SECURE": True},
            "",
            ("__Secure-sAccessToken", "/api", "__Secure-sRefreshToken", "/refresh"),
        ),
    ],
)
def test_names_and_paths_of_cookies(settings: dict[str, Any], root: str, names: tuple[str, ...]) -> None:
    """A prefix where browsers take it; paths under the script root."""
    app = an_app(**settings)
    response = app.test_client(use_cookies=False).post("/login", environ_overrides={"SCRIPT_NAME": root})
    access, refresh = cookie_lines(response)
    assert (access.name, access.path, refresh.name, refresh.path) == names


@pytest.mark.parametrize("flag", ["DEBUG", "TESTING"])
def test_cookies_while_developing(flag: str) -> None:
    """Unless it is set, ``Secure`` is off in debug and testing, as it was when the first cookie was written."""
    app = an_app(SUPERTOKENS_COOKIE_SECURE=None)
    app.config[flag] = True
    assert not cookie_lines(app.test_client().post("/login"))[0].secure
    app.config[flag] = False
    assert not cookie_lines(app.test_client().post("/login"))[0].secure


def test_the_front_token_of_the_protocol() -> None:
    """Known answer: standard base64 of compact JSON."""
    claims = {"exp": 1795367955, "iat": 1795364355, "sub": "u1"}
    assert front_token(claims) == (
        "eyJhdGUiOjE3OTUzNjc5NTUwMDAsInVpZCI6InUxIiwidXAiOnsiZXhwIjoxNzk1MzY3OTU1LCJpYXQiOjE3OTUzNjQzNTUsInN1YiI6InUxIn19"
    )


def test_headers_of_a_log_in() -> None:
    """Front-token with the whole payload, no-store, Vary, and a merged list of exposed headers."""
    clock = Clock()
    app = an_app(clock=clock, SUPERTOKENS_ANTI_CSRF="VIA_TOKEN")

    @app.after_request
    def cors(response: Response) -> Response:
        response.headers["Access-Control-Expose-Headers"] = "X-Mine, Front-Token"
        return response

    app.post("/admin")(lambda: {"handle": create_new_session("user-1", {"role": "admin"}).handle})
    response = ask(app, "POST", "/admin")
    front = json.loads(base64.b64decode(response.headers["front-token"]))
    assert (front["uid"], front["ate"]) == ("user-1", clock.now + HOUR)
    assert front["up"]["role"] == "admin"
    assert response.headers.getlist("front-token") == [response.headers["front-token"]]
    assert response.headers["Access-Control-Expose-Headers"] == "X-Mine, front-token, anti-csrf"
    assert (response.headers["Cache-Control"], response.headers["Vary"]) == ("no-store", "Cookie")
    assert "st-access-token" not in response.headers


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("header", "header"), ("HEADER", "header"), ("cookie", "cookie"), ("", "cookie"), ("x", "cookie")],
)
def test_how_a_new_session_travels(mode: str, expected: str) -> None:
    """By header only when the client asks for it; plain browsers, forms and curl get cookies."""
    response = ask(an_app(), "POST", "/login", st_auth_mode=mode)
    assert ("st-access-token" in response.headers) == (expected == "header")
    assert bool(cookie_lines(response)) == (expected == "cookie")


def test_a_new_session_clears_the_other_method() -> None:
    """Any Bearer value counts as the other method."""
    response = ask(an_app(), "POST", "/login", bearer="anything")
    assert set(cookie_values(response)) == BOTH_COOKIES
    assert response.headers["st-access-token"] == ""
    assert response.headers["front-token"] != "remove"


def test_an_exposed_access_token() -> None:
    """A cookie session gets the header too, when the setting says so."""
    response = ask(an_app(SUPERTOKENS_EXPOSE_ACCESS_TOKEN=True), "POST", "/login")
    assert response.headers["st-access-token"] == cookie_values(response)["sAccessToken"]


# -- order of clearing and setting -------------------------------------------------------------------------------------


def test_an_event_that_clears_after_a_log_in() -> None:
    """Pending sets are dropped: no token leaves anywhere."""
    app = an_app()

    @app.post("/fail")
    def fail() -> str:
        create_new_session("user-1")
        raise UnauthorisedError

    response = ask(app, "POST", "/fail")
    assert (cookie_values(response), cleared_cookies(response)) == ({}, BOTH_COOKIES)
    assert response.headers["front-token"] == "remove"
    assert "anti-csrf" not in response.headers


def test_tokens_that_were_made_before_the_view_failed() -> None:
    """They do not reach the client with the 500: the session is ended."""
    app = an_app()

    @app.post("/fail")
    def fail() -> str:
        create_new_session("user-1")
        raise ZeroDivisionError

    response = ask(app, "POST", "/fail")
    assert response.status_code == 500
    assert (cookie_values(response), cleared_cookies(response)) == ({}, set())


# -- legacy and duplicates ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/me", "/maybe"])
def test_the_cookie_of_an_old_sdk(path: str) -> None:
    """Its owner is sent to refresh, where a session is optional too."""
    response = ask(an_app(), "GET", path, "sIdRefreshToken=x")
    assert (response.status_code, response.json) == (401, {"message": "try refresh token"})
    assert cookie_lines(response) == []


def test_the_cookie_of_an_old_sdk_is_removed_by_a_refresh() -> None:
    """On success, and when nothing was found."""
    app = an_app()
    for cookies in (f"sIdRefreshToken=x; sRefreshToken={log_in(app).refresh}", "sIdRefreshToken=x"):
        assert "sIdRefreshToken" in cleared_cookies(ask(app, "POST", "/refresh", cookies))


@pytest.mark.parametrize("version", ["MSIsInR", "x"])
def test_an_access_token_of_an_old_version(version: str) -> None:
    """An old session is sent to refresh; it is not *absent*."""
    old = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsInZlcnNpb24iOiIxIn0=.x.y" if version != "x" else "a.b.c"
    expected = "try refresh token" if version != "x" else "unauthorised"
    assert ask(an_app(), "GET", "/me", f"sAccessToken={old}").json == {"message": expected}
    assert ask(an_app(), "GET", "/me", bearer=old).json == {"message": expected}


def test_two_access_cookies_in_a_view() -> None:
    """Which one is right can't be told; values with ``=`` and quotes are counted too."""
    app = an_app()
    access = log_in(app).access
    for other in ("x=y", '"q"', "z"):
        response = ask(app, "GET", "/me", f"sAccessToken={access}; sAccessToken={other}")
        assert (response.status_code, response.json) == (401, {"message": "try refresh token"})


@pytest.mark.parametrize("name", ["sAccessToken", "sRefreshToken"])
def test_two_cookies_of_a_name_at_a_refresh(name: str) -> None:
    """A 500 that names the setting; the session is kept."""
    app = an_app()
    tokens = log_in(app)
    jar = f"sAccessToken={tokens.access}; sRefreshToken={tokens.refresh}"
    response = ask(app, "POST", "/refresh", f"{jar}; {name}=other")
    assert response.status_code == 500
    assert response.json["message"].startswith("The request contains multiple session cookies.")
    assert "SUPERTOKENS_OLDER_COOKIE_DOMAIN" in response.json["message"]
    assert cookie_lines(response) == []
    assert ask(app, "POST", "/refresh", jar).status_code == 200


@pytest.mark.parametrize(("older", "domain"), [("", None), ("old.example", "old.example")])
def test_two_cookies_of_a_name_and_the_older_domain_known(older: str, domain: str | None) -> None:
    """The duplicated one is cleared there, with a 200 and a placeholder that keeps the web client going."""
    clock = Clock()
    app = an_app(clock=clock, SUPERTOKENS_OLDER_COOKIE_DOMAIN=older, SUPERTOKENS_COOKIE_DOMAIN="example.com")
    tokens = log_in(app)
    clock.wait(5_000)
    jar = f"sAccessToken={tokens.access}; sRefreshToken={tokens.refresh}; sRefreshToken=old"
    response = ask(app, "POST", "/refresh", jar)
    (line,) = cookie_lines(response)
    front = json.loads(base64.b64decode(response.headers["front-token"]))
    assert response.status_code == 200
    assert "We are clearing the cookie from older_cookie_domain" in response.json["message"]
    assert (line.name, line.value, line.domain) == ("sRefreshToken", "", domain)
    assert (front["ate"], front["uid"], front["up"]["iat"]) == (0, "user-1", clock.now // 1000)


# -- sign-out ----------------------------------------------------------------------------------------------------------


def test_sign_out() -> None:
    """The session ends, its method is cleared, and the body is what the web client wants."""
    app = an_app()
    tokens = log_in(app)
    response = ask(app, "POST", "/signout", f"sAccessToken={tokens.access}")
    assert (response.status_code, response.json) == (200, {"status": "OK"})
    assert response.headers["front-token"] == "remove"
    assert ask(app, "POST", "/refresh", f"sRefreshToken={tokens.refresh}").json == {"message": "unauthorised"}


@pytest.mark.parametrize("expired", [False, True])
def test_sign_out_without_a_valid_session(expired: bool) -> None:
    """401, and nothing is cleared: the client refreshes and repeats."""
    clock = Clock()
    app = an_app(clock=clock)
    cookies = f"sAccessToken={log_in(app).access}" if expired else ""
    clock.wait(2 * HOUR)
    response = ask(app, "POST", "/signout", cookies)
    assert response.json == {"message": "try refresh token" if expired else "unauthorised"}
    assert cookie_lines(response) == []


@pytest.mark.parametrize("path", ["/refresh", "/signout"])
def test_routes_take_post_only(path: str) -> None:
    """No side effects on GET."""
    assert ask(an_app(), "GET", path).status_code == 405


# -- anti-CSRF and other sites -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "headers", "status"),
    [
        ("NONE", {}, 200),
        ("VIA_CUSTOM_HEADER", {}, 401),
        ("VIA_CUSTOM_HEADER", {"rid": "anti-csrf"}, 200),
        (
            "VIA_CUSTOM_HEADER",
            {"sec_fetch_site": "same-origin", "content_type": "multipart/form-data; boundary=x"},
            200,
        ),
        ("VIA_CUSTOM_HEADER", {"sec_fetch_site": "same-origin", "content_type": "application/json"}, 401),
        ("VIA_CUSTOM_HEADER", {"sec_fetch_site": "none", "content_type": "text/plain"}, 401),
        ("VIA_TOKEN", {}, 401),
        ("VIA_TOKEN", {"anti_csrf": "wrong"}, 401),
        ("VIA_TOKEN", {"anti_csrf": "right"}, 200),
    ],
)
def test_anti_csrf_of_an_unsafe_view(mode: str, headers: dict[str, str], status: int) -> None:
    """Cookie sessions are checked, safe methods and header sessions are not."""
    app = an_app(SUPERTOKENS_ANTI_CSRF=mode)
    tokens = log_in(app)
    if headers.get("anti_csrf") == "right":
        headers = {"anti_csrf": str(tokens.anti_csrf)}
    response = ask(app, "POST", "/me", f"sAccessToken={tokens.access}", **headers)
    assert response.status_code == status
    assert status == 200 or response.json == {"message": "try refresh token"}
    assert ask(app, "GET", "/me", f"sAccessToken={tokens.access}").status_code == 200
    assert ask(app, "POST", "/me", bearer=tokens.access).status_code == 200


def test_anti_csrf_of_a_refresh() -> None:
    """Without its marker or token a refresh by cookie is *unauthorised*, and clears."""
    for mode in ("VIA_CUSTOM_HEADER", "VIA_TOKEN"):
        app = an_app(SUPERTOKENS_ANTI_CSRF=mode)
        tokens = log_in(app)
        response = ask(app, "POST", "/refresh", f"sRefreshToken={tokens.refresh}")
        assert (response.json, cleared_cookies(response)) == ({"message": "unauthorised"}, BOTH_COOKIES)
        good = {"rid": "session"} if mode == "VIA_CUSTOM_HEADER" else {"anti_csrf": str(tokens.anti_csrf)}
        assert ask(app, "POST", "/refresh", f"sRefreshToken={tokens.refresh}", **good).status_code == 200


ORIGINS = [
    ({"sec_fetch_site": "cross-site"}, True),
    ({"sec_fetch_site": "same-site"}, True),
    ({"sec_fetch_site": "same-origin"}, False),
    ({"sec_fetch_site": "none"}, False),
    ({"origin": "https://evil.example"}, True),
    ({"origin": "null"}, True),
    ({"origin": "http://localhost"}, False),
    ({"sec_fetch_site": "same-origin", "origin": "http://localhost"}, False),
    ({"sec_fetch_site": "cross-site", "origin": "https://web.example"}, False),
    ({"origin": "https://web.example"}, False),
    ({}, False),
]


@pytest.mark.parametrize("mode", ["NONE", "VIA_CUSTOM_HEADER", "VIA_TOKEN"])
@pytest.mark.parametrize(("headers", "foreign"), ORIGINS)
@pytest.mark.parametrize("path", ["/me", "/refresh", "/signout"])
def test_unsafe_requests_with_cookies_from_elsewhere(
    mode: str, headers: dict[str, str], foreign: bool, path: str
) -> None:
    """In every mode they are refused with 403, nothing is cleared, nothing is done."""
    app = an_app(SUPERTOKENS_ANTI_CSRF=mode, SUPERTOKENS_WEBSITE_DOMAIN="https://web.example")
    tokens = log_in(app)
    jar = f"sAccessToken={tokens.access}; sRefreshToken={tokens.refresh}"
    response = ask(app, "POST", path, jar, rid="x", anti_csrf=str(tokens.anti_csrf), **headers)
    assert response.status_code == (403 if foreign else 200)
    if foreign:
        assert response.json == {"message": "cross-site request refused"}
        assert cookie_lines(response) == []
        assert ask(app, "GET", "/me", f"sAccessToken={tokens.access}").status_code == 200


def test_a_safe_request_from_elsewhere() -> None:
    """A link from another site works."""
    app = an_app()
    response = ask(app, "GET", "/me", f"sAccessToken={log_in(app).access}", sec_fetch_site="cross-site")
    assert response.status_code == 200


def test_a_refresh_cookie_that_was_tossed_in() -> None:
    """A genuine access cookie of another session, expired or not, makes the refresh *unauthorised*."""
    clock = Clock()
    app = an_app(clock=clock)
    mine, theirs = log_in(app), log_in(app)
    for _ in range(2):
        response = ask(app, "POST", "/refresh", f"sAccessToken={mine.access}; sRefreshToken={theirs.refresh}")
        assert (response.json, cleared_cookies(response)) == ({"message": "unauthorised"}, BOTH_COOKIES)
        clock.wait(2 * HOUR)


def test_headers_for_cors() -> None:
    """What a web client of another origin sends."""
    wanted = ["content-type", "rid", "fdi-version", "anti-csrf", "authorization", "st-auth-mode"]
    assert get_cors_headers() == wanted


def test_a_preflight_reaches_neither_session_check_nor_view() -> None:
    """OPTIONS is answered, TRACE is not allowed, on a guarded view too."""
    from flask_supertokens import verify_session

    guarded = an_app()
    guarded.route("/all", methods=["OPTIONS", "TRACE", "GET"], provide_automatic_options=False)(
        verify_session(lambda: "ok")
    )
    options = ask(guarded, "OPTIONS", "/all")
    assert (options.status_code, options.text, set(options.allow)) == (200, "", {"GET", "HEAD", "OPTIONS"})
    assert ask(guarded, "TRACE", "/all").status_code == 405
    assert ask(guarded, "GET", "/all").status_code == 401


@pytest.mark.parametrize("status", [401, 440])
def test_statuses_by_setting(status: int) -> None:
    """Old web clients expect 440 for a session that has expired."""
    app = an_app(SUPERTOKENS_SESSION_EXPIRED_STATUS_CODE=status)
    assert ask(app, "GET", "/me").status_code == status
    assert ask(app, "POST", "/refresh").status_code == status


def test_a_request_that_has_nothing_to_do_with_sessions() -> None:
    """Its response is left alone."""
    app = an_app()
    app.get("/plain")(lambda: "plain")
    response = ask(app, "GET", "/plain", f"sAccessToken={log_in(app).access}")
    assert {"Vary", "Cache-Control", "Set-Cookie", "front-token"}.isdisjoint(response.headers.keys())
