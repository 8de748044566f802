"""GraphQL: the view is verified, so that a client is told by the status."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from flask_supertokens import get_session
from tests.support.plans import HOUR, Clock

from .conftest import Run


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(run: Run, clock: Clock) -> Flask:
    app: Flask = run("GraphQL").app
    app.extensions["supertokens"].engine.clock = clock
    return app


def ask(client: FlaskClient) -> TestResponse:
    return client.post("/graphql", json={"query": "{ me }"})


def test_a_query_is_answered_with_a_session_only_and_401_with_an_expired_token(app: Flask, clock: Clock) -> None:
    """It is answered with a session only, and with an expired token by the 401 on which clients refresh."""
    client = app.test_client()
    assert (ask(client).status_code, ask(client).json) == (401, {"message": "unauthorised"})
    client.post("/login")
    assert ask(client).json == {"data": {"me": "user-1"}}
    clock.wait(HOUR)
    assert (ask(client).status_code, ask(client).json) == (401, {"message": "try refresh token"})
    client.post("/refresh")
    assert ask(client).status_code == 200


def test_what_a_resolver_raises_for_want_of_a_session_is_answered_200(run: Run) -> None:
    """Why it is the view that is verified: what a resolver raises is answered 200."""
    module = run("GraphQL")
    strawberry, view = module.strawberry, module.GraphQLView

    def me() -> str:
        session = get_session()
        assert session is not None
        return session.user_id

    query = strawberry.type(type("Query", (), {"me": strawberry.field(resolver=me), "__annotations__": {"me": str}}))
    unguarded = view.as_view("unguarded", schema=strawberry.Schema(query))
    module.app.add_url_rule("/unguarded", view_func=unguarded, methods=["POST"])
    response = module.app.test_client().post("/unguarded", json={"query": "{ me }"})
    assert (response.status_code, response.json["data"]) == (200, None)
