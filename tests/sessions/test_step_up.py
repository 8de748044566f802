"""A log-in that must be fresh: ``max_age``, `Session.reauthenticate`, and sessions that do not say when they began."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from flask_supertokens import (
    InvalidClaimError,
    Session,
    UnauthorisedError,
    current_session,
    get_session,
    get_session_without_request,
    refresh_session_without_request,
    revoke_session,
    verify_session,
)
from flask_supertokens.engines.base import NewSession

from ..support.apps import a_session, clock_of, signed_in, state_of
from ..support.both import Make
from ..support.cookies import set_cookies
from ..support.wire import assert_response, call, contents, front, run, sets_no_tokens

SECOND, HOUR = 1000, 3_600_000
NOW = 1_700_000_000


def guarded(app: Flask, token: str | None, max_age: Any = 60, **options: Any) -> TestResponse:
    """A request to a view that wants a fresh log-in."""
    view = verify_session(max_age=max_age, **options)(lambda: current_session.user_id if current_session else "nobody")
    return run(app, view, access=token)


def by_another_sdk(app: Flask, **payload: Any) -> str:
    """The access token of a session that was made past this extension."""
    new = NewSession("user-1", "user-1", "public", payload, {}, False)
    return state_of(app).engine.create(new).access.raw


@pytest.mark.parametrize("max_age", [60, 60.5, datetime.timedelta(minutes=1)])
def test_a_sign_in_is_fresh_to_the_last_second(make: Make, max_age: Any) -> None:
    """The view runs, to the last second."""
    app = make()
    token = signed_in(app).access_token
    clock_of(app).wait(60 * SECOND)
    response = guarded(app, token, max_age)
    assert (response.status_code, sets_no_tokens(response)) == (200, True)


def test_a_function_that_asks_for_a_fresh_sign_in_refuses_as_the_decorator_does(make: Make) -> None:
    """``get_session`` knows ``max_age`` as the decorator does."""
    app = make()
    token = signed_in(app).access_token
    clock_of(app).wait(61 * SECOND)
    assert run(app, lambda: bool(get_session(max_age=62)), access=token).json is True
    assert run(app, lambda: bool(get_session(max_age=60)), access=token).status_code == 403


@pytest.mark.parametrize("max_age", [60, datetime.timedelta(minutes=1)])
def test_a_token_without_a_request_is_refused_if_its_sign_in_is_too_old(make: Make, max_age: Any) -> None:
    """``get_session_without_request`` knows ``max_age`` too: good to the last second, then *invalid claim* with both ages."""
    app = make()
    token = signed_in(app).access_token
    clock_of(app).wait(60 * SECOND)
    with app.app_context():
        assert get_session_without_request(token, max_age=max_age).user_id == "user-1"
        clock_of(app).wait(SECOND)
        with pytest.raises(InvalidClaimError) as caught:
            get_session_without_request(token, max_age=max_age)
        assert get_session_without_request(token).user_id == "user-1"
        with pytest.raises(ValueError, match="an age must be"):
            get_session_without_request(token, max_age=-1)
    reason = {"message": "log in again", "ageInSeconds": 61, "maxAgeInSeconds": 60}
    assert caught.value.errors == [{"id": "st-auth-time", "reason": reason}]


def test_a_sign_in_that_is_too_old_is_a_403_with_both_ages(make: Make) -> None:
    """403 with the id ``st-auth-time``, both ages, and nothing cleared; other views go on."""
    app = make()
    token = signed_in(app).access_token
    clock_of(app).wait(61 * SECOND)
    response = guarded(app, token)
    reason = {"message": "log in again", "ageInSeconds": 61, "maxAgeInSeconds": 60}
    body = {"message": "invalid claim", "claimValidationErrors": [{"id": "st-auth-time", "reason": reason}]}
    assert_response(response, 403, body)
    assert sets_no_tokens(response)
    assert call(app, "GET", "/me", access=token).status_code == 200


def test_a_sign_in_in_the_middle_of_a_second_counts_from_its_beginning(make: Make) -> None:
    """A log-in in the middle of a second counts from its beginning, as the token tells it; nobody is refused for that."""
    app = make()
    clock_of(app).wait(900)
    token = signed_in(app).access_token
    clock_of(app).wait(SECOND)
    assert guarded(app, token, 1).status_code == 200
    clock_of(app).wait(SECOND)
    assert guarded(app, token, 1).status_code == 403


def test_a_max_age_of_0_allows_this_second_only(make: Make) -> None:
    """0 is 0: the log-in must be of this second."""
    app = make()
    token = signed_in(app).access_token
    assert guarded(app, token, 0).status_code == 200
    clock_of(app).wait(SECOND)
    assert guarded(app, token, 0).status_code == 403


def test_a_refresh_makes_no_log_in_fresh(make: Make) -> None:
    """The moment of the log-in stays, over refreshes and changes of the payload."""
    app = make()
    tokens = signed_in(app)
    clock_of(app).wait(61 * SECOND)
    with app.app_context():
        session = refresh_session_without_request(str(tokens.refresh_token))
        session.merge_into_access_token_payload({"x": 1})
        with pytest.raises(ValueError, match="auth_time"):
            session.merge_into_access_token_payload({"auth_time": NOW + 10**6, "x": 1})
    assert session.authenticated_at == NOW * SECOND
    assert guarded(app, session.access_token).status_code == 403


def test_a_proof_of_who_they_are_makes_the_sign_in_fresh(make: Make) -> None:
    """`reauthenticate` makes the log-in fresh: a new access token by the same method, the old expiry, no other session."""
    app = make()
    session = a_session(app)
    clock_of(app).wait(61 * SECOND)

    def view() -> list[int]:
        current_session.reauthenticate()
        return [current_session.authenticated_at, current_session.access_token_payload["auth_time"]]

    response = run(app, view, verified=True, access=session.access_token)
    token = set_cookies(response)["sAccessToken"].value
    assert response.json == [(NOW + 61) * SECOND, NOW + 61]
    assert (front(response)["up"]["exp"], front(response)["up"]["sessionHandle"]) == (NOW + 3600, session.handle)
    assert guarded(app, token).status_code == 200
    assert guarded(app, session.access_token).status_code == 403


def test_a_fresh_sign_in_lasts_over_the_next_refresh(make: Make) -> None:
    """The next refresh keeps it."""
    app = make()
    session = a_session(app)
    clock_of(app).wait(61 * SECOND)
    with app.app_context():
        session.reauthenticate()
        refreshed = refresh_session_without_request(str(session.tokens.refresh_token))
    assert refreshed.authenticated_at == (NOW + 61) * SECOND


def test_a_proof_after_the_session_ended_is_unauthorised(make: Make) -> None:
    """`reauthenticate` is *unauthorised*."""
    app = make()
    session = a_session(app)
    with app.app_context():
        revoke_session(session.handle)
        with pytest.raises(UnauthorisedError):
            session.reauthenticate()


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"auth_time": None},
        {"auth_time": "1700000000"},
        {"auth_time": True},
        {"auth_time": [NOW]},
        {"auth_time": NOW * SECOND},
        {"auth_time": NOW + 61},
    ],
    ids=str,
)
def test_a_session_that_says_not_when_it_began_is_not_fresh_until_a_proof(make: Make, payload: dict[str, Any]) -> None:
    """Another SDK made it; `authenticated_at` is the age of the token."""
    app = make()
    token = by_another_sdk(app, **payload)
    response = guarded(app, token, 10**9)
    (found,) = response.json["claimValidationErrors"]
    assert (response.status_code, found["id"], found["reason"]["ageInSeconds"]) == (403, "st-auth-time", None)
    with app.app_context():
        session = get_session_without_request(token)
        assert session.authenticated_at == NOW * SECOND
        session.reauthenticate()
    assert guarded(app, session.access_token).status_code == 200


def test_a_sign_in_a_little_ahead_of_this_host_s_clock_is_fresh(make: Make) -> None:
    """A log-in that lies a little ahead is fresh."""
    app = make()
    assert guarded(app, by_another_sdk(app, auth_time=NOW + 60)).status_code == 200


def test_without_a_session_no_age_is_judged(make: Make) -> None:
    """Where it is optional nothing is asked; where it is required that is said first."""
    app = make()
    assert guarded(app, None, session_required=False).json == "nobody"
    assert guarded(app, None).json == {"message": "unauthorised"}


def test_claims_are_judged_before_the_age_of_the_sign_in(make: Make) -> None:
    """Claims are judged first; a view may ask for both."""
    app = make()
    token = signed_in(app).access_token
    clock_of(app).wait(61 * SECOND)
    assert guarded(app, token, claim_validators=[]).json["claimValidationErrors"][0]["id"] == "st-auth-time"


def test_a_sign_in_may_be_judged_without_a_request(make: Make) -> None:
    """`Session.assert_recent_login`, for workers and websockets."""
    app = make()
    session = a_session(app)
    clock_of(app).wait(61 * SECOND)
    with app.app_context():
        session.assert_recent_login(datetime.timedelta(minutes=2))
        with pytest.raises(InvalidClaimError, match="too old"):
            session.assert_recent_login(60)


def test_auth_time_is_in_the_token_in_seconds(make: Make) -> None:
    """In seconds, as OpenID Connect has it."""
    session: Session = a_session(make())
    assert contents(session.access_token)[1]["auth_time"] == NOW
