"""Payloads of access tokens and data on the server: read, changed, merged."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

import flask_supertokens
from flask_supertokens import (
    Session,
    create_new_session,
    current_session,
    get_session_information,
    merge_into_access_token_payload,
    merge_into_session_data,
    refresh_session_without_request,
    replace_session_data,
    revoke_session,
    update_session_data,
    verify_session,
)

from ..support.apps import a_session, an_app, an_app_with_users, clock_of, signed_in, state_of
from ..support.both import Make
from ..support.cookies import cookie_lines, set_cookies
from ..support.names import spell
from ..support.plans import SECOND
from ..support.threads import at_once
from ..support.wire import ask, contents, front, handed_out, log_in, run, without


def test_changing_a_payload_that_was_read_changes_nothing() -> None:
    """It is a copy: changing it changes nothing."""
    session = a_session(an_app(), access_token_payload={"roles": ["user"]})
    session.access_token_payload["roles"].append("admin")
    assert session.access_token_payload["roles"] == ["user"]


@pytest.mark.parametrize("method", ["access", "bearer"])
def test_a_changed_payload_is_stored_and_brings_a_new_access_token_of_the_old_expiry(method: str) -> None:
    """Store and response: a new access token by the same method, fresh ``iat``, the old expiry, no refresh token."""
    app = an_app()
    tokens = signed_in(app, access_token_payload={"a": {"x": 1}, "b": 1})
    clock_of(app).wait(10 * SECOND)

    def view() -> dict[str, Any]:
        current_session.merge_into_access_token_payload({"a": {"y": 2}, "b": None})
        return current_session.access_token_payload

    response = run(app, view, verified=True, **{method: tokens.access_token})
    up = front(response)["up"]
    assert (up, up["a"], "b" in up) == (without(response.json, "auth_time"), {"y": 2}, False)
    assert (up["iat"], up["exp"]) == (1_700_000_010, 1_700_003_600)
    assert handed_out(response) == {"cookie" if method == "access" else "header"}
    assert "sRefreshToken" not in set_cookies(response)
    assert "st-refresh-token" not in response.headers


def test_a_payload_changed_right_after_sign_in_sends_the_newest_access_token_only() -> None:
    """One access token leaves, the newest, with the refresh token and the anti-CSRF token from before."""
    app = an_app(anti_csrf="VIA_TOKEN")

    def view() -> str | None:
        session = create_new_session("new")
        session.merge_into_access_token_payload({"role": "admin"})
        return session.tokens.refresh_token

    response = run(app, view)
    cookies = set_cookies(response)
    claims = contents(cookies["sAccessToken"].value)[1]
    assert (claims["role"], cookies["sRefreshToken"].value) == ("admin", response.json)
    assert response.headers["anti-csrf"] == claims["antiCsrfToken"]


def test_data_is_kept_on_the_server_and_in_no_token() -> None:
    """It is read and replaced, and is in no token."""
    app = an_app()
    session = a_session(app, session_data={"cart": [1, None]})
    with app.app_context():
        assert session.get_data() == {"cart": [1, None]}
        session.replace_data({"cart": []})
        assert (session.get_data(), session.get_information().session_data) == ({"cart": []}, {"cart": []})
    assert "cart" not in session.access_token_payload


def test_data_is_replaced_as_a_whole(make: Make) -> None:
    """By the session and by its handle: what is not named is gone; both functions have an earlier name."""
    app = make()
    session = a_session(app, session_data={"cart": [1], "step": 1})
    with app.app_context():
        session.replace_data({"cart": [2]})
        assert session.get_data() == {"cart": [2]}
        assert replace_session_data(session.handle, {"step": 2}) is True
        assert session.get_data() == {"step": 2}
    assert (update_session_data, Session.update_data) == (replace_session_data, Session.replace_data)


def test_something_is_merged_into_the_data() -> None:
    """By the session and by its handle: what is not named stays, ``None`` deletes, an ended session has none."""
    app = an_app()
    session = a_session(app, session_data={"cart": [1], "step": 1})
    with app.app_context():
        session.merge_into_session_data({"step": 2, "cart": None})
        assert merge_into_session_data(session.handle, {"more": {"x": None}}) is True
        assert session.get_data() == {"step": 2, "more": {"x": None}}
        for change in (session.merge_into_session_data, lambda update: merge_into_session_data(session.handle, update)):
            with pytest.raises(ValueError, match="update"):
                change({"x": object()})
        assert (revoke_session(session.handle), merge_into_session_data(session.handle, {})) == (True, False)


def test_a_payload_merged_by_handle_shows_at_the_next_refresh(app: Flask) -> None:
    """Shallow, ``None`` deletes; the next refresh shows it."""
    session = a_session(app, access_token_payload={"a": {"x": 1}, "b": 1})
    assert merge_into_access_token_payload(session.handle, {"a": {"y": None}, "b": None}) is True
    information = get_session_information(session.handle)
    assert information is not None
    assert information.access_token_payload["a"] == {"y": None}
    refreshed = refresh_session_without_request(str(session.tokens.refresh_token))
    assert refreshed.access_token_payload["a"] == {"y": None}
    assert "b" not in refreshed.access_token_payload


def test_the_payload_is_a_copy_of_the_session_s() -> None:
    """Changing what one was handed changes nothing."""
    with an_app().test_request_context("/", method="POST"):
        mine = {"roles": ["admin"]}
        session = create_new_session("user-1", mine)
        mine["roles"] = session.access_token_payload["roles"].append("root")
        assert session.access_token_payload["roles"] == ["admin"]


def test_a_payload_that_would_not_fit_a_cookie_is_a_value_error_and_changes_nothing() -> None:
    """A ValueError with bytes and limit at creation and at a merge; the old state stays, and nothing is half sent."""
    app = an_app()

    @app.post("/large")
    @verify_session
    def large() -> str:
        with pytest.raises(ValueError, match=r"[0-9]{4} bytes; a cookie holds 40[0-9]{2}"):
            current_session.merge_into_access_token_payload({"x": "a" * 4000})
        with pytest.raises(ValueError, match="bytes"):
            flask_supertokens.merge_into_access_token_payload(current_session.handle, {"x": "a" * 4000})
        return ""

    tokens = log_in(app)
    response = ask(app, "POST", "/large", f"sAccessToken={tokens.access}")
    assert (response.status_code, cookie_lines(response)) == (200, [])
    with app.app_context():
        information = flask_supertokens.get_session_information(tokens.handle)
        assert information is not None
        assert "x" not in information.access_token_payload
        with pytest.raises(ValueError, match="bytes"):
            flask_supertokens.create_new_session_without_request("u", {"x": "a" * 4000})


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}, "\ud800", b"x"], ids=spell)
def test_a_payload_that_is_no_json_is_a_value_error(value: Any) -> None:
    """A ValueError that says which argument."""
    with an_app().app_context(), pytest.raises(ValueError, match="access_token_payload must be JSON"):
        flask_supertokens.create_new_session_without_request("u", {"x": value})


def test_nested_nulls_and_big_integers_survive_in_a_payload() -> None:
    """It survives the store and the token; ``None`` deletes a key in a merge."""
    payload = {"a": {"b": None, "c": [None, 2**70]}, "n": None}
    with an_app().app_context():
        session = flask_supertokens.create_new_session_without_request("u", payload)
        session.merge_into_access_token_payload({"n": None, "d": 1})
        again = flask_supertokens.get_session_without_request(session.tokens.access_token).access_token_payload
    assert (again["a"], again["d"], "n" in again) == (payload["a"], 1, False)


def test_names_that_are_no_strings_become_what_json_makes_of_them() -> None:
    """They are what JSON makes of them: a merge finds them again."""
    with an_app_with_users().test_request_context("/", method="POST"):
        session = create_new_session("u", {1: "a"})  # type: ignore[dict-item]
        session.merge_into_access_token_payload({1: None})  # type: ignore[dict-item]
        assert "1" not in session.access_token_payload


def test_a_payload_is_copied_on_the_way_in_and_on_the_way_out() -> None:
    """It is copied on the way in and on the way out."""
    payload: dict[str, Any] = {"roles": ["user"]}
    session = a_session(an_app(), access_token_payload=payload, session_data=payload)
    payload["roles"].append("admin")
    session.access_token_payload["roles"].append("root")
    assert session.access_token_payload["roles"] == ["user"]
    assert payload == {"roles": ["user", "admin"]}


def test_eight_payload_merges_at_once_lose_nothing() -> None:
    """Eight merges by handle: none is lost."""
    app = an_app()
    handle = a_session(app).handle
    engine = state_of(app).engine
    assert all(at_once(8, lambda n: engine.merge_payload(handle, {f"x{n}": n})))
    information = engine.information(handle)
    assert information is not None
    assert {name for name in information.access_token_payload if name.startswith("x")} == {f"x{n}" for n in range(8)}
