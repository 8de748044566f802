"""Flask-RESTX, which answers errors itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from flask import Flask

from flask_supertokens import (
    SuperTokens,
    TokenTheftError,
    UnauthorisedError,
    create_new_session,
    get_session_information,
    verify_session,
)
from flask_supertokens.stores.memory import MemoryStore
from tests.support.apps import an_app
from tests.support.cookies import cleared_cookies

from .conftest import Run

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of jsonschema, at import
    from flask_restx import Api, Resource

BOTH = {"sAccessToken", "sRefreshToken"}


@pytest.fixture(params=["before", "after"])
def api(request: pytest.FixtureRequest) -> Api:
    """An API on an app whose sessions were set up before it or after it."""
    app = Flask("restx")
    app.config.update(SECRET_KEY="a secret of the tests", SUPERTOKENS_COOKIE_SECURE=False)
    steps: list[Callable[[], object]] = [lambda: SuperTokens(app, store=MemoryStore()), lambda: api.init_app(app)]
    api = Api()
    for step in steps if request.param == "before" else reversed(steps):
        step()
    return api


def test_a_guarded_resource_of_restx_answers_with_a_session_only(run: Run) -> None:
    """It answers with a session only; status and body are ours. The documentation is open, and names the scheme."""
    client = run("Flask-RESTX").app.test_client()
    refused = client.get("/api/orders")
    assert (refused.status_code, refused.json) == (401, {"message": "unauthorised"})
    client.post("/login")
    assert client.get("/api/orders").json == [{"number": 1, "user": "user-1"}]
    assert client.get("/api/swagger.json").json["security"] == [{"session": []}]


@pytest.mark.parametrize("guard", ["method_decorators", "Api", "before_request"])
def test_options_of_a_guarded_restx_resource_run_no_method_without_a_session(api: Api, guard: str) -> None:
    """Wherever the guard stands: Flask answers, or we do where the resource would; TRACE is 405. No method of it runs."""
    if guard == "before_request":
        api.app.before_request(verify_session(lambda: None))

    class Open(Resource):
        method_decorators: ClassVar = [verify_session] if guard == "method_decorators" else []

        def options(self) -> str:
            return "secret"

        get = trace = options

    api.decorators = [verify_session] if guard == "Api" else []
    api.add_resource(Open, "/open")
    client = api.app.test_client()
    response = client.options("/open")
    assert (response.status_code, response.data, set(response.allow)) == (200, b"", {"GET", "HEAD", "OPTIONS"})
    assert (client.open("/open", method="TRACE").status_code, client.get("/open").status_code) == (405, 401)


@pytest.mark.parametrize(("status", "answered"), [(409, 409), (440, 500)])
def test_a_status_of_one_s_own_is_sent_only_if_it_is_on_restx_s_list(status: int, answered: int) -> None:
    """A usual one is sent; one that is not on RESTX's list can't be: the document says so."""
    app = an_app(SUPERTOKENS_SESSION_EXPIRED_STATUS_CODE=status)
    raising(Api(app), UnauthorisedError)
    assert app.test_client().get("/raising").status_code == answered


def raising(api: Api, make: Callable[[], Exception]) -> None:
    """A resource that raises this."""

    class Raising(Resource):
        def get(self) -> None:
            raise make()

    api.add_resource(Raising, "/raising")


def test_an_api_s_own_handler_decides_the_status_and_tokens_are_cleared(api: Api) -> None:
    """It decides the status; the tokens are cleared all the same."""
    raising(api, UnauthorisedError)
    api.errorhandler(UnauthorisedError)(lambda error: ({"mine": True}, 418))
    response = api.app.test_client().get("/raising")
    assert (response.status_code, cleared_cookies(response)) == (418, BOTH)


def test_a_theft_that_an_api_handles_revokes_the_session_all_the_same(api: Api) -> None:
    """The session is revoked all the same."""
    ids: dict[str, Any] = {}
    api.app.add_url_rule("/login", "login", lambda: ids.update(h=create_new_session("user-1").handle) or "")
    raising(api, lambda: TokenTheftError(user_id="user-1", session_handle=ids["h"]))
    api.errorhandler(TokenTheftError)(lambda error: ({}, 200))
    client = api.app.test_client()
    client.get("/login")
    assert cleared_cookies(client.get("/raising")) == BOTH
    with api.app.app_context():
        assert get_session_information(ids["h"]) is None
