"""What differs between databases for the SQL store: locks, clocks, and which failures to repeat.

* SQLite: one writer at a time; ``BEGIN IMMEDIATE`` becomes it at once. WAL mode, so that readers do not wait. The threads of one
  process queue before they call SQLite, which would let them sleep instead.
* PostgreSQL: an advisory lock that ends with the transaction.
* MariaDB and MySQL: a named lock around the transaction, which is READ COMMITTED: with InnoDB's gap locks, deletes that find
  nothing would end in deadlocks. Texts have a binary collation; "a " still equals "a" in it, so lengths are compared as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, String, Text, event, text
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.types import TypeEngine

from ..errors import GeneralError
from ..forks import ForkSafeLock
from .waiting import BUSY_TIMEOUT_MS, CONNECT_TIMEOUT_SECONDS, LOCK_TIMEOUT_SECONDS, RESPONSE_TIMEOUT_SECONDS

_MARIADB_DIALECTS = ("mysql", "mariadb")
_DEADLOCK_CODE = 1213
_SYSTEM_LOCKS = Path("/proc/locks")
_SQLITE_LOCK_BYTES = ("", range(0x4000_0000, 0x4000_0002)), ("-shm", range(120, 121))
"""The bytes that SQLite locks to write: in the file, or in WAL mode in the one beside it (suffix, positions)."""
_THRESHOLD_OPTION = "prepare_threshold"
_POOLER_CHECKED = "supertokens_asked_for_a_pooler"
_MODE_OF_OTHERS = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH
_BINARY: Any = {"charset": "utf8mb4", "collation": "utf8mb4_bin"}
_INNODB = {"engine": "InnoDB", "charset": "utf8mb4"}


def exact(length: int) -> TypeEngine[str]:
    """Return the type of a short text that is compared letter by letter."""
    return String(length).with_variant(mysql.VARCHAR(length, **_BINARY), *_MARIADB_DIALECTS)


LONG_TEXT: TypeEngine[str] = Text().with_variant(mysql.LONGTEXT(**_BINARY), *_MARIADB_DIALECTS)
TABLE_OPTIONS: Any = {f"{name}_{option}": value for name in _MARIADB_DIALECTS for option, value in _INNODB.items()}


class _WriteTurn(ForkSafeLock):
    """A lock that a thread waits for only so long, and that the thread which holds it may take again."""

    def __init__(self) -> None:
        super().__init__(make=threading.RLock)

    def __enter__(self) -> None:
        if self.process != os.getpid():
            self.notice_fork()
        if not self._lock.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
            raise GeneralError("The session store is busy: the other threads of this process took too long to write.")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Database(ABC):
    """One kind of database."""

    server_now: str | None = None
    """The SQL expression for the server's time in ms, constant within a statement; ``None`` where the server is this host."""
    outlives_connections = True
    """Whether a pooled connection may be dead while the database lives."""
    can_limit_deletes = True
    """Whether one statement can delete a limited number of rows out of many."""
    ignores_blanks = False
    """Whether texts that differ in blanks at their end are equal."""
    turn: AbstractContextManager[Any] = nullcontext()
    """The lock that a thread of this process holds while it writes, where the database takes one writer at a time."""

    @contextmanager
    @abstractmethod
    def transaction(self, autocommit: Engine, lock: str | None) -> Iterator[Connection]:
        """Run the block in a transaction that has its locks from the start; two with the same ``lock`` do not overlap."""

    @contextmanager
    def without_timeout(self, _connection: Connection) -> Iterator[None]:
        """Wait for responses without limit in the block: creating and changing tables may take long."""
        yield

    def set_up(self, connection: Connection) -> None:  # noqa: B027 - most databases need nothing
        """Do what must come before the tables are created."""

    def pooler(self, _connection: Connection) -> str | None:
        """Say what a pooler in front of the server means for prepared statements; ``None`` if there is no pooler."""
        return None

    def is_conflict(self, error: DBAPIError) -> bool:
        """Return whether the database ended this transaction in favour of another one, so that it may be repeated."""
        return getattr(error.orig, "sqlstate", None) in ("40P01", "40001")

    def is_lost_connection(self, error: DBAPIError) -> bool:
        """Return whether the connection had ended before the statement. After a timeout it had not: do not wait again."""
        return error.connection_invalidated and type(error.orig).__name__ != "NoResponseError"


class SQLite(Database):
    outlives_connections = False

    def __init__(self) -> None:
        # Where two threads try to write, SQLite lets the second one sleep for milliseconds.
        self.turn: _WriteTurn = _WriteTurn()

    @contextmanager
    def transaction(self, autocommit: Engine, lock: str | None) -> Iterator[Connection]:
        with self.turn, autocommit.connect() as connection, _begin_and_commit(connection, "BEGIN IMMEDIATE"):
            yield connection

    def set_up(self, connection: Connection) -> None:
        """Switch the file to WAL mode. While another process does so too, SQLite fails instead of waiting; so this waits."""
        deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
        while True:
            try:
                if connection.exec_driver_sql("PRAGMA journal_mode").scalar() not in ("wal", "memory"):
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                return
            except OperationalError as error:
                if "locked" not in str(error.orig) or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)


def is_writing(file: str) -> bool | None:
    """Return whether this process is writing to a SQLite file; ``None`` if no process is, or the system does not tell.

    This reads the system's list of locks and opens no file: closing one would release the locks that SQLite holds on it.
    """
    writers: set[int] = set()
    with contextlib.suppress(OSError, ValueError):
        lines = _SYSTEM_LOCKS.read_text().splitlines()
        locks = [line.split() for line in lines if " POSIX " in line and " -> " not in line]
        for suffix, positions in _SQLITE_LOCK_BYTES:
            inode = str(os.stat(file + suffix).st_ino) if os.path.exists(file + suffix) else None
            for _, _, _, kind, process, locked_file, first, _ in locks:
                if kind == "WRITE" and locked_file.rpartition(":")[2] == inode and int(first) in positions:
                    writers.add(int(process))
    return os.getpid() in writers if writers else None


class PostgreSQL(Database):
    server_now: str | None = "floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint"

    @contextmanager
    def transaction(self, autocommit: Engine, lock: str | None) -> Iterator[Connection]:
        with autocommit.connect() as connection, _begin_and_commit(connection, "BEGIN"):
            if lock is not None:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _lock_number(lock)})
            yield connection

    @contextmanager
    def without_timeout(self, connection: Connection) -> Iterator[None]:
        driver: Any = connection.connection.dbapi_connection
        timeout = getattr(driver, "response_timeout", None)
        if timeout is None:  # a driver of the app's own choice
            yield
            return
        driver.response_timeout = None
        try:
            yield
        finally:
            driver.response_timeout = timeout

    def pooler(self, connection: Connection) -> str | None:
        driver: Any = connection.connection.dbapi_connection
        announced = getattr(getattr(driver, "info", None), "backend_pid", None)
        if announced in (None, connection.scalar(text("SELECT pg_backend_pid()"))):
            return None
        prepares = getattr(driver, "prepare_threshold", None) is not None
        return "statements are prepared" if prepares else "no statements are prepared"


class MariaDB(Database):
    server_now: str | None = "floor(unix_timestamp(now(3)) * 1000)"
    can_limit_deletes = False  # it takes no LIMIT below IN
    ignores_blanks = True

    @contextmanager
    def transaction(self, autocommit: Engine, lock: str | None) -> Iterator[Connection]:
        with autocommit.connect() as connection:
            name = None if lock is None else f"supertokens {_lock_number(lock)}"
            if name is not None and connection.scalar(_GET_LOCK, {"name": name, "wait": LOCK_TIMEOUT_SECONDS}) != 1:
                raise TimeoutError("Another process holds the lock of the session tables.")
            try:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
                with _begin_and_commit(connection, "START TRANSACTION"):
                    yield connection
            finally:
                if name is not None and not connection.invalidated:
                    connection.execute(_RELEASE_LOCK, {"name": name})

    def is_conflict(self, error: DBAPIError) -> bool:
        arguments: tuple[Any, ...] = getattr(error.orig, "args", ())
        return arguments[:1] == (_DEADLOCK_CODE,)


_GET_LOCK = text("SELECT GET_LOCK(:name, :wait)")
_RELEASE_LOCK = text("SELECT RELEASE_LOCK(:name)")
_DATABASES: dict[str, type[Database]] = {
    "sqlite": SQLite,
    "postgresql": PostgreSQL,
    "mysql": MariaDB,
    "mariadb": MariaDB,
}


def database_of(engine: Engine) -> Database:
    """Return the kind of database that an engine is for.

    :raises ValueError: this version does not know the kind.
    """
    kind = _DATABASES.get(engine.dialect.name)
    if kind is None:
        raise ValueError(
            f"database_engine is {engine.dialect.name}; this version knows sqlite, postgresql and mariadb."
        )
    return kind()


def connect_arguments(url: URL) -> dict[str, Any]:
    """Return the arguments with which a driver connects to a server, so that no wait is without end.

    :raises ValueError: an option of the URL has a value that it can't have.
    """
    if url.get_backend_name() == "postgresql":
        chosen = {name: _read_threshold(url.query[name]) for name in (_THRESHOLD_OPTION,) if name in url.query}
        return {"connect_timeout": CONNECT_TIMEOUT_SECONDS, **chosen}
    if _THRESHOLD_OPTION in url.query:
        raise ValueError(f"{_THRESHOLD_OPTION} in a URL is for PostgreSQL; remove it")
    return {
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "read_timeout": RESPONSE_TIMEOUT_SECONDS,
        "write_timeout": RESPONSE_TIMEOUT_SECONDS,
        "charset": "utf8mb4",
        "init_command": "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')",
    }


def _read_threshold(value: str | tuple[str, ...]) -> int | None:
    """Convert the option of a URL to a number: SQLAlchemy passes it on as text, which psycopg would compare with a number."""
    if value == "none":
        return None
    if not isinstance(value, str) or not value.isascii() or not value.isdigit():
        raise ValueError(f"{_THRESHOLD_OPTION} in the URL: use none, which prepares no statements, or a whole number")
    return int(value)


def create_private_file(path: str | os.PathLike[str]) -> None:
    """Create an empty file that only its owner reads and writes. One that exists, or can't be created, is left to SQLite."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            os.chmod(path, 0o600)  # the umask may have taken bits away
        finally:
            os.close(handle)


def is_open_to_others(path: str | os.PathLike[str]) -> bool:
    """Return whether other users than the owner may read or write a file; on Windows always ``False``, since it does not say."""
    with contextlib.suppress(OSError):
        return os.name != "nt" and bool(os.stat(path).st_mode & _MODE_OF_OTHERS)
    return False


def bound_connections(engine: Engine) -> None:
    """Let psycopg wait for no response without end, and notice poolers. The other drivers need only `connect_arguments`."""
    if _is_psycopg(engine):
        event.listen(engine, "do_connect", _connect)


def notice_poolers(engine: Engine) -> None:
    """Notice poolers in an engine of the app's own: ask each of its connections when it is first taken from the pool."""
    if _is_psycopg(engine):
        event.listen(engine, "checkout", _check_pooler_once)


def _is_psycopg(engine: Engine) -> bool:
    return (engine.dialect.name, engine.driver) == ("postgresql", "psycopg")


def _connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
    from .postgresql import connect  # noqa: PLC0415 - only where psycopg is used

    return connect(arguments, options)


def _check_pooler_once(connection: Any, record: Any, _proxy: Any) -> None:
    if record.info.get(_POOLER_CHECKED):  # SQLAlchemy empties this when it connects anew
        return
    from .postgresql import disable_preparing_behind_pooler  # noqa: PLC0415 - only where psycopg is used

    record.info[_POOLER_CHECKED] = disable_preparing_behind_pooler(connection)


@contextmanager
def _begin_and_commit(connection: Connection, begin: str) -> Iterator[None]:
    connection.exec_driver_sql(begin)
    try:
        yield
    except BaseException:
        if not connection.invalidated:
            connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def _lock_number(lock: str) -> int:
    return int.from_bytes(hashlib.sha256(lock.encode()).digest()[:8], "big", signed=True)
