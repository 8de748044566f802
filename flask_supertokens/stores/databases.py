"""What the SQL store does otherwise on one database than on another: locks, clocks, and which failures to repeat.

* SQLite: one writer; ``BEGIN IMMEDIATE`` takes its place at once. WAL mode, so that readers do not wait. The threads of one
  process take turns before they come to SQLite, which lets them sleep instead of queue.
* PostgreSQL: an advisory lock that ends with the transaction.
* MariaDB and MySQL: a named lock around the transaction, which is READ COMMITTED: with InnoDB's gap locks, deletes that find
  nothing would end in deadlocks. Texts have a binary collation; it still takes "a " for "a", so lengths are compared as well.
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
from .waiting import ANSWER_TIMEOUT_SECONDS, BUSY_TIMEOUT_MS, CONNECT_TIMEOUT_SECONDS, LOCK_TIMEOUT_SECONDS

_MARIADB = ("mysql", "mariadb")
_DEADLOCK = 1213
_LOCKS = Path("/proc/locks")
_SQLITE_LOCKS = ("", range(0x4000_0000, 0x4000_0002)), ("-shm", range(120, 121))
"""Where SQLite marks that somebody writes: in the file, or in WAL mode in the one beside it."""
_PREPARE = "prepare_threshold"
_ASKED = "supertokens_asked_for_a_pooler"
_OTHERS = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH
_BINARY: Any = {"charset": "utf8mb4", "collation": "utf8mb4_bin"}
_INNODB = {"engine": "InnoDB", "charset": "utf8mb4"}


def exact(length: int) -> TypeEngine[str]:
    """A short text that is compared letter by letter."""
    return String(length).with_variant(mysql.VARCHAR(length, **_BINARY), *_MARIADB)


LONG_TEXT: TypeEngine[str] = Text().with_variant(mysql.LONGTEXT(**_BINARY), *_MARIADB)
TABLE_OPTIONS: Any = {f"{name}_{option}": value for name in _MARIADB for option, value in _INNODB.items()}


class _Turn(ForkSafeLock):
    """A lock that is not waited for without end; who has it may take it again."""

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

    clock: str | None = None
    """An expression for the server's time in ms, the same all through a statement; ``None`` where the server is this host."""
    outlives_connections = True
    """Whether a pooled connection may be dead while the database lives."""
    limits_deletes = True
    """Whether one statement can remove some rows out of many."""
    ignores_blanks = False
    """Whether texts that differ in blanks at their end are equal."""
    turn: AbstractContextManager[Any] = nullcontext()
    """What one thread of this process does at a time."""

    @contextmanager
    @abstractmethod
    def begun(self, autocommit: Engine, lock: str | None) -> Iterator[Connection]:
        """A transaction that has its locks from the start; two with the same ``lock`` do not overlap."""

    @contextmanager
    def unhurried(self, _connection: Connection) -> Iterator[None]:
        """While tables are made or changed, which may take its time."""
        yield

    def prepare(self, connection: Connection) -> None:  # noqa: B027 - most databases need nothing
        """Before the tables are made."""

    def pooler(self, _connection: Connection) -> str | None:
        """What hands the server's connections around between here and there, if something does."""
        return None

    def was_victim(self, error: DBAPIError) -> bool:
        """Whether the database ended this transaction for another one's sake; it may be repeated then."""
        return getattr(error.orig, "sqlstate", None) in ("40P01", "40001")

    def was_dead(self, error: DBAPIError) -> bool:
        """Whether the connection had ended before; one that was waited for in vain is no reason to wait again."""
        return error.connection_invalidated and type(error.orig).__name__ != "NoAnswerError"


class SQLite(Database):
    outlives_connections = False

    def __init__(self) -> None:
        self.turn: _Turn = _Turn()  # to write: where two threads try, SQLite lets the second one sleep for milliseconds

    @contextmanager
    def begun(self, autocommit: Engine, lock: str | None) -> Iterator[Connection]:
        with self.turn, autocommit.connect() as connection, _between(connection, "BEGIN IMMEDIATE"):
            yield connection

    def prepare(self, connection: Connection) -> None:
        """WAL is a property of the file. SQLite does not wait here when another process makes it at the same moment; we do."""
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


def written_here(file: str) -> bool | None:
    """Whether this process is writing to a SQLite file; ``None`` if nobody does, or the system does not tell.

    The system's list is read and no file opened: closing one would end the locks that SQLite has on it.
    """
    writers: set[int] = set()
    with contextlib.suppress(OSError, ValueError):
        held = [line.split() for line in _LOCKS.read_text().splitlines() if " POSIX " in line and " -> " not in line]
        for suffix, places in _SQLITE_LOCKS:
            inode = str(os.stat(file + suffix).st_ino) if os.path.exists(file + suffix) else None
            for _, _, _, kind, process, place, first, _ in held:
                if kind == "WRITE" and place.rpartition(":")[2] == inode and int(first) in places:
                    writers.add(int(process))
    return os.getpid() in writers if writers else None


class PostgreSQL(Database):
    clock: str | None = "floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint"

    @contextmanager
    def begun(self, autocommit: Engine, lock: str | None) -> Iterator[Connection]:
        with autocommit.connect() as connection, _between(connection, "BEGIN"):
            if lock is not None:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _number(lock)})
            yield connection

    @contextmanager
    def unhurried(self, connection: Connection) -> Iterator[None]:
        driver: Any = connection.connection.dbapi_connection
        patience = getattr(driver, "answer_timeout", None)
        if patience is None:  # a driver of the app's own choice
            yield
            return
        driver.answer_timeout = None
        try:
            yield
        finally:
            driver.answer_timeout = patience

    def pooler(self, connection: Connection) -> str | None:
        driver: Any = connection.connection.dbapi_connection
        told = getattr(getattr(driver, "info", None), "backend_pid", None)
        if told in (None, connection.scalar(text("SELECT pg_backend_pid()"))):
            return None
        prepares = getattr(driver, "prepare_threshold", None) is not None
        return "statements are prepared" if prepares else "no statements are prepared"


class MariaDB(Database):
    clock: str | None = "floor(unix_timestamp(now(3)) * 1000)"
    limits_deletes = False  # it takes no LIMIT below IN
    ignores_blanks = True

    @contextmanager
    def begun(self, autocommit: Engine, lock: str | None) -> Iterator[Connection]:
        with autocommit.connect() as connection:
            name = None if lock is None else f"supertokens {_number(lock)}"
            if name is not None and connection.scalar(_GET_LOCK, {"name": name, "wait": LOCK_TIMEOUT_SECONDS}) != 1:
                raise TimeoutError("Another process holds the lock of the session tables.")
            try:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
                with _between(connection, "START TRANSACTION"):
                    yield connection
            finally:
                if name is not None and not connection.invalidated:
                    connection.execute(_RELEASE_LOCK, {"name": name})

    def was_victim(self, error: DBAPIError) -> bool:
        arguments: tuple[Any, ...] = getattr(error.orig, "args", ())
        return arguments[:1] == (_DEADLOCK,)


_GET_LOCK = text("SELECT GET_LOCK(:name, :wait)")
_RELEASE_LOCK = text("SELECT RELEASE_LOCK(:name)")
_KINDS: dict[str, type[Database]] = {"sqlite": SQLite, "postgresql": PostgreSQL, "mysql": MariaDB, "mariadb": MariaDB}


def database_of(engine: Engine) -> Database:
    """What this engine speaks to.

    :raises ValueError: something that we do not know.
    """
    kind = _KINDS.get(engine.dialect.name)
    if kind is None:
        raise ValueError(
            f"database_engine is {engine.dialect.name}; this version knows sqlite, postgresql and mariadb."
        )
    return kind()


def connect_arguments(url: URL) -> dict[str, Any]:
    """How to connect to a server, so that no wait is without end.

    :raises ValueError: an option of the URL has a value that it can't have.
    """
    if url.get_backend_name() == "postgresql":
        chosen = {name: _threshold(url.query[name]) for name in (_PREPARE,) if name in url.query}
        return {"connect_timeout": CONNECT_TIMEOUT_SECONDS, **chosen}
    if _PREPARE in url.query:
        raise ValueError(f"{_PREPARE} in a URL is for PostgreSQL; remove it")
    return {
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "read_timeout": ANSWER_TIMEOUT_SECONDS,
        "write_timeout": ANSWER_TIMEOUT_SECONDS,
        "charset": "utf8mb4",
        "init_command": "SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')",
    }


def _threshold(value: str | tuple[str, ...]) -> int | None:
    """SQLAlchemy hands the options of a URL on as text, which psycopg would compare with a number."""
    if value == "none":
        return None
    if not isinstance(value, str) or not value.isascii() or not value.isdigit():
        raise ValueError(f"{_PREPARE} in the URL: use none, which prepares no statements, or a whole number")
    return int(value)


def make_private_file(path: str | os.PathLike[str]) -> None:
    """Make an empty file that only its owner reads and writes; one that is there, or can't be made, is left to SQLite."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            os.chmod(path, 0o600)  # the umask may have taken bits away
        finally:
            os.close(handle)


def is_open_to_others(path: str | os.PathLike[str]) -> bool:
    """Whether others than its owner may read or write a file; Windows does not say."""
    with contextlib.suppress(OSError):
        return os.name != "nt" and bool(os.stat(path).st_mode & _OTHERS)
    return False


def connect_well(engine: Engine) -> None:
    """Let no answer of psycopg take without end, and notice poolers; the other drivers need their own arguments only."""
    if _is_psycopg(engine):
        event.listen(engine, "do_connect", _connect)


def notice_poolers(engine: Engine) -> None:
    """The same for poolers only, in an engine of the app's own: each of its connections, when it is taken for the first time."""
    if _is_psycopg(engine):
        event.listen(engine, "checkout", _ask_once)


def _is_psycopg(engine: Engine) -> bool:
    return (engine.dialect.name, engine.driver) == ("postgresql", "psycopg")


def _connect(_dialect: Any, _record: Any, arguments: Any, named: Any) -> Any:
    from .postgresql import connect  # noqa: PLC0415 - only where psycopg is used

    return connect(arguments, named)


def _ask_once(connection: Any, record: Any, _proxy: Any) -> None:
    if record.info.get(_ASKED):  # emptied when it connects anew
        return
    from .postgresql import prepare_nothing_behind_a_pooler  # noqa: PLC0415 - only where psycopg is used

    record.info[_ASKED] = prepare_nothing_behind_a_pooler(connection)


@contextmanager
def _between(connection: Connection, begin: str) -> Iterator[None]:
    connection.exec_driver_sql(begin)
    try:
        yield
    except BaseException:
        if not connection.invalidated:
            connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


def _number(lock: str) -> int:
    return int.from_bytes(hashlib.sha256(lock.encode()).digest()[:8], "big", signed=True)
