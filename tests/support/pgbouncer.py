"""A PgBouncer of the tests' own in front of the PostgreSQL of the tests, in transaction mode: two connections for everybody."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import make_url

from .postgres import someone_else

MISSING = "PgBouncer was not found: install the package pgbouncer (apt-get install pgbouncer)."
PORT = 6432
CONFIG = """
[databases]
postgres = host={server} user=tests
[pgbouncer]
listen_addr =
unix_socket_dir = {home}
listen_port = {port}
auth_type = any
pool_mode = {mode}
default_pool_size = 2
ignore_startup_parameters = extra_float_digits
"""


@contextmanager
def pgbouncer(program: str, server: str, mode: str = "transaction") -> Iterator[str]:
    """A PgBouncer before the server whose socket is in a folder; the folder of its own socket."""
    as_user = someone_else()
    home = pathlib.Path(tempfile.mkdtemp(prefix="pgb-"))
    (home / "pgbouncer.ini").write_text(CONFIG.format(server=server, home=home, port=PORT, mode=mode))
    if as_user:
        os.chown(home, as_user["user"], as_user["group"])
    with (
        open(home / "log", "wb") as log,
        subprocess.Popen([program, str(home / "pgbouncer.ini")], stdout=log, stderr=log, **as_user) as process,
    ):
        try:
            _wait_for(str(home), process)
            yield str(home)
        finally:
            process.terminate()
            process.wait(10)
            shutil.rmtree(home)


def _wait_for(home: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(f"host={home} port={PORT} user=tests dbname=postgres").close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise
        time.sleep(0.02)


@pytest.fixture(params=["transaction"])
def pooled_uri(postgres_uri: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URI of an empty database behind a real PgBouncer. Without one: skipped, but in CI a failure."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with pgbouncer(program, str(make_url(postgres_uri).query["host"]), request.param) as home:
        yield f"postgresql+psycopg://tests@/postgres?host={home}&port={PORT}"
