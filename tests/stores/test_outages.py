"""A database that can't do what is asked: our error, and it works again when the database does."""

from __future__ import annotations

import pathlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, event

from flask_supertokens.errors import GeneralError
from flask_supertokens.stores import connecting, databases
from flask_supertokens.stores.base import Store
from flask_supertokens.stores.postgresql import BoundedConnection
from flask_supertokens.stores.sqlalchemy import SQLAlchemyStore

from ..support.postgres import PostgresServer
from ..support.records import LINE, NOW, RECORD, a_key, a_record, sql_store, sqlite_uri


def decide(store: Store) -> None:
    """A row that is only read."""
    with store.turn(), store.row("handle-1"):
        pass


READS: dict[str, Callable[[Store], Any]] = {
    "read": lambda store: store.read("handle-1"),
    "of_user": lambda store: store.of_user("user-1", None, NOW),
    "handles_of_user": lambda store: store.handles_of_user("user-1", None),
    "crowds": lambda store: store.crowds(1000, 9),
    "count_expired": lambda store: store.count_expired(NOW),
    "keys": lambda store: store.keys(),
    "row": decide,
}
WRITES: dict[str, Callable[[Store], Any]] = {
    "add": lambda store: store.add(a_record("handle-2")),
    "add, replacing": lambda store: store.add(a_record("handle-2"), replacing="handle-1"),
    "swap_line": lambda store: store.swap_line(RECORD, LINE, NOW),
    "swap_payload": lambda store: store.swap_payload("handle-1", RECORD.payload, "{}"),
    "write_data": lambda store: store.write_data("handle-1", "{}", NOW),
    "swap_data": lambda store: store.swap_data("handle-1", RECORD.data, "{}", NOW),
    "remove": lambda store: store.remove(["handle-1"]),
    "swap_keys": lambda store: store.swap_keys(frozenset(), a_key(1), frozenset()),
    "one of the keys": lambda store: store.reseal_key("d-1", "sealed", "new"),
}
SWAPS = ["swap_line", "swap_payload", "swap_data"]
"""What follows a read of its own; all other writes find out first whether the connection lives."""
VERBS = {**READS, **WRITES, "create_tables": lambda store: store.create_tables()}


def refusals(store: Store, verbs: dict[str, Callable[[Store], Any]] = VERBS) -> list[str]:
    """What the store says to each verb; any other answer than our error fails the test."""
    said = []
    for verb in verbs.values():
        with pytest.raises(GeneralError) as caught:
            verb(store)
        assert caught.value.code == 503
        said.append(str(caught.value.description))
    return said


@pytest.fixture
def sqlite_store(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SQLAlchemyStore]:
    monkeypatch.setattr(connecting, "BUSY_TIMEOUT_MS", 20)
    with sql_store(sqlite_uri(tmp_path)) as store:
        yield store


@pytest.fixture
def postgres_store(postgres_uri: str) -> Iterator[SQLAlchemyStore]:
    with sql_store(postgres_uri) as store:
        store.add(RECORD)
        yield store


def file_of(store: SQLAlchemyStore) -> pathlib.Path:
    return pathlib.Path(store._engine.url.database or "")


@contextmanager
def lock_file(path: pathlib.Path) -> Iterator[None]:
    """Another connection writes and does not come to an end."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


# -- SQLite


def test_reads_go_on_and_writes_are_refused_while_a_sqlite_file_is_locked(sqlite_store: SQLAlchemyStore) -> None:
    """In WAL mode reads go on, writes are refused after the busy timeout; nothing was changed."""
    sqlite_store.add(RECORD)
    with lock_file(file_of(sqlite_store)):
        assert all("locked" in said for said in refusals(sqlite_store, WRITES))
        assert sqlite_store.read("handle-1") == RECORD
    assert sqlite_store.of_user("user-1", None, NOW) == [RECORD]
    assert sqlite_store.add(a_record("handle-2"), replacing="handle-1") == ["handle-1"]


def test_writes_are_refused_while_a_thread_s_own_write_does_not_come_to_an_end(
    sqlite_store: SQLAlchemyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others of its process do not wait without end: writes are refused, reads go on."""
    monkeypatch.setattr(databases, "BUSY_TIMEOUT_MS", 50)
    sqlite_store.add(RECORD)
    with ThreadPoolExecutor(1) as pool, sqlite_store.turn():
        for verb in WRITES.values():
            with pytest.raises(GeneralError, match="the other threads of this process took too long"):
                pool.submit(verb, sqlite_store).result()
        assert pool.submit(sqlite_store.read, "handle-1").result() == RECORD


def test_two_threads_that_are_the_first_do_not_wait_for_each_other(
    sqlite_store: SQLAlchemyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has its turn, the other one wants to make the tables: neither waits for the other."""
    monkeypatch.setattr(databases, "BUSY_TIMEOUT_MS", 300)
    has_it = threading.Event()

    def refresh() -> None:
        with sqlite_store.turn():
            has_it.set()
            time.sleep(0.1)
            sqlite_store.read("handle-1")

    with ThreadPoolExecutor(1) as pool:
        refreshing = pool.submit(refresh)
        has_it.wait()
        assert sqlite_store.keys() == []
        refreshing.result()


def test_the_tables_are_made_when_the_lock_of_a_sqlite_file_is_gone(sqlite_store: SQLAlchemyStore) -> None:
    """The tables are made when the lock is gone."""
    file_of(sqlite_store).parent.mkdir()
    with lock_file(file_of(sqlite_store)):
        assert not any("Is the address" in said for said in refusals(sqlite_store))
    sqlite_store.add(RECORD)
    assert sqlite_store.read("handle-1") == RECORD


def test_the_first_use_waits_until_another_has_finished_writing_the_sqlite_file(tmp_path: pathlib.Path) -> None:
    """SQLite refuses WAL at once while somebody writes; the store tries again until he has finished."""
    with sql_store(sqlite_uri(tmp_path)) as store:
        file_of(store).parent.mkdir()
        writer = sqlite3.connect(file_of(store), isolation_level=None, check_same_thread=False)
        writer.executescript("CREATE TABLE notes (note); BEGIN IMMEDIATE")
        timer = threading.Timer(0.2, writer.execute, ["COMMIT"])
        timer.start()
        store.add(RECORD)
        timer.join()
        writer.close()
        assert store.read("handle-1") == RECORD


def test_reads_go_on_and_writes_are_refused_while_a_sqlite_file_is_read_only(sqlite_store: SQLAlchemyStore) -> None:
    """Reads go on, writes are refused, and pass again when the file can be written."""
    read_only = [False]
    event.listen(
        sqlite_store._engine, "checkout", lambda c, _r, _p: c.execute(f"PRAGMA query_only={read_only[0]}").close()
    )
    sqlite_store.add(RECORD)
    read_only[0] = True
    assert all("readonly" in said for said in refusals(sqlite_store, WRITES))
    assert sqlite_store.read("handle-1") == RECORD
    read_only[0] = False
    assert sqlite_store.remove(["handle-1"]) == ["handle-1"]


def test_a_sqlite_file_opened_read_only_can_be_read_if_nobody_wants_tables_made(tmp_path: pathlib.Path) -> None:
    """A database that can't be written can be read, if nobody wants tables made."""
    with sql_store(sqlite_uri(tmp_path)) as maker:
        maker.add(RECORD)
    engine = create_engine(f"sqlite:///file:{file_of(maker)}?mode=ro&uri=true")
    store = SQLAlchemyStore(engine, creates_tables=False)
    assert store.read("handle-1") == RECORD
    refusals(store, WRITES)
    engine.dispose()


def test_a_damaged_sqlite_file_is_refused_until_it_is_put_right(sqlite_store: SQLAlchemyStore) -> None:
    """A file that is no database is refused at every verb; when it is put right, the same store works."""
    file_of(sqlite_store).parent.mkdir()
    file_of(sqlite_store).write_bytes(b"not a database " * 1000)
    assert all("not a database" in said for said in refusals(sqlite_store))
    file_of(sqlite_store).unlink()
    sqlite_store.add(RECORD)
    assert sqlite_store.read("handle-1") == RECORD


def test_an_error_names_the_sqlite_file_that_cannot_be_opened(sqlite_store: SQLAlchemyStore) -> None:
    """The error names it: a folder stands there."""
    file_of(sqlite_store).mkdir(parents=True)
    assert all(f"Its file is {file_of(sqlite_store)}" in said for said in refusals(sqlite_store))


def test_an_error_names_the_folder_that_cannot_be_made(sqlite_store: SQLAlchemyStore) -> None:
    """A file stands where the folder should be: it is named, not asked for. When it is moved away, the same store works."""
    file_of(sqlite_store).parent.touch()
    named = f"The folder of {file_of(sqlite_store)} can't be made"
    assert all(named in said and "Is the address" not in said for said in refusals(sqlite_store))
    file_of(sqlite_store).parent.unlink()
    sqlite_store.add(RECORD)


def test_an_error_names_the_command_that_makes_missing_sqlite_tables(tmp_path: pathlib.Path) -> None:
    """The error names the command that makes them; `create_tables` does, and the same store works."""
    with sql_store(sqlite_uri(tmp_path), creates_tables=False) as store:
        file_of(store).parent.mkdir()
        assert all("flask supertokens init-db" in said for said in refusals(store, {**READS, **WRITES}))
        store.create_tables()
        store.add(RECORD)


def test_an_error_names_the_verb_and_holds_no_parameter_s_value(sqlite_store: SQLAlchemyStore) -> None:
    """The text names the verb and holds no value of any parameter."""
    sqlite_store.add(RECORD)
    said = refusals(sqlite_store, {"add": lambda store: store.add(RECORD)})[0]
    assert "failed in add" in said
    assert not any(value in said for value in ("handle-1", "user-1", "anti-csrf-1", "role", "cart", "a" * 64))


# -- PostgreSQL


@pytest.mark.postgres
def test_every_verb_is_refused_while_postgresql_is_stopped_and_works_afterwards(
    postgres_server: PostgresServer, postgres_store: SQLAlchemyStore
) -> None:
    """Every verb is refused, and works when the server is back, on the same store."""
    postgres_server.stop()
    try:
        refusals(postgres_store)
    finally:
        postgres_server.start()
    assert postgres_store.swap_line(RECORD, LINE, RECORD.refreshed_at) is True
    assert postgres_store.read("handle-1") == RECORD


@pytest.mark.postgres
def test_the_tables_are_made_when_postgresql_is_started_after_the_first_use(
    postgres_server: PostgresServer, postgres_uri: str
) -> None:
    """The tables are made when the server is back; until then the log asks for the address."""
    with sql_store(postgres_uri) as store:
        postgres_server.stop()
        try:
            assert all("(SUPERTOKENS_DATABASE_URI)?" in said for said in refusals(store))
        finally:
            postgres_server.start()
        store.add(RECORD)
        assert store.read("handle-1") == RECORD


@pytest.mark.postgres
@pytest.mark.parametrize("verb", READS)
def test_a_read_succeeds_though_its_pooled_connection_was_cut(
    postgres_server: PostgresServer, postgres_store: SQLAlchemyStore, verb: str
) -> None:
    """A dead connection in the pool is not noticed by whoever reads."""
    before = READS[verb](postgres_store)
    postgres_server.end_connections()
    assert READS[verb](postgres_store) == before


@pytest.mark.postgres
@pytest.mark.parametrize("verb", [verb for verb in WRITES if verb not in SWAPS])
def test_a_write_that_no_read_precedes_notices_a_cut_connection_in_time(
    postgres_server: PostgresServer, postgres_store: SQLAlchemyStore, verb: str
) -> None:
    """A write that no read precedes finds that out in time."""
    postgres_server.end_connections()
    assert WRITES[verb](postgres_store) is not None


@pytest.mark.postgres
@pytest.mark.parametrize("verb", SWAPS)
def test_a_swap_is_not_repeated_where_its_connection_was_cut_after_the_read(
    postgres_server: PostgresServer, postgres_store: SQLAlchemyStore, verb: str
) -> None:
    """A swap is not repeated, since it may have happened; the next one works."""
    postgres_server.end_connections()
    refusals(postgres_store, {verb: WRITES[verb]})
    assert postgres_store.read("handle-1") == RECORD
    assert WRITES[verb](postgres_store) is True


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedConnection, "response_timeout", 0.3)


@pytest.mark.postgres
def test_nobody_waits_without_end_for_a_locked_table(
    impatient: None, postgres_server: PostgresServer, postgres_store: SQLAlchemyStore
) -> None:
    """Nobody waits for a migration without end, nor twice; what was given up is not done later."""
    verbs = {name: verb for name, verb in {**READS, **WRITES}.items() if "keys" not in name}
    attempts: list[object] = []
    with postgres_server.locked("supertokens_sessions"):
        event.listen(postgres_store._engine, "checkout", lambda *found: attempts.append(found))
        refusals(postgres_store, {"read": READS["read"]})
        assert len(attempts) == 1
        assert all("no response within 0.3 s" in said for said in refusals(postgres_store, verbs))
    if not psycopg.capabilities.has_cancel_safe():
        pytest.skip("This libpq is older than 17 and can't cancel within a bounded time.")
    assert postgres_store.read("handle-1") == RECORD


@pytest.mark.postgres
def test_a_postgresql_that_hangs_is_given_up_and_works_again_later(
    impatient: None, postgres_server: PostgresServer, postgres_store: SQLAlchemyStore
) -> None:
    """A server that accepts and says nothing is given up, and works again later."""
    assert postgres_store.read("handle-1") == RECORD
    with postgres_server.frozen():
        start = time.monotonic()
        refusals(postgres_store, {"read": READS["read"], "swap_line": WRITES["swap_line"]})
        assert time.monotonic() - start < 10
    assert postgres_store.read("handle-1") == RECORD


@pytest.mark.postgres
def test_making_tables_waits_longer_for_a_lock_than_other_verbs(
    impatient: None, postgres_server: PostgresServer, postgres_uri: str
) -> None:
    """Whoever makes or changes tables waits for a lock longer than others do."""
    with sql_store(postgres_uri) as store, sql_store(postgres_uri) as other:
        store.create_tables()
        with ThreadPoolExecutor(1) as pool, postgres_server.locked("supertokens_schema"):
            made = pool.submit(other.create_tables)
            time.sleep(0.8)
            assert not made.done()
        made.result(5)


@pytest.mark.postgres
def test_reads_go_on_and_writes_are_refused_while_postgresql_is_read_only(
    postgres_server: PostgresServer, postgres_store: SQLAlchemyStore
) -> None:
    """As after a failover to a replica: reads go on, writes are refused, and pass again later."""
    with postgres_server.read_only():
        assert postgres_store.read("handle-1") == RECORD
        assert all("read-only" in said for said in refusals(postgres_store, WRITES))
    assert postgres_store.read("handle-1") == RECORD
    assert postgres_store.remove(["handle-1"]) == ["handle-1"]


@pytest.mark.postgres
def test_an_error_names_the_command_that_makes_missing_postgresql_tables(postgres_uri: str) -> None:
    """The error names the command that makes them."""
    with sql_store(postgres_uri, creates_tables=False) as store:
        assert all("flask supertokens init-db" in said for said in refusals(store, {**READS, **WRITES}))
        store.create_tables()
        store.add(RECORD)


@pytest.mark.postgres
def test_a_postgresql_error_is_told_without_the_details_that_quote_the_row(
    postgres_server: PostgresServer, postgres_store: SQLAlchemyStore
) -> None:
    """PostgreSQL's details quote the row; they are left out."""
    postgres_server.execute("ALTER TABLE supertokens_sessions ADD CHECK (children < 2)")
    verbs = {"1": lambda store: store.add(RECORD), "2": lambda store: store.add(a_record("handle-2", children=2))}
    for said in refusals(postgres_store, verbs):
        assert "failed in add" in said
        assert not any(value in said for value in ("handle-", "user-1", "anti-csrf-1", "role", "cart", "a" * 64))


@pytest.mark.postgres
def test_an_error_hides_the_password_that_is_wrong_or_for_another_server(tmp_path: pathlib.Path) -> None:
    """The error's text does not hold the password."""
    with sql_store(f"postgresql+psycopg://app:Tr0ub4dor@/sessions?host={tmp_path}") as store:
        for said in refusals(store):
            assert "Tr0ub4dor" not in said
            assert "OperationalError" in said
