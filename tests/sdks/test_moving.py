"""The page on moving from the official SDK for Python: nobody is logged out by it."""

from __future__ import annotations

import contextlib
import pathlib
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest
import requests
from waitress.server import create_server

from ..docs.test_moving import code
from .conftest import CoreOf, require_installed
from .processes import API_KEY, PYTHON

pytestmark = pytest.mark.sdks
PAGE = "supertokens-python"
SERVE = "\nimport socket, waitress\nwaitress.serve(app, sockets=[socket.socket(fileno={fd})], threads=4)\n"


def pointed_at(core: str, side: str) -> str:
    """The code of a side, on a core of the tests."""
    return code(PAGE, side).replace("https://core.example.com", core).replace('"…"', f'"{API_KEY}"')


@pytest.fixture
def core(core_of: CoreOf) -> str:
    require_installed("python")
    return core_of("sqlite").uri


@pytest.fixture
def before(core: str, tmp_path: pathlib.Path) -> Iterator[str]:
    """The address of the SDK's app, in the SDK's environment."""
    with socket.create_server(("127.0.0.1", 0)) as listener, open(tmp_path / "sdk.log", "ab") as log:
        (tmp_path / "app.py").write_text(pointed_at(core, "Before") + SERVE.format(fd=listener.fileno()))
        command = [PYTHON, tmp_path / "app.py"]
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen(command, pass_fds=[listener.fileno()], stdout=log, stderr=log)
    with process:
        try:
            yield address
        finally:
            process.terminate()


@pytest.fixture
def after(core: str) -> Iterator[str]:
    """The address of our app on the same core; cookies as the SDK sets them on plain http."""
    names: dict[str, object] = {"__name__": "a_page_on_moving"}
    text = pointed_at(core, "After").replace("SuperTokens(app)", 'app.config["TESTING"] = True\nSuperTokens(app)')
    exec(compile(text, PAGE, "exec"), names)
    server = create_server(names["app"], host="127.0.0.1", port=0, threads=2)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}"
    with contextlib.suppress(OSError):
        server.close()


def is_logged_in(browser: requests.Session, address: str) -> bool:
    answer = browser.get(f"{address}/me", timeout=20)
    assert answer.status_code in (200, 401), answer.text
    assert answer.status_code == 401 or answer.json() == {"user": 1, "name": "Ada"}
    return answer.status_code == 200


def a_browser(address: str) -> requests.Session:
    """Somebody who logged in there, with cookies."""
    browser = requests.Session()
    browser.headers["st-auth-mode"] = "cookie"
    assert browser.post(f"{address}/login", json={"user": 1}, timeout=20).status_code == 200
    return browser


@pytest.mark.parametrize("side", ["before", "after"])
def test_the_app_does_the_same_on_each_side(request: pytest.FixtureRequest, side: str) -> None:
    """Nobody, logged in, logged out: both apps do the same."""
    address = request.getfixturevalue(side)
    assert not is_logged_in(requests.Session(), address)
    browser = a_browser(address)
    assert is_logged_in(browser, address)
    assert browser.post(f"{address}/logout", timeout=20).status_code == 200
    assert not is_logged_in(browser, address)


def test_nobody_is_signed_out_by_the_move(before: str, after: str) -> None:
    """Who logged in at the SDK's app is logged in at ours, and can refresh there."""
    browser = a_browser(before)
    assert is_logged_in(browser, after)
    assert browser.post(f"{after}/auth/session/refresh", timeout=20).status_code == 200
    assert is_logged_in(browser, after)
