"""An end for every session, so many for a user, and what is known of each: devices."""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from flask_supertokens import (
    SuperTokens,
    UnauthorisedError,
    create_new_session,
    create_new_session_without_request,
    current_session,
    get_session_information,
    get_session_without_request,
    list_sessions,
    refresh_session_without_request,
    replace_session_data,
    revoke_all_sessions_for_user,
    signals,
    verify_session,
)
from flask_supertokens.engines.base import Engine
from flask_supertokens.stores.base import Store
from flask_supertokens.stores.memory import MemoryStore

from .support.both import ENGINES, Make, maker
from .support.cookies import set_cookies
from .support.plans import Clock
from .support.records import sql_store, sqlite_uri
from .support.threads import at_once
from .support.wire import a_session, add, an_app, call, clock_of, contents, handles, run, signed_in, state_of

SECOND, HOUR, DAY = 1000, 3_600_000, 86_400_000
NOW = 1_700_000_000_000


@pytest.fixture(params=ENGINES)
def make(request: pytest.FixtureRequest) -> Make:
    return maker(request)


# -- an end for every session ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1800, datetime.timedelta(minutes=30)])
def test_a_session_is_shorter_than_its_tokens(limit: Any) -> None:
    """Access token, refresh token and cookies all end with it."""
    app = an_app(session_max_lifetime=limit)
    end = NOW + 1_800_000
    tokens = signed_in(app)
    assert (tokens.access_token_expires_at, tokens.refresh_token_expires_at) == (end, end)
    cookie = set_cookies(call(app, "POST", "/login"))["sRefreshToken"]
    assert cookie.expires == "Tue, 14 Nov 2023 22:43:20 GMT"
    with app.app_context():
        assert list_sessions("user-1")[0].expires_at == end


def test_a_session_is_refreshed_until_its_end() -> None:
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


def test_the_limit_is_introduced_later() -> None:
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


def test_the_limit_is_longer_than_the_refresh_token() -> None:
    """Then the shorter one counts: a session that nobody uses ends by itself."""
    app = an_app(session_max_lifetime=datetime.timedelta(days=365))
    assert signed_in(app).refresh_token_expires_at == NOW + 100 * DAY


@pytest.mark.parametrize("key", ["SUPERTOKENS_SESSION_MAX_LIFETIME", "SUPERTOKENS_MAX_SESSIONS_PER_USER"])
def test_a_core_can_not_do_that(key: str) -> None:
    """Refused when the app starts, by name."""
    app = Flask("app")
    app.config.update({"SUPERTOKENS_CONNECTION_URI": "http://core.example", key: 5})
    with pytest.raises(ValueError, match=f"{key}.*the core decides that"):
        SuperTokens(app)


@pytest.mark.parametrize("value", [0, -1, True, "-5", 1.5, 10**30])
def test_a_limit_makes_no_sense(value: Any) -> None:
    """Refused when the app starts, by name."""
    keys = ["max_sessions_per_user"] if value in (1.5, 10**30) else ["max_sessions_per_user", "session_max_lifetime"]
    for key in keys if value != 10**30 else ["session_max_lifetime"]:
        with pytest.raises(ValueError, match=f"SUPERTOKENS_{key.upper()}"):
            an_app(**{key: value})


# -- so many for a user ------------------------------------------------------------------------------------------------


def test_a_user_has_too_many_sessions() -> None:
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


def test_a_user_may_have_one_session() -> None:
    """Each log-in ends the one before, at once where the database is asked."""
    app = an_app(max_sessions_per_user=1)
    first = a_session(app)
    second = a_session(app)
    with app.app_context(), pytest.raises(UnauthorisedError):
        get_session_without_request(first.access_token, check_database=True)
    assert handles(app) == [second.handle]


def test_a_log_in_replaces_a_session_at_the_limit() -> None:
    """The replaced one makes the room: no other has to go."""
    app = an_app(max_sessions_per_user=2)
    other = a_session(app).handle
    clock_of(app).wait(SECOND)
    old = a_session(app)
    new = run(app, lambda: create_new_session("user-1").handle, access=old.access_token).json
    assert set(handles(app)) == {other, new}


def test_expired_sessions_do_not_count() -> None:
    """They are over already."""
    app = an_app(max_sessions_per_user=1)
    signed_in(app)
    clock_of(app).wait(100 * DAY)
    gone: list[str] = []
    with signals.session_revoked.connected_to(lambda _, session_handle: gone.append(session_handle)):
        signed_in(app)
    assert gone == []


def test_the_limit_was_lowered() -> None:
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


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    uri = sqlite_uri(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_uri")
    with sql_store(uri) as opened:
        yield opened


def test_a_user_logs_in_many_times_at_once(store: Store) -> None:
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


# -- log out everywhere else -------------------------------------------------------------------------------------------


def test_somebody_logs_out_everywhere_else(make: Make) -> None:
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


# -- devices -----------------------------------------------------------------------------------------------------------


def logging_in_with(app: Flask, agent: str | None, address: str = "192.0.2.7") -> Any:
    """What is known of a session after a log-in with this browser."""
    headers = {} if agent is None else {"User-Agent": agent}
    environ = {"REMOTE_ADDR": address}
    if agent is None:
        environ["HTTP_USER_AGENT"] = ""
    response = call(app, "POST", "/login", headers=headers, environ_overrides=environ)
    with app.app_context():
        return get_session_information(response.json["handle"])


@pytest.mark.parametrize(
    ("agent", "kept"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (X11; Linux x86_64)"),
        ("x" * 1000, "x" * 255),
        ("a\x00b\x1b[31mc\td", "ab[31mcd"),
        ("käse\x85\xa0", "käse"),
        ("", ""),
    ],
    ids=ascii,
)
def test_a_browser_says_what_it_is(store: Store, agent: str, kept: str) -> None:
    """That is kept, as far as a table and a page can hold it: 255 characters, none of them a control character."""
    assert logging_in_with(an_app(store), agent).user_agent == kept


def test_devices_are_not_wanted() -> None:
    """Then nothing is kept."""
    assert logging_in_with(an_app(store_user_agent=False), "browser").user_agent is None


@pytest.mark.parametrize(("settings", "kept"), [({}, None), ({"store_ip": True}, "2001:db8::7")])
def test_an_address_is_personal_data(settings: dict[str, Any], kept: str | None) -> None:
    """It is kept only where that was switched on."""
    assert logging_in_with(an_app(**settings), "browser", "2001:db8::7").ip == kept


def test_a_device_stays_what_it_was() -> None:
    """A refresh from elsewhere changes the moment only."""
    app = an_app(store_ip=True)
    known = logging_in_with(app, "first")
    clock_of(app).wait(HOUR)
    tokens = set_cookies(call(app, "POST", "/login", headers={"User-Agent": "second"}))
    call(app, "POST", "/refresh", refresh=tokens["sRefreshToken"].value, headers={"User-Agent": "third"})
    with app.app_context():
        assert [info.user_agent for info in list_sessions("user-1")] == ["first", "second"]
        assert list_sessions("user-1")[0] == known


def test_a_session_is_made_without_a_request() -> None:
    """Nothing is known of a device."""
    app = an_app(store_ip=True)
    with app.app_context():
        info = get_session_information(a_session(app).handle)
    assert info is not None
    assert (info.user_agent, info.ip) == (None, None)


def test_a_user_looks_at_their_devices(make: Make) -> None:
    """The session of this request is marked, no other, and none outside of a request; a core tells no devices."""
    app = make()
    other, mine = a_session(app), a_session(app)

    def view() -> list[Any]:
        return [[info.handle, info.is_current] for info in list_sessions("user-1")]

    marked = run(app, view, verified=True, access=mine.access_token).json
    assert sorted(marked) == sorted([[other.handle, False], [mine.handle, True]])
    assert [current for _, current in run(app, view).json] == [False, False]
    with app.app_context():
        assert not any(info.is_current or info.user_agent or info.ip for info in list_sessions("user-1"))


def test_devices_of_another_app_are_looked_at() -> None:
    """In a request of this one: none of them is current."""
    app, other = an_app(), an_app()
    session = a_session(other)

    def view() -> list[bool]:
        with other.app_context():
            return [info.is_current for info in list_sessions(session.user_id)]

    assert run(app, view, verified=True, access=signed_in(app).access_token).json == [False]


def test_a_clock_of_a_core_and_ours_agree(make: Make) -> None:
    """Times of a list are ms, on both engines."""
    app = make()
    engine: Engine = state_of(app).engine
    clock: Clock = clock_of(app)
    session = a_session(app)
    with app.app_context():
        (info,) = list_sessions("user-1")
    assert (info.handle, info.created_at, engine.now()) == (session.handle, clock(), clock())
