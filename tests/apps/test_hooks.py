"""What an app gives to be asked: user_exists, before_session_created, a transfer method."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Request

from flask_supertokens import (
    UnauthorisedError,
    create_new_session,
    create_new_session_without_request,
    refresh_session_without_request,
    signals,
)

from ..support.apps import BrokenStore, a_session, an_app, handles, signed_in, state_of
from ..support.both import Make
from ..support.wire import assert_response, call, cleared_methods, front, handed_out, run, sets_no_tokens


async def async_answer(*_: Any) -> Any:
    """Nobody awaits it."""


def test_the_account_is_asked_for_at_each_refresh_and_nowhere_else(make: Make) -> None:
    """It is asked for at each refresh, and nowhere else."""
    asked: list[str] = []
    app = make(user_exists=lambda user_id: asked.append(user_id) or True)
    tokens = signed_in(app)
    assert call(app, "GET", "/me", access=tokens.access_token).status_code == 200
    assert asked == []
    assert call(app, "POST", "/refresh", refresh=tokens.refresh_token).status_code == 200
    assert asked == ["user-1"]


@pytest.mark.parametrize("method", ["refresh", "bearer"])
def test_a_refresh_of_a_closed_account_is_unauthorised_and_revokes_the_session(make: Make, method: str) -> None:
    """The refresh is *unauthorised*: the session is revoked and signalled, the client's tokens are cleared."""
    app = make(user_exists=lambda user_id: user_id != "user-1")
    session, other = a_session(app), a_session(app, "user-2")
    gone: list[str] = []
    with signals.session_revoked.connected_to(lambda _, session_handle: gone.append(session_handle)):
        response = call(app, "POST", "/refresh", **{method: session.tokens.refresh_token})
    assert_response(response, 401, {"message": "unauthorised"})
    assert (cleared_methods(response), handed_out(response)) == ({"cookie", "header"}, set())
    assert (gone, handles(app), handles(app, "user-2")) == ([session.handle], [], [other.handle])


def test_a_refresh_of_a_closed_account_without_a_request_revokes_the_session(make: Make) -> None:
    """The same error; the session is revoked, no refresh is signalled."""
    app = make(user_exists=lambda _: False)
    tokens, told = signed_in(app), []
    listening = signals.session_refreshed.connected_to(lambda *_, **names: told.append(names))
    with app.app_context(), listening, pytest.raises(UnauthorisedError, match="does not exist any more"):
        refresh_session_without_request(str(tokens.refresh_token))
    assert (handles(app), told) == ([], [])


@pytest.mark.parametrize("answer", [None, 1, "yes", {"id": 5}, async_answer])
def test_a_veto_that_is_nonsense_is_a_type_error_and_the_session_goes_on(make: Make, answer: Any) -> None:
    """A TypeError says what it must return; the session goes on, the client's tokens stay and the next try succeeds."""
    app = make(user_exists=answer if callable(answer) else lambda _: answer)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    token = signed_in(app).refresh_token
    with pytest.raises(TypeError, match="user_exists"):
        call(app, "POST", "/refresh", refresh=token)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    response = call(app, "POST", "/refresh", refresh=token)
    assert (response.status_code, sets_no_tokens(response)) == (500, True)
    state_of(app).hooks.user_exists = lambda _: True
    assert call(app, "POST", "/refresh", refresh=token).status_code == 200


def test_nobody_is_signed_out_while_the_directory_of_users_is_down(make: Make) -> None:
    """Its error is the app's; nobody is logged out by it."""
    app = make(user_exists=lambda _: 1 / 0 > 1)
    token = signed_in(app).refresh_token
    response = call(app, "POST", "/refresh", refresh=token)
    assert (response.status_code, sets_no_tokens(response), len(handles(app))) == (500, True, 1)
    state_of(app).hooks.user_exists = None
    assert call(app, "POST", "/refresh", refresh=token).status_code == 200


def test_a_closed_account_that_cannot_be_revoked_is_a_503_and_ended_at_the_next_try() -> None:
    """503, as ever when the store is down: nothing is cleared, the next try ends it."""
    store = BrokenStore()
    app = an_app(store)

    def exists(user_id: str) -> bool:
        store.down = True
        return False

    state_of(app).hooks.user_exists = exists
    token = signed_in(app).refresh_token
    response = call(app, "POST", "/refresh", refresh=token)
    assert (response.status_code, sets_no_tokens(response)) == (503, True)
    store.down = False
    state_of(app).hooks.user_exists = lambda _: False
    assert call(app, "POST", "/refresh", refresh=token).status_code == 401
    assert handles(app) == []


def test_a_payload_is_what_the_hook_returns_without_the_user_s_id(make: Make) -> None:
    """What the hook returns is the payload, by a request or without one; the user's id is no news and is dropped from it."""

    def enrich(user_id: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {**payload, "name": user_id.upper(), "sub": user_id}

    app = make(before_session_created=enrich)
    response = run(app, lambda: create_new_session("user-1", {"x": 1}).handle)
    with app.app_context():
        other = create_new_session_without_request("user-2", {"x": 2}).access_token_payload
    for payload, name in ((front(response)["up"], "user-1"), (other, "user-2")):
        assert (payload["name"], payload["sub"]) == (name.upper(), name)
    assert other["auth_time"] == 1_700_000_000


def test_a_hook_that_changes_what_it_gets_leaves_the_caller_s_dictionary_alone(make: Make) -> None:
    """The caller's dictionary is the caller's."""
    given = {"deep": {"x": 1}}
    app = make(before_session_created=lambda _, payload: payload["deep"].clear() or payload)
    assert a_session(app, access_token_payload=given).access_token_payload["deep"] == {}
    assert given == {"deep": {"x": 1}}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(None, TypeError), ("text", TypeError), ([], TypeError), (async_answer, TypeError), ({"x": {1}}, ValueError)],
)
def test_a_hook_that_returns_nonsense_is_an_error_and_makes_no_session(
    make: Make, answer: Any, kind: type[Exception]
) -> None:
    """An error that names it; no session is made, and the one of the request goes on."""
    app = make()
    token = signed_in(app).access_token
    state_of(app).hooks.before_session_created = answer if callable(answer) else lambda *_: answer
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(kind, match="before_session_created"):
        run(app, lambda: create_new_session("new").handle, access=token)
    assert (len(handles(app)), handles(app, "new")) == (1, [])


def test_a_hook_that_raises_forbids_the_sign_in(make: Make) -> None:
    """A hook that raises stops it: no session, and the answer is that of the error."""

    def refuse(user_id: str, payload: dict[str, Any]) -> dict[str, Any]:
        raise UnauthorisedError("The account is closed.", clear_tokens=False)

    app = make(before_session_created=refuse)
    response = call(app, "POST", "/login")
    assert_response(response, 401, {"message": "unauthorised"})
    assert (sets_no_tokens(response), handles(app)) == (True, [])


def test_an_app_chooses_the_transfer_method_for_each_request(make: Make) -> None:
    """Per request; the callable knows whether a session is being made."""

    def choose(request: Request, for_create: bool) -> str:
        app.config.setdefault("ASKED", []).append(for_create)
        return "header" if request.headers.get("X-App") == "mobile" else "cookie"

    app = make(token_transfer_method=choose)
    mobile, page = call(app, "POST", "/login", headers={"X-App": "mobile"}), call(app, "POST", "/login")
    assert (handed_out(mobile), handed_out(page)) == ({"header"}, {"cookie"})
    assert app.config["ASKED"] == [True, True]
    token = mobile.headers["st-access-token"]
    assert call(app, "GET", "/me", bearer=token, headers={"X-App": "mobile"}).status_code == 200
    assert call(app, "GET", "/me", bearer=token).status_code == 401
    assert app.config["ASKED"][2:4] == [False, False]


@pytest.mark.parametrize("answer", [None, "cookies", 5, True, ["any"]])
def test_a_transfer_method_that_is_nonsense_is_a_value_error_and_makes_no_session(make: Make, answer: Any) -> None:
    """A ValueError says what it must return; no session is made."""
    app = make(token_transfer_method=lambda *_: answer)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(ValueError, match="must return 'any', 'cookie' or 'header'"):
        call(app, "POST", "/login")
    assert handles(app) == []


def test_a_coroutine_that_chooses_the_transfer_method_is_a_type_error(make: Make) -> None:
    """A TypeError says so."""
    app = make(token_transfer_method=async_answer)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(TypeError, match="SUPERTOKENS_TOKEN_TRANSFER_METHOD is async"):
        call(app, "POST", "/login")
