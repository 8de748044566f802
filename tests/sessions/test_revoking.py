"""Sessions are revoked, by themselves and by handle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

import flask_supertokens
from flask_supertokens import (
    Session,
    create_new_session,
    current_session,
    get_all_session_handles_for_user,
    get_session_information,
    merge_into_access_token_payload,
    replace_session_data,
    revoke_all_sessions_for_user,
    revoke_multiple_sessions,
    revoke_session,
    verify_session,
)

from ..support.apps import a_session, add, an_app, an_app_with_users, clock_of, handles, new_handle, signed_in
from ..support.both import Make
from ..support.cookies import cookie_lines, cookie_values
from ..support.plans import HOUR
from ..support.wire import ask, call, cleared_methods, front, log_in, run, sets_no_tokens


@pytest.mark.parametrize("method", ["access", "bearer"])
def test_a_revoked_session_is_gone_from_store_response_and_request(method: str) -> None:
    """Store and response: the tokens of its method are removed, `current_session` is gone."""
    app = an_app()
    token = signed_in(app).access_token

    def view() -> list[Any]:
        current_session.revoke()
        return [bool(current_session)]

    response = run(app, view, verified=True, **{method: token})
    assert cleared_methods(response) == {"cookie" if method == "access" else "header"}
    assert response.headers["front-token"] == "remove"
    assert response.json == [False]
    assert handles(app) == []


@pytest.mark.parametrize(
    "action",
    [
        lambda session: session.get_data(),
        lambda session: session.get_information(),
        lambda session: session.replace_data({}),
        lambda session: session.merge_into_session_data({}),
        lambda session: session.merge_into_access_token_payload({"x": 1}),
    ],
    ids=["get_data", "get_information", "replace_data", "merge_data", "merge"],
)
def test_a_session_ended_elsewhere_is_unauthorised_and_its_tokens_are_cleared(action: Callable[[Session], Any]) -> None:
    """Its methods raise *unauthorised*, and the client's tokens are cleared."""
    app = an_app()
    session = a_session(app)
    with app.app_context():
        revoke_session(session.handle)
    response = run(app, lambda: action(current_session), verified=True, access=session.access_token)
    assert (response.status_code, response.json) == (401, {"message": "unauthorised"})
    assert cleared_methods(response) == {"cookie", "header"}


def test_revoking_the_old_session_lets_the_new_one_s_tokens_leave() -> None:
    """The new one's tokens leave all the same."""
    app = an_app()

    def view() -> str:
        old = current_session._get_current_object()  # type: ignore[attr-defined]
        new = create_new_session("new", keep_existing=True)
        old.revoke()
        return f"{new.handle} {current_session.handle}"

    response = run(app, view, verified=True, access=signed_in(app).access_token)
    new = front(response)["up"]["sessionHandle"]
    assert response.json == f"{new} {new}"
    assert (handles(app), handles(app, "new")) == ([], [new])


def test_functions_by_handle_leave_the_response_alone() -> None:
    """Also for one's own session; `current_session` goes on as the token says."""
    app = an_app()

    def view() -> list[Any]:
        handle = current_session.handle
        done = [replace_session_data(handle, {"x": 1}), merge_into_access_token_payload(handle, {"role": "admin"})]
        done += [revoke_session(handle), "role" in current_session.access_token_payload]
        return done

    response = run(app, view, verified=True, access=signed_in(app).access_token)
    assert response.json == [True, True, True, False]
    assert sets_no_tokens(response)


def test_an_unknown_handle_does_nothing_and_says_so(app: Flask) -> None:
    """Nothing happens, and the answer says so."""
    assert not any([revoke_session("h"), replace_session_data("h", {}), merge_into_access_token_payload("h", {})])
    assert (get_session_information("h"), revoke_multiple_sessions(["h"])) == (None, [])


def test_ended_sessions_are_named_if_they_were_there(app: Flask) -> None:
    """One, several, all of a user, all of a tenant, all but one; the answer names those that were there."""
    one, two, three = new_handle(), new_handle(), new_handle(tenant_id="t")
    other = new_handle("user-2")
    assert revoke_session(one) is True
    assert revoke_session(one) is False
    assert revoke_multiple_sessions([one, two]) == [two]
    assert revoke_all_sessions_for_user("user-1", tenant_id="public") == []
    four = new_handle()
    assert revoke_all_sessions_for_user("user-1", except_handle=four) == [three]
    assert revoke_all_sessions_for_user("user-1") == [four]
    assert get_all_session_handles_for_user("user-2") == [other]


def test_one_handle_given_for_a_list_is_a_value_error(app: Flask) -> None:
    """A ValueError, not a search for its letters."""
    with pytest.raises(ValueError, match="must be a list"):
        revoke_multiple_sessions("handle")


def test_functions_by_handle_touch_no_cookies_and_headers() -> None:
    """Also for one's own session; the session's methods change both."""
    app = an_app()

    @app.post("/handle")
    @verify_session
    def by_handle() -> Any:
        flask_supertokens.merge_into_access_token_payload(current_session.handle, {"x": 1})
        flask_supertokens.replace_session_data(current_session.handle, {"cart": [1]})
        return current_session.get_data()

    @app.post("/method")
    @verify_session
    def by_method() -> Any:
        current_session.merge_into_access_token_payload({"x": 2})
        return {"x": current_session.access_token_payload["x"]}

    cookies = f"sAccessToken={log_in(app).access}"
    response = ask(app, "POST", "/handle", cookies)
    assert (response.json, cookie_lines(response)) == ({"cart": [1]}, [])
    response = ask(app, "POST", "/method", cookies)
    assert (response.json, set(cookie_values(response))) == ({"x": 2}, {"sAccessToken"})


def test_revoking_an_older_session_lets_the_newer_one_s_tokens_leave() -> None:
    """The tokens of the newer one are sent all the same."""
    app = an_app_with_users()

    @app.post("/switch")
    @verify_session
    def switch() -> str:
        old: Any = current_session._get_current_object()  # type: ignore[attr-defined]
        create_new_session("u2")
        old.revoke()
        return current_session.user_id

    client = app.test_client()
    client.post("/login/u1")
    response = client.post("/switch")
    assert response.text == "u2"
    assert response.headers["front-token"] != "remove"
    assert client.get("/me").json["user"] == "u2"


def test_other_sessions_are_over_at_once_where_the_database_is_asked(make: Make) -> None:
    """Elsewhere it is over at once where the database is asked, and with the access token everywhere; here it goes on."""
    app = make()
    other, mine = a_session(app), a_session(app)
    add(app, verify_session(check_database=True)(lambda: current_session.user_id), "/checked")

    def view() -> list[str]:
        return revoke_all_sessions_for_user(current_session.user_id, except_handle=current_session.handle)

    assert run(app, view, verified=True, access=mine.access_token).json == [other.handle]
    statuses = [call(app, "GET", path, access=other.access_token).status_code for path in ("/checked", "/me")]
    assert (statuses, call(app, "GET", "/checked", access=mine.access_token).status_code) == ([401, 200], 200)
    clock_of(app).wait(HOUR)
    assert call(app, "GET", "/me", access=other.access_token).json == {"message": "try refresh token"}
    response = call(app, "POST", "/refresh", refresh=other.tokens.refresh_token)
    assert response.json == {"message": "unauthorised"}
