"""Each refusal writes one line that says why, never with a token, and not without end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from flask_supertokens import TryRefreshTokenError, UnauthorisedError, get_session_without_request, verify_session
from flask_supertokens.claims import BooleanClaim
from flask_supertokens.refusals import EXPIRED_WITHOUT_REFRESH, LINES_A_MINUTE, RefusalLog

from ..support.apps import add, an_app, clock_of, signed_in, state_of
from ..support.plans import HOUR
from ..support.wire import all_tokens, call, forge, run

Act = Callable[[Flask], Any]


def expired(app: Flask) -> None:
    token = signed_in(app).access_token
    clock_of(app).wait(HOUR)
    call(app, "GET", "/me", access=token)


def failed_claim(app: Flask) -> None:
    wanted = BooleanClaim("staff", lambda *_: False).validators.is_true()
    run(app, verify_session(claim_validators=[wanted])(lambda: "in"), access=signed_in(app).access_token)


def from_another_site(app: Flask) -> None:
    call(app, "POST", "/me", access=signed_in(app).access_token, headers={"Origin": "https://evil.example"})


def ended(app: Flask) -> None:
    tokens = signed_in(app)
    state_of(app).engine.revoke([call(app, "GET", "/me", access=tokens.access_token).json["user"]])
    state_of(app).engine.store._sessions.clear()  # type: ignore[attr-defined]
    call(app, "POST", "/refresh", refresh=tokens.refresh_token)


def without_marker(app: Flask) -> None:
    call(app, "POST", "/refresh", refresh=signed_in(app).refresh_token)


SITUATIONS: dict[str, tuple[Act, dict[str, Any], int, str]] = {
    "no token": (lambda app: call(app, "GET", "/me"), {}, logging.DEBUG, "There is no access token in the request."),
    "expired": (expired, {}, logging.DEBUG, "The access token has expired."),
    "signature": (
        lambda app: call(app, "GET", "/me", access=forge({**state_claims(app)})),
        {},
        logging.DEBUG,
        "signature is not ours",
    ),
    "claim": (failed_claim, {}, logging.DEBUG, "Claims do not suffice: staff."),
    "no marker": (without_marker, {"anti_csrf": "VIA_CUSTOM_HEADER"}, logging.INFO, "The rid header is missing"),
    "no refresh token": (lambda app: call(app, "POST", "/refresh"), {}, logging.INFO, "Refresh token not found."),
    "ended": (ended, {}, logging.INFO, "The session has ended, or the refresh token has expired."),
    "foreign": (
        from_another_site,
        {"website_domain": "https://app.example", "cookie_same_site": "lax"},
        logging.WARNING,
        "Origin 'https://evil.example', Sec-Fetch-Site none; allowed are http://localhost, https://app.example",
    ),
}


def state_claims(app: Flask) -> dict[str, Any]:
    token = state_of(app).engine.read_access_token(signed_in(app).access_token)
    assert token is not None
    return token.claims


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_refusal_is_logged_in_one_line_without_a_token(situation: str, caplog: pytest.LogCaptureFixture) -> None:
    """One line: level, what was answered, method and path, and the sentence; no token."""
    act, settings, level, sentence = SITUATIONS[situation]
    app = an_app(**settings)
    caplog.set_level(logging.DEBUG, logger="flask_supertokens")
    act(app)
    (record,) = [record for record in caplog.records if record.getMessage().startswith("Refused, ")]
    assert (record.levelno, sentence in record.getMessage()) == (level, True), record.getMessage()
    assert "'/" in record.getMessage()
    assert "eyJ" not in all_tokens(caplog)


@pytest.mark.parametrize("error", [UnauthorisedError, TryRefreshTokenError])
def test_a_refusal_without_a_request_is_logged_as_such(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """It says that there was no request."""
    app = an_app()
    caplog.set_level(logging.DEBUG, logger="flask_supertokens")
    token = signed_in(app).access_token if error is TryRefreshTokenError else "garbage"
    clock_of(app).wait(HOUR)
    with app.app_context(), pytest.raises(error):
        get_session_without_request(token)
    assert sum("(no request): " in record.getMessage() for record in caplog.records) == 1


def test_a_refusal_that_an_app_raises_is_in_the_log_once_and_not_in_the_response(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its sentence is in the log once, and not in the response."""
    caplog.set_level(logging.DEBUG, logger="flask_supertokens")

    def view() -> None:
        raise UnauthorisedError("The account is locked.")

    response = call(add(an_app(), view), "GET", "/view")
    assert caplog.text.count("The account is locked.") == 1
    assert "locked" not in response.text


def test_a_query_is_not_logged_and_a_path_cannot_break_the_line(caplog: pytest.LogCaptureFixture) -> None:
    """It is not logged, and a path can't break the line."""
    caplog.set_level(logging.DEBUG, logger="flask_supertokens")
    app = an_app()
    app.add_url_rule("/p/<path:rest>", "p", verify_session(lambda rest: rest))
    call(app, "GET", "/p/a%09b?token=geheim")
    assert "geheim" not in caplog.text
    assert "'/p/a\\tb'" in caplog.text


def test_strangers_who_fill_the_log_are_limited_to_so_many_lines_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """Above DEBUG a minute has so many lines of one kind, and one that says that there were more; then it begins anew."""
    caplog.set_level(logging.INFO, logger="flask_supertokens")
    app, now = an_app(), [0.0]
    state_of(app).refusals = RefusalLog("/refresh", lambda: now[0])
    for _ in range(LINES_A_MINUTE + 50):
        call(app, "POST", "/refresh")
    assert len(caplog.records) == LINES_A_MINUTE + 1
    assert "More refusals of this kind (UnauthorisedError)" in caplog.records[-1].getMessage()
    now[0] = 61
    call(app, "POST", "/refresh")
    assert len(caplog.records) == LINES_A_MINUTE + 2


# -- a refresh route that browsers do not find ---------------------------------------------------------------------------


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "X-Forwarded-Prefix" in record.getMessage()]


def test_a_refresh_without_its_cookie_is_told_once_with_the_fixes_for_a_stripped_prefix(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once, the log says what a stripped prefix looks like and the two ways to fix it."""
    app = an_app()
    token = signed_in(app).access_token
    for _ in range(2):
        call(app, "POST", "/refresh", access=token)
    (line,) = told(caplog)
    assert "without the refresh cookie" in line
    assert "whose path is /refresh" in line
    assert "SUPERTOKENS_API_BASE_PATH" in line


@pytest.mark.parametrize("refreshes", [True, False])
def test_the_log_says_once_that_access_tokens_expire_and_nobody_refreshes(
    refreshes: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """After some of them the log says so, once; where a refresh came it does not."""
    app = an_app()
    tokens = signed_in(app)
    clock_of(app).wait(HOUR)
    if refreshes:
        call(app, "POST", "/refresh", refresh=tokens.refresh_token)
    call(app, "POST", "/refresh")  # brings nothing: anybody's
    for _ in range(2 * EXPIRED_WITHOUT_REFRESH):
        call(app, "GET", "/me", access=tokens.access_token)
    assert len(told(caplog)) == (not refreshes)


def test_an_expired_refresh_cookie_is_not_blamed_on_a_proxy_where_refreshes_came(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The access cookie outlives it. Where refreshes have come with their cookie nothing is said of a proxy."""
    app = an_app()
    tokens = signed_in(app)
    call(app, "POST", "/refresh", refresh=tokens.refresh_token)
    call(app, "POST", "/refresh", access=tokens.access_token)
    assert told(caplog) == []


@pytest.mark.parametrize("settings", [{"token_transfer_method": "header"}, {"register_routes": False}])
def test_a_service_where_nobody_refreshes_by_cookie_is_not_told_of_a_proxy(
    settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A service that only verifies is not told of a proxy."""
    app = an_app(**settings)
    token = signed_in(app).access_token
    clock_of(app).wait(HOUR)
    for _ in range(2 * EXPIRED_WITHOUT_REFRESH):
        call(app, "GET", "/me", access=token, bearer=token)
    assert told(caplog) == []


def test_cookies_that_are_there_twice_are_an_error_in_the_log_so_many_times_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """ERROR, since only the operator can fix it; but so many lines a minute, as anybody can send such cookies."""
    caplog.set_level(logging.INFO, logger="flask_supertokens")
    app = an_app()
    for _ in range(LINES_A_MINUTE + 20):
        call(app, "POST", "/refresh", cookies=["sRefreshToken=a", "sRefreshToken=b"])
    levels = [record.levelno for record in caplog.records]
    assert levels == [logging.ERROR] * (LINES_A_MINUTE + 1)
