"""APIFlask: a guarded view and what its OpenAPI document says."""

from __future__ import annotations

import pytest
from flask import Flask

from .conftest import Run


@pytest.fixture
def app(run: Run) -> Flask:
    return run("APIFlask").app  # type: ignore[no-any-return]


def test_a_guarded_view_of_apiflask_answers_with_a_session_only(app: Flask) -> None:
    """It answers with a session only; status and body are ours."""
    client = app.test_client()
    refused = client.get("/me")
    assert (refused.status_code, refused.json) == (401, {"message": "unauthorised"})
    client.post("/login")
    assert client.get("/me").json == {"user": "user-1"}


def test_a_refresh_works_in_an_apiflask_app(app: Flask) -> None:
    """Our routes work in this kind of app."""
    client = app.test_client()
    client.post("/login")
    assert (client.post("/refresh").json, client.post("/signout").json) == ({}, {"status": "OK"})


def test_the_openapi_document_of_apiflask_names_both_schemes_and_refusals(app: Flask) -> None:
    """The operation names both schemes and how it refuses; our routes are not part of the app's API."""
    document = app.test_client().get("/openapi.json").json
    assert document is not None
    operation = document["paths"]["/me"]["get"]
    assert operation["security"] == [{"cookie": []}, {"header": []}]
    assert operation["responses"]["401"]["description"] == "unauthorised, or try refresh token"
    assert set(document["components"]["securitySchemes"]) == {"cookie", "header"}
    assert set(document["paths"]) == {"/login", "/me"}
