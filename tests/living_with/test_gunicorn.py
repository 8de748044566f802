"""gunicorn: threads and gevent, with and without a preloaded app, under a small load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from sqlalchemy import make_url

from tests.support.docs import blocks, first_app, section, with_settings
from tests.support.gunicorn import gunicorn
from tests.support.large_bodies import LITTLE, post_large_body
from tests.support.threads import at_once

CLIENTS, ROUNDS = 20, 5
THREADS, GEVENT = blocks(section("gunicorn"))
USED_BEFORE_THE_FORK = """
from flask_supertokens import create_new_session_without_request, get_session_without_request
with app.app_context():
    get_session_without_request(create_new_session_without_request("before").access_token, check_database=True)
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'sessions.sqlite3'}"
    uri = make_url(request.getfixturevalue("postgres_uri")).set(drivername="postgresql")
    return uri.render_as_string(hide_password=False)


def live(address: str) -> Counter[str]:
    """One client: log in, and in each round refresh and be known; what it was answered."""
    seen: Counter[str] = Counter()

    def call(method: str, path: str) -> None:
        response = browser.request(method, address + path, timeout=20)
        seen[f"{method} {path} {response.status_code}"] += 1

    with requests.Session() as browser:
        call("POST", "/login")
        for _ in range(ROUNDS):
            call("POST", "/refresh")
            call("GET", "/me")
            call("GET", "/me")
        call("POST", "/signout")
        call("GET", "/me")
    return seen


@pytest.mark.parametrize("preload", [True, False], ids=["preload", "no-preload"])
@pytest.mark.parametrize("config", [THREADS, GEVENT], ids=["gthread", "gevent"])
def test_twenty_clients_at_once_are_served_without_an_error(
    tmp_path: Path, uri: str, config: str, preload: bool, report: Callable[[str], None]
) -> None:
    """All are logged in, known and refreshed; nothing fails, and the log has no error."""
    settings = {"SUPERTOKENS_DATABASE_URI": uri, "SUPERTOKENS_COOKIE_SECURE": False}
    (tmp_path / "served.py").write_text(with_settings(first_app(), settings) + USED_BEFORE_THE_FORK * preload, "utf-8")
    (tmp_path / "gunicorn.conf.py").write_text(config.replace("preload_app = True", f"preload_app = {preload}"))
    with gunicorn(tmp_path, "served:app", "--config", str(tmp_path / "gunicorn.conf.py")) as port:
        seen = sum(at_once(CLIENTS, lambda _: live(f"http://127.0.0.1:{port}")), Counter())
    log = (tmp_path / "server.log").read_text()
    assert seen == {
        "POST /login 200": CLIENTS,
        "POST /refresh 200": CLIENTS * ROUNDS,
        "GET /me 200": CLIENTS * ROUNDS * 2,
        "POST /signout 200": CLIENTS,
        "GET /me 401": CLIENTS,
    }, log
    assert not [line for line in log.splitlines() if "[ERROR]" in line or "Traceback" in line or "Warning" in line]
    report(f"gunicorn, {CLIENTS} clients: {seen.total()} requests, 0 errors")


@pytest.mark.parametrize("options", [("--worker-class", "sync"), ("--threads", "4"), ("--worker-class", "gevent")])
def test_a_large_body_of_nobody_is_answered_before_it_is_read(tmp_path: Path, options: tuple[str, ...]) -> None:
    """The answer comes when little has been sent, and the connection ends: nobody reads the rest."""
    with gunicorn(tmp_path, "tests.support.rendered:create_app()", *options) as port:
        sent, answer = post_large_body(port, "/letter")
    assert answer.startswith(b"HTTP/1.1 303 ")
    assert sent < LITTLE
