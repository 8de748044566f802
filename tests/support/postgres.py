"""A PostgreSQL server of the tests' own: made in an empty folder, reached over a Unix socket, thrown away at the end.

It runs as whoever runs the tests; as root, which PostgreSQL refuses, it runs as ``postgres`` or ``nobody``.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

MISSING = "PostgreSQL's server programs were not found: install the package postgresql (apt-get install postgresql)."
SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "listen_addresses=", "max_connections=200")


def programs() -> pathlib.Path | None:
    """The folder with ``initdb`` and ``postgres``, of the newest version that is installed."""
    found = shutil.which("initdb")
    if found and shutil.which("postgres"):
        return pathlib.Path(found).parent
    folders = [path.parent for path in pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(folders, key=lambda folder: float(folder.parent.name), default=None)


def someone_else() -> dict[str, Any]:
    """How `subprocess` becomes a user that PostgreSQL accepts; nothing to do unless we are root."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    chosen = known.get("postgres") or known["nobody"]
    return {"user": chosen.pw_uid, "group": chosen.pw_gid, "extra_groups": []}


class PostgresServer:
    """Started and stopped at will, with one database that is emptied for each test."""

    def __init__(self, binaries: pathlib.Path, settings: tuple[str, ...] = SETTINGS) -> None:
        self._binaries = binaries
        self._settings = settings
        self._as_user = someone_else()
        self._home = pathlib.Path(tempfile.mkdtemp(prefix="pg-"))
        self._process: subprocess.Popen[bytes] | None = None
        if self._as_user:
            os.chown(self._home, self._as_user["user"], self._as_user["group"])
        initdb = [str(binaries / "initdb"), "-D", str(self._home / "data"), "-U", "tests", "-A", "trust", "--no-sync"]
        self._run([*initdb, "--encoding=UTF8", "--locale=C.UTF-8"])

    def start(self) -> None:
        options = [part for setting in self._settings for part in ("-c", setting)]
        command = [str(self._binaries / "postgres"), "-D", str(self._home / "data"), "-k", str(self._home), *options]
        with open(self._home / "log", "ab") as log:
            self._process = subprocess.Popen(command, cwd=self._home, stdout=log, stderr=log, **self._as_user)
        deadline = time.monotonic() + 30
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"PostgreSQL did not start: {(self._home / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """At once, without waiting for clients; what was committed is kept."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._home)

    def empty_database(self) -> str:
        """The URI of the database, after everything in it was removed (much faster than a new database)."""
        self.end_connections()
        self.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        return f"postgresql+psycopg://tests@/postgres?host={self._home}"

    def execute(self, statements: str) -> None:
        """Run statements as the superuser, in autocommit."""
        target = f"host={self._home} user=tests dbname=postgres options='-c default_transaction_read_only=off'"
        with psycopg.connect(target, autocommit=True) as connection:
            connection.execute(statements.encode())

    def end_connections(self) -> None:
        """Cut every connection, as a failover or an idle timeout does."""
        others = "backend_type = 'client backend' AND pid <> pg_backend_pid()"
        self.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {others}")

    @contextlib.contextmanager
    def read_only(self) -> Iterator[None]:
        """For a while the database takes no writes, as on a replica."""
        setting = "default_transaction_read_only"
        self.execute(f"ALTER DATABASE postgres SET {setting} = on")
        self.end_connections()
        try:
            yield
        finally:
            self.execute(f"ALTER DATABASE postgres RESET {setting}")
            self.end_connections()

    @contextlib.contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """For a while somebody holds a table, as a migration does."""
        with psycopg.connect(f"host={self._home} user=tests dbname=postgres") as connection:
            connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
            yield

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """For a while the server's processes stand still: it accepts connections, and answers nothing."""
        assert self._process is not None
        father = self._process.pid
        pids = [father, *map(int, pathlib.Path(f"/proc/{father}/task/{father}/children").read_text().split())]
        self._signal(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(pids, signal.SIGCONT)

    def _signal(self, pids: list[int], number: int) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(command, cwd=self._home, capture_output=True, text=True, check=False, **self._as_user)
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running server; a test that stops it starts it again. Without PostgreSQL: skipped, but in CI a failure."""
    binaries = programs()
    if binaries is None:
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    server = PostgresServer(binaries)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres_uri(postgres_server: PostgresServer) -> str:
    """The URI of an empty database on a real PostgreSQL."""
    return postgres_server.empty_database()
