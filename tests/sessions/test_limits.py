"""An end for every session, and so many for a user."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from flask import Flask

from flask_supertokens import (
    SuperTokens,
    UnauthorisedError,
    create_new_session,
    create_new_session_without_request,
    get_session_information,
    get_session_without_request,
    list_sessions,
    refresh_session_without_request,
    replace_session_data,
    signals,
)
from flask_supertokens.engines.base import Engine
from flask_supertokens.stores.base import Store
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import a_session, an_app, clock_of, handles, signed_in, state_of
from ..support.both import Make
from ..support.cookies import set_cookies
from ..support.plans import DAY, HOUR, SECOND, Clock
from ..support.threads import at_once
from ..support.wire import call, contents, run

NOW = 1_700_000_000_000


@pytest.mark.parametrize("limit", [1800, datetime.timedelta(minutes=30)])
def test_tokens_and_cookies_end_with_a_session_that_is_shorter(limit: Any) -> None:
    """Access token, refresh token and cookies all end with it."""
    app = an_app(session_max_lifetime=limit)
    end = NOW + 1_800_000
    tokens = signed_in(app)
    assert (tokens.access_token_expires_at, tokens.refresh_token_expires_at) == (end, end)
    cookie = set_cookies(call(app, "POST", "/login"))["sRefreshToken"]
    assert cookie.expires == "Tue, 14 Nov 2023 22:43:20 GMT"
    with app.app_context():
        assert list_sessions("user-1")[0].expires_at == end


def test_no_refresh_outlives_the_end_of_a_session() -> None:
    """No token ever outlives it, however it was made; at the end a refresh is *unauthorised*."""
    app = an_app(session_max_lifetime=2 * HOUR // SECOND, access_token_lifetime=2400)
    end, session = NOW + 2 * HOUR, a_session(app)
    with app.app_context():
        for _ in range(3):
            clock_of(app).wait(35 * 60 * SECOND)
            session = refresh_session_without_request(str(session.tokens.refresh_token))
            session.merge_into_access_token_payload({"x": clock_of(app)()})
            checked = get_session_without_request(session.access_token, check_database=True)
            assert max(session.tokens.access_token_expires_at, checked.tokens.access_token_expires_at) <= end
            assert session.tokens.refresh_token_expires_at == end
        clock_of(app).wait(15 * 60 * SECOND)
        with pytest.raises(UnauthorisedError):
            refresh_session_without_request(str(session.tokens.refresh_token))
        assert list_sessions("user-1") == []


def test_a_limit_introduced_later_counts_for_the_sessions_that_are_there() -> None:
    """It counts for the sessions that are there: those that are too old have ended, the others get no longer tokens."""
    store = MemoryStore()
    old = a_session(an_app(store))
    app = an_app(store, session_max_lifetime=1800)
    with app.app_context():
        old.merge_into_access_token_payload({"x": 1})
        session = get_session_without_request(old.access_token, check_database=True)
        session.merge_into_access_token_payload({"x": 2})
        assert contents(session.access_token)[1]["exp"] * SECOND == NOW + 1_800_000
        clock_of(app).wait(1_800_000)
        assert (list_sessions("user-1"), get_session_information(old.handle)) == ([], None)
        assert replace_session_data(old.handle, {"x": 1}) is False
        with pytest.raises(UnauthorisedError):
            refresh_session_without_request(str(old.tokens.refresh_token))
        with pytest.raises(UnauthorisedError):
            get_session_without_request(old.access_token, check_database=True)


def test_a_limit_longer_than_the_refresh_token_leaves_the_shorter_one() -> None:
    """Then the shorter one counts: a session that nobody uses ends by itself."""
    app = an_app(session_max_lifetime=datetime.timedelta(days=365))
    assert signed_in(app).refresh_token_expires_at == NOW + 100 * DAY


@pytest.mark.parametrize("key", ["SUPERTOKENS_SESSION_MAX_LIFETIME", "SUPERTOKENS_MAX_SESSIONS_PER_USER"])
def test_a_limit_that_a_core_cannot_keep_is_refused_at_the_start(key: str) -> None:
    """Refused when the app starts, by name."""
    app = Flask("app")
    app.config.update({"SUPERTOKENS_CONNECTION_URI": "http://core.example", key: 5})
    with pytest.raises(ValueError, match=f"{key}.*the core decides that"):
        SuperTokens(app)


@pytest.mark.parametrize("value", [0, -1, True, "-5", 1.5, 10**30])
def test_a_limit_that_makes_no_sense_is_refused_at_the_start(value: Any) -> None:
    """Refused when the app starts, by name."""
    keys = ["max_sessions_per_user"] if value in (1.5, 10**30) else ["max_sessions_per_user", "session_max_lifetime"]
    for key in keys if value != 10**30 else ["session_max_lifetime"]:
        with pytest.raises(ValueError, match=f"SUPERTOKENS_{key.upper()}"):
            an_app(**{key: value})


def test_the_oldest_session_of_a_user_with_too_many_ends() -> None:
    """The oldest goes, and is signalled; other users keep theirs."""
    app = an_app(max_sessions_per_user=2)
    other, first = a_session(app, "user-2").handle, a_session(app).handle
    clock_of(app).wait(SECOND)
    second = a_session(app, tenant_id="t").handle
    clock_of(app).wait(SECOND)
    gone: list[str] = []
    with signals.session_revoked.connected_to(lambda _, session_handle: gone.append(session_handle)):
        third = a_session(app).handle
    assert (handles(app), handles(app, "user-2"), gone) == ([second, third], [other], [first])


def test_each_sign_in_ends_the_one_before_where_a_user_may_have_one_session() -> None:
    """Each log-in ends the one before, at once where the database is asked."""
    app = an_app(max_sessions_per_user=1)
    first = a_session(app)
    second = a_session(app)
    with app.app_context(), pytest.raises(UnauthorisedError):
        get_session_without_request(first.access_token, check_database=True)
    assert handles(app) == [second.handle]


def test_a_sign_in_that_replaces_a_session_at_the_limit_ends_no_other() -> None:
    """The replaced one makes the room: no other has to go."""
    app = an_app(max_sessions_per_user=2)
    other = a_session(app).handle
    clock_of(app).wait(SECOND)
    old = a_session(app)
    new = run(app, lambda: create_new_session("user-1").handle, access=old.access_token).json
    assert set(handles(app)) == {other, new}


def test_expired_sessions_do_not_count_for_the_limit() -> None:
    """They are over already."""
    app = an_app(max_sessions_per_user=1)
    signed_in(app)
    clock_of(app).wait(100 * DAY)
    gone: list[str] = []
    with signals.session_revoked.connected_to(lambda _, session_handle: gone.append(session_handle)):
        signed_in(app)
    assert gone == []


def test_the_next_sign_in_ends_all_that_are_too_many_for_a_lowered_limit() -> None:
    """The next log-in ends all that are too many, the oldest ones."""
    store = MemoryStore()
    before = an_app(store)
    made = []
    for _ in range(4):
        made.append(a_session(before).handle)
        clock_of(before).wait(SECOND)
    app = an_app(store, max_sessions_per_user=2)
    state_of(app).engine.clock = clock_of(before)  # type: ignore[attr-defined]
    new = a_session(app).handle
    assert handles(app) == [made[3], new]


def test_many_sign_ins_of_a_user_at_once_use_the_limit_up_and_never_exceed_it(store: Store) -> None:
    """Eight log-ins in eight threads, three times: never more than the limit, and it is used up."""
    app = an_app(store, max_sessions_per_user=3)
    signed_in(app, "somebody else")

    def log_in(number: int) -> str:
        with app.app_context():
            return create_new_session_without_request("user-1").handle

    for _ in range(3):
        clock_of(app).wait(SECOND)
        made = at_once(8, log_in)
        left = handles(app)
        assert (len(left), set(left) <= set(made)) == (3, True)
    assert len(handles(app, "somebody else")) == 1


def test_times_of_a_list_are_ms_on_both_engines(make: Make) -> None:
    """Times of a list are ms, on both engines."""
    app = make()
    engine: Engine = state_of(app).engine
    clock: Clock = clock_of(app)
    session = a_session(app)
    with app.app_context():
        (info,) = list_sessions("user-1")
    assert (info.handle, info.created_at, engine.now()) == (session.handle, clock(), clock())
