"""Flask-Smorest: a guarded view and what its OpenAPI document says."""

from __future__ import annotations

from types import ModuleType

import pytest

from .conftest import Run


@pytest.fixture
def module(run: Run) -> ModuleType:
    return run("Flask-Smorest")


def test_a_guarded_view_of_smorest_answers_with_a_session_only(module: ModuleType) -> None:
    """It answers with a session only; status and body are ours."""
    client = module.app.test_client()
    refused = client.get("/orders")
    assert (refused.status_code, refused.json) == (401, {"message": "unauthorised"})
    client.post("/login")
    assert client.get("/orders").json == [{"number": 1, "user": "user-1"}]


def test_the_openapi_document_of_smorest_names_both_schemes_and_refusals(module: ModuleType) -> None:
    """The operation names both schemes, and how it refuses."""
    document = module.api.spec.to_dict()
    operation = document["paths"]["/orders"]["get"]
    assert operation["security"] == [{"cookie": []}, {"header": []}]
    assert operation["responses"]["401"] == {"description": "unauthorised, or try refresh token"}
    assert document["components"]["securitySchemes"]["cookie"]["name"] == "__Host-sAccessToken"


def test_the_openapi_document_names_the_cookie_that_browsers_get_over_https(run: Run) -> None:
    """It is the one that browsers get over https."""
    app = run("Flask-Smorest", TESTING=False).app
    response = app.test_client().post("/login", base_url="https://localhost")
    assert response.headers["Set-Cookie"].startswith("__Host-sAccessToken=")
