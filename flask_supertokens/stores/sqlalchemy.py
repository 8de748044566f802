"""The SQL store: SQLAlchemy Core on SQLite, PostgreSQL and MariaDB.

* A decision is a plain read, then one compare-and-swap statement, each in autocommit. A transaction that reads and then
  writes fails under load on SQLite; a swap that lost is simply decided again.
* What touches several rows (a session that replaces another, revoking many, keys, tables) is a transaction that locks from
  the start, each database in its way (`databases`). One that the database ended in favour of another is repeated, a few times.
* A read whose pooled connection turns out to be dead is repeated once on a fresh one; a write is not.
* Connections do not survive a fork.
"""

from __future__ import annotations

import copy
import logging
import os
import pathlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

from sqlalchemy import BigInteger, Connection, Engine, bindparam, delete, func, insert, or_, select, text, update
from sqlalchemy import Row as TableRow
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from sqlalchemy.sql import ColumnElement

from ..forks import ForkSafeLock
from ..protocol.model import FIRST_APP, Line, Masked, Position, SessionRecord, SigningKey
from .base import BATCH, Row, Store
from .connecting import check_pool, is_own_engine, is_same_file, mask_secrets, max_connections, sqlite_file, url_of
from .databases import create_private_file, database_of, is_open_to_others, is_writing, notice_poolers
from .schema import (
    SchemaError,
    apps,
    lacks_apps_table,
    metadata,
    read_version,
    sessions,
    signing_keys,
    tenants,
    upgrade_tables,
)

__all__ = ["SQLAlchemyStore", "metadata"]

T = TypeVar("T")
logger: logging.Logger = logging.getLogger("flask_supertokens")

_ATTEMPTS = 5
_ENOUGH_CONNECTIONS = 20
_TWO_CONNECTIONS_NEEDED = (
    "A request that holds a connection of your app's needs a second one for its session: as many requests at once as there are"
    " connections wait for each other. Give database_engine more of them than the process has threads (pool_size), or leave it"
    " out and set SUPERTOKENS_DATABASE_URI: sessions then have connections of their own."
)
_ONE_WRITER = (
    "Only one transaction writes at a time: Commit yours before a session is created, refreshed or ended, or give sessions a file"
    " of their own, which is the default: leave SUPERTOKENS_DATABASE_URI and database_engine out."
)
_TABLES_AND_KEYS = "tables and keys"
"""The name of the lock for what does not belong to one session."""

_COLUMNS = [column for column in sessions.columns if column.name != "app_id"]
"""In the order of `SessionRecord`, with the four columns of the line in the line's place."""
_RECORD_FIELDS = [field.name for field in fields(SessionRecord) if field.name != "line"]
_POSITION = (sessions.c.created_at, sessions.c.handle)
_BY_HANDLE = (sessions.c.handle == bindparam("h"), sessions.c.app_id == bindparam("app"))
_SELECT_SESSION = select(*_COLUMNS).where(*_BY_HANDLE)
_SAME_PAYLOAD = (
    sessions.c.payload == bindparam("seen_payload"),
    func.length(sessions.c.payload) == func.length(bindparam("seen_payload")),
)
_SWAP_LINE = (
    update(sessions)
    .where(
        sessions.c.handle == bindparam("h"),
        *_SAME_PAYLOAD,
        sessions.c.current_hash2 == bindparam("seen_fingerprint"),
        sessions.c.children == bindparam("seen_children"),
        sessions.c.used_at.is_not_distinct_from(bindparam("seen_used_at", type_=BigInteger)),
    )
    .values(
        current_hash2=bindparam("new_fingerprint"),
        children=bindparam("new_children"),
        used_at=bindparam("new_used_at"),
        expires_at=bindparam("new_expires_at"),
        refreshed_at=bindparam("refreshed"),
    )
)
_SWAP_PAYLOAD = (
    update(sessions).where(sessions.c.handle == bindparam("h"), *_SAME_PAYLOAD).values(payload=bindparam("new"))
)
_WRITE_DATA = (
    update(sessions).where(*_BY_HANDLE, sessions.c.expires_at > bindparam("now")).values(data=bindparam("new"))
)
_SWAP_DATA = _WRITE_DATA.where(
    sessions.c.data == bindparam("seen"), func.length(sessions.c.data) == func.length(bindparam("seen"))
)
_KEY_FIELDS = ("kid", "algorithm", "created_at", "public_pem", "sealed_private")
_PROBE = text("SELECT 1")
_SELECT_KEYS = select(signing_keys).where(signing_keys.c.app_id == bindparam("app"))
_RESEAL_KEY = (
    update(signing_keys)
    .where(
        signing_keys.c.app_id == bindparam("app"),
        signing_keys.c.kid == bindparam("named"),
        signing_keys.c.sealed_private == bindparam("seen"),
        func.length(signing_keys.c.sealed_private) == func.length(bindparam("seen")),
    )
    .values(sealed_private=bindparam("new"))
)
_SELECT_TENANTS = select(tenants.c.tenant_id).where(tenants.c.app_id == bindparam("app"))
_SELECT_CONFIG = select(apps.c.config).where(apps.c.app_id == bindparam("app"))
_DELETE_SESSION = delete(sessions).where(*_BY_HANDLE)


class SQLAlchemyStore(Store):
    """Sessions, keys and tenants, each in a table.

    :param engine: a SQLAlchemy engine; the app's own code may use it as well.
    :param creates_tables: make the tables at first use.
    :param app_id: the app that the sessions belong to; a core keeps several apps in one database.
    """

    driver_errors: ClassVar[tuple[type[Exception], ...]] = (SQLAlchemyError, sqlite3.Error, OSError, SchemaError)

    def __init__(self, engine: Engine, *, creates_tables: bool = True, app_id: str = FIRST_APP) -> None:
        self._database = database_of(engine)
        self._is_own_engine = is_own_engine(engine)
        if not self._is_own_engine:
            check_pool(engine)
        self._engine = engine
        self._app_id = app_id
        self._root = self
        self._autocommit = engine if self._is_own_engine else engine.execution_options(isolation_level="AUTOCOMMIT")
        if not self._is_own_engine:
            notice_poolers(engine)
        self._creates_tables = creates_tables
        self._ready = not creates_tables
        self._lock = ForkSafeLock(self._reset_in_child)

    def describe(self, error: BaseException) -> str:
        cause = getattr(error, "orig", None) or error
        message = " ".join(str(cause).partition("\nDETAIL:")[0].split())  # PostgreSQL's details quote the row
        return " ".join([f"{type(cause).__name__}: {message}.", *self._advise(error, message)])

    def _advise(self, error: BaseException, message: str) -> Iterator[str]:
        """Say what fixes the cause of an error, as far as that can be told from it."""
        file = self._file()
        if file is not None and "database is locked" in message:
            yield _explain_lock(file)
        elif isinstance(error, NoConnectionError) and not self._is_own_engine:
            yield _TWO_CONNECTIONS_NEEDED
        elif file is not None and isinstance(error, OSError) and error.filename is not None:
            yield f"The folder of {file} can't be made: make it, or name another file in SUPERTOKENS_DATABASE_URI."
        elif file is not None and "unable to open" in message:
            yield f"Its file is {file}: may this process write there? SUPERTOKENS_DATABASE_URI names another one."
        elif not self._root._ready and isinstance(error, DBAPIError) and error.statement is None:
            yield "Is the address of the database right (SUPERTOKENS_DATABASE_URI)?"
        if not self._creates_tables:
            yield "If the tables are missing or older, run: flask supertokens init-db."

    # -- sessions

    def create_tables(self) -> None:
        self._root._lock.notice_fork()
        file = self._file()
        if file is not None:
            pathlib.Path(file).parent.mkdir(parents=True, exist_ok=True)
            create_private_file(file)
        with self._engine.connect() as connection:
            self._database.set_up(connection)
        with (
            self._database.transaction(self._autocommit, _TABLES_AND_KEYS) as connection,
            self._database.without_timeout(connection),
        ):
            upgrade_tables(connection)
        self._create_apps_table()
        self._root._ready = True

    def _create_apps_table(self) -> None:
        """Create the table that only a core needs, in a transaction of its own.

        With the tables of an older release, and without the right to create one, everything but a core works without it.
        """
        with self._autocommit.connect() as connection:
            if not lacks_apps_table(connection):
                return
        try:
            with self._database.transaction(self._autocommit, _TABLES_AND_KEYS) as connection:
                apps.create(connection, checkfirst=True)
        except DBAPIError as error:
            logger.warning("The table %s could not be made; only a core needs it. %s", apps.name, self.describe(error))

    def add(self, record: SessionRecord, replacing: str | None = None, at_most: int | None = None) -> list[str]:
        values = Masked({"app_id": self._app_id, **_to_columns(record)})
        if replacing is None and at_most is None:
            self._probe()
            self._write(insert(sessions), values)
            return []

        def replace_and_add(connection: Connection) -> list[str]:
            revoked = [] if replacing is None else list(self._delete_sessions(connection, [replacing]))
            if at_most is not None:
                revoked += self._make_room(connection, record, at_most)
            connection.execute(insert(sessions), values.value)
            return revoked

        lock = None if at_most is None else f"log-ins of {self._app_id} {record.user_id}"
        return self._transact(replace_and_add, lock)

    def _make_room(self, connection: Connection, record: SessionRecord, at_most: int) -> list[str]:
        """Delete the user's oldest sessions until one more fits.

        The caller's transaction holds the user's lock, so that two sign-ins at once do not miscount.
        """
        active = select(sessions.c.handle).where(*self._user_conditions(record.user_id, None))
        active = active.where(sessions.c.expires_at > record.created_at).order_by(*_POSITION)
        count = select(func.count()).select_from(active.limit(at_most - 1 + BATCH).subquery())
        too_many = (connection.scalar(count) or 0) - (at_most - 1)
        oldest = list(connection.scalars(active.limit(too_many))) if too_many > 0 else []
        deleted = self._delete_sessions(connection, oldest)
        return [handle for handle in oldest if handle in deleted]

    def read(self, handle: str) -> SessionRecord | None:
        if not _may_be_handle(handle):
            return None
        row = self._read(lambda c: c.execute(_SELECT_SESSION, self._handle_parameters(handle)).first())
        return None if row is None else _to_record(row)

    def swap_line(self, seen: SessionRecord, new: Line, refreshed_at: int) -> bool:
        return self._write(_SWAP_LINE, Masked(_swap_parameters(seen, new, refreshed_at)))

    def turn(self) -> AbstractContextManager[Any]:
        """Return the lock of this process's writers. The tables are created before, since that takes the lock itself."""
        self._ensure_ready()
        return self._database.turn

    def row(self, handle: str) -> Row:
        return _RowOnOneConnection(self, handle)

    def swap_payload(self, handle: str, seen: str, new: str) -> bool:
        return self._write(_SWAP_PAYLOAD, Masked({"h": handle, "seen_payload": seen, "new": new}))

    def write_data(self, handle: str, data: str, now: int) -> bool:
        if not _may_be_handle(handle):
            return False
        self._probe()
        return self._write(_WRITE_DATA, Masked({**self._handle_parameters(handle), "new": data, "now": now}))

    def swap_data(self, handle: str, seen: str, new: str, now: int) -> bool:
        if not _may_be_handle(handle):
            return False
        return self._write(
            _SWAP_DATA, Masked({**self._handle_parameters(handle), "seen": seen, "new": new, "now": now})
        )

    def remove(self, handles: Iterable[str]) -> list[str]:
        wanted = list(dict.fromkeys(filter(_may_be_handle, handles)))
        deleted = self._transact(lambda connection: self._delete_sessions(connection, wanted))
        return [handle for handle in wanted if handle in deleted]

    def of_user(
        self, user_id: str, tenant_id: str | None, now: int, after: Position | None = None, limit: int | None = None
    ) -> list[SessionRecord]:
        if not _is_storable(user_id) or (after is not None and not _is_storable(after[1])):
            return []
        query = select(*_COLUMNS).where(*self._user_conditions(user_id, tenant_id), sessions.c.expires_at > now)
        if after is not None:
            later = or_(sessions.c.created_at > after[0], sessions.c.handle > after[1])
            query = query.where(sessions.c.created_at >= after[0], later)
        ordered = query.order_by(*_POSITION).limit(limit)
        return [_to_record(row) for row in self._read(lambda c: c.execute(ordered).all())]

    def handles_of_user(self, user_id: str, tenant_id: str | None) -> list[str]:
        if not _is_storable(user_id):
            return []
        query = select(sessions.c.handle).where(*self._user_conditions(user_id, tenant_id)).order_by(*_POSITION)
        return list(self._read(lambda c: c.scalars(query).all()))

    def crowds(self, more_than: int, among: int) -> dict[str, int]:
        """Count among the latest sessions of all apps, then pick this app's: another app's sessions cost no more than ours."""
        latest = select(sessions.c.app_id, sessions.c.user_id).order_by(sessions.c.expires_at.desc()).limit(among)
        some = latest.subquery()
        number = func.count()
        query = select(some.c.user_id, number).where(some.c.app_id == self._app_id).group_by(some.c.user_id)
        crowded = query.having(number > more_than)
        return {row[0]: row[1] for row in self._read(lambda c: c.execute(crowded).all())}

    def _handle_parameters(self, handle: str) -> dict[str, str]:
        return {"h": handle, "app": self._app_id}

    def _delete_sessions(self, connection: Connection, handles: Iterable[str]) -> set[str]:
        """Delete these sessions and return the handles of those that existed.

        The rows are locked in one order everywhere first, so that two calls that overlap can't wait for each other.
        """
        wanted = sorted(handles)
        if len(wanted) == 1:
            found = connection.execute(_DELETE_SESSION, self._handle_parameters(wanted[0])).rowcount
            return set(wanted) if found else set()
        deleted: set[str] = set()
        for start in range(0, len(wanted), BATCH):
            some = sessions.c.app_id == self._app_id, sessions.c.handle.in_(wanted[start : start + BATCH])
            query = select(sessions.c.handle).where(*some).order_by(sessions.c.handle).with_for_update()
            batch = connection.scalars(query).all()
            connection.execute(delete(sessions).where(sessions.c.app_id == self._app_id, sessions.c.handle.in_(batch)))
            deleted.update(batch)
        return deleted

    def _user_conditions(self, user_id: str, tenant_id: str | None) -> list[ColumnElement[bool]]:
        """Return the conditions that select a user's sessions, of one tenant or (``None``) of all.

        Lengths are compared only where they must be: they make PostgreSQL expect few sessions, and sort all of a user's.
        """
        conditions: list[ColumnElement[bool]] = [sessions.c.user_id == user_id, sessions.c.app_id == self._app_id]
        if self._database.ignores_blanks:
            conditions.append(func.length(sessions.c.user_id) == func.length(user_id))
        return conditions if tenant_id is None else [*conditions, sessions.c.tenant_id == tenant_id]

    def remove_expired(self, now: int, at_most: int) -> int:
        query = select(sessions.c.handle).where(*self._expiry_conditions(now))
        expired = query.order_by(sessions.c.expires_at).limit(at_most)
        locked = expired.with_for_update(skip_locked=True)  # rows that another transaction holds wait for the next time

        def delete_some(connection: Connection) -> int:
            if self._database.can_limit_deletes:
                some: Any = select(locked.cte("gone", nesting=True).c.handle)  # a CTE is looked up once
            else:
                some = connection.scalars(locked).all()
            return connection.execute(delete(sessions).where(sessions.c.handle.in_(some))).rowcount

        has_expired = self._read(lambda c: c.scalar(expired.limit(1))) is not None
        return self._transact(delete_some) if has_expired else 0

    def count_expired(self, now: int) -> int:
        query = select(func.count()).select_from(sessions).where(*self._expiry_conditions(now))
        return self._read(lambda c: c.scalar(query)) or 0

    def _expiry_conditions(self, now: int) -> list[ColumnElement[bool]]:
        """Return the conditions that select expired sessions.

        They have expired by the caller's clock and by the server's: the wrong clock of one host removes nothing.
        """
        conditions = [sessions.c.app_id == self._app_id, sessions.c.expires_at <= now]
        server_now = self._database.server_now
        return conditions if server_now is None else [*conditions, sessions.c.expires_at <= text(server_now)]

    def all(self, after: str, at_most: int) -> list[SessionRecord]:
        query = select(*_COLUMNS).where(sessions.c.app_id == self._app_id, sessions.c.handle > after)
        ordered = query.order_by(sessions.c.handle).limit(at_most)
        return [_to_record(row) for row in self._read(lambda c: c.execute(ordered).all())]

    # -- keys

    def keys(self) -> list[SigningKey]:
        rows = self._read(lambda c: c.execute(_SELECT_KEYS, {"app": self._app_id}).all())
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
        self._probe()
        return self._write(_RESEAL_KEY, Masked({"app": self._app_id, "named": kid, "seen": seen, "new": new}))

    # -- apps and tenants

    def of_app(self, app_id: str) -> SQLAlchemyStore:
        other = copy.copy(self)  # one pool; `_root` knows for all of them whether the tables exist
        other._app_id = app_id
        return other

    def tenants(self) -> frozenset[str]:
        return frozenset(self._read(lambda c: c.scalars(_SELECT_TENANTS, {"app": self._app_id}).all()))

    def add_tenant(self, tenant_id: str) -> bool:
        def add(connection: Connection) -> bool:
            if tenant_id in connection.scalars(_SELECT_TENANTS, {"app": self._app_id}).all():
                return False
            connection.execute(insert(tenants), {"app_id": self._app_id, "tenant_id": tenant_id})
            return True

        return self._transact(add, _TABLES_AND_KEYS)

    def config(self) -> str | None:
        try:
            return self._read(lambda c: c.scalar(_SELECT_CONFIG, {"app": self._app_id}))
        except DBAPIError:
            if not self._read(lacks_apps_table):
                raise
            return None  # an older release made no table for it

    def swap_config(self, seen: str | None, new: str) -> bool:
        if self._read(lacks_apps_table):
            raise ValueError(f"the table {apps.name} is missing where it would be kept: run flask supertokens init-db")

        def swap(connection: Connection) -> bool:
            if connection.scalar(_SELECT_CONFIG, {"app": self._app_id}) != seen:
                return False
            change = insert(apps) if seen is None else update(apps).where(apps.c.app_id == self._app_id)
            connection.execute(change, {"app_id": self._app_id, "config": new})
            return True

        return self._transact(swap, _TABLES_AND_KEYS)

    def server_time(self) -> int | None:
        server_now = self._database.server_now
        return None if server_now is None else int(self._read(lambda c: c.scalar(text(f"SELECT {server_now}"))))

    def pooler(self) -> str | None:
        """Say what a pooler in front of the database means for prepared statements; ``None`` if there is no pooler."""
        return self._read(self._database.pooler)

    @property
    def is_in_memory(self) -> bool:
        """Whether every process has a database of its own."""
        url = self._engine.url
        return url.get_backend_name() == "sqlite" and sqlite_file(url) is None

    def address(self) -> str:
        """Return where the database is, without its password."""
        return mask_secrets(url_of(self._engine))

    def file_open_to_others(self) -> str | None:
        """Return the path of a SQLite file that other users of the host may read or write; ``None`` where they may not."""
        file = self._file()
        return file if file is not None and is_open_to_others(file) else None

    def _file(self) -> str | None:
        """Return the path of the SQLite file, if the database is one and its place is known."""
        try:
            return sqlite_file(url_of(self._engine))
        except OSError:  # there is no room for a temporary one
            return None

    def hints(self, app_uri: Any, directory: str) -> Iterator[str]:
        """Say what may go wrong between the app's use of its database and ours.

        Relative SQLite paths in the app's URI are below ``directory``.
        """
        file, connections = self._file(), None if self._is_own_engine else max_connections(self._engine)
        if file is not None and (not self._is_own_engine or is_same_file(file, app_uri, directory)):
            yield f"Your app's tables and sessions are in one SQLite file, {file}. {_ONE_WRITER}"
        if connections is not None and connections < _ENOUGH_CONNECTIONS:
            yield f"database_engine has {connections} connections at most. {_TWO_CONNECTIONS_NEEDED}"

    def schema_version(self) -> int | None:
        """Return the version of the tables; ``None`` if there are none. This creates none."""
        self._root._lock.notice_fork()
        with self._autocommit.connect() as connection:
            return read_version(connection)

    # -- connections

    def _read(self, query: Callable[[Connection], T]) -> T:
        """Run a query, once more on a fresh connection if the pooled one turns out to be dead."""
        self._ensure_ready()
        try:
            with self._autocommit.connect() as connection:
                return query(connection)
        except DBAPIError as error:
            if not self._database.is_lost_connection(error):
                raise
        with self._autocommit.connect() as connection:
            return query(connection)

    def _write(self, statement: Any, values: Masked[dict[str, Any]]) -> bool:
        """Execute one statement; return whether it changed a row."""
        self._ensure_ready()
        with self._database.turn, self._autocommit.connect() as connection:
            return connection.execute(statement, values.value).rowcount > 0

    def _probe(self) -> None:
        """Find out, before a write that no read precedes, whether the pooled connection is still alive."""
        if self._database.outlives_connections:
            self._read(lambda connection: connection.execute(_PROBE))
        else:
            self._ensure_ready()

    def _transact(self, action: Callable[[Connection], T], lock: str | None = None) -> T:
        """Run an action in a transaction that has its locks from the start, again if it lost a conflict with another one."""
        self._probe()
        for _ in range(_ATTEMPTS - 1):
            try:
                with self._database.transaction(self._autocommit, lock) as connection:
                    return action(connection)
            except DBAPIError as error:
                if not self._database.is_conflict(error):
                    raise
        with self._database.transaction(self._autocommit, lock) as connection:
            return action(connection)

    def _ensure_ready(self) -> None:
        """Leave a parent's connections behind after a fork, and create missing tables."""
        root = self._root
        if root._lock.process != os.getpid():  # before each use of the pool, without the lock
            root._lock.notice_fork()
        if not root._ready:
            with root._lock:
                if not root._ready:
                    root.create_tables()

    def _reset_in_child(self) -> None:
        """Start anew in a child process. The pool's connections belong to the parent and stay open there."""
        self._engine.dispose(close=False)
        self._ready = not self._creates_tables  # an in-memory database is empty again


@dataclass
class _RowOnOneConnection(Row):
    """Reads and writes a session on one connection of the pool. `SQLAlchemyStore.turn` has created missing tables before."""

    store: SQLAlchemyStore
    _connection: Connection | None = None

    def __enter__(self) -> _RowOnOneConnection:
        store, handle = self.store, self.handle
        if not _may_be_handle(handle):
            return self
        try:
            connection = self._connection = store._autocommit.connect()
            parameters = {"h": handle, "app": store._app_id}
            try:
                found = connection.execute(_SELECT_SESSION, parameters).first()
            except DBAPIError as error:
                if not store._database.is_lost_connection(error):
                    raise
                connection.rollback()  # now it can go on with another one of the pool
                found = connection.execute(_SELECT_SESSION, parameters).first()
            self.record = None if found is None else _to_record(found)
        except BaseException as error:
            # A timeout of gevent's too. The block is not entered, so nobody else gives the connection back.
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def swap(self, line: Line, refreshed_at: int) -> bool:
        if self.record is None or self._connection is None:
            return False
        return self._connection.execute(_SWAP_LINE, _swap_parameters(self.record, line, refreshed_at)).rowcount > 0

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if self._connection is not None:
                self._connection.close()
            if isinstance(error, self.store.driver_errors):
                raise error
        except self.store.driver_errors as failure:
            raise self.store.failure("row", failure) from failure


class OtherStore(SQLAlchemyStore):
    """A store beside the app's own that no setting names. Its errors name the option of the command instead of the setting."""

    def describe(self, error: BaseException) -> str:
        return f"In the other database: {super().describe(error).replace('SUPERTOKENS_DATABASE_URI', '--to')}"


def _explain_lock(file: str) -> str:
    """Say who keeps a SQLite file locked, as far as the system tells."""
    is_ours = is_writing(file)
    if is_ours:
        return f"This process itself holds a write transaction on {file}, so it waits for itself. {_ONE_WRITER}"
    if is_ours is None:
        return f"If this process itself holds a write transaction on {file}, it waits for itself. {_ONE_WRITER}"
    return f"Another process has been writing to {file} for too long."


def _may_be_handle(name: str) -> bool:
    """Return whether a text can be a handle. Ours are ASCII and do not end in a blank, which MariaDB would ignore."""
    return name.isascii() and "\0" not in name and not name.endswith(" ")


def _is_storable(name: str) -> bool:
    """Return whether a table can hold a name from outside. It can't hold NUL and lone surrogates, so such a name is unknown."""
    return "\0" not in name and (name.isascii() or not any("\ud800" <= char <= "\udfff" for char in name))


def _swap_parameters(seen: SessionRecord, new: Line, refreshed_at: int) -> dict[str, Any]:
    return {
        "h": seen.handle,
        "seen_payload": seen.payload,
        "seen_fingerprint": seen.line.current_fingerprint,
        "seen_children": seen.line.children,
        "seen_used_at": seen.line.used_at,
        "new_fingerprint": new.current_fingerprint,
        "new_children": new.children,
        "new_used_at": new.used_at,
        "new_expires_at": new.expires_at,
        "refreshed": refreshed_at,
    }


def _to_columns(record: SessionRecord) -> dict[str, Any]:
    values = {name: getattr(record, name) for name in _RECORD_FIELDS}
    line = dict(vars(record.line))
    return {**values, "current_hash2": line.pop("current_fingerprint"), **line}


def _to_record(row: TableRow[Any]) -> SessionRecord:
    values = tuple(row)
    return SessionRecord(*(*values[:4], Line(*values[4:8]), *values[8:]))
