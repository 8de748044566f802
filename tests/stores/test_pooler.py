"""Behind a PgBouncer in transaction mode, which hands two connections to the server around among all clients."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, cast

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, make_url

from flask_supertokens.stores.connecting import database_engine
from flask_supertokens.stores.sqlalchemy import _DELETE_SESSION, SQLAlchemyStore

from ..support.records import LINE, RECORD, a_record, sql_store
from ..support.workers import State, Workers

pytestmark = pytest.mark.postgres
PREPARED_AT = 6
"""psycopg prepares a statement when it is executed for the sixth time on a connection."""
ROUNDS = 40


def store_of(state: State, uri: str) -> SQLAlchemyStore:
    """A process's store, with one connection."""
    if "store" not in state:
        state["store"] = SQLAlchemyStore(database_engine(uri, ""), creates_tables=False)
    return state["store"]  # type: ignore[no-any-return]


def remove_often(state: State, uri: str) -> None:
    """Remove a session that is not there, until the statement is prepared."""
    with store_of(state, uri)._autocommit.connect() as connection:
        for _ in range(PREPARED_AT):
            connection.execute(_DELETE_SESSION, {"h": "nobody", "app": "public"})


def read_often(state: State, uri: str) -> list[bool]:
    """Read a session, until the statement is prepared; whether it was what it should be."""
    return [store_of(state, uri).read("handle-1") == RECORD for _ in range(PREPARED_AT)]


@pytest.fixture
def take(pooled_uri: str) -> Iterator[Any]:
    """Keeps a connection to the server for somebody else's transaction; rolling back what it returns lets go of it."""
    url = make_url(pooled_uri)
    with contextlib.ExitStack() as taken:

        def take() -> psycopg.Connection[Any]:
            connection = psycopg.connect(
                f"host={url.query['host']} port={url.query['port']} user=tests dbname=postgres"
            )
            connection.execute("SELECT 1")
            return taken.enter_context(contextlib.closing(connection))

        yield take


def test_a_read_stays_a_read_where_another_process_deleted_on_the_connection(pooled_uri: str, take: Any) -> None:
    """Two processes name what they prepare alike, each on its own connection to the server: a read stays a read."""
    with sql_store(pooled_uri) as store, Workers(1) as remover, Workers(1) as reader:
        store.add(RECORD)
        first = take()
        remover.one_does(remove_often, pooled_uri)  # on the second connection to the server
        second = take()
        first.rollback()
        reader.one_does(read_often, pooled_uri)  # on the first one
        first = take()
        second.rollback()
        read = reader.one_does(read_often, pooled_uri)  # on the second one
        assert (store.read("handle-1"), read) == (RECORD, [True] * PREPARED_AT)


def use(state: State, uri: str) -> None:
    """Everything that a process does with sessions, again and again."""
    store, name = store_of(state, uri), f"user-{os.getpid()}"
    for number in range(ROUNDS):
        record, next_one = (a_record(f"{name}-{number}-{n}", user_id=name) for n in range(2))
        store.add(record)
        assert store.read(record.handle) == record
        with store.turn(), store.row(record.handle) as row:
            assert row.swap(LINE, record.refreshed_at)
        assert store.write_data(record.handle, "{}", 0)
        assert store.add(next_one, replacing=record.handle, at_most=1) == [record.handle]
        assert len(store.of_user(name, None, 0)) == 1
        assert store.remove([next_one.handle]) == [next_one.handle]


def test_two_processes_that_use_sessions_at_once_read_and_end_only_their_own(pooled_uri: str) -> None:
    """Nothing fails, and everybody reads and ends their own."""
    with sql_store(pooled_uri) as store, Workers(2) as workers:
        store.create_tables()
        workers.all_do(use, pooled_uri)
        assert store.of_user("user-1", None, 0) == []


def threshold_of(engine: Engine) -> int | None:
    """What a connection of the pool does about prepared statements."""
    with engine.connect() as connection:
        return cast("int | None", cast(Any, connection.connection.dbapi_connection).prepare_threshold)


@pytest.mark.parametrize(
    ("option", "threshold", "told"),
    [
        ("", None, "no statements are prepared"),
        ("&prepare_threshold=none", None, "no statements are prepared"),
        ("&prepare_threshold=0", 0, "statements are prepared"),
    ],
)
def test_behind_a_pooler_nothing_is_prepared_unless_the_url_says_so(
    pooled_uri: str, option: str, threshold: int | None, told: str
) -> None:
    """That counts; by itself nothing is prepared behind a pooler."""
    with sql_store(pooled_uri + option) as store:
        assert store.pooler() == told
        assert threshold_of(store._engine) == threshold


@pytest.mark.parametrize(
    ("option", "threshold"), [("", 5), ("&prepare_threshold=none", None), ("&prepare_threshold=7", 7)]
)
def test_without_a_pooler_statements_are_prepared_as_psycopg_or_the_url_says(
    postgres_uri: str, option: str, threshold: int | None
) -> None:
    """Statements are prepared as psycopg does, or as the URL says."""
    with sql_store(postgres_uri + option) as store:
        assert store.pooler() is None
        assert threshold_of(store._engine) == threshold


@pytest.mark.parametrize("pooled_uri", ["session"], indirect=True)
def test_a_pooler_in_session_mode_is_not_told_apart_and_nothing_is_prepared(pooled_uri: str) -> None:
    """In session mode it could be done, but can't be told apart."""
    with sql_store(pooled_uri) as store:
        assert store.pooler() == "no statements are prepared"


@pytest.mark.parametrize(("chosen", "kept"), [({}, None), ({"prepare_threshold": 3}, 3)])
def test_an_app_s_own_engine_behind_a_pooler_prepares_nothing(
    pooled_uri: str, chosen: dict[str, int], kept: int | None
) -> None:
    """Its connections prepare nothing, those from before too, whoever takes them; what the app chose stays."""
    engine = create_engine(pooled_uri, connect_args=chosen)
    assert threshold_of(engine) == chosen.get("prepare_threshold", 5)
    store = SQLAlchemyStore(engine)
    store.create_tables()
    with engine.connect() as one, engine.connect() as two:
        connections: list[Any] = [one.connection.dbapi_connection, two.connection.dbapi_connection]
        assert [connection.prepare_threshold for connection in connections] == [kept, kept]
        assert not any(connection.autocommit for connection in connections)
    engine.dispose()
