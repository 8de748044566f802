"""A real web server with real processes: gunicorn, with an app of three views, on a database."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from flask import Flask

from ..support.core_process import a_free_port
from ..support.flask_server import an_app
from ..support.postgres import PostgresServer, programs
from ..support.records import sqlite_uri

WINDOW = 0.2
"""Seconds of the race window; short, so that a generation takes no longer."""
ROOT = str(pathlib.Path(__file__).parents[2])


class Said(NamedTuple):
    """An answer: status, text and the cookies it set."""

    status: int
    text: str
    cookies: dict[str, str]


def make_app() -> Flask:
    """For gunicorn: the app, with the database that the environment names."""
    return an_app(
        None,
        SECRET_KEY="a secret of the tests",
        SUPERTOKENS_DATABASE_URI=os.environ["TORTURE_DATABASE"],
        SUPERTOKENS_REFRESH_RACE_WINDOW=float(os.environ.get("TORTURE_WINDOW", WINDOW)),
        SUPERTOKENS_ACCESS_TOKEN_LIFETIME=float(os.environ.get("TORTURE_ACCESS_LIFETIME", "3600")),
        SUPERTOKENS_REFRESH_TOKEN_LIFETIME=float(os.environ.get("TORTURE_REFRESH_LIFETIME", "8640000")),
    )


class Gunicorn:
    """gunicorn on a port of its own; workers are processes with two threads each.

    It imports this module as its configuration, which has no setting, so that its workers find all modules loaded; each
    worker makes an app of its own.
    """

    def __init__(
        self, database_uri: str, workers: int, window: float = WINDOW, environment: dict[str, str] | None = None
    ) -> None:
        self.port = a_free_port()
        self._workers = workers
        self._environment = {
            **os.environ,
            "TORTURE_DATABASE": database_uri,
            "TORTURE_WINDOW": str(window),
            "PYTHONPATH": ROOT,
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Gunicorn:
        options = [
            *("--workers", str(self._workers), "--worker-class", "gthread", "--threads", "2"),
            *("--bind", f"127.0.0.1:{self.port}", "--config", "python:tests.torture.servers"),
        ]
        command = [sys.executable, "-m", "gunicorn", *options, "--keep-alive", "30", "--log-level", "critical"]
        self._process = subprocess.Popen(
            [*command, "tests.torture.servers:make_app()"], env=self._environment, cwd=ROOT, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError("gunicorn did not start")
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(30)

    def workers(self) -> list[int]:
        """The processes that serve."""
        assert self._process is not None
        children = pathlib.Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def kill_one(self, number: int) -> bool:
        """``kill -9`` of a worker; whether there was one."""
        pids = self.workers()
        if not pids:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pids[number % len(pids)], signal.SIGKILL)
        return True

    def _answers(self) -> bool:
        client = Client(self.port)
        try:
            return client.ask("GET", "/me").status == http.client.UNAUTHORIZED
        except OSError:
            return False
        finally:
            client.close()


class Client:
    """One connection that is opened again when it broke."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        """Until it is asked again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(self, method: str, path: str, **cookies: str) -> Said:
        """
        :raises OSError: the connection broke.
        """
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        header = "; ".join(f"{name}={value}" for name, value in cookies.items())
        try:
            self._connection.request(method, path, headers={"Cookie": header} if header else {})
            response = self._connection.getresponse()
            text = response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ConnectionError(str(error)) from error
        lines = response.headers.get_all("Set-Cookie") or []
        return Said(response.status, text, dict(line.split(";")[0].split("=", 1) for line in lines))


def json_of(said: Said) -> Any:
    """The JSON of an answer."""
    return json.loads(said.text)


@contextlib.contextmanager
def databases() -> Iterator[dict[str, str]]:
    """A SQLite file, and a PostgreSQL server where there is one: URIs by name."""
    with contextlib.ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory())
        found = {"sqlite": sqlite_uri(pathlib.Path(folder))}
        binaries = programs()
        if binaries is not None:
            server = PostgresServer(binaries)
            server.start()
            opened.callback(server.remove)
            found["postgresql"] = server.empty_database().replace("postgresql+psycopg", "postgresql")
        yield found
