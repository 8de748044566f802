"""What is known of a session's device."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from flask_supertokens import (
    get_session_information,
    list_sessions,
)
from flask_supertokens.stores.base import Store

from ..support.apps import a_session, an_app, clock_of, signed_in
from ..support.both import Make
from ..support.cookies import set_cookies
from ..support.plans import HOUR
from ..support.wire import call, run


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
def test_a_browser_s_name_is_kept_as_far_as_a_page_can_hold_it(store: Store, agent: str, kept: str) -> None:
    """That is kept, as far as a table and a page can hold it: 255 characters, none of them a control character."""
    assert logging_in_with(an_app(store), agent).user_agent == kept


def test_nothing_of_devices_is_kept_where_they_are_not_wanted() -> None:
    """Then nothing is kept."""
    assert logging_in_with(an_app(store_user_agent=False), "browser").user_agent is None


@pytest.mark.parametrize(("settings", "kept"), [({}, None), ({"store_ip": True}, "2001:db8::7")])
def test_an_address_is_kept_only_where_that_was_switched_on(settings: dict[str, Any], kept: str | None) -> None:
    """It is kept only where that was switched on."""
    assert logging_in_with(an_app(**settings), "browser", "2001:db8::7").ip == kept


def test_a_device_keeps_its_name_though_it_refreshes_from_elsewhere() -> None:
    """A refresh from elsewhere changes the moment only."""
    app = an_app(store_ip=True)
    known = logging_in_with(app, "first")
    clock_of(app).wait(HOUR)
    tokens = set_cookies(call(app, "POST", "/login", headers={"User-Agent": "second"}))
    call(app, "POST", "/refresh", refresh=tokens["sRefreshToken"].value, headers={"User-Agent": "third"})
    with app.app_context():
        assert [info.user_agent for info in list_sessions("user-1")] == ["first", "second"]
        assert list_sessions("user-1")[0] == known


def test_a_session_made_without_a_request_knows_no_device() -> None:
    """Nothing is known of a device."""
    app = an_app(store_ip=True)
    with app.app_context():
        info = get_session_information(a_session(app).handle)
    assert info is not None
    assert (info.user_agent, info.ip) == (None, None)


def test_only_the_session_of_this_request_is_marked_among_the_user_s_devices(make: Make) -> None:
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


def test_no_device_of_another_app_is_current() -> None:
    """In a request of this one: none of them is current."""
    app, other = an_app(), an_app()
    session = a_session(other)

    def view() -> list[bool]:
        with other.app_context():
            return [info.is_current for info in list_sessions(session.user_id)]

    assert run(app, view, verified=True, access=signed_in(app).access_token).json == [False]
