"""Signals and log lines in a session's life."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from flask_supertokens import (
    GeneralError,
    TokenTheftError,
    refresh_session_without_request,
    revoke_all_sessions_for_user,
    revoke_multiple_sessions,
    signals,
)
from flask_supertokens.stores.base import BATCH

from ..support.apps import BrokenStore, a_session, an_app, clock_of, handles, new_handle, signed_in, state_of, steal
from ..support.cookies import set_cookies
from ..support.plans import HOUR
from ..support.records import a_record
from ..support.wire import all_tokens, call, front, logging_in

ALL_SIGNALS = (
    "session_created",
    "session_refreshed",
    "session_confirmed",
    "session_revoked",
    "refresh_raced",
    "token_theft_detected",
)


@pytest.fixture
def heard() -> Iterator[list[tuple[str, Any, dict[str, Any]]]]:
    """Every signal: name, sender and arguments."""
    calls: list[tuple[str, Any, dict[str, Any]]] = []
    with ExitStack() as connected:
        for name in ALL_SIGNALS:

            def hear(sender: Any, name: str = name, **arguments: Any) -> None:
                calls.append((name, sender, arguments))

            connected.enter_context(getattr(signals, name).connected_to(hear))
        yield calls


def test_a_session_is_signalled_all_its_life_without_a_token(
    heard: list[tuple[str, Any, dict[str, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    """Made, refreshed, raced, used, stolen: the sender is the app, arguments are user and handle, tokens nowhere."""
    caplog.set_level(logging.DEBUG)
    app = an_app(anti_csrf="VIA_TOKEN")
    tokens, headers = [call(app, "POST", "/login")], {}
    first = set_cookies(tokens[0])["sRefreshToken"].value
    headers = {"anti-csrf": tokens[0].headers["anti-csrf"]}
    tokens += [call(app, "POST", "/refresh", refresh=first, headers=headers) for _ in range(2)]
    child = set_cookies(tokens[2])
    call(app, "GET", "/me", access=child["sAccessToken"].value)
    clock_of(app).wait(HOUR)
    tokens.append(call(app, "POST", "/refresh", refresh=child["sRefreshToken"].value, headers=headers))
    assert call(app, "POST", "/refresh", refresh=first, headers=headers).json == {"message": "token theft detected"}
    names = "created refreshed raced+refreshed confirmed refreshed theft revoked".replace(
        "raced+refreshed", "raced refreshed"
    )
    assert [name for name, _, _ in heard] == [full_name(name) for name in names.split()]
    user, handle = {"user_id": "user-1"}, {"session_handle": front(tokens[0])["up"]["sessionHandle"]}
    assert all(arguments in (handle, user | handle) and sender is app for _, sender, arguments in heard)
    assert_no_token(all_tokens(caplog) + repr(heard), tokens)


def full_name(name: str) -> str:
    return {"theft": "token_theft_detected", "raced": "refresh_raced"}.get(name, f"session_{name}")


def assert_no_token(text: str, responses: list[TestResponse]) -> None:
    """None of the tokens that these responses set is in the text."""
    assert "user-1" in text
    for response in responses:
        values = [cookie.value for cookie in set_cookies(response).values()]
        values += [response.headers[name] for name in ("front-token", "anti-csrf")]
        assert all(len(value) > 20 and value not in text for value in values)


def test_each_session_that_others_end_is_signalled_once(
    heard: list[tuple[str, Any, dict[str, Any]]], app: Flask
) -> None:
    """One signal a session, only for those that were there."""
    one, two = new_handle(), new_handle()
    heard.clear()
    revoke_multiple_sessions([one, "unknown"])
    revoke_all_sessions_for_user("user-1")
    revoke_all_sessions_for_user("user-1")
    assert [arguments["session_handle"] for _, _, arguments in heard] == [one, two]


def test_sessions_ended_before_the_store_failed_are_signalled(
    heard: list[tuple[str, Any, dict[str, Any]]], app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that were ended before are signalled; the error is logged, and says how many they are."""
    broken = BrokenStore()
    broken.down = True
    store = state_of(app).engine.store  # type: ignore[attr-defined]
    for number in range(BATCH + 5):
        store.add(a_record(f"handle-{number:03d}"))
    remove = store.remove
    store.remove = lambda handles: remove(handles) if len(handles) == BATCH else broken.remove(handles)
    with pytest.raises(GeneralError, match=f"{BATCH} of {BATCH + 5} sessions were ended before that"):
        revoke_all_sessions_for_user("user-1")
    assert [arguments["session_handle"] for _, _, arguments in heard] == [f"handle-{n:03d}" for n in range(BATCH)]
    assert f"{BATCH} of {BATCH + 5}" in caplog.text


def test_a_sign_in_that_replaces_a_session_signals_its_end_and_the_new_one(
    heard: list[tuple[str, Any, dict[str, Any]]],
) -> None:
    """The old one is signalled as revoked, the new one as created."""
    app = an_app()
    old = a_session(app)
    heard.clear()
    new = logging_in(app, tokens={"access": old.access_token}).json
    told = {name: arguments["session_handle"] for name, _, arguments in heard}
    assert told == {"session_created": new, "session_revoked": old.handle}


@pytest.mark.parametrize("part", ["was created", "was revoked", "race window", "theft"])
def test_the_log_tells_creation_end_races_and_theft_at_their_levels(
    part: str, caplog: pytest.LogCaptureFixture, app: Flask
) -> None:
    """Creation, end and races at INFO, theft at ERROR, with user or handle."""
    caplog.set_level(logging.DEBUG, logger="flask_supertokens")
    session = a_session(app)
    for _ in range(2):
        child = refresh_session_without_request(str(session.tokens.refresh_token))
    clock_of(app).wait(HOUR)
    refresh_session_without_request(str(child.tokens.refresh_token))
    with pytest.raises(TokenTheftError):
        refresh_session_without_request(str(session.tokens.refresh_token))
    (record, *_) = [record for record in caplog.records if part in record.getMessage()]
    assert session.handle in record.getMessage()
    assert record.levelno == (logging.ERROR if part == "theft" else logging.INFO)


def test_a_receiver_of_a_theft_that_fails_is_logged_and_the_session_revoked(
    caplog: pytest.LogCaptureFixture, app: Flask
) -> None:
    """The session is revoked all the same, the answer stays *theft*, the failure is logged."""

    def fail(sender: Any, **_: Any) -> None:
        raise RuntimeError("the mail server is down")

    token = str(signed_in(app).refresh_token)
    with signals.token_theft_detected.connected_to(fail), pytest.raises(TokenTheftError):
        steal(app, token)
    assert handles(app) == []
    assert "the mail server is down" in caplog.text
