"""PostgreSQL connections that do not wait without end, and that prepare no statements behind a pooler.

The client bounds the wait, not the server's ``statement_timeout``: a server that hangs keeps no time, and a pooler applies such
settings to other clients, or refuses them. psycopg itself bounds connecting only.

A pooler that shares the server's connections among clients (PgBouncer in transaction mode) shares the statements prepared on
them too. psycopg numbers its statements, in each process from the same number on, so a read could run another process's delete.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from typing import Any, NoReturn, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from .waiting import RESPONSE_TIMEOUT_SECONDS

T = TypeVar("T")
CANCEL_TIMEOUT_SECONDS = 1.0
_DEFAULT_THRESHOLD = 5


class NoResponseError(psycopg.OperationalError):
    """The server took too long."""


def connect(arguments: Any, options: Any) -> BoundedConnection:
    """Connect as psycopg does. Behind a pooler no statements are prepared, unless ``options`` has a ``prepare_threshold``."""
    connection = BoundedConnection.connect(*arguments, **options)
    try:
        if "prepare_threshold" not in options:
            disable_preparing_behind_pooler(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def disable_preparing_behind_pooler(connection: psycopg.Connection[Any]) -> bool:
    """Find out whether a pooler is in front of the server, and let this connection prepare nothing then.

    Returns ``False`` if the connection is in a transaction, and can't be asked. A threshold that is not psycopg's default stays.
    """
    if connection.info.transaction_status != TransactionStatus.IDLE:
        return False
    if connection.prepare_threshold != _DEFAULT_THRESHOLD:
        return True
    autocommit, connection.autocommit = connection.autocommit, True
    try:
        backend = connection.cursor(row_factory=tuple_row).execute("SELECT pg_backend_pid()").fetchone()
    finally:
        if not connection.closed:
            connection.autocommit = autocommit
    if backend != (connection.info.backend_pid,):  # a pooler tells its clients numbers of its own
        connection.prepare_threshold = None
    return True


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed when a response takes too long."""

    response_timeout: float | None = RESPONSE_TIMEOUT_SECONDS
    """Seconds; ``None`` waits for ever."""

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """Wait for the server, as psycopg does for all that it sends and receives, but no longer than `response_timeout`.

        :raises NoResponseError: the server took too long; the connection is closed.
        """
        return super().wait(self._bounded(gen), *args, **kwargs)

    def _bounded(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        start = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted  # psycopg wakes us at least every 0.1 s
                if self.response_timeout is not None and time.monotonic() - start > self.response_timeout:
                    self._cancel_and_close()
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    def _cancel_and_close(self) -> NoReturn:
        """Cancel the statement at the server, which would go on waiting for a lock, and close the connection.

        With a libpq before 17 cancelling has no timeout itself, so it is left out.
        """
        if psycopg.capabilities.has_cancel_safe():
            with contextlib.suppress(psycopg.Error):
                self.cancel_safe(timeout=CANCEL_TIMEOUT_SECONDS)
        self.close()
        raise NoResponseError(f"no response within {self.response_timeout:g} s")
