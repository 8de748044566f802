"""PostgreSQL connections that do not wait without end; psycopg itself bounds connecting only.

It is done on this side, not by the server's ``statement_timeout``: a server that hangs keeps no time, and a pooler between
passes such settings on to others, or refuses them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from typing import Any, NoReturn, TypeVar

import psycopg

from .waiting import ANSWER_TIMEOUT_SECONDS

T = TypeVar("T")
CANCEL_TIMEOUT_SECONDS = 1.0


class NoAnswerError(psycopg.OperationalError):
    """The server took too long."""


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
