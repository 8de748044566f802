"""An app under gunicorn, on a socket that listens before the server runs: nobody has to wait for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


@contextmanager
def gunicorn(folder: Path, app: str, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[int]:
    """Serve ``app``, which is found in ``folder`` or here; the port. What it says goes to ``server.log`` in the folder."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        command = [sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}", "--no-sendfile"]
        with (
            open(folder / "server.log", "wb") as log,
            subprocess.Popen(
                [*command, "--access-logfile", "-", *options, app],
                cwd=ROOT,
                env={**(os.environ if environment is None else environment), "PYTHONPATH": f"{folder}"},
                pass_fds=[listener.fileno()],
                stdout=log,
                stderr=log,
            ) as server,
        ):
            try:
                yield listener.getsockname()[1]
            finally:
                server.terminate()
