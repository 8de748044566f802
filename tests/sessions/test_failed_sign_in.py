"""A log-in ends what it replaces, and a log-in that fails is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask_restful
import flask_restx
import pytest
from flask import Flask, Response, abort, after_this_request
from werkzeug.exceptions import BadGateway, HTTPException, InternalServerError
from werkzeug.test import TestResponse

from flask_supertokens import GeneralError, create_new_session, refresh_session, signals

from ..support.apps import BrokenStore, a_session, an_app, handles, signed_in, state_of
from ..support.both import Make
from ..support.cookies import set_cookies
from ..support.plans import HOUR
from ..support.wire import all_tokens, call, cleared_methods, sets_no_tokens

FAILURES: dict[str, Callable[[], Any]] = {
    "exception": lambda: {}["missing"],
    "500": lambda: abort(500),
    "502": lambda: (_ for _ in ()).throw(BadGateway()),
    "response": lambda: abort(Response("no", 503)),
    "ours": lambda: (_ for _ in ()).throw(GeneralError("the mail server is down")),
}
NO_FAILURES: dict[str, Callable[[], Any]] = {
    "answer": lambda: ("no", 500),
    "404": lambda: abort(404),
    "redirect": lambda: abort(Response("", 302)),
}


def logging_in(
    app: Flask,
    then: Callable[[], Any],
    *,
    user_id: str = "user-1",
    before: Callable[[], Any] = lambda: None,
    **sent: Any,
) -> TestResponse:
    """A log-in view that goes on with ``then``."""

    def view() -> Any:
        before()
        create_new_session(user_id)
        return then()

    app.add_url_rule("/view", view_func=view, methods=["POST"])
    return call(app, "POST", "/view", **sent)


@pytest.mark.parametrize("way", FAILURES)
def test_a_sign_in_that_fails_afterwards_ends_its_session_and_sends_no_token(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The session is ended and told so, no token leaves, the log says why and holds no token."""
    app, told = an_app(), []
    with signals.session_revoked.connected_to(lambda sender, session_handle: told.append(session_handle), app):
        response = logging_in(app, FAILURES[way])
    assert response.status_code >= 500
    assert (sets_no_tokens(response), handles(app), len(told)) == (True, [], 1)
    assert f"The request failed after a log-in: session {told[0]} is being ended." in caplog.text


@pytest.mark.parametrize("kind", [flask_restful.Api, flask_restx.Api])
def test_a_resource_that_answers_409_after_a_sign_in_keeps_the_session(kind: Any) -> None:
    """Frameworks tell Flask of an exception for such an answer too; it is a choice of the app's, and the session stays."""
    app = an_app()

    def post(_: Any) -> None:
        create_new_session("user-1")
        abort(409)

    base = flask_restful.Resource if kind is flask_restful.Api else flask_restx.Resource
    kind(app).add_resource(type("Thing", (base,), {"post": post}), "/thing")
    response = call(app, "POST", "/thing")
    assert (response.status_code, set(set_cookies(response))) == (409, {"sAccessToken", "sRefreshToken"})
    assert len(handles(app)) == 1


def test_a_kept_session_beside_two_sign_ins_keeps_its_cookies() -> None:
    """Its cookies stay: the second log-in of the request has ended the first one, and nothing that the browser held."""
    app = an_app()
    old = signed_in(app)

    def first() -> None:
        create_new_session("user-1", keep_existing=True)

    response = logging_in(app, FAILURES["exception"], before=first, access=old.access_token)
    assert (sets_no_tokens(response), len(handles(app))) == (True, 1)


@pytest.mark.parametrize("way", NO_FAILURES)
def test_tokens_of_a_sign_in_leave_with_any_status_that_the_view_returns(way: str) -> None:
    """Tokens leave with 4xx, with a redirect, and with a 500 that the view returned itself."""
    app = an_app()
    response = logging_in(app, NO_FAILURES[way])
    assert set(set_cookies(response)) == {"sAccessToken", "sRefreshToken"}
    assert len(handles(app)) == 1


@pytest.mark.parametrize("kind", [Exception, KeyError, InternalServerError, HTTPException, 500, GeneralError])
def test_a_failure_that_the_app_answers_itself_is_no_sign_in_either(kind: Any) -> None:
    """With 200, say: the log-in is none all the same."""
    app = an_app()
    app.register_error_handler(kind, lambda error: ("sorry", 200))
    failure = FAILURES["exception" if kind in (Exception, KeyError, InternalServerError) else "500"]
    response = logging_in(app, FAILURES["ours"] if kind is GeneralError else failure)
    assert (response.text, sets_no_tokens(response), handles(app)) == ("sorry", True, [])


def test_a_failure_that_propagates_to_a_test_client_ends_the_session() -> None:
    """The exception arrives, and the session is ended."""
    app = an_app(TESTING=True)
    with pytest.raises(KeyError):
        logging_in(app, FAILURES["exception"])
    assert handles(app) == []


@pytest.mark.parametrize("user_id", ["user-1", "user-2"])
def test_a_failed_sign_in_that_replaced_a_session_clears_its_cookies(user_id: str) -> None:
    """Its cookies are cleared: that session has ended, and there is no other."""
    app = an_app()
    old = signed_in(app)
    response = logging_in(app, FAILURES["exception"], user_id=user_id, access=old.access_token)
    assert "cookie" in cleared_methods(response)
    assert (handles(app), handles(app, "user-2")) == ([], [])


def test_a_failed_sign_in_leaves_the_cookies_of_a_session_that_it_kept() -> None:
    """An expired token of another user's is left as it was, cookies too."""
    app = an_app()
    old = signed_in(app)
    state_of(app).engine.clock.wait(HOUR)  # type: ignore[attr-defined]
    response = logging_in(app, FAILURES["exception"], user_id="user-2", access=old.access_token)
    assert (sets_no_tokens(response), len(handles(app)), handles(app, "user-2")) == (True, 1, [])


def test_two_failed_sign_ins_end_all_sessions_of_the_request() -> None:
    """All sessions of the request are ended."""
    app = an_app()
    response = logging_in(app, FAILURES["exception"], before=lambda: create_new_session("user-1"))
    assert (bool(handles(app)), "sAccessToken" in set_cookies(response) and not cleared_methods(response)) == (
        False,
        False,
    )


def test_tokens_do_not_leave_where_a_function_for_after_request_fails() -> None:
    """Also what comes after the view: the tokens do not leave with the 500."""
    app = an_app()

    def fail(response: Response) -> Response:
        if response.status_code == 200:
            raise RuntimeError("later")
        return response

    response = logging_in(app, lambda: after_this_request(fail) and "ok")
    assert (response.status_code, sets_no_tokens(response), handles(app)) == (500, True, [])


def test_a_sign_in_in_before_request_ends_with_the_view_s_failure() -> None:
    """A session that was made there ends with the view's failure too."""
    app = an_app()
    app.before_request(lambda: create_new_session("user-1") and None)
    app.add_url_rule("/fails", view_func=FAILURES["exception"])
    response = call(app, "GET", "/fails")
    assert (response.status_code, sets_no_tokens(response), handles(app)) == (500, True, [])


def test_a_receiver_that_fails_at_a_sign_in_fails_the_sign_in() -> None:
    """A failure in `session_created` is one of the view."""
    app = an_app()

    def fail(sender: Any, **_: Any) -> None:
        raise RuntimeError("later")

    with signals.session_created.connected_to(fail, app):
        response = logging_in(app, lambda: "ok")
    assert (response.status_code, sets_no_tokens(response), handles(app)) == (500, True, [])


def test_no_token_leaves_where_the_session_of_a_failed_sign_in_cannot_be_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """That is logged, and still no token leaves."""
    store = BrokenStore()
    app = an_app(store)

    def fail() -> None:
        store.down = True
        raise KeyError("missing")

    response = logging_in(app, fail)
    assert (response.status_code, sets_no_tokens(response)) == (500, True)
    assert "could not be ended: The session store failed in remove" in caplog.text
    assert "eyJ" not in all_tokens(caplog).replace("KeyError", "")


def test_refreshed_tokens_leave_with_the_500_of_a_later_failure() -> None:
    """Refreshed tokens leave with the 500: without them the browser would hold none."""
    app = an_app()
    tokens = signed_in(app)

    def view() -> None:
        refresh_session()
        raise KeyError("missing")

    app.add_url_rule("/view", view_func=view, methods=["POST"])
    response = call(app, "POST", "/view", refresh=tokens.refresh_token, access=tokens.access_token)
    assert response.status_code == 500
    assert set(set_cookies(response)) == {"sAccessToken", "sRefreshToken"}
    assert len(handles(app)) == 1


# -- what a log-in replaces --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["access", "bearer"])
def test_a_sign_in_of_the_same_user_with_an_expired_token_ends_the_old_session(make: Make, by: str) -> None:
    """The old session ends, so that a thief's copy of its refresh token is worth nothing from then on."""
    app = make()
    old = a_session(app)
    state_of(app).engine.clock.wait(2 * HOUR)  # type: ignore[attr-defined]
    logging_in(app, lambda: "ok", **{by: old.access_token})
    assert old.handle not in handles(app)
    assert len(handles(app)) == 1


def test_a_sign_in_of_another_user_with_an_expired_token_ends_nothing(make: Make) -> None:
    """It ends nothing: who holds an old token could sign its owner out."""
    app = make()
    old = a_session(app)
    state_of(app).engine.clock.wait(2 * HOUR)  # type: ignore[attr-defined]
    logging_in(app, lambda: "ok", user_id="user-2", access=old.access_token)
    assert handles(app) == [old.handle]


@pytest.mark.parametrize(("user_id", "left"), [("user-1", 0), ("user-2", 1)])
def test_a_session_named_by_a_token_of_a_lost_key_ends_at_its_own_user_s_sign_in_only(user_id: str, left: int) -> None:
    """The name of a session is believed for its own user's log-in only."""
    app = an_app()
    old = a_session(app)
    engine: Any = state_of(app).engine
    engine.store._keys.clear()
    engine._access_tokens.keys._reload(engine.now())
    assert not engine.is_genuine(engine.read_access_token(old.access_token))
    logging_in(app, lambda: "ok", user_id=user_id, access=old.access_token)
    assert handles(app).count(old.handle) == left


def test_both_sessions_that_a_browser_holds_end_at_a_sign_in() -> None:
    """By cookie and by header: both are overwritten or cleared, so both end."""
    app = an_app()
    cookie, header = a_session(app), a_session(app, "user-2")
    logging_in(app, lambda: "ok", user_id="user-3", access=cookie.access_token, bearer=header.access_token)
    assert (handles(app), handles(app, "user-2"), len(handles(app, "user-3"))) == ([], [], 1)
