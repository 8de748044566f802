"""The official Python SDK as a peer: it lives in a virtual environment and a process of its own, on a core of ours."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from types import TracebackType

from .rounds import Case
from .wsgi import Headers

ROOT = pathlib.Path(__file__).parents[1]
PYTHON = ROOT / "tests" / "sdks" / "python" / ".venv" / "bin" / "python"
MISSING = "The official Python SDK is not installed and was left out: run sh tools/sdk-clients.sh."
NAME = "supertokens-python"


def make_environment(core_uri: str) -> dict[str, str]:
    """For a process with the SDK's app."""
    return {**os.environ, "BENCH_CORE": core_uri, "PYTHONPATH": str(ROOT)}


class SdkProcess:
    """A process with the SDK that measures its own requests."""

    def __init__(self, core_uri: str) -> None:
        self._process = subprocess.Popen(
            [PYTHON, "-m", "benchmarks.sdk_app"],
            env=make_environment(core_uri),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.login: Headers = [(name, value) for name, value in json.loads(self._read_line())]

    def __enter__(self) -> SdkProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def compare_pairs(self, path: str, calls: int) -> Case:
        """Microseconds that a request takes more than the same one to plain Flask over there."""

        def run() -> float:
            assert self._process.stdin is not None
            self._process.stdin.write(f"{path} {calls}\n")
            self._process.stdin.flush()
            return float(self._read_line())

        return run

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("The app on the official Python SDK ended.")
        return line
