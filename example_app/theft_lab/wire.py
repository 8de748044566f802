"""The network between the browsers and the server, which a request can ask to be bad: ``?wire=hold``, ``meet`` or ``lose``."""

from __future__ import annotations

from contextlib import suppress
from threading import Barrier, BrokenBarrierError, Semaphore

PATIENCE = 20
"""Seconds after which a request that waits goes on all the same."""


class Wire:
    """Holds requests back. What it holds is on its way: the browser has sent it, the server has not seen it."""

    def __init__(self) -> None:
        self._arrived, self._released, self._pair = Semaphore(0), Semaphore(0), Barrier(2)

    def delay(self, trouble: str | None) -> None:
        """Keep a request as long as it asked for."""
        if trouble == "hold":
            self._arrived.release()
            self._released.acquire(timeout=PATIENCE)
        if trouble == "meet":
            with suppress(BrokenBarrierError):
                self._pair.wait(PATIENCE)

    def wait_for_held(self) -> None:
        """Return when a request is being held."""
        self._arrived.acquire(timeout=PATIENCE)

    def release(self) -> None:
        """Let the held request go on."""
        self._released.release()
