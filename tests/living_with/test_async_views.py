"""Views that are coroutines."""

from __future__ import annotations

import pytest
from flask import Flask

from flask_supertokens import create_new_session, current_session, get_session
from tests.support.cookies import cookie_lines
from tests.support.threads import at_once

from .conftest import Run


@pytest.fixture
def app(run: Run) -> Flask:
    return run("async views").app  # type: ignore[no-any-return]


def test_an_async_view_runs_with_a_session_only_and_its_tasks_know_whose(app: Flask) -> None:
    """It runs with a session only, and its tasks know whose it is."""
    client = app.test_client()
    assert client.get("/slow").json == {"message": "unauthorised"}
    client.post("/login")
    assert client.get("/slow").json == {"users": ["user-1"] * 3}


def test_tokens_leave_and_are_cleared_with_the_response_of_a_coroutine(app: Flask) -> None:
    """It makes a session, or ends one."""

    @app.post("/in")
    async def log_in() -> dict[str, str]:
        return {"user": create_new_session("user-2").user_id}

    @app.post("/out")
    async def log_out() -> dict[str, bool]:
        assert get_session()
        current_session.revoke()
        return {"gone": not current_session}

    client = app.test_client()
    assert len(cookie_lines(client.post("/in"))) == 2
    assert client.post("/out").json == {"gone": True}
    assert client.get("/slow").status_code == 401


def test_each_of_many_coroutines_sees_its_own_request_s_session(app: Flask) -> None:
    """Each coroutine sees its own request's session."""
    app.add_url_rule("/as/<user>", "as", lambda user: {"user": create_new_session(user).user_id}, methods=["POST"])

    def ask(number: int) -> bool:
        client = app.test_client()
        client.post(f"/as/user-{number}")
        return client.get("/slow").json == {"users": [f"user-{number}"] * 3}

    assert all(at_once(10, ask))
