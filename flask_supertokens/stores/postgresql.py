"""PostgreSQL connections that do not wait without end, and that prepare nothing where a pooler stands between.

Waiting is bounded on this side, not by the server's ``statement_timeout``: a server that hangs keeps no time, and a pooler
passes such settings on to others, or refuses them. psycopg itself bounds connecting only.

A pooler that hands the server's connections around (PgBouncer in transaction mode) does so with what was prepared on them. The
names of psycopg's statements are numbers, the same ones in each process, so a read could run another process's delete.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from typing import Any, NoReturn, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from .waiting import ANSWER_TIMEOUT_SECONDS

T = TypeVar("T")
CANCEL_TIMEOUT_SECONDS = 1.0
_DEFAULT_THRESHOLD = 5


class NoAnswerError(psycopg.OperationalError):
    """The server took too long."""


def connect(arguments: Any, named: Any) -> BoundedConnection:
    """Connect as psycopg does; behind a pooler nothing is prepared, unless ``prepare_threshold`` was chosen."""
    connection = BoundedConnection.connect(*arguments, **named)
    try:
        if "prepare_threshold" not in named:
            prepare_nothing_behind_a_pooler(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def prepare_nothing_behind_a_pooler(connection: psycopg.Connection[Any]) -> bool:
    """Find out on a connection; ``False`` if it is in a transaction. What was chosen and is not psycopg's default stays."""
    if connection.info.transaction_status != TransactionStatus.IDLE:
        return False
    if connection.prepare_threshold != _DEFAULT_THRESHOLD:
        return True
    autocommit, connection.autocommit = connection.autocommit, True
    try:
        serving = connection.cursor(row_factory=tuple_row).execute("SELECT pg_backend_pid()").fetchone()
    finally:
        if not connection.closed:
            connection.autocommit = autocommit
    if serving != (connection.info.backend_pid,):  # a pooler tells its clients numbers of its own
        connection.prepare_threshold = None
    return True


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that ends when an answer takes too long."""

    answer_timeout: float | None = ANSWER_TIMEOUT_SECONDS
    """Seconds; ``None`` waits for ever."""

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """Everything that is sent and answered passes here.

        :raises NoAnswerError: the connection is closed.
        """
        return super().wait(self._bounded(gen), *args, **kwargs)

    def _bounded(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        start = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted  # psycopg wakes us at least every 0.1 s
                if self.answer_timeout is not None and time.monotonic() - start > self.answer_timeout:
                    self._give_up()
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    def _give_up(self) -> NoReturn:
        """Ask the server to drop the statement, or it would go on to wait for a lock with nobody to answer.

        With a libpq before 17 the question itself can't be bounded, so it is left out.
        """
        if psycopg.capabilities.has_cancel_safe():
            with contextlib.suppress(psycopg.Error):
                self.cancel_safe(timeout=CANCEL_TIMEOUT_SECONDS)
        self.close()
        raise NoAnswerError(f"no answer within {self.answer_timeout:g} s")
