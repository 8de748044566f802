"""A MariaDB server of the tests' own: its data in a temporary folder, spoken to by a socket, no system service touched."""

from __future__ import annotations

import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator

import pymysql
import pytest

from .postgres import someone_else

MISSING = (
    "MariaDB's server programs were not found: install the package mariadb-server (apt-get install mariadb-server)."
)
SETTINGS = ("--skip-networking", "--skip-grant-tables", "--innodb-flush-log-at-trx-commit=0", "--max-connections=300")


def program(*names: str) -> str | None:
    """The first of these that is installed."""
    return next(
        (found for name in names if (found := shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin"))), None
    )


class MariaDBServer:
    """Started and stopped at will, with one database that is emptied for each test."""

    def __init__(self, server: str, installer: str) -> None:
        self._server = server
        self._as_user = someone_else()
        self._home = pathlib.Path(tempfile.mkdtemp(prefix="maria-"))
        if self._as_user:
            os.chown(self._home, self._as_user["user"], self._as_user["group"])
        self._process: subprocess.Popen[bytes] | None = None
        command = [
            installer,
            "--no-defaults",
            f"--datadir={self._home / 'data'}",
            "--auth-root-authentication-method=normal",
        ]
        done = subprocess.run(
            [*command, "--skip-test-db"], capture_output=True, text=True, cwd=self._home, **self._as_user
        )
        if done.returncode:
            raise RuntimeError(f"{installer} failed: {done.stdout[-1000:]}{done.stderr[-1000:]}")

    @property
    def socket(self) -> str:
        return str(self._home / "socket")

    def start(self) -> None:
        files = [f"--datadir={self._home / 'data'}", f"--socket={self.socket}", f"--pid-file={self._home / 'pid'}"]
        with open(self._home / "log", "ab") as log:
            command = [self._server, "--no-defaults", *files, *SETTINGS]
            self._process = subprocess.Popen(command, cwd=self._home, stdout=log, stderr=log, **self._as_user)
        deadline = time.monotonic() + 60
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"MariaDB did not start: {(self._home / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """At once; what was committed is kept."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._home)

    def empty_database(self) -> str:
        """The URI of the database, after everything in it was removed."""
        self.execute("DROP DATABASE IF EXISTS sessions", "CREATE DATABASE sessions CHARACTER SET utf8mb4")
        return f"mariadb+pymysql://root@localhost/sessions?unix_socket={self.socket}"

    def execute(self, *statements: str) -> list[tuple[object, ...]]:
        """Run statements; what the last one found."""
        with (
            pymysql.connect(unix_socket=self.socket, user="root", autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def end_connections(self) -> None:
        """Cut every connection but this one."""
        for (number,) in self.execute("SELECT id FROM information_schema.processlist WHERE id <> connection_id()"):
            self.execute(f"KILL {number}")

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(self.socket):
                return False
        self.execute("SELECT 1")
        return True


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDBServer]:
    """A running server. Without MariaDB: skipped, but in CI a failure."""
    server, installer = program("mariadbd", "mysqld"), program("mariadb-install-db", "mysql_install_db")
    if server is None or installer is None:
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    started = MariaDBServer(server, installer)
    started.start()
    yield started
    started.remove()


@pytest.fixture
def mariadb_uri(mariadb_server: MariaDBServer) -> str:
    """The URI of an empty database."""
    return mariadb_server.empty_database()
