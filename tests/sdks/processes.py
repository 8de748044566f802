"""The apps of this folder as real processes, each on an official SDK and on a core of ours, which is a process too."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

from ..support.core_process import CoreProcess

HERE = pathlib.Path(__file__).parent
PYTHON = HERE / "python" / ".venv" / "bin" / "python"
NODE_SDK = HERE / "node" / "node_modules" / "supertokens-node"
API_KEY = "an-api-key-of-the-tests"
WINDOW = 0.3
Configuration = tuple[str, str, bool]
"""An SDK, its anti-CSRF mode, and whether it wants dynamic signing keys."""


def what_is_missing(sdk: str) -> str | None:
    """One sentence that says what the tests with an SDK lack, and how to get it."""
    if sdk == "node" and shutil.which("node") is None:
        return "The tests with the Node SDK need Node.js: install the packages nodejs and npm."
    if not (PYTHON if sdk == "python" else NODE_SDK).exists():
        return f"The tests with the {sdk.title()} SDK need it: run sh tools/sdk-clients.sh."
    return None


def a_core(database_uri: str, api_key: str = API_KEY, **settings: Any) -> CoreProcess:
    """A core with an API key and a window that a test can wait for."""
    return CoreProcess(database_uri, CORE_API_KEYS=api_key, REFRESH_RACE_WINDOW=WINDOW, **settings)


@contextlib.contextmanager
def with_another_key(core: CoreProcess, database_uri: str) -> Iterator[None]:
    """For a while the core at this address wants another API key."""
    changed = a_core(database_uri, "another-api-key-of-the-tests")
    changed.port, changed.uri = core.port, core.uri
    core.kill()
    try:
        with changed:
            yield
    finally:
        core.start()


@contextlib.contextmanager
def sdk_app(configuration: Configuration, core_uri: str, folder: pathlib.Path) -> Iterator[str]:
    """The app on an SDK; its address. Its socket listens before it runs, so nobody has to wait for it."""
    sdk, anti_csrf, dynamic = configuration
    command = [PYTHON, HERE / "python" / "app.py"] if sdk == "python" else ["node", HERE / "node" / "app.js"]
    with socket.create_server(("127.0.0.1", 0)) as listener, open(folder / f"{sdk}.log", "ab") as log:
        settings = {"fd": listener.fileno(), "core": core_uri, "apiKey": API_KEY}
        given = json.dumps({**settings, "antiCsrf": anti_csrf, "dynamicKey": dynamic})
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen([*command, given], pass_fds=[listener.fileno()], stdout=log, stderr=log)
    with process:
        try:
            yield address
        finally:
            process.terminate()
