"""Flask-RESTful, which answers errors itself."""

from __future__ import annotations

from typing import ClassVar

import pytest
from flask import Flask

from flask_supertokens import TokenTheftError, UnauthorisedError, verify_session
from flask_supertokens.errors import SuperTokensError
from tests.support.cookies import cleared_cookies

from .conftest import Run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Flask-RESTful itself


@pytest.fixture
def app(run: Run) -> Flask:
    return run("Flask-RESTful").app  # type: ignore[no-any-return]


def test_a_guarded_resource_of_restful_answers_with_a_session_only(app: Flask) -> None:
    """It answers with a session only."""
    client = app.test_client()
    refused = client.get("/orders")
    assert (refused.status_code, refused.json) == (401, {"message": "unauthorised"})
    client.post("/login")
    assert client.get("/orders").json == [{"number": 1, "user": "user-1"}]


def test_options_of_a_guarded_restful_resource_run_no_method_without_a_session(app: Flask) -> None:
    """Flask answers, or we do where the resource would; TRACE is 405. No method of it runs without a session."""
    from flask_restful import Api, Resource

    class Open(Resource):
        method_decorators: ClassVar = [verify_session]

        def options(self) -> str:
            return "secret"

        get = trace = options

    Api(app).add_resource(Open, "/open")
    client, allowed = app.test_client(), {"/orders": {"GET", "HEAD", "OPTIONS"}, "/open": {"GET", "HEAD", "OPTIONS"}}
    for path, methods in allowed.items():
        response = client.options(path)
        assert (response.status_code, response.data, set(response.allow)) == (200, b"", methods)
        assert client.open(path, method="TRACE").status_code == 405
    assert client.get("/open").status_code == 401


@pytest.mark.parametrize("error", [UnauthorisedError, TokenTheftError])
def test_an_error_raised_in_a_restful_resource_is_ours_and_clears_the_tokens(
    app: Flask, error: type[SuperTokensError]
) -> None:
    """Status and body are ours, the tokens are cleared."""
    from flask_restful import Api, Resource

    class Raising(Resource):
        def get(self) -> None:
            raise error

    Api(app).add_resource(Raising, "/raising")
    response = app.test_client().get("/raising")
    assert (response.status_code, response.json) == (401, {"message": error.message})
    assert cleared_cookies(response) == {"sAccessToken", "sRefreshToken"}
