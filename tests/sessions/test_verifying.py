"""Sessions are verified: which token counts, in which order is checked, what the database is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.typing import ResponseReturnValue
from werkzeug.test import TestResponse

import flask_supertokens
from flask_supertokens import (
    TryRefreshTokenError,
    create_new_session,
    current_session,
    get_session,
    revoke_session,
    verify_session,
)
from flask_supertokens.protocol import tokens

from ..support.apps import a_session, add, an_app, an_app_with_users, clock_of, signed_in, state_of, user
from ..support.cookies import cookie_lines, set_cookies
from ..support.plans import HOUR, Clock
from ..support.wire import (
    TRY_REFRESH,
    UNAUTHORISED,
    ask,
    assert_response,
    call,
    cleared_methods,
    forge,
    front,
    handed_out,
    log_in,
    sets_no_tokens,
)


def test_one_request_has_one_session_object() -> None:
    """One request has one `Session`."""
    app = add(
        an_app(), verify_session(lambda: str(get_session() is get_session() is current_session._get_current_object()))
    )
    assert call(app, "GET", "/view", access=signed_in(app).access_token).text == "True"


TABLE = [
    ("any", False, False, None),
    ("any", False, True, "cookie"),
    ("any", True, False, "header"),
    ("any", True, True, "header"),
    ("header", False, False, None),
    ("header", False, True, None),
    ("header", True, False, "header"),
    ("header", True, True, "header"),
    ("cookie", False, False, None),
    ("cookie", False, True, "cookie"),
    ("cookie", True, False, None),
    ("cookie", True, True, "cookie"),
]


def presented(app: Flask, path: str, in_header: bool, in_cookie: bool, wait: int = 0) -> TestResponse:
    """A request with the tokens of two users, one by each method."""
    header, cookie = signed_in(app, "header").access_token, signed_in(app, "cookie").access_token
    clock_of(app).wait(wait)
    return call(app, "GET", path, bearer=header if in_header else None, access=cookie if in_cookie else None)


@pytest.mark.parametrize("path", ["/me", "/maybe"])
@pytest.mark.parametrize(("allowed", "in_header", "in_cookie", "who"), TABLE)
def test_the_header_wins_of_the_methods_that_are_allowed(
    path: str, allowed: str, in_header: bool, in_cookie: bool, who: str | None
) -> None:
    """Of the methods that are allowed the header wins; no token is None where the session is optional, else 401."""
    response = presented(an_app(token_transfer_method=allowed), path, in_header, in_cookie)
    if who is None and path == "/me":
        assert_response(response, 401, UNAUTHORISED)
    else:
        assert response.json == {"user": who, "method": who}
    assert sets_no_tokens(response)


@pytest.mark.parametrize("path", ["/me", "/maybe"])
@pytest.mark.parametrize(("allowed", "in_header", "in_cookie", "who"), TABLE)
def test_expired_tokens_get_try_refresh_and_clear_nothing(
    path: str, allowed: str, in_header: bool, in_cookie: bool, who: str | None
) -> None:
    """Every token that counts becomes *try refresh token*, also where the session is optional; nothing is cleared."""
    response = presented(an_app(token_transfer_method=allowed), path, in_header, in_cookie, wait=HOUR)
    if who is not None:
        assert_response(response, 401, TRY_REFRESH)
    else:
        assert response.status_code == (401 if path == "/me" else 200)
    assert sets_no_tokens(response)


@pytest.mark.parametrize(
    "foreign", ["garbage", "a.b.c", forge({"sub": "x"}), forge(header={"alg": "RS256", "typ": "JWT"})]
)
def test_a_foreign_bearer_token_counts_as_absent(foreign: str) -> None:
    """It counts as absent: the cookie session beside it is served."""
    app = an_app()
    access = signed_in(app).access_token
    assert call(app, "GET", "/me", bearer=foreign, access=access).json == {"user": "user-1", "method": "cookie"}
    assert_response(call(app, "GET", "/me", bearer=foreign), 401, UNAUTHORISED)
    assert call(app, "GET", "/maybe", bearer=foreign).json["user"] is None


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (
            {"cookies": ["sIdRefreshToken=x", "sAccessToken=a", "sAccessToken=b"]},
            "using legacy session, please call the refresh API",
        ),
        ({"cookies": ["sAccessToken=a", "sAccessToken=b"]}, "Multiple access tokens present in the request cookies."),
        ({"cookies": [f"sAccessToken={forge()}"]}, "The rid header is missing (anti-CSRF)."),
    ],
)
def test_the_first_check_that_fails_names_the_reason(problem: dict[str, Any], message: str) -> None:
    """The first check that fails names the reason: legacy cookie, duplicates, anti-CSRF, and only then the signature."""
    app = an_app(anti_csrf="VIA_CUSTOM_HEADER")
    seen: list[TryRefreshTokenError] = []
    app.register_error_handler(TryRefreshTokenError, lambda error: (seen.append(error), ("", 401))[1])
    call(app, "POST", "/me", **problem)
    assert [error.description for error in seen] == [message]


def test_a_request_without_a_token_is_refused_and_clears_nothing() -> None:
    """Nothing is cleared: the request may race with a refresh."""
    app = an_app()
    response = call(app, "GET", "/me", refresh=signed_in(app).refresh_token)
    assert_response(response, 401, UNAUTHORISED)
    assert sets_no_tokens(response)


@pytest.mark.parametrize("by_setting", [True, False])
def test_a_session_that_has_ended_is_refused_where_the_database_is_asked(by_setting: bool) -> None:
    """A view that asks the database gives *unauthorised* and clears; others go on until the token expires."""
    app = an_app(check_database=by_setting)
    add(app, verify_session(check_database=None if by_setting else True)(user))
    session = a_session(app)
    with app.app_context():
        revoke_session(session.handle)
    response = call(app, "GET", "/view", access=session.access_token)
    assert_response(response, 401, UNAUTHORISED)
    assert cleared_methods(response) == {"cookie", "header"}
    if not by_setting:
        assert call(app, "GET", "/me", access=session.access_token).status_code == 200


def test_the_argument_of_a_view_turns_the_database_check_off() -> None:
    """The argument beats the setting."""
    app = add(an_app(check_database=True), verify_session(check_database=False)(user))
    session = a_session(app)
    with app.app_context():
        revoke_session(session.handle)
    assert call(app, "GET", "/view", access=session.access_token).status_code == 200


@pytest.mark.parametrize("method", ["cookie", "header"])
def test_a_payload_changed_meanwhile_comes_with_a_new_access_token(method: str) -> None:
    """A view that asks the database hands out a new access token, by the method of the request, and no refresh token."""
    app = add(an_app(), verify_session(check_database=True)(lambda: current_session.access_token_payload))
    session = a_session(app)
    state_of(app).engine.merge_payload(session.handle, {"role": "admin"})
    clock_of(app).wait(5000)
    response = call(app, "GET", "/view", **{"access" if method == "cookie" else "bearer": session.access_token})
    assert response.json["role"] == "admin"
    assert handed_out(response) == {method}
    assert front(response)["up"]["iat"] == clock_of(app)() // 1000
    assert "sRefreshToken" not in set_cookies(response)
    assert "st-refresh-token" not in response.headers


def test_asking_again_with_the_database_updates_session_and_response() -> None:
    """What was changed meanwhile is in the same `Session` and in the response."""
    app = an_app()
    access = signed_in(app).access_token

    def view() -> ResponseReturnValue:
        before = get_session()
        assert before is not None
        state_of(app).engine.merge_payload(before.handle, {"role": "admin"})
        return [get_session(check_database=True) is before, before.access_token_payload["role"]]

    response = call(add(app, view), "GET", "/view", access=access)
    assert response.json == [True, "admin"]
    assert front(response)["up"]["role"] == "admin"


@pytest.mark.parametrize("dynamic", [True, False])
def test_a_token_of_the_other_kind_of_signing_key_gets_try_refresh(dynamic: bool) -> None:
    """*Try refresh token*: a refresh signs with the right kind."""
    before = an_app(use_dynamic_signing_key=not dynamic)
    after = an_app(store=state_of(before).engine.store, use_dynamic_signing_key=dynamic)  # type: ignore[attr-defined]
    tokens = signed_in(before)
    assert_response(call(after, "GET", "/me", access=tokens.access_token), 401, TRY_REFRESH)
    assert call(after, "POST", "/refresh", refresh=tokens.refresh_token).status_code == 200


@pytest.mark.parametrize(
    ("one", "other", "status"),
    [
        ({"issuer": "a"}, {"issuer": "a"}, 200),
        ({"issuer": "a"}, {"issuer": "b"}, 401),
        ({}, {"issuer": "a"}, 401),
        ({"issuer": "a"}, {}, 200),
        ({"audience": "a"}, {"audience": "a"}, 200),
        ({"audience": "a"}, {"audience": "b"}, 401),
        ({}, {"audience": "a"}, 401),
        ({"audience": "a"}, {}, 200),
        ({}, {"api_domain": "https://api.example.com"}, 200),
    ],
)
def test_issuer_and_audience_tell_two_apps_apart_that_share_their_keys(
    one: dict[str, str], other: dict[str, str], status: int
) -> None:
    """``iss`` and ``aud`` are checked where they were set by hand."""
    first = an_app(**one)
    second = an_app(store=state_of(first).engine.store, **other)  # type: ignore[attr-defined]
    assert call(second, "GET", "/me", access=signed_in(first).access_token).status_code == status


def test_a_session_made_in_this_request_counts_at_once() -> None:
    """It counts at once, though the request came without a token."""

    def view() -> ResponseReturnValue:
        session = create_new_session("user-2")
        return str(get_session() is session is current_session._get_current_object())

    app = add(an_app(), view)
    assert call(app, "GET", "/view").text == "True"
    assert call(app, "GET", "/view", access=signed_in(app).access_token).text == "True"


ALLOWED = ("any", "header", "cookie")


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
def test_one_access_token_counts_by_the_table(
    allowed: str, header: bool, cookie: bool, required: bool, expired: bool
) -> None:
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


def test_a_request_that_has_nothing_to_do_with_sessions_is_left_alone() -> None:
    """Its response is left alone."""
    app = an_app()
    app.get("/plain")(lambda: "plain")
    response = ask(app, "GET", "/plain", f"sAccessToken={log_in(app).access}")
    assert {"Vary", "Cache-Control", "Set-Cookie", "front-token"}.isdisjoint(response.headers.keys())


def test_without_a_session_the_proxy_is_falsy_and_names_the_decorator() -> None:
    """The proxy is falsy, and any attribute is a RuntimeError that names the decorator."""
    app = an_app()
    assert not current_session
    with app.test_request_context():
        assert not current_session
        with pytest.raises(RuntimeError, match="@verify_session"):
            current_session.user_id  # noqa: B018


def test_a_checked_view_after_a_cheap_check_sees_what_was_stored_meanwhile() -> None:
    """What was stored meanwhile is seen at once, and the new access token is sent."""
    app = an_app_with_users()
    app.before_request(lambda: get_session(session_required=False) and None)

    @app.get("/checked")
    @verify_session(check_database=True)
    def checked() -> Any:
        return {"role": current_session.access_token_payload["role"]}

    client = app.test_client()
    handle = client.post("/login/alice").json["handle"]
    with app.app_context():
        flask_supertokens.merge_into_access_token_payload(handle, {"role": "none"})
    response = client.get("/checked")
    assert response.json == {"role": "none"}
    assert "sAccessToken" in set_cookies(response)


def test_the_time_of_the_last_refresh_moves_with_a_refresh_only() -> None:
    """`last_refreshed_at` moves with a refresh only."""
    clock = Clock()
    app = an_app_with_users(clock=clock)
    client = app.test_client()
    handle = client.post("/login/alice").json["handle"]
    clock.wait(5_000)
    refreshed_at = clock.now
    client.post("/refresh")
    clock.wait(4_000)
    client.get("/me")
    with app.app_context():
        information = flask_supertokens.get_session_information(handle)
    assert information is not None
    assert information.last_refreshed_at == refreshed_at


def test_verifying_a_token_seen_before_parses_and_serialises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a token seen before nothing is parsed and nothing serialised."""
    app = add(an_app(), verify_session(lambda: current_session.user_id))
    access = signed_in(app).access_token
    call(app, "GET", "/view", access=access)
    monkeypatch.setattr(tokens, "json", None)
    monkeypatch.setattr(tokens, "base64", None)
    assert call(app, "GET", "/view", access=access).text == "user-1"
