"""Real processes that each do the same thing at the same moment."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pathlib
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from types import TracebackType
from typing import Any

TIMEOUT = 60
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.support.workers", "sqlalchemy.dialects.sqlite", "psycopg", "flask"])

State = dict[str, Any]

ROOT = str(pathlib.Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)  # the processes get this path, and find the tests by it


class Workers:
    """``number`` processes with a dictionary each; none of them shares anything with the others but the database."""

    def __init__(self, number: int) -> None:
        self._barrier = _context.Barrier(number)
        self._connections: list[Connection] = []
        self._processes = []
        for _ in range(number):
            here, there = _context.Pipe()
            process = _context.Process(target=_work, args=(there, self._barrier), daemon=True)
            process.start()
            there.close()
            self._connections.append(here)
            self._processes.append(process)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.join(10)
            process.kill()
            process.join()
            process.close()

    def all_do(self, action: Callable[..., Any], *arguments: Any) -> list[Any]:
        """``action(state, *arguments)`` in all of them at once; the results in order, or the first error."""
        return self._do(self._connections, action, arguments)

    def one_does(self, action: Callable[..., Any], *arguments: Any) -> Any:
        """The same in the first one only."""
        return self._do(self._connections[:1], action, arguments)[0]

    def _do(self, connections: list[Connection], action: Callable[..., Any], arguments: tuple[Any, ...]) -> list[Any]:
        for connection in connections:
            connection.send((len(connections) > 1, action, arguments))
        answers = [_answer(connection) for connection in connections]
        errors = [answer for succeeded, answer in answers if not succeeded]
        assert not errors, f"{len(errors)} of {len(answers)} failed, the first with:\n{errors[0]}"
        return [answer for _, answer in answers]


def _answer(connection: Connection) -> tuple[bool, Any]:
    return connection.recv() if connection.poll(TIMEOUT) else (False, "no answer")


def _work(connection: Connection, barrier: Barrier) -> None:
    state: State = {}
    while True:
        try:
            together, action, arguments = connection.recv()
        except EOFError:
            return
        if together:
            barrier.wait(TIMEOUT)
        try:
            connection.send((True, action(state, *arguments)))
        except Exception:
            connection.send((False, traceback.format_exc()))


def fork_in_c() -> int:
    """As `os.fork`, but Python is not told: uWSGI forks so."""
    return int(ctypes.PyDLL(None).fork())


FORKS = {"in Python": os.fork, "in C": fork_in_c}


def in_a_fork(action: Callable[[], object], fork: Callable[[], int] = os.fork) -> bool:
    """Whether ``action`` is true in a child that is forked here and now; for workers, which have one thread."""
    child = fork()
    if child == 0:
        signal.alarm(10)  # a child that waits for ever ends so
        try:
            os._exit(0 if action() else 1)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
