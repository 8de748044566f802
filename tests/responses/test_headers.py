"""Headers that a session sets or leaves alone."""

from __future__ import annotations

import base64
import json
from typing import NoReturn

import pytest
from flask import Response, make_response, request
from flask.typing import ResponseReturnValue
from flask_cors import CORS

from flask_supertokens import (
    UnauthorisedError,
    create_new_session,
    get_cors_headers,
)
from flask_supertokens.protocol.tokens import front_token

from ..support.apps import add, an_app, handles, signed_in
from ..support.cookies import BOTH_COOKIES, cleared_cookies, cookie_values, set_cookies
from ..support.engines import CountingStore
from ..support.plans import HOUR, Clock
from ..support.wire import ask, call, cleared_methods, contents, front, run, sets_no_tokens, without


def test_the_list_of_a_web_client_s_headers_is_the_caller_s_own() -> None:
    """The list is the caller's own."""
    get_cors_headers().clear()
    assert get_cors_headers() == ["content-type", "rid", "fdi-version", "anti-csrf", "authorization", "st-auth-mode"]


def test_a_sign_in_sets_one_front_token_and_forbids_caching() -> None:
    """One front-token with the payload but for ``auth_time``, no token in another header, nothing to cache, names to expose."""
    response = call(an_app(), "POST", "/login")
    claims = contents(set_cookies(response)["sAccessToken"].value)[1]
    assert front(response) == {"ate": 1_700_003_600_000, "uid": "user-1", "up": without(claims, "auth_time")}
    assert not {"st-access-token", "st-refresh-token", "anti-csrf"} & {name.lower() for name, _ in response.headers}
    assert response.headers["Access-Control-Expose-Headers"] == "front-token"
    assert (response.headers["Cache-Control"], response.headers["Vary"]) == ("no-store", "Cookie")


def test_the_setting_shows_the_access_token_of_a_cookie_session_in_a_header() -> None:
    """By setting, a cookie session shows its access token in a header too."""
    response = call(an_app(expose_access_token=True), "POST", "/login")
    assert response.headers["st-access-token"] == set_cookies(response)["sAccessToken"].value
    assert "st-refresh-token" not in response.headers


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("X-Total", "X-Total, front-token"),
        ("Front-Token, X-Total", {"front-token", "x-total"}),
        (" , X-Total,,", "X-Total, front-token"),
        ("X-Total, x-total", {"x-total", "front-token"}),
    ],
)
def test_exposed_headers_of_the_app_are_merged_with_ours(before: str, after: str | set[str]) -> None:
    """Names are merged, each once, whatever its case."""

    def view() -> ResponseReturnValue:
        create_new_session("user-1")
        return "", {"Access-Control-Expose-Headers": before}

    (value,) = call(add(an_app(), view), "GET", "/view").headers.getlist("Access-Control-Expose-Headers")
    names = value.split(", ")
    assert len(names) == 2
    assert value == after or {name.lower() for name in names} == after


def test_flask_cors_leaves_our_exposed_headers_in() -> None:
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


def test_a_sign_in_forbids_caching_and_joins_what_the_app_varies_by() -> None:
    """``no-store`` replaces what the app said, ``Cookie`` joins its ``Vary``."""

    def view() -> ResponseReturnValue:
        create_new_session("user-1")
        return "", {"Cache-Control": "public, max-age=60", "Vary": "Accept-Encoding, cookie"}

    headers = call(add(an_app(), view), "GET", "/view").headers
    assert headers.getlist("Cache-Control") == ["no-store"]
    assert headers["Vary"].lower() == "accept-encoding, cookie"


@pytest.mark.parametrize("path", ["/me", "/maybe", "/plain", "/missing", "/static/none.css"])
def test_a_request_that_changes_no_tokens_is_left_untouched(path: str) -> None:
    """The extension writes nothing of them to its response."""
    app = add(an_app(), lambda: "plain", "/plain")
    assert sets_no_tokens(call(app, "GET", path, access=signed_in(app).access_token))
    assert sets_no_tokens(call(app, "GET", path))


def test_tokens_made_before_an_exception_do_not_leave() -> None:
    """They do not leave: a log-in that fails is none."""

    def view() -> ResponseReturnValue:
        create_new_session("user-1")
        raise RuntimeError("later")

    response = call(add(an_app(), view), "GET", "/view")
    assert response.status_code == 500
    assert sets_no_tokens(response)


def test_tokens_are_written_to_a_response_that_an_after_request_replaced() -> None:
    """Functions of the app run before ours and may replace the response; the tokens are written to what leaves."""
    app = an_app()

    @app.after_request
    def replace(response: Response) -> Response:
        return make_response("replaced")

    response = call(app, "POST", "/login")
    assert response.text == "replaced"
    assert set(set_cookies(response)) == {"sAccessToken", "sRefreshToken"}


def test_the_front_token_is_standard_base64_of_compact_json() -> None:
    """Known answer: standard base64 of compact JSON."""
    claims = {"exp": 1795367955, "iat": 1795364355, "sub": "u1"}
    assert front_token(claims) == (
        "eyJhdGUiOjE3OTUzNjc5NTUwMDAsInVpZCI6InUxIiwidXAiOnsiZXhwIjoxNzk1MzY3OTU1LCJpYXQiOjE3OTUzNjQzNTUsInN1YiI6InUxIn19"
    )


def test_headers_of_a_sign_in_have_front_token_no_store_vary_and_exposed_names() -> None:
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


def test_an_exposed_access_token_is_in_a_header_of_cookie_sessions_too() -> None:
    """A cookie session gets the header too, when the setting says so."""
    response = ask(an_app(SUPERTOKENS_EXPOSE_ACCESS_TOKEN=True), "POST", "/login")
    assert response.headers["st-access-token"] == cookie_values(response)["sAccessToken"]


def test_an_event_that_clears_after_a_sign_in_lets_no_token_leave() -> None:
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


def test_headers_for_cors_are_those_that_a_web_client_sends() -> None:
    """What a web client of another origin sends."""
    wanted = ["content-type", "rid", "fdi-version", "anti-csrf", "authorization", "st-auth-mode"]
    assert get_cors_headers() == wanted


def test_a_view_that_raises_after_it_made_a_session_sends_no_tokens() -> None:
    """A clearing event cancels pending sets."""

    def view() -> NoReturn:
        create_new_session("user-1")
        raise UnauthorisedError("no")

    response = run(an_app(), view)
    assert cleared_methods(response) == {"cookie", "header"}
    assert all(cookie.cleared for cookie in set_cookies(response).values())


def test_a_new_session_costs_one_write_and_no_look_up_of_users() -> None:
    """One write and no look-up of users, whoever they are."""
    store = CountingStore()
    app = an_app(store)
    signed_in(app)
    store.counted()
    call(app, "POST", "/login")
    assert store.counted() == {"add": 1}


def test_a_request_that_has_nothing_to_do_with_sessions_costs_nothing() -> None:
    """No work: nothing is kept on the request, no store is asked, the response is left alone."""
    store = CountingStore()
    app = an_app(store)
    kept: list[str] = []

    def view() -> str:

        kept.extend(name for name in vars(request._get_current_object()) if "supertokens" in name)  # type: ignore[attr-defined]
        return "plain"

    response = call(add(app, view), "GET", "/view", access="garbage", cookies=["sIdRefreshToken=x"])
    assert (response.text, kept, store.counted(), sets_no_tokens(response)) == ("plain", [], {}, True)
    assert app.before_request_funcs == {}


def test_of_two_sessions_in_one_request_only_the_later_one_s_tokens_leave() -> None:
    """One plan: the later operation wins, and only one session's tokens leave."""
    app = an_app()

    def view() -> None:
        create_new_session("first")
        create_new_session("second").merge_into_access_token_payload({"x": 1})

    up = front(run(app, view))["up"]
    assert (up["sub"], up["x"]) == ("second", 1)
    assert (handles(app, "first"), handles(app, "second")) == ([], [up["sessionHandle"]])
