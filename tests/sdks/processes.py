"""The apps of this folder as real processes, each on an official SDK and on a core of ours, which is a process too."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import Any, NamedTuple

import requests

from ..support.core_process import CoreProcess
from .scenarios import CONFIGURATIONS, Run

HERE = pathlib.Path(__file__).parent
PYTHON = HERE / "python" / ".venv" / "bin" / "python"
NODE_SDK = HERE / "node" / "node_modules" / "supertokens-node"
API_KEY = "an-api-key-of-the-tests"
WINDOW = 0.3
Configuration = tuple[str, str, bool]
"""An SDK, its anti-CSRF mode, and whether it wants dynamic signing keys."""


class Outcomes(NamedTuple):
    """The scenarios that an SDK has; what went wrong in each that was run, or ``None``; and what the process said besides."""

    known: frozenset[str]
    details: dict[str, str | None]
    said: str

    def of(self, name: str) -> str | None:
        return self.details.get(name, f"it was not run: {self.said}")


def what_is_missing(sdk: str) -> str | None:
    """One sentence that says what the tests with an SDK lack, and how to get it."""
    if sdk == "node" and shutil.which("node") is None:
        return "The tests with the Node SDK need Node.js: install the packages nodejs and npm."
    if not (PYTHON if sdk == "python" else NODE_SDK).exists():
        return f"The tests with the {sdk.title()} SDK need it: run sh tools/sdk-clients.sh."
    return None


def a_core(database_uri: str, api_key: str = API_KEY, window: float = WINDOW, **settings: Any) -> CoreProcess:
    """A core with an API key, and by default a window that a test can wait for."""
    return CoreProcess(database_uri, CORE_API_KEYS=api_key, REFRESH_RACE_WINDOW=window, **settings)


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


def environment(folder: pathlib.Path) -> dict[str, str]:
    """Of a process with an SDK. The Python SDK reads all certificates at each call, 50 ms; here nothing speaks TLS."""
    return {**os.environ, "SSL_CERT_FILE": "", "SSL_CERT_DIR": str(folder)}


def an_app(core_uri: str, configuration: str) -> str:
    """The address of an app on a core, made with the settings that a configuration needs. Those without settings share one."""
    settings = dict(CONFIGURATIONS[configuration].core_config)
    app = configuration.replace("_", "-") if settings else "of-all"
    headers = {"api-key": API_KEY, "cdi-version": "5.3"}
    call, body = f"{core_uri}/recipe/multitenancy/app/v2", {"appId": app, "coreConfig": settings}
    answer = requests.put(call, json=body, headers=headers, timeout=20)
    assert answer.status_code == 200, answer.text
    return f"{core_uri}/appid-{app}"


def outcomes_of(run: Run, core_uri: str, folder: pathlib.Path) -> Outcomes:
    """Run all scenarios of a configuration in one process with the SDK."""
    configuration = CONFIGURATIONS[run.configuration]
    given = {
        "core": an_app(core_uri, run.configuration),
        "apiKey": API_KEY,
        "antiCsrf": configuration.anti_csrf,
        "dynamicKey": configuration.dynamic_key,
        "window": run.window,
        "coreConfig": dict(configuration.core_config),
        "names": list(configuration.scenarios),
        "together": bool(configuration.core_config),
    }
    command = [PYTHON, HERE / "python" / "run.py"] if run.sdk == "python" else ["node", HERE / "node" / "run.js"]
    done = subprocess.run(
        [*command, json.dumps(given)], env=environment(folder), capture_output=True, text=True, timeout=120
    )
    first, *others = [json.loads(line) for line in done.stdout.splitlines()] or [{"known": []}]
    return Outcomes(frozenset(first["known"]), {line["name"]: line["detail"] for line in others}, done.stderr)


@contextlib.contextmanager
def sdk_app(configuration: Configuration, core_uri: str, folder: pathlib.Path) -> Iterator[str]:
    """The app on an SDK; its address. Its socket listens before it runs, so nobody has to wait for it."""
    sdk, anti_csrf, dynamic = configuration
    command = [PYTHON, HERE / "python" / "app.py"] if sdk == "python" else ["node", HERE / "node" / "app.js"]
    with socket.create_server(("127.0.0.1", 0)) as listener, open(folder / f"{sdk}.log", "ab") as log:
        settings = {"fd": listener.fileno(), "core": core_uri, "apiKey": API_KEY}
        given = json.dumps({**settings, "antiCsrf": anti_csrf, "dynamicKey": dynamic})
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen(
            [*command, given], pass_fds=[listener.fileno()], stdout=log, stderr=log, env=environment(folder)
        )
    with process:
        try:
            yield address
        finally:
            process.terminate()
