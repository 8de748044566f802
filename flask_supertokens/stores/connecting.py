"""Database URLs, the SQLAlchemy engines that are made of them, and which engines of an app can be used.

* An in-memory database has one connection, handed from thread to thread.
* A SQLite file that is missing is created for its owner alone (0600), whatever the umask; SQLite gives the files beside it the
  same mode. An existing file keeps its mode.
* The default database is a temporary one while an app is tested.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import AssertionPool, NullPool, QueuePool, SingletonThreadPool, StaticPool

from ..forks import call_before_fork
from .databases import bound_connections, connect_arguments, create_private_file
from .waiting import BUSY_TIMEOUT_MS, POOL_TIMEOUT_SECONDS

logger: logging.Logger = logging.getLogger("flask_supertokens")

_POOL_OPTIONS: Any = {"pool_size": 15, "max_overflow": 0, "pool_timeout": POOL_TIMEOUT_SECONDS}
"""As many connections at once as SQLAlchemy's default; but all of them are kept, so that a crowd does not connect anew."""
_AUTOCOMMIT_MARK = "supertokens_autocommits"
"""Marks an engine of our own: its connections are in autocommit all the time, which need not be switched at each checkout."""
_FILE_MARK = "supertokens_file"
"""The execution option that holds the `_DefaultFile` of an engine whose file is not chosen before it is opened."""
_ENGINE_OPTIONS: Any = {
    "hide_parameters": True,
    "isolation_level": "AUTOCOMMIT",
    "execution_options": {_AUTOCOMMIT_MARK: True},
}
_SECRET_NAME = re.compile("pass|pwd|secret|token|scram", re.IGNORECASE)
"""Options of drivers in the query of a URL that must not be shown: ``password``, ``sslpassword``, ``passwd`` …"""


def is_url(uri: str) -> bool:
    """Return whether a text can be a database URL. A host with an @ is the end of a password, which errors would show."""
    try:
        url = make_url(uri)
    except (SQLAlchemyError, ValueError):
        return False
    if "@" in (url.host or ""):
        return False
    return url.host is None or url.get_backend_name() != "sqlite"


def check_options(uri: str) -> None:
    """Check the options in the query of a database URL.

    :raises ValueError: an option has a value that it can't have.
    """
    connect_arguments(make_url(uri))


def mask_secrets(url: URL) -> str:
    """Write a URL without its password and without the secrets in its query."""
    masked = {name: "***" for name in url.query if _SECRET_NAME.search(name)}
    return unquote(url.update_query_dict(masked).render_as_string(hide_password=True))


def sqlite_file(url: URL) -> str | None:
    """Return the path of the SQLite file of a URL; ``None`` for one in memory, a ``file:`` URI, and for a server."""
    path = url.database
    if url.get_backend_name() != "sqlite" or path in (None, "", ":memory:") or path.startswith("file:"):
        return None
    return path


def is_same_file(file: str, uri: Any, directory: str) -> bool:
    """Return whether a database URL names this SQLite file. A relative path in the URL is below ``directory``."""
    path = sqlite_file(make_url(uri)) if uri and is_url(uri) else None
    return path is not None and os.path.realpath(file) == os.path.realpath(os.path.join(directory, path))


def database_engine(uri: str, directory: str) -> Engine:
    """Make a SQLAlchemy engine for a database URL; nothing is connected yet. Relative SQLite paths are below ``directory``."""
    url = make_url(uri)
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url, directory)
    secrets = {name: value for name, value in url.query.items() if _SECRET_NAME.search(name)}
    engine = create_engine(
        url.difference_update_query(secrets),  # SQLAlchemy's texts mask the password before the @ only
        **_ENGINE_OPTIONS,
        **_POOL_OPTIONS,
        pool_pre_ping=url.get_backend_name() != "postgresql",  # PyMySQL fails before a statement of ours is sent
        connect_args={**connect_arguments(url), **secrets},
    )
    bound_connections(engine)
    return engine


def _sqlite_engine(url: URL, directory: str) -> Engine:
    path = sqlite_file(url)
    if path is None:
        engine = create_engine(
            url.set(database=":memory:"),
            **_ENGINE_OPTIONS,
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_SECONDS,
            connect_args={"check_same_thread": False},
        )
    else:
        engine = create_engine(
            url.set(database=os.path.join(directory, path)),
            **_ENGINE_OPTIONS,
            **{**_POOL_OPTIONS, "pool_size": 5},  # one of them writes at a time; the others would only stand in its way
            connect_args={"timeout": BUSY_TIMEOUT_MS / 1000},
        )
        event.listen(engine, "do_connect", _create_file)
    event.listen(engine, "connect", _relax_sync)
    return engine


def _create_file(_dialect: Any, _record: Any, arguments: Any, _options: Any) -> None:
    """Create the file before SQLite would, with a mode that the umask decides (SQLAlchemy's ``do_connect``)."""
    create_private_file(arguments[0])


def _relax_sync(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")


def is_own_engine(engine: Engine) -> bool:
    """Return whether `database_engine` made this engine: its connections are in autocommit all the time."""
    return bool(engine.get_execution_options().get(_AUTOCOMMIT_MARK, False))


def url_of(engine: Engine) -> URL:
    """Return the URL of the database that an engine opens; while an app is tested, that of the temporary file."""
    file: _DefaultFile | None = engine.get_execution_options().get(_FILE_MARK)
    return engine.url if file is None else file.url


def check_pool(engine: Engine) -> None:
    """Check that an engine of the app's own can give the app's transaction and ours a connection each to one database.

    :raises ValueError: it can't.
    """
    pool = engine.pool
    is_in_memory = engine.url.get_backend_name() == "sqlite" and engine.url.database in (None, "", ":memory:")
    wrong = ""
    if isinstance(pool, StaticPool):
        wrong = "has one connection for everybody: sessions would commit what your app only flushed, or undo it"
    elif isinstance(pool, SingletonThreadPool):
        wrong = "has one connection for each thread: sessions would commit what your app only flushed, or undo it"
    elif isinstance(pool, AssertionPool):
        wrong = "allows one connection at a time: a request of yours that uses the database could have no session"
    elif is_in_memory and (isinstance(pool, NullPool) or max_connections(engine) != 1):
        wrong = "has a database in memory for each connection: none would find the sessions of another one"
    if wrong:
        raise ValueError(
            f"database_engine ({type(pool).__name__}) {wrong}. Make it with SQLAlchemy's default pool on a file or a server; in"
            ' tests leave database_engine out and set SUPERTOKENS_DATABASE_URI to "sqlite://".'
        )


def max_connections(engine: Engine) -> int | None:
    """Return how many connections an engine has at most; ``None`` if any number."""
    pool = engine.pool
    overflow = getattr(pool, "_max_overflow", -1)
    return pool.size() + overflow if isinstance(pool, QueuePool) and overflow >= 0 else None


def use_temporary_file_in_tests(engine: Engine, is_tested: Callable[[], bool]) -> None:
    """Let an engine of a SQLite file open a temporary one instead, if ``is_tested`` says so at the first connection."""
    file = _DefaultFile(engine.url, is_tested)
    engine.update_execution_options(**{_FILE_MARK: file})
    event.remove(engine, "do_connect", _create_file)  # first the path is chosen, then the file is created
    event.listen(engine, "do_connect", file.set_path)
    event.listen(engine, "do_connect", _create_file)


class _DefaultFile:
    """The default database: a file of the app's own, or a temporary one. Which one is decided when it is first asked for.

    A test that forks a live server shares the file with that server: for a tested app it is chosen before the fork. The process
    that created a temporary one removes it, when the app is gone or at exit.
    """

    def __init__(self, url: URL, is_tested: Callable[[], bool]) -> None:
        self._own_url, self._is_tested = url, is_tested
        self._choices: list[URL] = []
        call_before_fork(self._choose_before_fork)

    @property
    def url(self) -> URL:
        """Where the database is. If two threads choose at once, the first choice counts."""
        if not self._choices:
            self._choices.append(self._choose())
        return self._choices[0]

    def _choose(self) -> URL:
        if not self._is_tested():
            return self._own_url
        folder = tempfile.mkdtemp(prefix="flask-supertokens-")
        weakref.finalize(self, _remove_folder, folder, os.getpid())
        logger.info(
            "TESTING is set and SUPERTOKENS_DATABASE_URI is not: sessions are in a temporary database in %s.", folder
        )
        return self._own_url.set(database=os.path.join(folder, os.path.basename(self._own_url.database or "")))

    def _choose_before_fork(self) -> None:
        if self._is_tested():
            self.url  # noqa: B018 - reading it chooses

    def set_path(self, _dialect: Any, _record: Any, arguments: list[Any], _options: Any) -> None:
        """Connect to the chosen file (SQLAlchemy's ``do_connect``)."""
        arguments[0] = self.url.database


def _remove_folder(folder: str, creator: int) -> None:
    """Remove a temporary folder, but not from a child of the process that created it."""
    if os.getpid() == creator:
        shutil.rmtree(folder, ignore_errors=True)
