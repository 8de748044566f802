"""The SQL store: SQLAlchemy Core on SQLite, PostgreSQL and MariaDB.

* A decision is a plain read, then one compare-and-swap statement, each in autocommit. A transaction that reads and then
  writes fails under load on SQLite; a swap that lost is simply decided again.
* What touches several rows (a session that replaces another, revoking many, keys, tables) is a transaction that locks from
  the start, each database in its way (`databases`). One that was ended for another's sake is repeated, a few times.
* An in-memory database has one connection, handed from thread to thread.
* A SQLite file that is not there is made for its owner alone (0600), whatever the umask; SQLite gives its neighbours the same
  mode. One that is there is left as it is.
* A read whose pooled connection turns out to be dead is repeated once on a fresh one; a write is not.
* Connections do not survive a fork.
* The default database is a temporary one while an app is tested.
"""

from __future__ import annotations

import copy
import logging
import os
import pathlib
import re
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar
from urllib.parse import unquote

from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    bindparam,
    create_engine,
    delete,
    event,
    func,
    insert,
    make_url,
    or_,
    select,
    text,
    update,
)
from sqlalchemy import Row as TableRow
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from sqlalchemy.pool import AssertionPool, NullPool, QueuePool, SingletonThreadPool, StaticPool

from ..forks import ForkSafeLock, before_fork
from ..protocol.model import FIRST_APP, Line, Masked, Position, SessionRecord, SigningKey
from .base import BATCH, Row, Store
from .databases import (
    connect_arguments,
    connect_well,
    database_of,
    is_open_to_others,
    make_private_file,
    notice_poolers,
    written_here,
)
from .schema import (
    OddSchemaError,
    apps,
    bring_up_to_date,
    lacks_apps,
    metadata,
    sessions,
    signing_keys,
    tenants,
    version_of,
)
from .waiting import BUSY_TIMEOUT_MS, POOL_TIMEOUT_SECONDS

__all__ = ["SQLAlchemyStore", "database_engine", "is_url", "keep_apart_from_tests", "metadata"]

T = TypeVar("T")
logger: logging.Logger = logging.getLogger("flask_supertokens")

_POOL: Any = {"pool_size": 15, "max_overflow": 0, "pool_timeout": POOL_TIMEOUT_SECONDS}
"""As many connections at once as SQLAlchemy's default; but all of them are kept, so that a crowd does not connect anew."""
_AUTOCOMMITS = "supertokens_autocommits"
"""Marks an engine of our own: its connections are in autocommit all the time, which need not be switched at each checkout."""
_PLACE = "supertokens_place"
"""Where the `_Place` of an engine is kept whose file is not chosen before it is opened."""
_OUR_OWN: Any = {"hide_parameters": True, "isolation_level": "AUTOCOMMIT", "execution_options": {_AUTOCOMMITS: True}}
_SECRET_NAME = re.compile("pass|pwd|secret|token|scram", re.IGNORECASE)
"""Options of drivers that stand in the query of a URL and are not to be shown: ``password``, ``sslpassword``, ``passwd`` …"""
_ATTEMPTS = 5
_ENOUGH_CONNECTIONS = 20
_NEEDS_TWO = (
    "A request that holds a connection of your app's needs a second one for its session: as many requests at once as there are"
    " connections wait for each other. Give database_engine more of them than the process has threads (pool_size), or leave it"
    " out and set SUPERTOKENS_DATABASE_URI: sessions then have connections of their own."
)
_ONE_WRITER = (
    "Only one transaction writes at a time: Commit yours before a session is created, refreshed or ended, or give sessions a file"
    " of their own, which is the default: leave SUPERTOKENS_DATABASE_URI and database_engine out."
)
_TABLES_AND_KEYS = "tables and keys"
"""The lock of everything that is not one session's."""

_COLUMNS = [column for column in sessions.columns if column.name != "app_id"]
"""In the order of `SessionRecord`, with the line's four in their place."""
_RECORD_FIELDS = [field.name for field in fields(SessionRecord) if field.name != "line"]
_POSITION = (sessions.c.created_at, sessions.c.handle)
_NAMED = (sessions.c.handle == bindparam("h"), sessions.c.app_id == bindparam("app"))
_READ = select(*_COLUMNS).where(*_NAMED)
_SAME_PAYLOAD = (
    sessions.c.payload == bindparam("seen_payload"),
    func.length(sessions.c.payload) == func.length(bindparam("seen_payload")),
)
_SWAP_LINE = (
    update(sessions)
    .where(
        sessions.c.handle == bindparam("h"),
        *_SAME_PAYLOAD,
        sessions.c.current_hash2 == bindparam("seen_hash2"),
        sessions.c.children == bindparam("seen_children"),
        sessions.c.used_at.is_not_distinct_from(bindparam("seen_used_at", type_=BigInteger)),
    )
    .values(
        current_hash2=bindparam("new_hash2"),
        children=bindparam("new_children"),
        used_at=bindparam("new_used_at"),
        expires_at=bindparam("new_expires_at"),
        refreshed_at=bindparam("refreshed"),
    )
)
_SWAP_PAYLOAD = (
    update(sessions).where(sessions.c.handle == bindparam("h"), *_SAME_PAYLOAD).values(payload=bindparam("new"))
)
_WRITE_DATA = update(sessions).where(*_NAMED, sessions.c.expires_at > bindparam("now")).values(data=bindparam("new"))
_SWAP_DATA = _WRITE_DATA.where(
    sessions.c.data == bindparam("seen"), func.length(sessions.c.data) == func.length(bindparam("seen"))
)
_KEY_FIELDS = ("kid", "algorithm", "created_at", "public_pem", "sealed_private")
_PROBE = text("SELECT 1")
_KEYS = select(signing_keys).where(signing_keys.c.app_id == bindparam("app"))
_RESEAL = (
    update(signing_keys)
    .where(
        signing_keys.c.app_id == bindparam("app"),
        signing_keys.c.kid == bindparam("named"),
        signing_keys.c.sealed_private == bindparam("seen"),
        func.length(signing_keys.c.sealed_private) == func.length(bindparam("seen")),
    )
    .values(sealed_private=bindparam("new"))
)
_TENANTS = select(tenants.c.tenant_id).where(tenants.c.app_id == bindparam("app"))
_CONFIG = select(apps.c.config).where(apps.c.app_id == bindparam("app"))
_REMOVE = delete(sessions).where(*_NAMED)


def is_url(uri: str) -> bool:
    """Whether this can be a database URL. A host with an @ is the end of a password, which errors would show."""
    try:
        url = make_url(uri)
    except (SQLAlchemyError, ValueError):
        return False
    if "@" in (url.host or ""):
        return False
    return url.host is None or url.get_backend_name() != "sqlite"


def check_options(uri: str) -> None:
    """
    :raises ValueError: an option of the URL has a value that it can't have.
    """
    connect_arguments(make_url(uri))


def database_engine(uri: str, directory: str) -> Engine:
    """A SQLAlchemy engine for a database URL; nothing is connected yet. Relative SQLite paths are below ``directory``."""
    url = make_url(uri)
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url, directory)
    secrets = {name: value for name, value in url.query.items() if _SECRET_NAME.search(name)}
    engine = create_engine(
        url.difference_update_query(secrets),  # SQLAlchemy's texts mask the password before the @ only
        **_OUR_OWN,
        **_POOL,
        pool_pre_ping=url.get_backend_name() != "postgresql",  # PyMySQL fails before a statement of ours is sent
        connect_args={**connect_arguments(url), **secrets},
    )
    connect_well(engine)
    return engine


def _sqlite_engine(url: URL, directory: str) -> Engine:
    if not _is_file(url):
        engine = create_engine(
            url.set(database=":memory:"),
            **_OUR_OWN,
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_SECONDS,
            connect_args={"check_same_thread": False},
        )
    else:
        engine = create_engine(
            url.set(database=os.path.join(directory, url.database or "")),
            **_OUR_OWN,
            **{**_POOL, "pool_size": 5},  # one of them writes at a time; the others would only stand in its way
            connect_args={"timeout": BUSY_TIMEOUT_MS / 1000},
        )
        event.listen(engine, "do_connect", _make_private)
    event.listen(engine, "connect", _relaxed_sync)
    return engine


def _make_private(_dialect: Any, _record: Any, arguments: Any, _named: Any) -> None:
    """Before SQLite would make the file, with a mode that the umask decides."""
    make_private_file(arguments[0])


def _is_same_file(file: str, uri: Any, directory: str) -> bool:
    url = make_url(uri) if uri and is_url(uri) else None
    if url is None or url.get_backend_name() != "sqlite" or not _is_file(url):
        return False
    return os.path.realpath(file) == os.path.realpath(os.path.join(directory, url.database or ""))


def _check_pool(engine: Engine) -> None:
    """
    :raises ValueError: it can't give an app's transaction and ours a connection each to one database.
    """
    pool = engine.pool
    wrong = ""
    if isinstance(pool, StaticPool):
        wrong = "has one connection for everybody: sessions would commit what your app only flushed, or undo it"
    elif isinstance(pool, SingletonThreadPool):
        wrong = "has one connection for each thread: sessions would commit what your app only flushed, or undo it"
    elif isinstance(pool, AssertionPool):
        wrong = "allows one connection at a time: a request of yours that uses the database could have no session"
    elif _is_in_memory(engine.url) and (isinstance(pool, NullPool) or _connections(engine) != 1):
        wrong = "has a database in memory for each connection: none would find the sessions of another one"
    if wrong:
        raise ValueError(
            f"database_engine ({type(pool).__name__}) {wrong}. Make it with SQLAlchemy's default pool on a file or a server; in"
            ' tests leave database_engine out and set SUPERTOKENS_DATABASE_URI to "sqlite://".'
        )


def _connections(engine: Engine) -> int | None:
    """How many connections an engine has at most; ``None`` if any number."""
    pool = engine.pool
    overflow = getattr(pool, "_max_overflow", -1)
    return pool.size() + overflow if isinstance(pool, QueuePool) and overflow >= 0 else None


def _is_in_memory(url: URL) -> bool:
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def _is_file(url: URL) -> bool:
    return url.database not in (None, "", ":memory:") and not (url.database or "").startswith("file:")


def _relaxed_sync(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")


def keep_apart_from_tests(engine: Engine, is_tested: Callable[[], bool]) -> None:
    """Let this engine of a SQLite file open a temporary one instead, if ``is_tested`` says so when the first is opened."""
    place = _Place(engine.url, is_tested)
    engine.update_execution_options(**{_PLACE: place})
    event.remove(engine, "do_connect", _make_private)  # first the place, then the file
    event.listen(engine, "do_connect", place.go_there)
    event.listen(engine, "do_connect", _make_private)


class _Place:
    """The default database: a file of the app's own, or a temporary one, as is judged when it is first asked for.

    A test that forks a live server shares it with that: a tested app has its temporary file before the fork. Who made it removes
    it, when the app is gone or at exit.
    """

    def __init__(self, url: URL, is_tested: Callable[[], bool]) -> None:
        self._own, self._is_tested = url, is_tested
        self._chosen: list[URL] = []
        before_fork(self._choose_if_tested)

    @property
    def url(self) -> URL:
        """Where the database is; of two threads that choose at once the first one is followed."""
        if not self._chosen:
            self._chosen.append(self._choose())
        return self._chosen[0]

    def _choose(self) -> URL:
        if not self._is_tested():
            return self._own
        folder = tempfile.mkdtemp(prefix="flask-supertokens-")
        weakref.finalize(self, _remove, folder, os.getpid())
        logger.info(
            "TESTING is set and SUPERTOKENS_DATABASE_URI is not: sessions are in a temporary database in %s.", folder
        )
        return self._own.set(database=os.path.join(folder, os.path.basename(self._own.database or "")))

    def _choose_if_tested(self) -> None:
        if self._is_tested():
            self.url  # noqa: B018 - chosen by this

    def go_there(self, _dialect: Any, _record: Any, arguments: list[Any], _named: Any) -> None:
        """Connect to the file that was chosen (SQLAlchemy's ``do_connect``)."""
        arguments[0] = self.url.database


def _remove(folder: str, maker: int) -> None:
    if os.getpid() == maker:
        shutil.rmtree(folder, ignore_errors=True)


class SQLAlchemyStore(Store):
    """Sessions, keys and tenants, each in a table.

    :param engine: a SQLAlchemy engine; shared with the app's own code if it likes.
    :param creates_tables: make the tables at first use.
    :param app_id: whose sessions these are; a core keeps several apps in one database.
    """

    driver_errors: ClassVar[tuple[type[Exception], ...]] = (SQLAlchemyError, sqlite3.Error, OSError, OddSchemaError)

    def __init__(self, engine: Engine, *, creates_tables: bool = True, app_id: str = FIRST_APP) -> None:
        self._database = database_of(engine)
        self._is_ours = engine.get_execution_options().get(_AUTOCOMMITS, False)
        if not self._is_ours:
            _check_pool(engine)
        self._engine = engine
        self._app_id = app_id
        self._root = self
        self._autocommit = engine if self._is_ours else engine.execution_options(isolation_level="AUTOCOMMIT")
        if not self._is_ours:
            notice_poolers(engine)
        self._creates_tables = creates_tables
        self._ready = not creates_tables
        self._lock = ForkSafeLock(self._begin_anew)

    def describe(self, error: BaseException) -> str:
        cause = getattr(error, "orig", None) or error
        said = " ".join(str(cause).partition("\nDETAIL:")[0].split())  # PostgreSQL's details quote the row
        return " ".join([f"{type(cause).__name__}: {said}.", *self._advice(error, said)])

    def _advice(self, error: BaseException, said: str) -> Iterator[str]:
        file = self._file()
        if file is not None and "database is locked" in said:
            yield _advice_on_a_lock(file)
        elif isinstance(error, NoConnectionError) and not self._is_ours:
            yield _NEEDS_TWO
        elif file is not None and isinstance(error, OSError) and error.filename is not None:
            yield f"The folder of {file} can't be made: make it, or name another file in SUPERTOKENS_DATABASE_URI."
        elif file is not None and "unable to open" in said:
            yield f"Its file is {file}: may this process write there? SUPERTOKENS_DATABASE_URI names another one."
        elif not self._root._ready and isinstance(error, DBAPIError) and error.statement is None:
            yield "Is the address of the database right (SUPERTOKENS_DATABASE_URI)?"
        if not self._creates_tables:
            yield "If the tables are missing or older, run: flask supertokens init-db."

    # -- sessions

    def create_tables(self) -> None:
        self._root._lock.notice_fork()
        self._ensure_file()
        with self._engine.connect() as connection:
            self._database.prepare(connection)
        with (
            self._database.begun(self._autocommit, _TABLES_AND_KEYS) as connection,
            self._database.unhurried(connection),
        ):
            bring_up_to_date(connection)
        self._make_table_of_apps()
        self._root._ready = True

    def _make_table_of_apps(self) -> None:
        """By itself: who may make no table, and has those of an older release, goes on without, since only a core needs it."""
        with self._autocommit.connect() as connection:
            if not lacks_apps(connection):
                return
        try:
            with self._database.begun(self._autocommit, _TABLES_AND_KEYS) as connection:
                apps.create(connection, checkfirst=True)
        except DBAPIError as error:
            logger.warning("The table %s could not be made; only a core needs it. %s", apps.name, self.describe(error))

    def add(self, record: SessionRecord, replacing: str | None = None, at_most: int | None = None) -> list[str]:
        values = Masked({"app_id": self._app_id, **_to_row(record)})
        if replacing is None and at_most is None:
            self._wake()
            self._write(insert(sessions), values)
            return []

        def replace_and_add(connection: Connection) -> list[str]:
            ended = [] if replacing is None else list(self._removed(connection, [replacing]))
            if at_most is not None:
                ended += self._make_room(connection, record, at_most)
            connection.execute(insert(sessions), values.value)
            return ended

        lock = None if at_most is None else f"log-ins of {self._app_id} {record.user_id}"
        return self._transact(replace_and_add, lock)

    def _make_room(self, connection: Connection, record: SessionRecord, at_most: int) -> list[str]:
        """End the user's oldest sessions until one more fits; under a lock, so that two log-ins at once do not miscount."""
        living = select(sessions.c.handle).where(*self._owned(record.user_id, None))
        living = living.where(sessions.c.expires_at > record.created_at).order_by(*_POSITION)
        counted = select(func.count()).select_from(living.limit(at_most - 1 + BATCH).subquery())
        too_many = (connection.scalar(counted) or 0) - (at_most - 1)
        old = list(connection.scalars(living.limit(too_many))) if too_many > 0 else []
        gone = self._removed(connection, old)
        return [handle for handle in old if handle in gone]

    def read(self, handle: str) -> SessionRecord | None:
        if not _is_handle(handle):
            return None
        return self._read(lambda c: _to_known(c.execute(_READ, self._named(handle)).first()))

    def swap_line(self, seen: SessionRecord, new: Line, refreshed_at: int) -> bool:
        return self._write(_SWAP_LINE, Masked(_of_swap(seen, new, refreshed_at)))

    def turn(self) -> AbstractContextManager[Any]:
        """The tables come first: whoever makes them needs the turn, and whoever had it would wait for them."""
        try:
            self._prepare()
        except self.driver_errors as error:
            raise self.failure("turn", error) from error
        return self._database.turn

    def row(self, handle: str) -> Row:
        return _RowOnOneConnection(self, handle)

    def swap_payload(self, handle: str, seen: str, new: str) -> bool:
        return self._write(_SWAP_PAYLOAD, Masked({"h": handle, "seen_payload": seen, "new": new}))

    def write_data(self, handle: str, data: str, now: int) -> bool:
        if not _is_handle(handle):
            return False
        self._wake()
        return self._write(_WRITE_DATA, Masked({**self._named(handle), "new": data, "now": now}))

    def swap_data(self, handle: str, seen: str, new: str, now: int) -> bool:
        if not _is_handle(handle):
            return False
        return self._write(_SWAP_DATA, Masked({**self._named(handle), "seen": seen, "new": new, "now": now}))

    def remove(self, handles: Iterable[str]) -> list[str]:
        asked = list(dict.fromkeys(filter(_is_handle, handles)))
        gone = self._transact(lambda connection: self._removed(connection, asked))
        return [handle for handle in asked if handle in gone]

    def of_user(
        self, user_id: str, tenant_id: str | None, now: int, after: Position | None = None, limit: int | None = None
    ) -> list[SessionRecord]:
        if not _can_be_kept(user_id) or (after is not None and not _can_be_kept(after[1])):
            return []
        query = select(*_COLUMNS).where(*self._owned(user_id, tenant_id), sessions.c.expires_at > now)
        if after is not None:
            later = or_(sessions.c.created_at > after[0], sessions.c.handle > after[1])
            query = query.where(sessions.c.created_at >= after[0], later)
        ordered = query.order_by(*_POSITION).limit(limit)
        return [_to_record(row) for row in self._read(lambda c: c.execute(ordered).all())]

    def handles_of_user(self, user_id: str, tenant_id: str | None) -> list[str]:
        if not _can_be_kept(user_id):
            return []
        query = select(sessions.c.handle).where(*self._owned(user_id, tenant_id)).order_by(*_POSITION)
        return list(self._read(lambda c: c.scalars(query).all()))

    def crowds(self, more_than: int, among: int) -> dict[str, int]:
        """The limit stands below the app, so that another app's sessions cost no more than ours."""
        latest = select(sessions.c.app_id, sessions.c.user_id).order_by(sessions.c.expires_at.desc()).limit(among)
        some = latest.subquery()
        number = func.count()
        query = select(some.c.user_id, number).where(some.c.app_id == self._app_id).group_by(some.c.user_id)
        crowded = query.having(number > more_than)
        return {row[0]: row[1] for row in self._read(lambda c: c.execute(crowded).all())}

    def _named(self, handle: str) -> dict[str, str]:
        return {"h": handle, "app": self._app_id}

    def _removed(self, connection: Connection, handles: Iterable[str]) -> set[str]:
        """Locked in one order everywhere, so that two that overlap can't wait for each other, then deleted."""
        wanted = sorted(handles)
        if len(wanted) == 1:
            return set(wanted) if connection.execute(_REMOVE, self._named(wanted[0])).rowcount else set()
        gone: set[str] = set()
        for start in range(0, len(wanted), BATCH):
            some = sessions.c.app_id == self._app_id, sessions.c.handle.in_(wanted[start : start + BATCH])
            query = select(sessions.c.handle).where(*some).order_by(sessions.c.handle).with_for_update()
            there = connection.scalars(query).all()
            connection.execute(delete(sessions).where(sessions.c.app_id == self._app_id, sessions.c.handle.in_(there)))
            gone.update(there)
        return gone

    def _owned(self, user_id: str, tenant_id: str | None) -> list[Any]:
        """Lengths are compared only where they must be: PostgreSQL would take a user's sessions for a few, and sort them all."""
        conditions: list[Any] = [sessions.c.user_id == user_id, sessions.c.app_id == self._app_id]
        if self._database.ignores_blanks:
            conditions.append(func.length(sessions.c.user_id) == func.length(user_id))
        return conditions if tenant_id is None else [*conditions, sessions.c.tenant_id == tenant_id]

    def remove_expired(self, now: int, at_most: int) -> int:
        query = select(sessions.c.handle).where(*self._expired(now))
        expired = query.order_by(sessions.c.expires_at).limit(at_most)
        locked = expired.with_for_update(skip_locked=True)  # what somebody else is at is left for the next time

        def remove_some(connection: Connection) -> int:
            if self._database.limits_deletes:
                gone: Any = select(locked.cte("gone", nesting=True).c.handle)  # a CTE is looked up once
            else:
                gone = connection.scalars(locked).all()
            return connection.execute(delete(sessions).where(sessions.c.handle.in_(gone))).rowcount

        there_are_some = self._read(lambda c: c.scalar(expired.limit(1))) is not None
        return self._transact(remove_some) if there_are_some else 0

    def count_expired(self, now: int) -> int:
        query = select(func.count()).select_from(sessions).where(*self._expired(now))
        return self._read(lambda c: c.scalar(query)) or 0

    def _expired(self, now: int) -> list[Any]:
        """By the clock of whoever asks and by the server's: one host's wrong clock ends nothing."""
        conditions = [sessions.c.app_id == self._app_id, sessions.c.expires_at <= now]
        clock = self._database.clock
        return conditions if clock is None else [*conditions, sessions.c.expires_at <= text(clock)]

    def all(self, after: str, at_most: int) -> list[SessionRecord]:
        query = select(*_COLUMNS).where(sessions.c.app_id == self._app_id, sessions.c.handle > after)
        ordered = query.order_by(sessions.c.handle).limit(at_most)
        return [_to_record(row) for row in self._read(lambda c: c.execute(ordered).all())]

    # -- keys

    def keys(self) -> list[SigningKey]:
        rows = self._read(lambda c: c.execute(_KEYS, {"app": self._app_id}).all())
        return [SigningKey(**{name: row._mapping[name] for name in _KEY_FIELDS}) for row in rows]

    def swap_keys(self, seen: frozenset[str], new: SigningKey, gone: frozenset[str]) -> bool:
        def swap(connection: Connection) -> bool:
            ours = signing_keys.c.app_id == self._app_id
            if frozenset(connection.scalars(select(signing_keys.c.kid).where(ours))) != seen or new.kid in seen:
                return False
            connection.execute(insert(signing_keys), {"app_id": self._app_id, **vars(new)})
            if gone:
                connection.execute(delete(signing_keys).where(ours, signing_keys.c.kid.in_(gone)))
            return True

        return self._transact(swap, _TABLES_AND_KEYS)

    def reseal_key(self, kid: str, seen: str, new: str) -> bool:
        self._wake()
        return self._write(_RESEAL, Masked({"app": self._app_id, "named": kid, "seen": seen, "new": new}))

    # -- apps and tenants

    def of_app(self, app_id: str) -> SQLAlchemyStore:
        other = copy.copy(self)  # the same pool, and the same knowledge of the tables: that of `_root`
        other._app_id = app_id
        return other

    def tenants(self) -> frozenset[str]:
        return frozenset(self._read(lambda c: c.scalars(_TENANTS, {"app": self._app_id}).all()))

    def add_tenant(self, tenant_id: str) -> bool:
        def add(connection: Connection) -> bool:
            if tenant_id in connection.scalars(_TENANTS, {"app": self._app_id}).all():
                return False
            connection.execute(insert(tenants), {"app_id": self._app_id, "tenant_id": tenant_id})
            return True

        return self._transact(add, _TABLES_AND_KEYS)

    def config(self) -> str | None:
        try:
            return self._read(lambda c: c.scalar(_CONFIG, {"app": self._app_id}))
        except DBAPIError:
            if not self._read(lacks_apps):
                raise
            return None  # there is no place for it

    def swap_config(self, seen: str | None, new: str) -> bool:
        if self._read(lacks_apps):
            raise ValueError(f"the table {apps.name} is missing where it would be kept: run flask supertokens init-db")

        def swap(connection: Connection) -> bool:
            if connection.scalar(_CONFIG, {"app": self._app_id}) != seen:
                return False
            ours = {"app_id": self._app_id, "config": new}
            connection.execute(
                insert(apps) if seen is None else update(apps).where(apps.c.app_id == self._app_id), ours
            )
            return True

        return self._transact(swap, _TABLES_AND_KEYS)

    def server_time(self) -> int | None:
        clock = self._database.clock
        return None if clock is None else int(self._read(lambda connection: connection.scalar(text(f"SELECT {clock}"))))

    def pooler(self) -> str | None:
        """What a pooler between here and the database means for prepared statements; ``None`` if there is no such thing."""
        return self._read(self._database.pooler)

    @property
    def is_in_memory(self) -> bool:
        """Whether every process has a database of its own."""
        return self._engine.url.get_backend_name() == "sqlite" and not _is_file(self._engine.url)

    def address(self) -> str:
        """Where the database is, without its password."""
        url = self._url
        masked = {name: "***" for name in url.query if _SECRET_NAME.search(name)}
        return unquote(url.update_query_dict(masked).render_as_string(hide_password=True))

    def file_open_to_others(self) -> str | None:
        """The path of a SQLite file that other users of the host may read or write; ``None`` where they may not."""
        file = self._file()
        return file if file is not None and is_open_to_others(file) else None

    @property
    def _url(self) -> URL:
        place: _Place | None = self._engine.get_execution_options().get(_PLACE)
        return self._engine.url if place is None else place.url

    def _file(self) -> str | None:
        try:
            url = self._url
        except OSError:  # there is no room for a temporary one
            return None
        return str(url.database) if url.get_backend_name() == "sqlite" and _is_file(url) else None

    def hints(self, uri_of_the_app: Any, directory: str) -> Iterator[str]:
        """What may go wrong between an app's use of its database and ours; relative SQLite paths are below ``directory``."""
        file, connections = self._file(), None if self._is_ours else _connections(self._engine)
        if file is not None and (not self._is_ours or _is_same_file(file, uri_of_the_app, directory)):
            yield f"Your app's tables and sessions are in one SQLite file, {file}. {_ONE_WRITER}"
        if connections is not None and connections < _ENOUGH_CONNECTIONS:
            yield f"database_engine has {connections} connections at most. {_NEEDS_TWO}"

    def schema_version(self) -> int | None:
        """The version of the tables; ``None`` if there are none. None are made."""
        self._root._lock.notice_fork()
        with self._autocommit.connect() as connection:
            return version_of(connection)

    # -- connections

    def _read(self, query: Callable[[Connection], T]) -> T:
        self._prepare()
        try:
            with self._autocommit.connect() as connection:
                return query(connection)
        except DBAPIError as error:
            if not self._database.was_dead(error):
                raise
        with self._autocommit.connect() as connection:
            return query(connection)

    def _write(self, statement: Any, values: Masked[dict[str, Any]]) -> bool:
        self._prepare()
        with self._database.turn, self._autocommit.connect() as connection:
            return connection.execute(statement, values.value).rowcount > 0

    def _wake(self) -> None:
        """Before a write that no read precedes: find out whether the pool's connections outlived the server."""
        if self._database.outlives_connections:
            self._read(lambda connection: connection.execute(_PROBE))
        else:
            self._prepare()

    def _transact(self, action: Callable[[Connection], T], lock: str | None = None) -> T:
        """Do it in a transaction that has its locks from the start."""
        self._wake()
        for _ in range(_ATTEMPTS - 1):
            try:
                with self._database.begun(self._autocommit, lock) as connection:
                    return action(connection)
            except DBAPIError as error:
                if not self._database.was_victim(error):
                    raise
        with self._database.begun(self._autocommit, lock) as connection:
            return action(connection)

    def _prepare(self) -> None:
        root = self._root
        if root._lock.process != os.getpid():  # before each use of the pool, without the lock
            root._lock.notice_fork()
        if not root._ready:
            with root._lock:
                if not root._ready:
                    root.create_tables()

    def _begin_anew(self) -> None:
        """In a child: the pool's connections are the parent's, and stay its own."""
        self._engine.dispose(close=False)
        self._ready = not self._creates_tables  # an in-memory database begins empty again

    def _ensure_file(self) -> None:
        file = self._file()
        if file is not None:
            pathlib.Path(file).parent.mkdir(parents=True, exist_ok=True)
            make_private_file(file)


@dataclass
class _RowOnOneConnection(Row):
    """Reads and writes a session on the same connection of the pool. The turn has made the tables, where they were missing."""

    store: SQLAlchemyStore
    _connection: Connection | None = None

    def __enter__(self) -> _RowOnOneConnection:
        store, handle = self.store, self.handle
        if not _is_handle(handle):
            return self
        try:
            connection = self._connection = store._autocommit.connect()
            named = {"h": handle, "app": store._app_id}
            try:
                found = connection.execute(_READ, named).first()
            except DBAPIError as error:
                if not store._database.was_dead(error):
                    raise
                connection.rollback()  # now it can go on with another one of the pool
                found = connection.execute(_READ, named).first()
            self.record = None if found is None else _to_record(found)
        except BaseException as error:
            # A timeout of gevent's too. The block is not entered, so nobody else gives the connection back.
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def swap(self, line: Line, refreshed_at: int) -> bool:
        if self.record is None or self._connection is None:
            return False
        return self._connection.execute(_SWAP_LINE, _of_swap(self.record, line, refreshed_at)).rowcount > 0

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if self._connection is not None:
                self._connection.close()
            if isinstance(error, self.store.driver_errors):
                raise error
        except self.store.driver_errors as failure:
            raise self.store.failure("row", failure) from failure


class OtherStore(SQLAlchemyStore):
    """A store that no setting names, beside the app's own: what it says of errors names the option instead."""

    def describe(self, error: BaseException) -> str:
        return f"In the other database: {super().describe(error).replace('SUPERTOKENS_DATABASE_URI', '--to')}"


def _advice_on_a_lock(file: str) -> str:
    ours = written_here(file)
    if ours:
        return f"This process itself holds a write transaction on {file}, so it waits for itself. {_ONE_WRITER}"
    if ours is None:
        return f"If this process itself holds a write transaction on {file}, it waits for itself. {_ONE_WRITER}"
    return f"Another process has been writing to {file} for too long."


def _is_handle(name: str) -> bool:
    """Ours do not end in a blank, which MariaDB would not see, and are ASCII."""
    return name.isascii() and "\0" not in name and not name.endswith(" ")


def _can_be_kept(name: str) -> bool:
    """Whether a name from outside can stand in a table at all: NUL and lone surrogates can't, so it is simply unknown."""
    return "\0" not in name and (name.isascii() or not any("\ud800" <= char <= "\udfff" for char in name))


def _of_swap(seen: SessionRecord, new: Line, refreshed_at: int) -> dict[str, Any]:
    return {
        "h": seen.handle,
        "seen_payload": seen.payload,
        "seen_hash2": seen.line.current_hash2,
        "seen_children": seen.line.children,
        "seen_used_at": seen.line.used_at,
        "new_hash2": new.current_hash2,
        "new_children": new.children,
        "new_used_at": new.used_at,
        "new_expires_at": new.expires_at,
        "refreshed": refreshed_at,
    }


def _to_row(record: SessionRecord) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in _RECORD_FIELDS}
    return {**values, **vars(record.line)}


def _to_known(row: TableRow[Any] | None) -> SessionRecord | None:
    return None if row is None else _to_record(row)


def _to_record(row: TableRow[Any]) -> SessionRecord:
    values = tuple(row)
    return SessionRecord(*(*values[:4], Line(*values[4:8]), *values[8:]))
