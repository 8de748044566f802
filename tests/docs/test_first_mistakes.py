"""Five mistakes of a newcomer with the quickstart's app, in a terminal: each ends in a sentence that mends it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from flask_supertokens.settings.defaults import SAMPLE_KEY

from ..support.docs import ROOT, blocks

QUICKSTART = blocks((ROOT / "docs" / "quickstart.md").read_text("utf-8"))[0]
[SECRET] = [line for line in QUICKSTART.splitlines() if "SECRET_KEY" in line]
SET_UP = "SuperTokens(app)"
ADA = urllib.parse.urlencode({"name": "ada", "password": "correct horse"}).encode()
Start = Callable[..., "Server"]


class Server:
    """``flask run`` in a folder with an ``app.py``, and what it printed."""

    def __init__(self, folder: pathlib.Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._log = folder / "terminal.log"
        with self._log.open("wb") as log:
            command = [sys.executable, "-m", "flask", "run", "--port", str(self.port)]
            self.process = subprocess.Popen(
                command, cwd=folder, env=ENVIRONMENT, stdout=log, stderr=log, start_new_session=True
            )

    def end(self) -> None:
        """With the process that ``--debug`` starts beside it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def printed(self) -> str:
        return self._log.read_text("utf-8")

    def ended_with(self) -> str:
        """The last line of a server that did not start."""
        assert self.process.wait(timeout=30) != 0
        return self.printed.splitlines()[-1].strip()

    def log_in(self, host: str = "localhost") -> int:
        """The status for the right password, sent to this host's name."""
        address = f"http://127.0.0.1:{self.port}/login"
        request = urllib.request.Request(address, ADA, {"Host": f"{host}:{self.port}"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def wait(self) -> Server:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return self
            time.sleep(0.1)
        raise TimeoutError(self.printed)


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def start(tmp_path: pathlib.Path) -> Iterator[Start]:
    """Replaces one line of the quickstart's app and runs it."""
    servers: list[Server] = []

    def run(line: str, *lines: str) -> Server:
        assert line in QUICKSTART
        (tmp_path / "app.py").write_text(QUICKSTART.replace(line, "\n".join(lines)))
        servers.append(Server(tmp_path))
        return servers[-1]

    yield run
    for server in servers:
        server.end()


def commanded(folder: pathlib.Path, *words: str) -> str:
    """What ``flask supertokens …`` prints."""
    command = [sys.executable, "-m", "flask", "supertokens", *words]
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ).stdout


def test_without_a_secret_key_the_app_stops_with_the_command_that_makes_one(start: Start) -> None:
    """The app does not start; the last line has the command that makes one."""
    mend = "Make one with python -c 'import secrets; print(secrets.token_hex())' and keep it out of the code."
    line = start(SECRET, "").ended_with()
    assert line.startswith("* SECRET_KEY is missing")
    assert line.endswith(mend)


def test_the_sample_key_outside_debug_stops_the_app(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody knows it, so the app does not start, and says what to do; with debug it does."""
    sample = f'app.config["SECRET_KEY"] = "{SAMPLE_KEY}"'
    line = start(SECRET, sample).ended_with()
    assert line.startswith(
        "* SECRET_KEY, or one of SECRET_KEY_FALLBACKS, is a sample of the docs, which everybody knows."
    )
    assert "python -c 'import secrets; print(secrets.token_hex())'" in line
    monkeypatch.setitem(ENVIRONMENT, "FLASK_DEBUG", "1")
    assert start(SECRET, sample).wait().log_in() == 200


def test_plain_http_on_another_host_is_warned_of_once(start: Start) -> None:
    """The browser would drop the cookies: one line says so, however many log in."""
    server = start(SET_UP, SET_UP).wait()
    assert [server.log_in("shop.test"), server.log_in("shop.test")] == [200, 200]
    [line] = [line for line in server.printed.splitlines() if "cookies" in line]
    assert line.startswith(f"Secure cookies were sent over plain http to shop.test:{server.port}; browsers drop them.")
    assert "Serve over https;" in line
    assert line.endswith("for a plain http host set SUPERTOKENS_COOKIE_SECURE to False.")


def test_plain_http_on_this_host_is_not_warned_of(start: Start) -> None:
    """Browsers keep secure cookies of localhost: nothing to warn of."""
    server = start(SET_UP, SET_UP).wait()
    assert server.log_in() == 200
    assert "cookies" not in server.printed


def test_init_app_after_the_constructor_is_refused(start: Start) -> None:
    """``SuperTokens(app)`` and then ``init_app``: one of them is too many."""
    line = start(SET_UP, f"supertokens = {SET_UP}", "supertokens.init_app(app)").ended_with()
    assert line == (
        "RuntimeError: SuperTokens is on this app already; call init_app once. SuperTokens(app) does it by itself:"
        " leave out one of the two."
    )


def test_without_tables_a_sign_in_is_a_503_and_the_command_of_the_message_fixes_it(
    start: Start, tmp_path: pathlib.Path
) -> None:
    """With creation off and ``init-db`` forgotten; the app goes on at once."""
    server = start(SET_UP, 'app.config["SUPERTOKENS_CREATE_TABLES"] = False', SET_UP).wait()
    assert server.log_in() == 503
    [line] = [line for line in server.printed.splitlines() if "The session store failed" in line]
    message, _, command = line.rpartition(" run: flask supertokens ")
    assert message.endswith(" If the tables are missing or older,")
    commanded(tmp_path, command.removesuffix("."))
    assert server.log_in() == 200


@pytest.mark.parametrize("address", ["localhost/shop", "postgress://localhost/shop", "postgresql:/localhost/shop"])
def test_without_a_database_url_the_app_stops_and_shows_how_one_looks(start: Start, address: str) -> None:
    """The app does not start; the last line shows how one looks."""
    line = start(SET_UP, f'app.config["SUPERTOKENS_DATABASE_URI"] = "{address}"', SET_UP).ended_with()
    assert line.startswith("* SUPERTOKENS_DATABASE_URI: use a database URL like ")
    assert line.endswith('"postgresql://user@host/name" or "sqlite:///file.sqlite3"')


def test_with_a_database_url_that_leads_nowhere_the_app_starts_and_status_names_it(
    start: Start, tmp_path: pathlib.Path
) -> None:
    """The app starts, since a database may be down; a log-in is answered 503, and the status names the setting."""
    nobody = "postgresql://ada:secret@127.0.0.1:1/shop"
    server = start(SET_UP, f'app.config["SUPERTOKENS_DATABASE_URI"] = "{nobody}"', SET_UP).wait()
    assert server.log_in() == 503
    [line] = [line for line in server.printed.splitlines() if "The session store failed" in line]
    assert 'connection to server at "127.0.0.1", port 1 failed' in line
    status = commanded(tmp_path, "status")
    assert "(SUPERTOKENS_DATABASE_URI)? Until that is fixed, requests with sessions get status 503." in status
    assert "secret" not in server.printed + status
