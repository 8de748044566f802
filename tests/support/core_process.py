"""``flask supertokens serve-core`` as a process of its own, to be killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from types import TracebackType
from typing import Any

import requests

SECRET = "a secret of the tests"


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class CoreProcess:
    """A core on a database, on one port for its whole life; settings as ``SUPERTOKENS_<name>``."""

    def __init__(self, database_uri: str, **settings: Any) -> None:
        self.port = a_free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        names = {f"SUPERTOKENS_{name}": str(value) for name, value in settings.items()}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SUPERTOKENS_")}
        self._environment = {**clean, "SECRET_KEY": SECRET, "SUPERTOKENS_DATABASE_URI": database_uri, **names}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> CoreProcess:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        """Returns when it answers."""
        command = [sys.executable, "-m", "flask", "--app", "flask_supertokens.core_app", "supertokens", "serve-core"]
        self._process = subprocess.Popen(
            [*command, "--port", str(self.port)], env=self._environment, stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self._process.poll() is None, "the core ended at its start"
            assert time.monotonic() < deadline, "the core does not answer"
            time.sleep(0.05)

    def kill(self) -> None:
        """``kill -9``."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(how)
        return self._process.wait(20)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.uri}/hello", timeout=1).status_code == 200
        except requests.RequestException:
            return False
