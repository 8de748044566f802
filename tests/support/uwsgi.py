"""An app under uWSGI, on a socket that listens before the server runs: nobody has to wait for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND = [
    *(str(Path(sys.executable).with_name("uwsgi")), "--protocol", "http", "--add-header", "Connection: close"),
    *("--need-app", "--die-on-term"),
]


@contextmanager
def uwsgi(folder: Path, *options: str) -> Iterator[int]:
    """Serve an app that is found in ``folder``; the port. What it says goes to ``server.log`` in the folder.

    uWSGI serves a listening socket that is its standard input.
    """
    with (
        socket.create_server(("127.0.0.1", 0), backlog=128) as listener,
        open(folder / "server.log", "wb") as log,
        subprocess.Popen(
            [*COMMAND, *options],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{folder}"},
            stdin=listener,
            stdout=log,
            stderr=log,
        ) as server,
    ):
        try:
            yield listener.getsockname()[1]
        finally:
            server.terminate()
