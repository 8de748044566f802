"""Sessions without a request: created, verified and refreshed by functions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from typing import Any

import pytest
from flask import Flask

import flask_supertokens
from flask_supertokens import (
    TokenTheftError,
    TryRefreshTokenError,
    UnauthorisedError,
    create_new_session_without_request,
    current_session,
    get_session_without_request,
    refresh_session_without_request,
    verify_session,
)

from ..support.apps import a_session, an_app, an_app_with_users, clock_of, handles, signed_in, state_of, steal
from ..support.both import Make
from ..support.cookies import set_cookies
from ..support.plans import HOUR, SECOND
from ..support.wire import run, sets_no_tokens


def test_a_session_lives_its_whole_life_without_requests(app: Flask) -> None:
    """Made, verified, refreshed, changed and ended; its tokens are in `tokens`."""
    tokens = create_new_session_without_request("u", {"a": 1}, {"b": 2}).tokens
    session = get_session_without_request(tokens.access_token)
    assert (session.user_id, session.get_data(), session.tokens.refresh_token) == ("u", {"b": 2}, None)
    clock_of(app).wait(HOUR)
    refreshed = refresh_session_without_request(str(tokens.refresh_token))
    assert refreshed.tokens.refresh_token not in (None, tokens.refresh_token)
    refreshed.merge_into_access_token_payload({"a": 2})
    assert get_session_without_request(refreshed.tokens.access_token).access_token_payload["a"] == 2
    assert refreshed.tokens.refresh_token is not None
    refreshed.revoke()
    with pytest.raises(UnauthorisedError):
        get_session_without_request(refreshed.tokens.access_token, check_database=True)


def test_a_second_refresh_of_a_young_child_returns_the_token_that_was_given(app: Flask) -> None:
    """The answer has a new access token and the refresh token that was given."""
    child = refresh_session_without_request(str(signed_in(app).refresh_token)).tokens
    clock_of(app).wait(SECOND)
    again = refresh_session_without_request(str(child.refresh_token)).tokens
    assert again.refresh_token == child.refresh_token
    assert again.access_token != child.access_token


@pytest.mark.parametrize("token", ["", "garbage", "a.b.c", "\ud800", "ä.b.c"], ids=ascii)
def test_a_string_that_is_no_token_of_ours_is_unauthorised(app: Flask, token: str) -> None:
    """A string that is no token of ours is *unauthorised*."""
    for function in (get_session_without_request, refresh_session_without_request):
        with pytest.raises(UnauthorisedError):
            function(token)


@pytest.mark.parametrize("token", [None, 5, b"a.b.c"])
def test_something_else_than_a_token_is_a_value_error(app: Flask, token: Any) -> None:
    """A ValueError says what is expected."""
    for function in (get_session_without_request, refresh_session_without_request):
        with pytest.raises(ValueError, match="must be a string"):
            function(token)


def test_neither_token_counts_for_the_other_without_a_request(app: Flask) -> None:
    """A refresh token is no access token, nor the other way."""
    tokens = signed_in(app)
    with pytest.raises(UnauthorisedError):
        get_session_without_request(str(tokens.refresh_token))
    with pytest.raises(UnauthorisedError):
        refresh_session_without_request(tokens.access_token)
    assert len(handles(app)) == 1


@pytest.mark.parametrize(("given", "passes"), [("own", True), ("wrong", False), (None, False)])
def test_an_anti_csrf_token_is_compared_when_it_is_asked_for(app: Flask, given: str | None, passes: bool) -> None:
    """When it is asked for."""
    tokens = signed_in(app, anti_csrf=True)
    with ExitStack() as expected:
        if not passes:
            expected.enter_context(pytest.raises(TryRefreshTokenError))
        get_session_without_request(
            tokens.access_token,
            anti_csrf_token=tokens.anti_csrf_token if given == "own" else given,
            anti_csrf_check=True,
        )
    assert get_session_without_request(tokens.access_token).user_id == "user-1"


CSRF_ARGUMENTS = pytest.mark.parametrize(
    ("given", "asked", "passes"),
    [
        ("own", False, True),
        ("own", True, True),
        ("wrong", False, False),
        ("wrong", True, False),
        ("", False, False),
        (None, False, True),
        (None, True, False),
    ],
)


@CSRF_ARGUMENTS
def test_a_given_anti_csrf_token_is_always_compared_and_none_refused_where_asked_for(
    make: Make, given: str | None, asked: bool, passes: bool
) -> None:
    """A given one is always compared; none is a refusal only where the caller asks. The same for both functions."""
    app = make(anti_csrf="VIA_TOKEN")
    tokens = signed_in(app, anti_csrf=True)
    token = tokens.anti_csrf_token if given == "own" else given
    calls = (
        (get_session_without_request, tokens.access_token, TryRefreshTokenError),
        (refresh_session_without_request, str(tokens.refresh_token), UnauthorisedError),
    )
    for function, presented, error in calls:
        with app.app_context(), nullcontext() if passes else pytest.raises(error):
            function(presented, anti_csrf_token=token, anti_csrf_check=asked)
    with app.app_context():
        refreshed = refresh_session_without_request(str(tokens.refresh_token), anti_csrf_token=tokens.anti_csrf_token)
    assert refreshed.user_id == "user-1"


def test_a_session_without_an_anti_csrf_token_gets_one_by_a_refresh(make: Make) -> None:
    """Whoever gives or asks for one is told to refresh, and gets one by that."""
    app = make(anti_csrf="VIA_TOKEN")
    tokens = signed_in(app)
    with app.app_context():
        with pytest.raises(TryRefreshTokenError):
            get_session_without_request(tokens.access_token, anti_csrf_token="of nothing")
        refreshed = refresh_session_without_request(str(tokens.refresh_token), anti_csrf_check=True).tokens
        own = refreshed.anti_csrf_token
        assert own is not None
        get_session_without_request(refreshed.access_token, anti_csrf_token=own, anti_csrf_check=True)


@pytest.mark.parametrize("function", [get_session_without_request, refresh_session_without_request])
def test_something_else_than_an_anti_csrf_token_is_a_value_error(app: Flask, function: Any) -> None:
    """A ValueError says what is expected."""
    with pytest.raises(ValueError, match="anti_csrf_token must be a string"):
        function(signed_in(app).access_token, anti_csrf_token=5)


def test_a_theft_found_without_a_request_is_revoked_and_signalled_before_the_error(app: Flask) -> None:
    """The session is revoked, and signalled, before the error arrives."""
    first = str(signed_in(app).refresh_token)
    child = str(refresh_session_without_request(first).tokens.refresh_token)
    clock_of(app).wait(HOUR)
    refresh_session_without_request(child)
    with pytest.raises(TokenTheftError) as caught:
        refresh_session_without_request(first)
    assert (caught.value.user_id, handles(app)) == ("user-1", [])


@pytest.mark.parametrize("caught", ["ended", "expired", "theft", "foreign"])
def test_looking_at_another_session_in_a_view_leaves_the_client_s_tokens_alone(caught: str) -> None:
    """What the functions without a request find, and the view catches, does not touch the client's tokens."""
    app = an_app()
    admin, other = signed_in(app, "admin"), a_session(app)
    if caught == "ended":
        state_of(app).engine.revoke([other.handle])

    def view() -> str:
        clock_of(app).wait(HOUR if caught == "expired" else 0)
        look = get_session_without_request
        attempts: dict[str, Callable[[], Any]] = {
            "theft": lambda: steal(app, str(other.tokens.refresh_token)),
            "foreign": lambda: look("foreign"),
        }
        with pytest.raises((UnauthorisedError, TryRefreshTokenError, TokenTheftError)):
            attempts.get(caught, lambda: look(other.access_token, check_database=True))()
        return current_session.user_id

    response = run(app, view, verified=True, access=admin.access_token)
    assert response.json == "admin"
    assert sets_no_tokens(response)


def test_functions_without_a_request_sign_nobody_out_inside_of_one() -> None:
    """A foreign token that is refused there is no reason to log the caller out."""
    app = an_app_with_users()

    @app.post("/introspect")
    @verify_session
    def introspect() -> str:
        with pytest.raises(UnauthorisedError):
            flask_supertokens.refresh_session_without_request("garbage")
        return current_session.user_id

    client = app.test_client()
    client.post("/login/alice")
    response = client.post("/introspect")
    assert (response.text, set_cookies(response)) == ("alice", {})


@pytest.mark.parametrize(
    "call",
    [
        lambda: flask_supertokens.revoke_all_sessions_for_user(5),  # type: ignore[arg-type]
        lambda: flask_supertokens.revoke_session(None),  # type: ignore[arg-type]
        lambda: flask_supertokens.get_session_information(5),  # type: ignore[arg-type]
        lambda: flask_supertokens.get_session_without_request(None),  # type: ignore[arg-type]
        lambda: flask_supertokens.refresh_session_without_request(None),  # type: ignore[arg-type]
        lambda: flask_supertokens.list_sessions(""),
    ],
)
def test_arguments_that_are_no_strings_are_a_value_error(call: Callable[[], Any]) -> None:
    """A clear ValueError: nothing is silently done for nobody."""
    with an_app_with_users().app_context(), pytest.raises(ValueError, match="must be a"):
        call()
