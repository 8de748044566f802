"""Whole requests a second under gunicorn, measured with wrk: one worker process, eight connections."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator

from . import peers, sdk
from .figures import Table
from .rounds import Case, compute_medians, run_interleaved
from .services import Services
from .serving import OURS, PLAIN, SENT
from .wsgi import Headers, Sent, cookies

NO_WRK = "wrk is not installed: the whole-server figures were left out. Install the package wrk."
CONNECTIONS = 8
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_ERRORS = re.compile(r"Non-2xx|Socket errors")
_HEADER_NAMES = {"HTTP_COOKIE": "Cookie", "HTTP_AUTHORIZATION": "Authorization"}


def measure(services: Services) -> Table:
    """Servers run one at a time, in turn, so that they do not share the machine with each other."""
    table = Table("Whole servers", "requests a second, gunicorn with one worker", notes=peers.describe_missing())
    if shutil.which("wrk") is None:
        table.notes.append(NO_WRK)
        return table
    cases = {name: _make_case(name, services) for name in names(services)}
    table.figures |= compute_medians(run_interleaved(cases, services.effort.server_rounds, warm_up=False))
    return table


def names(services: Services) -> list[str]:
    """The apps that are served."""
    has_sdk = services.sdk is not None and sdk.PYTHON.with_name("gunicorn").exists()
    return [PLAIN, OURS, *peers.find_installed_makers(), *([sdk.NAME] if has_sdk else [])]


def _make_case(name: str, services: Services) -> Case:
    def run() -> float:
        folder = services.folder()
        with gunicorn(name, services, folder) as port:
            path = "/plain" if name == PLAIN else "/protected"
            headers = _log_in(port)
            sent = cookies(headers) if name == sdk.NAME else json.loads((pathlib.Path(folder) / SENT).read_text())
            return wrk(f"http://127.0.0.1:{port}{path}", sent, services.effort.seconds)

    return run


@contextlib.contextmanager
def gunicorn(name: str, services: Services, folder: str) -> Iterator[int]:
    """The port of a server with this app. Its socket listens before it runs, so nobody has to wait for it."""
    is_sdk = name == sdk.NAME
    environment = sdk.make_environment(services.core) if is_sdk else {**os.environ, "PYTHONPATH": str(sdk.ROOT)}
    python, module = (sdk.PYTHON, "sdk_app") if is_sdk else (sys.executable, "serving")
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        options = ["--bind", f"fd://{listener.fileno()}", "--worker-class", "gthread", "--threads", "4"]
        process = subprocess.Popen(
            [python, "-m", "gunicorn", *options, "--log-level", "critical", f"benchmarks.{module}:make_app()"],
            env={**environment, "BENCH_APP": name, "BENCH_FOLDER": folder},
            cwd=sdk.ROOT,
            pass_fds=[listener.fileno()],
            stderr=subprocess.DEVNULL,
        )
        port = listener.getsockname()[1]
    with process:
        try:
            yield port
        finally:
            process.terminate()


def _log_in(port: int) -> Headers:
    """Log in, waiting until the app is there, and return the response's headers."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", "/login", headers={"st-auth-mode": "cookie"})
        response = connection.getresponse()
        response.read()
        return response.getheaders()


def wrk(url: str, sent: Sent, seconds: int) -> float:
    """Requests a second.

    :raises RuntimeError: wrk saw errors.
    """
    headers = [part for name, value in sent.items() for part in ("-H", f"{_HEADER_NAMES[name]}: {value}")]
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", *headers, url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = _RATE.search(said)
    if found is None or _ERRORS.search(said):
        raise RuntimeError(f"wrk saw errors at {pathlib.PurePosixPath(url).name}:\n{said}")
    return float(found[1])
