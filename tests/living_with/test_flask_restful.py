"""Flask-RESTful, which answers errors itself."""

from __future__ import annotations

import pytest
from flask import Flask

from flask_supertokens import TokenTheftError, UnauthorisedError
from flask_supertokens.errors import SuperTokensError
from tests.support.cookies import cleared_cookies

from .conftest import Run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Flask-RESTful itself


@pytest.fixture
def app(run: Run) -> Flask:
    return run("Flask-RESTful").app  # type: ignore[no-any-return]


def test_a_guarded_resource(app: Flask) -> None:
    """It answers with a session only."""
    client = app.test_client()
    refused = client.get("/orders")
    assert (refused.status_code, refused.json) == (401, {"message": "unauthorised"})
    client.post("/login")
    assert client.get("/orders").json == [{"number": 1, "user": "user-1"}]


@pytest.mark.parametrize("error", [UnauthorisedError, TokenTheftError])
def test_a_resource_that_raises(app: Flask, error: type[SuperTokensError]) -> None:
    """Status and body are ours, the tokens are cleared."""
    from flask_restful import Api, Resource

    class Raising(Resource):
        def get(self) -> None:
            raise error

    Api(app).add_resource(Raising, "/raising")
    response = app.test_client().get("/raising")
    assert (response.status_code, response.json) == (401, {"message": error.message})
    assert cleared_cookies(response) == {"sAccessToken", "sRefreshToken"}
