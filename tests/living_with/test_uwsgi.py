"""uWSGI, which forks in C: Python is not told of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import requests

from tests.support.docs import blocks, first_app, section, with_settings
from tests.support.threads import at_once
from tests.support.uwsgi import uwsgi

CLIENTS, ROUNDS = 8, 12
(CONFIG,) = blocks(section("uWSGI"), "ini")
VIEWS = """

from flask_supertokens import create_new_session_without_request, get_session_without_request


@app.post("/login-as/<user>")
def login_as(user):
    create_new_session(user, session_data={"user": user})
    return {"status": "OK"}


@app.get("/who")
@verify_session(check_database=True)
def who():
    return {"user": current_session.user_id, "stored": current_session.get_data()["user"]}
"""
USED_BEFORE_THE_FORK = """

with app.app_context():
    get_session_without_request(create_new_session_without_request("before").access_token, check_database=True)
"""


def live(address: str, user: str) -> Counter[str]:
    """One client: log in, and in each round ask who one is and refresh; whose row each answer was."""
    seen: Counter[str] = Counter()

    def call(method: str, path: str) -> None:
        response = browser.request(method, address + path, timeout=20)
        seen[f"{method} {response.status_code}"] += 1
        if path == "/who" and response.ok:
            seen["own" if set(response.json().values()) == {user} else "another user's"] += 1

    with requests.Session() as browser:
        call("POST", f"/login-as/{user}")
        for _ in range(ROUNDS):
            call("GET", "/who")
            call("GET", "/who")
            call("POST", "/refresh")
    return seen


@pytest.mark.postgres
@pytest.mark.parametrize("threads", [1, 4])
def test_processes_forked_after_the_first_use_make_connections_of_their_own(
    tmp_path: Path, postgres_uri: str, threads: int
) -> None:
    """Each process makes connections of its own: everybody reads their own row, and nothing fails."""
    settings = {"SUPERTOKENS_DATABASE_URI": postgres_uri.replace("+psycopg", ""), "SUPERTOKENS_COOKIE_SECURE": False}
    code = with_settings(first_app(), settings) + VIEWS + USED_BEFORE_THE_FORK
    (tmp_path / "served.py").write_text(code, "utf-8")
    config = CONFIG.replace("shop:app", "served:app").replace("threads = 4", f"threads = {threads}")
    (tmp_path / "uwsgi.ini").write_text(config, "utf-8")
    with uwsgi(tmp_path, "--ini", str(tmp_path / "uwsgi.ini")) as port:
        clients = at_once(CLIENTS, lambda number: live(f"http://127.0.0.1:{port}", f"user-{number}"))
    log = (tmp_path / "server.log").read_text()
    reads, writes = 2 * CLIENTS * ROUNDS, CLIENTS * (1 + ROUNDS)
    seen = sum(clients, Counter())
    assert seen == {"POST 200": writes, "GET 200": reads, "own": reads}, f"{seen}\n{log}"
    assert not [line for line in log.splitlines() if "ERROR" in line or "Traceback" in line]
