"""Frameworks that render errors themselves: Flask-RESTful, Flask-RESTX, flask-smorest."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from flask_supertokens import (
    CrossSiteRequestError,
    GeneralError,
    InvalidClaimError,
    SuperTokens,
    SuperTokensError,
    TokenTheftError,
    TryRefreshTokenError,
    UnauthorisedError,
    current_session,
    verify_session,
)
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import SECRET, BrokenStore, a_session, an_app, handles, raising, signed_in
from ..support.cookies import BOTH_COOKIES, cleared_cookies
from ..support.wire import UNAUTHORISED, ask, call, cleared_methods, log_in, sets_no_tokens


def app_with_resources(framework: Any) -> Flask:
    """Flask-RESTX is a fork of Flask-RESTful: resources are written alike."""
    app = an_app()
    api = framework.Api(app)

    class Guarded(framework.Resource):  # type: ignore[misc]
        method_decorators = (verify_session,)

        def get(self) -> dict[str, str]:
            return {"user": current_session.user_id}

    class Failing(framework.Resource):  # type: ignore[misc]
        def get(self) -> None:
            raise UnauthorisedError

    api.add_resource(Guarded, "/guarded")
    api.add_resource(Failing, "/failing")
    return app


def restful_app() -> Flask:
    import flask_restful

    return app_with_resources(flask_restful)


def restx_app() -> Flask:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import flask_restx

    return app_with_resources(flask_restx)


def smorest_app() -> Flask:
    from flask_smorest import Api
    from flask_smorest import Blueprint as SmorestBlueprint

    app = an_app(API_TITLE="t", API_VERSION="1", OPENAPI_VERSION="3.0.3")
    blueprint = SmorestBlueprint("b", __name__)
    blueprint.route("/guarded")(verify_session(lambda: {"user": current_session.user_id}))

    @blueprint.route("/failing")
    def failing() -> None:
        raise UnauthorisedError

    Api(app).register_blueprint(blueprint)
    return app


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the frameworks themselves
@pytest.mark.parametrize("make", [restful_app, restx_app, smorest_app])
def test_frameworks_that_handle_errors_themselves_send_our_status_body_and_clearing(make: Any) -> None:
    """Status, body and clearing are right there too."""
    app = make()
    assert ask(app, "GET", "/guarded").json == {"message": "unauthorised"}
    assert ask(app, "GET", "/guarded").status_code == 401
    assert ask(app, "GET", "/guarded", f"sAccessToken={log_in(app).access}").json == {"user": "user-1"}
    response = ask(app, "GET", "/failing")
    assert (response.status_code, response.json, cleared_cookies(response)) == (
        401,
        {"message": "unauthorised"},
        BOTH_COOKIES,
    )


def with_restful(app: Flask, action: Callable[[], Any]) -> None:
    from flask_restful import Api, Resource

    class Thing(Resource):  # type: ignore[misc]
        def get(self) -> Any:
            return action()

    Api(app).add_resource(Thing, "/thing")


def with_restx(app: Flask, action: Callable[[], Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from flask_restx import Api, Resource

        class Thing(Resource):  # type: ignore[misc]
            def get(self) -> Any:
                return action()

        Api(app, doc=False).add_resource(Thing, "/thing")


def with_smorest(app: Flask, action: Callable[[], Any]) -> None:
    from flask_smorest import Api
    from flask_smorest import Blueprint as SmorestBlueprint

    app.config.update(API_TITLE="t", API_VERSION="1", OPENAPI_VERSION="3.0.3")
    blueprint = SmorestBlueprint("things", "things")
    blueprint.add_url_rule("/thing", view_func=action)
    Api(app).register_blueprint(blueprint)


def thing(framework: Any, moment: str, action: Callable[[], Any], **settings: Any) -> tuple[Flask, TestResponse]:
    """What a framework's view answers, its API made before or after the extension."""
    app = an_app(**settings) if moment == "after" else Flask("framework")
    framework(app, action)
    if moment == "before":
        app.config.update(SECRET_KEY=SECRET, SUPERTOKENS_COOKIE_SECURE=False)
        SuperTokens(app, store=MemoryStore())
    return app, call(app, "GET", "/thing")


FRAMEWORK = pytest.mark.parametrize("framework", [with_restful, with_restx, with_smorest])


MOMENT = pytest.mark.parametrize("moment", ["before", "after"])


@FRAMEWORK
@MOMENT
@pytest.mark.parametrize(
    "error",
    [
        UnauthorisedError("why"),
        TokenTheftError("why", user_id="u", session_handle="h"),
        TryRefreshTokenError("why"),
        InvalidClaimError("why", errors=[{"id": "role"}]),
        CrossSiteRequestError("why"),
        GeneralError("why"),
        GeneralError("why", retry=False),
    ],
    ids=lambda error: f"{type(error).__name__}-{error.code}",
)
def test_an_error_rendered_by_a_framework_is_as_in_plain_flask(
    framework: Any, moment: str, error: SuperTokensError
) -> None:
    """Status, body and clearing are as in plain Flask."""
    _, response = thing(framework, moment, raising(error))
    assert (response.status_code, response.json) == (error.code, error.data)
    assert cleared_methods(response) == ({"cookie", "header"} if error.clears else set())
    assert ("Retry-After" in response.headers) is (error.code == GeneralError.code)


@FRAMEWORK
@MOMENT
def test_a_decorated_view_of_a_framework_runs_with_a_session_only(framework: Any, moment: str) -> None:
    """Without a session 401 with our body, with one it runs."""
    app, response = thing(framework, moment, verify_session(lambda: {"user": current_session.user_id}))
    assert (response.status_code, response.json, sets_no_tokens(response)) == (401, UNAUTHORISED, True)
    assert call(app, "GET", "/thing", access=signed_in(app).access_token).json == {"user": "user-1"}


@FRAMEWORK
def test_a_theft_found_in_a_view_of_a_framework_revokes_the_session(framework: Any) -> None:
    """The session is revoked."""
    app = an_app()
    handle = a_session(app).handle
    framework(app, raising(TokenTheftError(user_id="user-1", session_handle=handle)))
    assert cleared_methods(call(app, "GET", "/thing")) == {"cookie", "header"}
    assert handles(app) == []


@pytest.mark.parametrize("framework", [with_restful, with_smorest])
def test_a_framework_sends_the_status_of_old_clients_unless_it_is_restx(framework: Any) -> None:
    """440 too; RESTX knows only the statuses of the standard library."""
    _, response = thing(framework, "after", verify_session(lambda: {}), session_expired_status_code=440)
    assert (response.status_code, response.json) == (440, UNAUTHORISED)


@FRAMEWORK
def test_a_store_that_fails_below_a_framework_is_a_503_and_cookies_stay(framework: Any) -> None:
    """503, cookies as they are."""
    store = BrokenStore()
    app = an_app(store)
    framework(app, verify_session(session_required=False, check_database=True)(lambda: {"open": True}))
    access = signed_in(app).access_token
    store.down = True
    response = call(app, "GET", "/thing", access=access)
    assert (response.status_code, response.json) == (503, {"message": "service unavailable"})
    assert sets_no_tokens(response)
