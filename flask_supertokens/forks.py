"""Locks that work after a fork, and calls just before one.

A child process must not inherit a lock that a thread of its parent held, nor its parent's connections. Python calls functions
at the forks that it makes itself (`os.register_at_fork`), but not at those in C, such as uWSGI's. So each use of a lock compares
the process id as well.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any


class ForkSafeLock:
    """A lock that is replaced by a new one in each child process, together with its owner's state.

    :param renew: the owner's method that resets its state in a child: called once a process, before any thread there holds the
        lock. It must not take the lock.
    :param make: makes the underlying lock.
    """

    def __init__(self, renew: Callable[[], None] | None = None, make: Callable[[], Any] = threading.Lock) -> None:
        self._renew = None if renew is None else weakref.WeakMethod(renew)
        self._make = make
        self._lock = make()
        self.process: int = os.getpid()  # the process that the underlying lock belongs to
        self._renewal_locks: dict[int, Any] = {}
        if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
            os.register_at_fork(after_in_child=_call_while_alive(self.notice_fork))

    def notice_fork(self) -> None:
        """Renew lock and state if this is another process than before. Call it before using the state without the lock."""
        process = os.getpid()
        if process == self.process:
            return
        # All threads of a child get the same lock here: setdefault is atomic.
        with self._renewal_locks.setdefault(process, threading.Lock()):
            if process != self.process:
                self._lock = self._make()
                renew = None if self._renew is None else self._renew()
                if renew is not None:
                    renew()
                self.process = process

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        self.notice_fork()
        return bool(self._lock.acquire(blocking, timeout))

    def release(self) -> None:
        self._lock.release()

    def locked(self) -> bool:
        self.notice_fork()
        return bool(self._lock.locked())

    def __enter__(self) -> None:
        if os.getpid() != self.process:
            self.notice_fork()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def call_before_fork(method: Callable[[], None]) -> None:
    """Call a bound method just before each fork that Python makes, as long as its object is alive."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_call_while_alive(method))


def _call_while_alive(method: Callable[[], None]) -> Callable[[], None]:
    """Return a function that calls a bound method, but does not keep its object alive."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        living = reference()
        if living is not None:
            living()

    return call
