"""What a child process must not inherit: locks that a thread of its parent held, connections that are its parent's.

Python tells of the forks that it makes itself (`os.register_at_fork`), but not of those in C, as uWSGI's are. So the process
is also compared each time that a lock is taken.

And what it must share with its parent, which is decided before the fork.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any


class ForkSafeLock:
    """A lock that is a new one in each process, as is what its owner keeps.

    :param renew: the owner's method that begins anew in a child: once a process, before anybody has the lock there. It must
        not take the lock.
    :param make: makes the lock that stands behind this one.
    """

    def __init__(self, renew: Callable[[], None] | None = None, make: Callable[[], Any] = threading.Lock) -> None:
        self._renew = None if renew is None else weakref.WeakMethod(renew)
        self._make = make
        self._lock = make()
        self.process: int = os.getpid()  # that it is of
        self._beginnings: dict[int, Any] = {}
        _in_child(self.notice_fork)

    def notice_fork(self) -> None:
        """Begin anew if this is another process than before. For what is used without the lock."""
        process = os.getpid()
        if process == self.process:
            return
        with self._beginnings.setdefault(process, threading.Lock()):  # atomic: the threads of a child find the same one
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


def _in_child(notice: Callable[[], None]) -> None:
    """Call this bound method in every child that Python makes, as long as its object lives."""
    if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
        os.register_at_fork(after_in_child=_while_living(notice))


def before_fork(decide: Callable[[], None]) -> None:
    """Call this bound method in every process that forks, just before, as long as its object lives."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_while_living(decide))


def _while_living(bound: Callable[[], None]) -> Callable[[], None]:
    method = weakref.WeakMethod(bound)

    def call() -> None:
        living = method()
        if living is not None:
            living()

    return call
