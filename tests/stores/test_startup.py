"""Processes that start together on one database, and processes that fork."""

from __future__ import annotations

import os
import pathlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..support.records import RECORD, a_record, sql_store, sqlite_uri
from ..support.workers import FORKS, State, Workers, in_a_fork

PROCESSES = 8


def use_first(_state: State, uri: str) -> int:
    """Make the tables, write and read."""
    handle = f"handle-{os.getpid()}"
    with sql_store(uri) as store:
        store.add(a_record(handle))
        record = store.read(handle)
        return 0 if record is None else len(store.of_user(record.user_id, None, 0))


def use_fork_use(_state: State, uri: str, fork: str) -> None:
    """Use a store, fork, and use it in both processes."""
    with sql_store(uri) as store:
        store.add(RECORD)
        assert in_a_fork(
            lambda: store.read("handle-1") == RECORD and store.add(a_record("child"), "handle-1"), FORKS[fork]
        )
        assert store.read("child") == a_record("child")
        assert store.remove(["child"]) == ["child"]


def fork_while_the_tables_are_made(_state: State, uri: str, fork: str) -> None:
    """Fork at a moment when a thread of the parent holds the store's lock."""
    with sql_store(uri) as store:
        with store._lock:
            assert in_a_fork(lambda: store.add(RECORD) == [], FORKS[fork])
        assert store.read("handle-1") == RECORD


def fork_while_a_thread_writes(_state: State, uri: str, fork: str) -> None:
    """Fork at a moment when another thread of the parent has its turn."""
    with sql_store(uri) as store, ThreadPoolExecutor(1) as pool:
        store.add(RECORD)
        has_it, may_go = threading.Event(), threading.Event()

        def write() -> None:
            with store.turn():
                has_it.set()
                may_go.wait()

        pool.submit(write)
        has_it.wait()
        assert in_a_fork(lambda: store.add(a_record("child")) == [], FORKS[fork])
        may_go.set()
        assert store.read("child") == a_record("child")


def use_fork_use_in_memory(_state: State, fork: str) -> None:
    """The same, where the child can't see what the parent wrote."""
    with sql_store("sqlite://") as store:
        store.add(RECORD)
        assert in_a_fork(lambda: store.read("handle-1") is None and store.add(a_record("child")) == [], FORKS[fork])
        assert store.read("child") is None
        assert store.read("handle-1") == RECORD


class StartupContract:
    """Subclasses supply the fixture ``uri`` of an empty database."""

    @pytest.fixture
    def uri(self) -> str:
        raise NotImplementedError("a subclass supplies the database")

    def test_eight_processes_that_start_on_an_empty_database_all_make_the_tables(self, uri: str) -> None:
        """All make the tables, none fails, and all see one another's sessions."""
        with Workers(PROCESSES) as workers:
            assert max(workers.all_do(use_first, uri)) == PROCESSES

    @pytest.mark.parametrize("fork", FORKS)
    def test_parent_and_child_of_a_fork_after_the_first_use_have_their_own_connections(
        self, uri: str, fork: str
    ) -> None:
        """Parent and child go on with connections of their own (gunicorn with preloading, uWSGI)."""
        with Workers(1) as workers:
            workers.all_do(use_fork_use, uri, fork)

    @pytest.mark.parametrize("fork", FORKS)
    def test_a_child_forked_while_a_thread_makes_the_tables_does_not_wait_for_it(self, uri: str, fork: str) -> None:
        """The child does not wait for a thread that it does not have."""
        with Workers(1) as workers:
            workers.all_do(fork_while_the_tables_are_made, uri, fork)

    @pytest.mark.parametrize("fork", FORKS)
    def test_a_child_forked_while_a_thread_writes_does_not_wait_for_its_turn(self, uri: str, fork: str) -> None:
        """Neither for its turn."""
        with Workers(1) as workers:
            workers.all_do(fork_while_a_thread_writes, uri, fork)


class TestSQLite(StartupContract):
    @pytest.fixture
    def uri(self, tmp_path: pathlib.Path) -> str:
        return sqlite_uri(tmp_path)


@pytest.mark.postgres
class TestPostgreSQL(StartupContract):
    @pytest.fixture
    def uri(self, postgres_uri: str) -> str:
        return postgres_uri


@pytest.mark.mariadb
class TestMariaDB(StartupContract):
    @pytest.fixture
    def uri(self, mariadb_uri: str) -> str:
        return mariadb_uri


@pytest.mark.parametrize("fork", FORKS)
def test_each_process_has_its_own_in_memory_database_after_a_fork(fork: str) -> None:
    """Each process has its own; the child's is made anew."""
    with Workers(1) as workers:
        workers.all_do(use_fork_use_in_memory, fork)
