"""Sessions are listed, and what is told of each."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from flask import Flask, render_template_string

from flask_supertokens import (
    create_new_session_without_request,
    get_all_session_handles_for_user,
    get_session_information,
    list_sessions,
    refresh_session_without_request,
    revoke_session,
)

from ..support.apps import an_app, clock_of, new_handle
from ..support.both import maker
from ..support.plans import DAY, HOUR, SECOND
from ..support.records import sql_store, sqlite_uri


def test_living_sessions_of_a_user_are_listed_oldest_first(app: Flask) -> None:
    """Oldest first, with what is known of each; expired ones are not."""
    first = new_handle(session_data={"cart": [1]})
    clock_of(app).wait(DAY)
    second = new_handle(tenant_id="t", recipe_user_id="r")
    assert get_all_session_handles_for_user("user-1") == [first, second]
    assert get_all_session_handles_for_user("user-1", tenant_id="t") == [second]
    info = list_sessions("user-1")[1]
    assert (info.handle, info.user_id, info.recipe_user_id, info.tenant_id) == (second, "user-1", "r", "t")
    assert info.created_at == info.last_refreshed_at == clock_of(app)()
    assert info.expires_at == clock_of(app)() + 100 * DAY
    assert list_sessions("user-1")[0].session_data == {"cart": [1]}
    clock_of(app).wait(99 * DAY)
    assert [info.handle for info in list_sessions("user-1")] == [second]
    assert get_session_information(first) is None


def test_a_page_of_sessions_begins_behind_a_position_or_a_living_handle(app: Flask) -> None:
    """A page begins behind a position, whatever became of that session, or behind the handle of one that is there."""
    handles = []
    for _ in range(5):
        handles.append(new_handle())
        clock_of(app).wait(1)
    page = list_sessions("user-1", limit=2)
    assert [known.handle for known in page] == get_all_session_handles_for_user("user-1", limit=2) == handles[:2]
    assert get_all_session_handles_for_user("user-1", after=handles[1], limit=10**30) == handles[2:]
    revoke_session(handles[1])
    assert [known.handle for known in list_sessions("user-1", after=page[-1].position, limit=2)] == handles[2:4]
    assert list_sessions("user-1", after=list_sessions("user-1")[-1].position) == []


@pytest.fixture(params=["embedded", "sqlite", "remote"])
def somewhere(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Flask]:
    """An app in its context: on each engine, and on a database too."""
    with ExitStack() as stack:
        is_sql = request.param == "sqlite"
        app = an_app(stack.enter_context(sql_store(sqlite_uri(tmp_path)))) if is_sql else maker(request)()
        stack.enter_context(app.app_context())
        yield app


def test_the_times_of_a_session_are_aware_datetimes_too(somewhere: Flask) -> None:
    """Aware, in UTC, exact to the millisecond; a core does not tell when a session was refreshed; a template shows them."""
    clock_of(somewhere).wait(5)
    tokens = create_new_session_without_request("user-1").tokens
    for _ in range(2):
        clock_of(somewhere).wait(HOUR)
        tokens = refresh_session_without_request(str(tokens.refresh_token)).tokens
    (known,) = list_sessions("user-1")
    created = datetime(2023, 11, 14, 22, 13, 20, 5000, tzinfo=timezone.utc)
    assert (known.created, known.created.utcoffset(), known.created_at) == (created, timedelta(0), 1_700_000_000_005)
    assert known.expires == created + timedelta(days=100, hours=2)
    assert known.last_refreshed == (None if known.last_refreshed_at is None else created + timedelta(hours=2))
    shown = render_template_string("{{ known.created }} {{ known.expires.year }}", known=known)
    assert shown == "2023-11-14 22:13:20.005000+00:00 2024"


def test_the_sessions_of_one_tenant_are_listed_without_the_others(somewhere: Flask) -> None:
    """In pages too; another user has none there, and without a tenant those of all are listed."""
    made_in = []
    for tenant in ("public", "t1", "public", "t1", "t1"):
        made_in.append((tenant, new_handle(tenant_id=tenant)))
        clock_of(somewhere).wait(SECOND)
    handles = [handle for tenant, handle in made_in if tenant == "t1"]
    assert [known.handle for known in list_sessions("user-1", tenant_id="t1")] == handles
    page = list_sessions("user-1", tenant_id="t1", limit=2)
    assert [known.handle for known in page] == handles[:2]
    rest = list_sessions("user-1", tenant_id="t1", limit=2, after=page[-1].position)
    assert [(known.handle, known.tenant_id) for known in rest] == [(handles[2], "t1")]
    assert list_sessions("user-2", tenant_id="t1") == []
    assert [known.handle for known in list_sessions("user-1")] == [handle for _, handle in made_in]


@pytest.mark.parametrize("page", [{"limit": 0}, {"limit": True}, {"limit": "5"}, {"after": 5}, {"after": "unknown"}])
@pytest.mark.parametrize("ask", [list_sessions, get_all_session_handles_for_user])
def test_a_page_that_makes_no_sense_is_a_value_error(app: Flask, ask: Callable[..., Any], page: dict[str, Any]) -> None:
    """A ValueError that says what it may be."""
    with pytest.raises(ValueError, match="must be"):
        ask("user-1", **page)
