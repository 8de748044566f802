"""POST sign-out, and a session that a view revokes."""

from __future__ import annotations

import pytest
from flask.typing import ResponseReturnValue

from flask_supertokens import (
    current_session,
    get_session,
    verify_session,
)

from ..support.apps import add, an_app, clock_of, handles, signed_in
from ..support.cookies import cookie_lines
from ..support.plans import HOUR, Clock
from ..support.wire import (
    TRY_REFRESH,
    UNAUTHORISED,
    ask,
    assert_response,
    call,
    cleared_methods,
    log_in,
    post_refresh,
    sets_no_tokens,
)


def test_a_session_revoked_in_the_view_is_unset() -> None:
    """`current_session` is unset, and `get_session` finds nothing any more."""

    def view() -> ResponseReturnValue:
        current_session.revoke()
        return [bool(current_session), get_session(session_required=False)]

    app = add(an_app(), verify_session(view))
    assert call(app, "GET", "/view", access=signed_in(app).access_token).json == [False, None]


@pytest.mark.parametrize("by", ["access", "bearer"])
def test_a_sign_out_ends_the_session_and_clears_its_method(by: str) -> None:
    """The session ends, its method is cleared, the body has a status."""
    app = an_app()
    tokens = signed_in(app)
    response = call(app, "POST", "/signout", **{by: tokens.access_token})
    assert_response(response, 200, {"status": "OK"})
    assert (cleared_methods(response), handles(app)) == ({"cookie" if by == "access" else "header"}, [])
    assert response.headers["front-token"] == "remove"
    assert_response(post_refresh(app, refresh=tokens.refresh_token), 401, UNAUTHORISED)


def test_a_second_sign_out_clears_the_tokens_too() -> None:
    """The tokens are cleared though the session was gone."""
    app = an_app()
    access = signed_in(app).access_token
    call(app, "POST", "/signout", access=access)
    response = call(app, "POST", "/signout", access=access)
    assert_response(response, 200, {"status": "OK"})
    assert cleared_methods(response) == {"cookie"}


@pytest.mark.parametrize(("wait", "body"), [(HOUR, TRY_REFRESH), (None, UNAUTHORISED)])
def test_a_sign_out_without_a_valid_session_is_401_and_clears_nothing(wait: int | None, body: dict[str, str]) -> None:
    """Without a session, or with an expired one: 401, nothing is cleared."""
    app = an_app()
    access = None if wait is None else signed_in(app).access_token
    clock_of(app).wait(wait or 0)
    response = call(app, "POST", "/signout", access=access)
    assert_response(response, 401, body)
    assert sets_no_tokens(response)


@pytest.mark.parametrize(("mode", "proof"), [("VIA_CUSTOM_HEADER", "rid"), ("VIA_TOKEN", "anti-csrf")])
def test_a_sign_out_is_checked_for_anti_csrf(mode: str, proof: str) -> None:
    """Anti-CSRF as on any unsafe request."""
    app = an_app(anti_csrf=mode)
    tokens = signed_in(app, anti_csrf=True)
    assert_response(call(app, "POST", "/signout", access=tokens.access_token), 401, TRY_REFRESH)
    headers = {proof: str(tokens.anti_csrf_token)}
    assert call(app, "POST", "/signout", access=tokens.access_token, headers=headers).status_code == 200


def test_a_sign_out_ends_the_session_with_the_body_that_web_clients_want() -> None:
    """The session ends, its method is cleared, and the body is what the web client wants."""
    app = an_app()
    tokens = log_in(app)
    response = ask(app, "POST", "/signout", f"sAccessToken={tokens.access}")
    assert (response.status_code, response.json) == (200, {"status": "OK"})
    assert response.headers["front-token"] == "remove"
    assert ask(app, "POST", "/refresh", f"sRefreshToken={tokens.refresh}").json == {"message": "unauthorised"}


@pytest.mark.parametrize("expired", [False, True])
def test_a_sign_out_without_a_valid_session_is_a_401_that_clears_nothing(expired: bool) -> None:
    """401, and nothing is cleared: the client refreshes and repeats."""
    clock = Clock()
    app = an_app(clock=clock)
    cookies = f"sAccessToken={log_in(app).access}" if expired else ""
    clock.wait(2 * HOUR)
    response = ask(app, "POST", "/signout", cookies)
    assert response.json == {"message": "try refresh token" if expired else "unauthorised"}
    assert cookie_lines(response) == []
