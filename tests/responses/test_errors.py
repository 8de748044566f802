"""The exceptions: what they answer, what they clear, and that they survive logs and queues."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from werkzeug.exceptions import HTTPException

from flask_supertokens import (
    CrossSiteRequestError,
    DuplicateCookiesError,
    GeneralError,
    InvalidClaimError,
    SessionTokens,
    SuperTokensError,
    TokenTheftError,
    TryRefreshTokenError,
    UnauthorisedError,
)
from flask_supertokens.engines.base import RefreshRequest
from flask_supertokens.errors import LEAVES
from flask_supertokens.protocol.model import AccessToken

from ..support.apps import a_session, an_app, state_of
from ..support.records import RECORD
from ..support.wire import CLAIMS, THEFT, TRY_REFRESH, UNAUTHORISED, assert_response

FAILED = [{"id": "role", "reason": {"message": "wrong"}}, {"id": "age"}]
SAMPLES: list[tuple[SuperTokensError, int, dict[str, Any], bool]] = [
    (GeneralError("down"), 503, {"message": "service unavailable"}, False),
    (GeneralError("no such tenant", retry=False), 500, {"message": "service unavailable"}, False),
    (UnauthorisedError("gone"), 401, UNAUTHORISED, True),
    (UnauthorisedError("gone", clear_tokens=False), 401, UNAUTHORISED, False),
    (TryRefreshTokenError("old"), 401, TRY_REFRESH, False),
    (TryRefreshTokenError("old", clear_tokens=True), 401, TRY_REFRESH, True),
    (TokenTheftError("twice", user_id="u", session_handle="h"), 401, THEFT, True),
    (
        InvalidClaimError("not an admin", errors=FAILED),
        403,
        {"message": "invalid claim", "claimValidationErrors": FAILED},
        False,
    ),
    (CrossSiteRequestError("from evil.com"), 403, {"message": "cross-site request refused"}, False),
    (DuplicateCookiesError("two"), 500, {"message": DuplicateCookiesError.message}, False),
    (DuplicateCookiesError("two", cleared=True), 200, {"message": DuplicateCookiesError.cleared_message}, False),
]
by_name = pytest.mark.parametrize(
    ("error", "status", "body", "clears"),
    SAMPLES,
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)


@by_name
def test_an_error_has_its_fixed_status_and_body_and_some_clear_the_tokens(
    error: SuperTokensError, status: int, body: dict[str, Any], clears: bool
) -> None:
    """Status and body are fixed; the description is for logs and not in the body; some clear the client's tokens."""
    with an_app().test_request_context():
        response = error.get_response()
        assert (response.status_code, response.json, error.data, error.clears) == (status, body, body, clears)
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        assert str(error.description) not in response.get_data(as_text=True)


@by_name
@pytest.mark.parametrize(
    "copied", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy], ids=["pickled", "copied"]
)
def test_an_error_that_travels_comes_back_with_all_that_it_knew(
    copied: Any, error: SuperTokensError, status: int, body: dict[str, Any], clears: bool
) -> None:
    """It comes back with all that it knew."""
    back = copied(error)
    assert type(back) is type(error)
    assert (back.code, back.data, back.clears, str(back)) == (status, body, clears, str(error))
    assert {name: getattr(back, name) for name in vars(error)} == vars(error)


def test_the_samples_hold_every_leaf_as_an_http_exception() -> None:
    """Every leaf is in the table above, and is an HTTP exception, so that any framework on Flask answers it."""
    assert {type(error) for error, *_ in SAMPLES} == set(LEAVES) == set(SuperTokensError.__subclasses__())
    assert issubclass(SuperTokensError, HTTPException)


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_an_error_raised_without_words_has_the_message_of_its_class(leaf: type[SuperTokensError]) -> None:
    """It describes itself by the message of its class."""
    assert leaf().description == leaf.message
    assert leaf("words").description == "words"


def test_a_theft_says_whose_session_it_was() -> None:
    """User and handle are there for a handler."""
    error = TokenTheftError(user_id="u", session_handle="h")
    assert (error.user_id, error.session_handle) == ("u", "h")


def test_the_error_of_claims_names_each_failed_validator_and_its_reason() -> None:
    """Each failed validator is named; a reason that is not there is not sent."""
    assert InvalidClaimError(errors=iter(FAILED)).errors == FAILED
    assert InvalidClaimError().data == {"message": "invalid claim", "claimValidationErrors": []}


def test_the_error_of_an_unreachable_engine_says_when_to_try_again_if_that_is_of_use() -> None:
    """The client is told when to try again, unless that is no use."""
    assert GeneralError().get_response().headers["Retry-After"] == "2"
    assert "Retry-After" not in GeneralError(retry=False).get_response().headers
    assert "Retry-After" not in UnauthorisedError().get_response().headers


@pytest.mark.parametrize(
    ("error_class", "status"),
    [
        (UnauthorisedError, 440),
        (TryRefreshTokenError, 440),
        (TokenTheftError, 440),
        (InvalidClaimError, 418),
        (GeneralError, 503),
        (CrossSiteRequestError, 403),
        (DuplicateCookiesError, 500),
    ],
)
def test_an_app_s_own_statuses_hold_for_ended_sessions_and_claims_only(
    error_class: type[SuperTokensError], status: int
) -> None:
    """The three of a session that is over have one, a claim has another, the rest have none."""
    app = an_app(session_expired_status_code=440, invalid_claim_status_code=418)
    with app.test_request_context():
        assert (error_class().code, error_class().get_response().status_code) == (status, status)


def test_the_app_that_renders_an_error_decides_its_status() -> None:
    """Not the one in whose context it was made; without an app the status is the default."""
    error, an_own = UnauthorisedError(), type("Gone", (UnauthorisedError,), {"code": 410})()
    with an_app(session_expired_status_code=440).test_request_context():
        made_here = UnauthorisedError()
        assert (error.code, an_own.code) == (440, 410)
    assert (made_here.code, UnauthorisedError.code) == (401, 401)
    with an_app(session_expired_status_code=419).test_request_context():
        assert (error.get_response().status_code, made_here.code, an_own.get_response().status_code) == (419, 419, 410)


def test_the_base_raised_by_an_app_is_an_error_of_the_server_in_json() -> None:
    """It is answered as an error of the server, in JSON."""
    app = an_app()
    app.add_url_rule("/view", view_func=lambda: (_ for _ in ()).throw(SuperTokensError("why")))
    assert_response(app.test_client().get("/view"), 500, {"message": "session error"})


def test_what_holds_tokens_is_printed_without_them() -> None:
    """No ``repr`` shows one."""
    app = an_app()
    session = a_session(app, anti_csrf=True)
    tokens = session.tokens
    holders: list[object] = [session, tokens, session._access, state_of(app).settings, RECORD]
    holders += [
        RefreshRequest("secret-1", True, "secret-2"),
        AccessToken("secret-3", "d-1", 5, {**CLAIMS, "x": "secret-4"}),
    ]
    shown = repr(holders)
    values = [tokens.access_token, tokens.refresh_token, tokens.anti_csrf_token, tokens.front_token, "a secret of"]
    assert not [value for value in [*values, "secret-", "anti-csrf-1"] if value and value in shown]
    assert isinstance(tokens, SessionTokens)


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_errors_pickle_with_all_they_carry(leaf: type[SuperTokensError]) -> None:
    """With all they carry, inside an app and outside."""
    with an_app(SUPERTOKENS_SESSION_EXPIRED_STATUS_CODE=440).app_context():
        error = leaf("why")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), vars(again)) == (leaf, vars(error))
    assert again.get_body() == error.get_body()
