"""A database that fails under living clients: stopped, cut off, full, locked, crowded, frozen, read-only.

Meanwhile calls are answered 503 within a bounded time, and no cookie is touched; afterwards everything goes on without a
restart, no session that was acknowledged is lost, and no alarm was raised.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psycopg

from ..support.postgres import SETTINGS, PostgresServer, programs
from .clients import living, wait_for_answers
from .servers import Gunicorn

Fault = Callable[[float], None]
"""What goes wrong, for so many seconds."""
CALLS = 30
"""Answers to wait for before and after a fault."""
LONGEST_WAIT_MS = 20_000
"""For one call: connecting, a lock and an answer, each bounded, and two attempts."""


def under(fault: Fault, database_uri: str, seconds: float, workers: int = 2) -> Counter[str]:
    """Let it happen once under living clients; what came of them."""
    figures: Counter[str] = Counter()
    with Gunicorn(database_uri, workers) as server, living(server.port, figures):
        wait_for_answers(figures, CALLS)
        processes = server.workers()
        fault(seconds)
        figures["recovered"] += wait_for_answers(figures, CALLS)
        figures["workers replaced"] += server.workers() != processes
    return figures


def went_wrong(figures: Counter[str]) -> bool:
    """Whether the clients noticed more than answers that were late."""
    return (
        bool(figures["lost"] + figures["cookies touched"] + figures["workers replaced"])
        or not figures["recovered"]
        or figures["longest wait (ms)"] > LONGEST_WAIT_MS
    )


# -- PostgreSQL --------------------------------------------------------------------------------------------------------


class PostgresFaults:
    """A server of our own with few connections, and what may happen to it."""

    def __init__(self, binaries: pathlib.Path) -> None:
        self._server = PostgresServer(binaries, (*SETTINGS, "max_connections=30"))
        self._server.start()
        self.uri = self._server.empty_database()

    def remove(self) -> None:
        self._server.remove()

    def stopped(self, seconds: float) -> None:
        """Restarted after a while."""
        self._server.stop()
        time.sleep(seconds)
        self._server.start()

    def cut(self, seconds: float) -> None:
        """All connections are ended by the server, again and again."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._server.end_connections()
            time.sleep(0.1)

    def locked(self, seconds: float) -> None:
        """A migration holds the table."""
        with self._server.locked("supertokens_sessions"):
            time.sleep(seconds)

    def crowded(self, seconds: float) -> None:
        """Others have taken every connection."""
        deadline = time.monotonic() + seconds
        with contextlib.ExitStack() as taken:
            others = [self._take(taken)]
            while time.monotonic() < deadline:
                with contextlib.suppress(psycopg.OperationalError):
                    while True:
                        self._take(taken)
                others[0].execute(_END_THE_APPS)

    def frozen(self, seconds: float) -> None:
        """The server's processes stand still: it accepts, and answers nothing."""
        with self._server.frozen():
            time.sleep(seconds)

    def read_only(self, seconds: float) -> None:
        """As a replica is."""
        with self._server.read_only():
            time.sleep(seconds)

    def all(self) -> dict[str, Fault]:
        """By name."""
        faults = [self.stopped, self.cut, self.locked, self.crowded, self.frozen, self.read_only]
        return {f"postgresql {fault.__name__}": fault for fault in faults}

    def _take(self, taken: contextlib.ExitStack) -> psycopg.Connection[Any]:
        return taken.enter_context(psycopg.connect(self._target(), application_name="others", autocommit=True))

    def _target(self) -> str:
        return self.uri.replace("postgresql+psycopg", "postgresql")


_END_THE_APPS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND application_name <> 'others'"""


# -- SQLite ------------------------------------------------------------------------------------------------------------


class SQLiteFaults:
    """A file on a small disk of its own, and what may happen to it."""

    def __init__(self, disk: pathlib.Path) -> None:
        self._disk = disk
        self._file = disk / "sessions.db"
        self.uri = f"sqlite:///{self._file}"

    def locked(self, seconds: float) -> None:
        """Another process writes and does not end."""
        with contextlib.closing(sqlite3.connect(self._file, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            connection.execute("ROLLBACK")

    def full(self, seconds: float) -> None:
        """Something else has filled the disk."""
        filler = self._disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        time.sleep(seconds)
        filler.unlink()

    def all(self) -> dict[str, Fault]:
        """By name."""
        return {f"sqlite {fault.__name__}": fault for fault in (self.locked, self.full)}


NO_DISK = "A disk that is full needs root to mount one; left out."


@contextlib.contextmanager
def small_disk(size: str = "2m") -> Iterator[pathlib.Path | None]:
    """A file system in memory; ``None`` where we may not mount one."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
            yield None
            return
        try:
            yield pathlib.Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


@contextlib.contextmanager
def all_faults() -> Iterator[dict[str, tuple[str, Fault]]]:
    """Each by name, with the database that it happens to."""
    with contextlib.ExitStack() as opened:
        found: dict[str, tuple[str, Fault]] = {}
        disk = opened.enter_context(small_disk())
        if disk is None:
            print(NO_DISK)
        else:
            on_disk = SQLiteFaults(disk)
            found |= {name: (on_disk.uri, fault) for name, fault in on_disk.all().items()}
        binaries = programs()
        if binaries is not None:
            server = PostgresFaults(binaries)
            opened.callback(server.remove)
            found |= {name: (server.uri, fault) for name, fault in server.all().items()}
        yield found


def main(seconds: float = 15) -> None:
    failed = False
    with all_faults() as found:
        for name, (uri, fault) in found.items():
            figures = under(fault, uri, seconds)
            print(f"{name} for {seconds:g} s: {dict(figures)}")
            failed |= went_wrong(figures)
    if failed:
        sys.exit("a session was lost, a cookie touched, or a call waited too long")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
