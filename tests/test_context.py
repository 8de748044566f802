"""What one response gets, and what one request keeps: cookies attribute by attribute, and nobody else's session."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response, jsonify, make_response, request
from flask.typing import ResponseReturnValue
from flask_cors import CORS
from werkzeug.test import run_wsgi_app

from flask_supertokens import (
    SuperTokens,
    create_new_session,
    current_session,
    get_session,
    refresh_session,
    verify_session,
)
from flask_supertokens.stores.memory import MemoryStore

from .support.cookies import Cookie, set_cookies
from .support.wire import (
    SECRET,
    UNAUTHORISED,
    add,
    an_app,
    call,
    cleared,
    clock_of,
    contents,
    front,
    login,
    signed_in,
    state_of,
    untouched,
    whoami,
    without,
)

IN_A_YEAR = "Wed, 13 Nov 2024 22:13:20 GMT"
IN_100_DAYS = "Thu, 22 Feb 2024 22:13:20 GMT"


# -- cookies and headers, exactly --------------------------------------------------------------------------------------


def test_a_log_in_sets_cookies() -> None:
    """Each attribute as the protocol has it: a year for the access cookie, the token's own life for the other."""
    cookies = set_cookies(call(an_app(), "POST", "/login"))
    access, refresh = cookies["sAccessToken"].value, cookies["sRefreshToken"].value
    assert cookies == {
        "sAccessToken": Cookie("sAccessToken", access, "/", None, IN_A_YEAR, "Lax", False, True, "31536000"),
        "sRefreshToken": Cookie("sRefreshToken", refresh, "/refresh", None, IN_100_DAYS, "Lax", False, True, "8640000"),
    }


def test_a_log_in_sets_headers() -> None:
    """One front-token with the payload but for ``auth_time``, no token in another header, nothing to cache, names to expose."""
    response = call(an_app(), "POST", "/login")
    claims = contents(set_cookies(response)["sAccessToken"].value)[1]
    assert front(response) == {"ate": 1_700_003_600_000, "uid": "user-1", "up": without(claims, "auth_time")}
    assert not {"st-access-token", "st-refresh-token", "anti-csrf"} & {name.lower() for name, _ in response.headers}
    assert response.headers["Access-Control-Expose-Headers"] == "front-token"
    assert (response.headers["Cache-Control"], response.headers["Vary"]) == ("no-store", "Cookie")


def test_a_log_in_by_header() -> None:
    """Tokens raw in two headers, no cookie, no anti-CSRF token."""
    response = call(an_app(anti_csrf="VIA_TOKEN"), "POST", "/login", headers={"st-auth-mode": "header"})
    assert set_cookies(response) == {}
    assert contents(response.headers["st-access-token"])[1]["antiCsrfToken"] is None
    assert response.headers["st-refresh-token"]
    assert "anti-csrf" not in response.headers
    exposed = set(response.headers["Access-Control-Expose-Headers"].split(", "))
    assert exposed == {"front-token", "st-access-token", "st-refresh-token"}
    assert response.headers["Cache-Control"] == "no-store"


def test_a_log_in_with_an_anti_csrf_token() -> None:
    """The header says what the access token says; 128 random bits or more."""
    response = call(an_app(anti_csrf="VIA_TOKEN"), "POST", "/login")
    claims = contents(set_cookies(response)["sAccessToken"].value)[1]
    assert response.headers["anti-csrf"] == claims["antiCsrfToken"]
    assert len(claims["antiCsrfToken"]) >= 22


def test_the_access_token_is_exposed() -> None:
    """By setting, a cookie session shows its access token in a header too."""
    response = call(an_app(expose_access_token=True), "POST", "/login")
    assert response.headers["st-access-token"] == set_cookies(response)["sAccessToken"].value
    assert "st-refresh-token" not in response.headers


@pytest.mark.parametrize(
    ("settings", "attributes"),
    [
        ({"cookie_domain": ".example.com"}, {"domain": "example.com"}),
        ({"cookie_same_site": "strict"}, {"same_site": "Strict"}),
        (
            {"cookie_same_site": "none", "cookie_secure": True, "cookie_prefix": ""},
            {"same_site": "None", "secure": True},
        ),
        ({"cookie_partitioned": True, "cookie_secure": None}, {"partitioned": True, "secure": True}),
    ],
)
def test_cookies_follow_the_settings(settings: dict[str, Any], attributes: dict[str, Any]) -> None:
    """The same for both cookies, set or cleared."""
    app = an_app(**settings)
    for response in (call(app, "POST", "/login"), call(app, "POST", "/refresh")):
        for cookie in set_cookies(response).values():
            assert {name: getattr(cookie, name) for name in attributes} == attributes


@pytest.mark.parametrize(
    ("settings", "root", "names"),
    [
        ({}, "", {"__Host-sAccessToken": "/", "__Secure-sRefreshToken": "/refresh"}),
        ({}, "/v1", {"__Host-2d234c97-sAccessToken": "/", "__Secure-sRefreshToken": "/v1/refresh"}),
        ({}, "//v1", {"__Host-sAccessToken": "/", "__Secure-sRefreshToken": "/refresh"}),
        (
            {"cookie_domain": "a.com"},
            "/v1",
            {"__Secure-sAccessToken": "/v1", "__Secure-sRefreshToken": "/v1/refresh"},
        ),
        ({"access_token_path": "/api"}, "", {"__Secure-sAccessToken": "/api", "__Secure-sRefreshToken": "/refresh"}),
        (
            {"access_token_path": "/api"},
            "/v1",
            {"__Secure-sAccessToken": "/v1/api", "__Secure-sRefreshToken": "/v1/refresh"},
        ),
        ({"cookie_domain": "a.com"}, "", {"__Secure-sAccessToken": "/", "__Secure-sRefreshToken": "/refresh"}),
        ({"cookie_prefix": ""}, "", {"sAccessToken": "/", "sRefreshToken": "/refresh"}),
        ({"cookie_prefix": "my-"}, "", {"my-sAccessToken": "/", "my-sRefreshToken": "/refresh"}),
        ({"cookie_secure": False}, "/v1/", {"sAccessToken": "/v1", "sRefreshToken": "/v1/refresh"}),
        (
            {"api_base_path": "/auth"},
            "",
            {"__Host-sAccessToken": "/", "__Secure-sRefreshToken": "/auth/session/refresh"},
        ),
        ({}, "/é", {"__Host-dd240f6a-sAccessToken": "/", "__Secure-sRefreshToken": "/%C3%A9/refresh"}),
        ({"cookie_prefix": ""}, "/é", {"sAccessToken": "/%C3%A9", "sRefreshToken": "/%C3%A9/refresh"}),
    ],
)
def test_cookies_have_prefix_and_path(settings: dict[str, Any], root: str, names: dict[str, str]) -> None:
    """The best prefix that the settings allow; paths go under the script root, or the name does; the session is found again."""
    app = an_app(**{"cookie_secure": True, **settings})
    mounted = {"SCRIPT_NAME": root.encode().decode("latin-1")}
    cookies = set_cookies(call(app, "POST", "/login", environ_overrides=mounted))
    assert {name: cookie.path for name, cookie in cookies.items()} == names
    pairs = [f"{name}={cookie.value}" for name, cookie in cookies.items()]
    assert call(app, "GET", "/me", cookies=pairs, environ_overrides=mounted).status_code == 200
    refresh_path = state_of(app).settings.refresh_path
    assert call(app, "POST", refresh_path, cookies=pairs, environ_overrides=mounted).status_code == 200


# -- secure or not -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "secure"),
    [
        ({}, True),
        ({"DEBUG": True}, False),
        ({"TESTING": True}, False),
        ({"api_domain": "http://api.example.com"}, False),
        ({"api_domain": "https://api.example.com"}, True),
        ({"cookie_secure": True, "TESTING": True}, True),
        ({"cookie_secure": False}, False),
        ({"cookie_same_site": "none", "TESTING": True}, True),
    ],
)
def test_cookies_are_secure(settings: dict[str, Any], secure: bool) -> None:
    """True unless the API's domain is http, or the app is in debug or testing; a setting decides."""
    cookies = set_cookies(call(an_app(**{"cookie_secure": None, **settings}), "POST", "/login")).values()
    assert [cookie.secure for cookie in cookies] == [secure, secure]
    assert all(cookie.name.startswith("__") is secure for cookie in cookies)


@pytest.mark.parametrize("first", [True, False])
def test_testing_changes_after_the_first_cookie(first: bool) -> None:
    """What was right when the first cookie was written stays."""
    app = an_app(cookie_secure=None, TESTING=first)
    call(app, "POST", "/login")
    app.testing = not first
    assert all(cookie.secure is not first for cookie in set_cookies(call(app, "POST", "/login")).values())


def test_testing_is_switched_on_after_start() -> None:
    """Before the first cookie it still counts, though requests were served."""
    app = an_app(cookie_secure=None)
    call(app, "GET", "/me")
    app.testing = True
    assert not any(cookie.secure for cookie in set_cookies(call(app, "POST", "/login")).values())


@pytest.mark.parametrize(
    ("url", "warnings"),
    [
        ("http://example.com", 1),
        ("https://example.com", 0),
        ("http://localhost:5000", 0),
        ("http://127.0.0.1:5000", 0),
        ("http://[::1]:5000", 0),
        ("http://app.localhost", 0),
        ("http://LOCALHOST.:5000", 0),
        ("http://127.1.2.3", 0),
    ],
)
def test_secure_cookies_are_sent_over_plain_http(caplog: pytest.LogCaptureFixture, url: str, warnings: int) -> None:
    """Where a browser drops them there is one warning, with the mend."""
    app = an_app(cookie_secure=True)
    for _ in range(2):
        call(app, "POST", "/login", base_url=url)
    texts = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(texts) == warnings
    assert all("ProxyFix" in text and "SUPERTOKENS_COOKIE_SECURE" in text for text in texts)


@pytest.mark.parametrize(
    ("browser", "warnings"),
    [
        ("AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15", 1),
        ("AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/123.0 Mobile/15E148 Safari/604.1", 1),
        ("AppleWebKit/537.36 (KHTML, like Gecko) Chrome/123.0.0.0 Safari/537.36", 0),
        ("Gecko/20100101 Firefox/124.0", 0),
        (None, 0),
    ],
)
@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1:5000"])
def test_safari_drops_secure_cookies_on_localhost(
    caplog: pytest.LogCaptureFixture, host: str, browser: str | None, warnings: int
) -> None:
    """There is one warning with the fix, and none for browsers that keep them, nor over https."""
    app, headers = an_app(cookie_secure=True), {} if browser is None else {"User-Agent": f"Mozilla/5.0 (…) {browser}"}
    for url in (f"https://{host}", f"http://{host}", f"http://{host}"):
        call(app, "POST", "/login", base_url=url, headers=headers)
    texts = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(texts) == warnings
    assert all("Safari" in text and "SUPERTOKENS_COOKIE_SECURE to False" in text and host in text for text in texts)


def test_both_warnings_are_due(caplog: pytest.LogCaptureFixture) -> None:
    """Safari's on localhost does not swallow the one on another host."""
    app, safari = an_app(cookie_secure=True), {"User-Agent": "AppleWebKit/605.1.15 Version/17.4 Safari/605.1.15"}
    for url in ("http://localhost", "http://example.com"):
        call(app, "POST", "/login", base_url=url, headers=safari)
    assert ["Safari" in text for text in caplog.messages if "Secure cookies" in text] == [True, False]


# -- what the response held already ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("X-Total", "X-Total, front-token"),
        ("Front-Token, X-Total", {"front-token", "x-total"}),
        (" , X-Total,,", "X-Total, front-token"),
        ("X-Total, x-total", {"x-total", "front-token"}),
    ],
)
def test_the_app_exposes_headers_itself(before: str, after: str | set[str]) -> None:
    """Names are merged, each once, whatever its case."""

    def view() -> ResponseReturnValue:
        create_new_session("user-1")
        return "", {"Access-Control-Expose-Headers": before}

    (value,) = call(add(an_app(), view), "GET", "/view").headers.getlist("Access-Control-Expose-Headers")
    names = value.split(", ")
    assert len(names) == 2
    assert value == after or {name.lower() for name in names} == after


def test_flask_cors_exposes_headers() -> None:
    """Set up after the extension it leaves ours in."""
    app = an_app(website_domain="https://www.example.com")
    CORS(
        app,
        origins=["https://www.example.com", "https://a.example.com"],
        supports_credentials=True,
        expose_headers=["X-Total"],
    )
    response = call(app, "POST", "/login", headers={"Origin": "https://www.example.com"})
    assert response.headers["Access-Control-Expose-Headers"] == "X-Total, front-token"
    assert {part.strip() for part in ",".join(response.headers.getlist("Vary")).split(",")} == {"Origin", "Cookie"}


def test_the_app_caches_and_varies() -> None:
    """``no-store`` replaces what the app said, ``Cookie`` joins its ``Vary``."""

    def view() -> ResponseReturnValue:
        create_new_session("user-1")
        return "", {"Cache-Control": "public, max-age=60", "Vary": "Accept-Encoding, cookie"}

    headers = call(add(an_app(), view), "GET", "/view").headers
    assert headers.getlist("Cache-Control") == ["no-store"]
    assert headers["Vary"].lower() == "accept-encoding, cookie"


@pytest.mark.parametrize("path", ["/me", "/maybe", "/plain", "/missing", "/static/none.css"])
def test_a_request_changes_no_tokens(path: str) -> None:
    """The extension writes nothing of them to its response."""
    app = add(an_app(), lambda: "plain", "/plain")
    assert untouched(call(app, "GET", path, access=signed_in(app).access_token))
    assert untouched(call(app, "GET", path))


def test_tokens_were_made_before_an_exception() -> None:
    """They do not leave: a log-in that fails is none."""

    def view() -> ResponseReturnValue:
        create_new_session("user-1")
        raise RuntimeError("later")

    response = call(add(an_app(), view), "GET", "/view")
    assert response.status_code == 500
    assert untouched(response)


def test_a_later_after_request_sees_the_tokens() -> None:
    """Functions of the app run before ours and may replace the response; the tokens are written to what leaves."""
    app = an_app()

    @app.after_request
    def replace(response: Response) -> Response:
        return make_response("replaced")

    response = call(app, "POST", "/login")
    assert response.text == "replaced"
    assert set(set_cookies(response)) == {"sAccessToken", "sRefreshToken"}


def test_tokens_change_in_a_stream(caplog: pytest.LogCaptureFixture) -> None:
    """The headers have left: a warning says that the client gets none of it."""

    def view() -> Any:
        get_session(session_required=False)

        def body() -> Iterator[str]:
            yield create_new_session("user-1").user_id

        from flask import stream_with_context

        return Response(stream_with_context(body()))

    response = call(add(an_app(), view), "GET", "/view")
    assert response.text == "user-1"
    assert "after the response had left" in caplog.text
    assert set_cookies(response) == {}


# -- whose session it is -----------------------------------------------------------------------------------------------


def test_an_application_context_is_kept_pushed() -> None:
    """The next request, with nobody's token, is nobody's."""
    app = an_app()
    with app.app_context():
        assert call(app, "GET", "/maybe", access=signed_in(app).access_token).json["user"] == "user-1"
        assert call(app, "GET", "/maybe").json["user"] is None
        assert call(app, "GET", "/me").status_code == 401
        assert not current_session


def test_two_browsers_take_turns() -> None:
    """Each is served as who it is, though the engine remembers verified tokens."""
    app = an_app()
    users = {user: signed_in(app, user).access_token for user in ("alice", "bob")}
    for user in ["alice", "bob", "bob", "alice"]:
        assert call(app, "GET", "/me", access=users[user]).json["user"] == user


def test_two_clients_keep_their_cookies() -> None:
    """The session of one test client is not the other's."""
    app = an_app()
    one, other = app.test_client(), app.test_client()
    one.post("/login")
    assert one.get("/me").status_code == 200
    assert other.get("/me").status_code == 401


def test_a_request_is_made_inside_a_request() -> None:
    """The inner one has its own session and response, the outer one keeps its own."""
    app = an_app()
    inner = signed_in(app, "inner").access_token

    def view() -> ResponseReturnValue:
        before = current_session.user_id
        answer = call(app, "GET", "/maybe", access=inner).json["user"]
        anonymous = call(app, "GET", "/maybe").json["user"]
        logged_in = call(app, "POST", "/login")
        return jsonify(before, answer, anonymous, current_session.user_id, len(set_cookies(logged_in)))

    add(app, verify_session(view))
    response = call(app, "GET", "/view", access=signed_in(app, "outer").access_token)
    assert response.json == ["outer", "inner", None, "outer", 2]
    assert untouched(response)


def handing_on(second: Flask) -> Any:
    """A view that gives its own environ to another app and answers what that one answers."""

    def view() -> ResponseReturnValue:
        get_session(session_required=False) or create_new_session("first")
        body, status, _ = run_wsgi_app(second, request.environ)
        return b"".join(body), int(status.split()[0]), {"Content-Type": "application/json"}

    return view


@pytest.mark.parametrize("shared_secret", [True, False])
def test_an_environ_is_handed_on_to_another_app(shared_secret: bool) -> None:
    """The second app judges the token by its own store and key; what the first one found does not count there."""
    second = an_app(SECRET_KEY=SECRET if shared_secret else "another")
    first = add(an_app(), handing_on(second))
    clock_of(second).wait(1)
    add(second, verify_session(whoami))
    response = call(first, "GET", "/view", access=signed_in(first).access_token)
    assert (response.status_code, response.json) == (401, {"message": "try refresh token"})


def test_a_session_was_made_before_the_environ_is_handed_on() -> None:
    """The second app finds nobody, and the first one's tokens leave with the first one's answer."""
    second = add(an_app(), verify_session(session_required=False)(whoami))
    response = call(add(an_app(), handing_on(second)), "GET", "/view")
    assert response.json == {"user": None, "method": None}
    assert front(response)["uid"] == "first"


def test_an_app_asks_for_the_session_of_another_apps_request() -> None:
    """Refused: the request belongs to the app that serves it."""
    first, second = an_app(), an_app()

    def view() -> ResponseReturnValue:
        with second.app_context(), pytest.raises(RuntimeError, match="belongs to another app"):
            get_session()
        return {}

    add(first, verify_session(view))
    assert call(first, "GET", "/view", access=signed_in(first).access_token).status_code == 200


def test_a_view_forgot_the_decorator_after_one_that_had_it() -> None:
    """``current_session`` is not the one of the request before."""
    app = add(an_app(), lambda: {"there": bool(current_session)})
    access = signed_in(app).access_token
    call(app, "GET", "/me", access=access)
    assert call(app, "GET", "/view", access=access).json == {"there": False}


def test_a_host_has_letters_beyond_ascii() -> None:
    """Its own origin, in punycode as browsers send it, is not foreign."""
    app = an_app()
    headers = {"Host": "xn--bcher-kva.example", "Origin": "http://xn--bcher-kva.example"}
    assert call(app, "POST", "/me", access=signed_in(app).access_token, headers=headers).status_code == 200


@pytest.mark.parametrize("host", ["example.com:80", "example.com", "example.com:8080"])
def test_a_request_comes_from_its_own_origin(host: str) -> None:
    """The default port is not part of an origin."""
    app = an_app()
    headers = {"Host": host, "Origin": f"http://{host.removesuffix(':80')}"}
    assert call(app, "POST", "/me", access=signed_in(app).access_token, headers=headers).status_code == 200


# -- the transfer method by a function ---------------------------------------------------------------------------------


def test_the_transfer_method_is_a_function() -> None:
    """It is asked with the request and whether a session is being made."""
    asked: list[tuple[str, bool]] = []

    def choose(given: Any, for_create: bool) -> str:
        asked.append((given.path, for_create))
        return "header"

    app = an_app(token_transfer_method=choose)
    assert call(app, "POST", "/login").headers["st-access-token"]
    assert call(app, "GET", "/me", access=signed_in(app).access_token).json == UNAUTHORISED
    assert asked[0] == ("/login", True)
    assert asked[-1] == ("/me", False)


def test_the_transfer_function_answers_nonsense() -> None:
    """The error says what it must return."""
    app = an_app(token_transfer_method=lambda *_: "body", TESTING=True)
    with pytest.raises(ValueError, match="must return 'any', 'cookie' or 'header'"):
        call(app, "GET", "/me")


# -- routes of the app's own -------------------------------------------------------------------------------------------


def test_the_app_has_its_own_refresh_view() -> None:
    """Without our routes the paths stay and set the cookie path; `refresh_session` does the work."""
    app = Flask("own")
    app.config.update(SECRET_KEY=SECRET, SUPERTOKENS_COOKIE_SECURE=False, SUPERTOKENS_REGISTER_ROUTES=False)
    SuperTokens(app, store=MemoryStore())
    app.add_url_rule("/login", view_func=login, methods=["POST"])
    app.add_url_rule("/refresh", view_func=lambda: {"user": refresh_session().user_id}, methods=["POST"])
    cookies = set_cookies(call(app, "POST", "/login"))
    assert cookies["sRefreshToken"].path == "/refresh"
    assert call(app, "POST", "/refresh", refresh=cookies["sRefreshToken"].value).json == {"user": "user-1"}
    assert cleared(call(app, "POST", "/refresh")) == {"cookie", "header"}
    assert call(app, "POST", "/signout").status_code == 404
    assert state_of(app).settings.signout_path == "/signout"
