"""Flask-Login: its user is the session's."""

from __future__ import annotations

import pytest
from flask import Flask, render_template_string
from werkzeug.test import TestResponse

from tests.support.plans import HOUR, Clock

from .conftest import Run


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(run: Run, clock: Clock) -> Flask:
    app: Flask = run("Flask-Login").app
    app.extensions["supertokens"].engine.clock = clock
    app.add_url_rule(
        "/public", "public", lambda: render_template_string("{{ current_user.id if current_user.is_authenticated }}")
    )
    return app


def test_login_required_lets_the_session_s_user_in(app: Flask) -> None:
    """``login_required`` lets the session's user in, and templates know who it is."""
    client = app.test_client()
    client.post("/login")
    assert client.get("/profile").json == {"user": "user-1"}
    assert client.get("/public").text == "user-1"


def test_a_view_that_requires_a_login_refuses_nobody_as_web_clients_understand(app: Flask) -> None:
    """What the web client understands, and no token is cleared; public pages are shown."""
    response = app.test_client().get("/profile")
    assert (response.status_code, response.json) == (401, {"message": "unauthorised"})
    assert "front-token" not in response.headers
    assert app.test_client().get("/public").text == ""


@pytest.mark.parametrize("path", ["/profile", "/public"])
def test_a_user_with_an_expired_token_is_known_again_after_a_refresh(app: Flask, clock: Clock, path: str) -> None:
    """The client is asked to refresh, and is known again afterwards."""
    client = app.test_client()
    client.post("/login")
    clock.wait(HOUR)
    assert _answer(client.get(path)) == (401, {"message": "try refresh token"})
    client.post("/refresh")
    assert client.get(path).status_code == 200


def _answer(response: TestResponse) -> tuple[int, object]:
    return response.status_code, response.json


def test_a_view_that_signs_somebody_in_sees_them_as_the_current_user(app: Flask) -> None:
    """In the same request."""
    from flask_login import current_user

    from flask_supertokens import create_new_session

    app.post("/as-other")(lambda: create_new_session("user-2") and {"user": current_user.id})
    client = app.test_client()
    client.post("/login")
    assert client.post("/as-other").json == {"user": "user-2"}
