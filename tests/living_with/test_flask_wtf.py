"""Flask-WTF: its CSRF check and our routes."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_wtf import CSRFProtect
from flask_wtf.csrf import generate_csrf

from tests.support.apps import an_app

from .conftest import Run


@pytest.fixture
def client(run: Run) -> FlaskClient:
    """Logged in, with the CSRF token that a form of the app would have."""
    app: Flask = run("Flask-WTF").app
    app.get("/form")(generate_csrf)
    client = app.test_client()
    assert client.post("/login", headers={"X-CSRFToken": client.get("/form").text}).status_code == 200
    return client


def test_every_refresh_is_refused_without_the_exemption() -> None:
    """Every refresh would be refused."""
    app = an_app()
    CSRFProtect(app)
    assert b"CSRF token is missing" in app.test_client().post("/refresh").data


@pytest.mark.parametrize(("path", "body"), [("/refresh", {}), ("/signout", {"status": "OK"})])
def test_a_route_of_ours_needs_no_csrf_token_of_flask_wtf(client: FlaskClient, path: str, body: dict[str, Any]) -> None:
    """The web client needs no CSRF token of Flask-WTF's."""
    assert client.post(path).json == body


@pytest.mark.parametrize("path", ["/refresh", "/signout"])
def test_a_foreign_page_s_post_to_a_route_of_ours_is_still_refused(client: FlaskClient, path: str) -> None:
    """It is refused as before; the exemption opens nothing."""
    response = client.post(path, headers={"Sec-Fetch-Site": "cross-site"})
    assert (response.status_code, response.json) == (403, {"message": "cross-site request refused"})
    assert client.get("/me").status_code == 200


def test_a_view_of_the_app_s_is_still_checked_by_flask_wtf(client: FlaskClient) -> None:
    """It is still checked."""
    assert client.post("/login").status_code == 400
