"""An app renders our errors as it likes; what they do to tokens and sessions happens whatever it does."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, request, stream_with_context
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, Unauthorized
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
    create_new_session,
    current_session,
    get_session,
    verify_session,
)
from flask_supertokens.errors import LEAVES
from flask_supertokens.stores.memory import MemoryStore

from .support.cookies import set_cookies
from .support.names import spelled
from .support.wire import (
    SECRET,
    UNAUTHORISED,
    BrokenStore,
    a_session,
    add,
    an_app,
    call,
    cleared,
    handles,
    run,
    signed_in,
    untouched,
)

LEAF = pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)


def mine(error: Exception) -> ResponseReturnValue:
    return {"mine": type(error).__name__}, 418


async def mine_async(error: Exception) -> ResponseReturnValue:
    return mine(error)


def raising(error: Exception) -> Callable[[], Any]:
    def view() -> Any:
        raise error

    return view


# -- the app's own handlers --------------------------------------------------------------------------------------------


@LEAF
@pytest.mark.parametrize("handled", ["leaf", "base"])
@pytest.mark.parametrize("handler", [mine, mine_async], ids=["sync", "async"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_app_has_its_own_handler(moment: str, handler: Any, handled: str, leaf: type[SuperTokensError]) -> None:
    """For a leaf or for the base, registered before or after `init_app`: it wins."""
    app = Flask("handlers")
    app.config.update(SECRET_KEY=SECRET)
    for step in ("handler", "extension") if moment == "before" else ("extension", "handler"):
        if step == "handler":
            app.register_error_handler(leaf if handled == "leaf" else SuperTokensError, handler)
        else:
            SuperTokens(app, store=MemoryStore())
    response = call(add(app, raising(leaf())), "GET", "/view")
    assert (response.status_code, response.json) == (418, {"mine": leaf.__name__})


@LEAF
@pytest.mark.parametrize("handled", ["leaf", "base"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_blueprint_has_its_own_handler(nested: bool, handled: str, leaf: type[SuperTokensError]) -> None:
    """It wins for its own views, nested ones too, and for no others."""
    app, blueprint, inner = an_app(), Blueprint("outer", __name__), Blueprint("inner", __name__)
    blueprint.register_error_handler(leaf if handled == "leaf" else SuperTokensError, mine)
    (inner if nested else blueprint).add_url_rule("/inside", view_func=raising(leaf()))
    blueprint.register_blueprint(inner)
    app.register_blueprint(blueprint)
    assert call(app, "GET", "/inside").json == {"mine": leaf.__name__}
    assert call(app, "POST", "/refresh").json == UNAUTHORISED


def test_a_leaf_and_the_base_are_handled() -> None:
    """The handler for the leaf wins, the other one takes the rest."""
    app = an_app()
    app.register_error_handler(SuperTokensError, mine)
    app.register_error_handler(UnauthorisedError, lambda error: "leaf")
    assert run(app, raising(UnauthorisedError())).text == "leaf"
    assert run(app, raising(TryRefreshTokenError())).json == {"mine": "TryRefreshTokenError"}


@pytest.mark.parametrize("handled", [401, Unauthorized, HTTPException, Exception], ids=str)
@pytest.mark.parametrize("on_blueprint", [False, True])
def test_a_handler_is_for_something_wider(handled: Any, on_blueprint: bool) -> None:
    """Ours stays: web clients need its answer."""
    app, blueprint = an_app(), Blueprint("b", __name__)
    (blueprint if on_blueprint else app).register_error_handler(handled, mine)
    blueprint.add_url_rule("/inside", view_func=verify_session(lambda: "inside"))
    app.register_blueprint(blueprint)
    response = call(app, "GET", "/inside")
    assert (response.status_code, response.json) == (401, UNAUTHORISED)


def test_an_app_derives_an_error() -> None:
    """A subclass is answered and cleared as its parent, its own handler wins."""

    class GoneError(UnauthorisedError):
        pass

    app = an_app()
    response = run(app, raising(GoneError()))
    assert (response.json, cleared(response)) == (UNAUTHORISED, {"cookie", "header"})
    other = an_app()
    other.register_error_handler(GoneError, mine)
    assert run(other, raising(GoneError())).json == {"mine": "GoneError"}


@pytest.mark.parametrize("setting", ["TRAP_HTTP_EXCEPTIONS", "TESTING", "DEBUG"])
def test_an_app_is_developed(setting: str) -> None:
    """Our errors are answered, not thrown at the developer."""
    assert call(an_app(**{setting: True}), "GET", "/me").json == UNAUTHORISED


# -- what happens whatever a handler does ------------------------------------------------------------------------------


def broken(error: Exception) -> ResponseReturnValue:
    raise RuntimeError("the handler is broken")


HANDLERS: list[Any] = [None, mine, mine_async, lambda error: ("", 204), broken]


@pytest.mark.parametrize("handler", HANDLERS, ids=["default", "own", "async", "204", "broken"])
@pytest.mark.parametrize("leaf", [UnauthorisedError, TokenTheftError, SuperTokensError])
def test_tokens_are_cleared(leaf: type[SuperTokensError], handler: Any) -> None:
    """Whoever raises the error and whoever renders it."""
    app = an_app()
    session = a_session(app)
    if handler is not None:
        app.register_error_handler(leaf, handler)
    for action in (
        raising(UnauthorisedError()),
        raising(TokenTheftError(user_id="user-1", session_handle=session.handle)),
    ):
        response = run(app, action)
        assert cleared(response) == {"cookie", "header"}
        assert response.headers["front-token"] == "remove"
    assert handles(app) == []


@pytest.mark.parametrize(
    ("error", "clears"),
    [
        (UnauthorisedError("x"), {"cookie", "header"}),
        (UnauthorisedError("x", clear_tokens=False), set()),
        (TryRefreshTokenError("x"), set()),
        (TryRefreshTokenError("x", clear_tokens=True), {"cookie", "header"}),
        (TokenTheftError(), {"cookie", "header"}),
        (InvalidClaimError(errors=[{"id": "x"}]), set()),
        (CrossSiteRequestError(), set()),
        (GeneralError("x"), set()),
    ],
    ids=spelled,
)
def test_the_app_raises_an_error(error: SuperTokensError, clears: set[str]) -> None:
    """Tokens are cleared as the error says; the answer is the fixed one."""
    app = an_app()
    response = run(app, raising(error), verified=True, access=signed_in(app).access_token)
    assert (response.status_code, response.json, cleared(response)) == (error.code, error.data, clears)
    assert clears or untouched(response)


def test_the_app_raises_after_a_log_in() -> None:
    """The tokens that were about to leave are dropped."""
    app = an_app(anti_csrf="VIA_TOKEN")

    def view() -> None:
        create_new_session("user-1")
        raise UnauthorisedError("on second thoughts")

    response = run(app, view)
    assert cleared(response) == {"cookie", "header"}
    assert (response.headers.getlist("front-token"), "anti-csrf" in response.headers) == (["remove"], False)


def test_the_app_raises_and_keeps_the_tokens() -> None:
    """``clear_tokens=False``: those made in this request leave too."""
    app = an_app()

    def view() -> None:
        create_new_session("user-1")
        raise UnauthorisedError("not yet", clear_tokens=False)

    response = run(app, view)
    assert response.status_code == 401
    assert all(cookie.value for cookie in set_cookies(response).values())


def test_the_app_logs_in_after_an_error_that_it_caught() -> None:
    """What comes later wins: the new tokens leave."""
    app = an_app()

    def view() -> str:
        try:
            current_session.get_data()
        except UnauthorisedError:
            return create_new_session("new").user_id
        return "not reached"

    session = a_session(app)
    session._state.engine.revoke([session.handle])
    response = run(app, view, verified=True, access=session.access_token)
    assert response.json == "new"
    assert all(cookie.value for cookie in set_cookies(response).values())


def test_a_theft_is_raised_twice() -> None:
    """Revoked and signalled once, though noted on every way out."""
    from flask_supertokens import signals

    heard: list[str] = []

    def hear(sender: Any, session_handle: str, **_: Any) -> None:
        heard.append(session_handle)

    app = an_app()
    app.register_error_handler(TokenTheftError, lambda error: error.get_response())
    handle = a_session(app).handle
    with signals.token_theft_detected.connected_to(hear):
        run(app, raising(TokenTheftError(user_id="user-1", session_handle=handle)))
    assert heard == [handle]


# -- other frameworks --------------------------------------------------------------------------------------------------


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
def test_a_framework_renders_an_error(framework: Any, moment: str, error: SuperTokensError) -> None:
    """Status, body and clearing are as in plain Flask."""
    _, response = thing(framework, moment, raising(error))
    assert (response.status_code, response.json) == (error.code, error.data)
    assert cleared(response) == ({"cookie", "header"} if error.clears else set())
    assert ("Retry-After" in response.headers) is (error.code == GeneralError.code)


@FRAMEWORK
@MOMENT
def test_a_framework_view_is_decorated(framework: Any, moment: str) -> None:
    """Without a session 401 with our body, with one it runs."""
    app, response = thing(framework, moment, verify_session(lambda: {"user": current_session.user_id}))
    assert (response.status_code, response.json, untouched(response)) == (401, UNAUTHORISED, True)
    assert call(app, "GET", "/thing", access=signed_in(app).access_token).json == {"user": "user-1"}


@FRAMEWORK
def test_a_framework_view_finds_a_theft(framework: Any) -> None:
    """The session is revoked."""
    app = an_app()
    handle = a_session(app).handle
    framework(app, raising(TokenTheftError(user_id="user-1", session_handle=handle)))
    assert cleared(call(app, "GET", "/thing")) == {"cookie", "header"}
    assert handles(app) == []


@pytest.mark.parametrize("framework", [with_restful, with_smorest])
def test_a_framework_has_the_status_of_old_clients(framework: Any) -> None:
    """440 too; RESTX knows only the statuses of the standard library."""
    _, response = thing(framework, "after", verify_session(lambda: {}), session_expired_status_code=440)
    assert (response.status_code, response.json) == (440, UNAUTHORISED)


@FRAMEWORK
def test_the_store_fails_below_a_framework(framework: Any) -> None:
    """503, cookies as they are."""
    store = BrokenStore()
    app = an_app(store)
    framework(app, verify_session(session_required=False, check_database=True)(lambda: {"open": True}))
    access = signed_in(app).access_token
    store.down = True
    response = call(app, "GET", "/thing", access=access)
    assert (response.status_code, response.json) == (503, {"message": "service unavailable"})
    assert untouched(response)


# -- bodies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("render", [None, mine], ids=["ours", "own"])
def test_a_refused_body_is_read(render: Any) -> None:
    """To its end, whoever renders the refusal: a proxy that still sends it would make a 502 of a cut connection."""
    app, body = an_app(), BytesIO(b"a" * 200_000)
    if render is not None:
        app.register_error_handler(SuperTokensError, render)
    json = {"Content-Type": "application/json"}
    response = call(app, "POST", "/me", headers=json, input_stream=body, content_length=200_000)
    assert (response.status_code, body.read()) == (401 if render is None else 418, b"")


def test_a_refused_body_is_too_large() -> None:
    """It stays unread; the refusal is the same."""
    app, body = an_app(MAX_CONTENT_LENGTH=1000), BytesIO(b"a" * 1001)
    response = call(app, "POST", "/me", input_stream=body, content_length=1001)
    assert (response.json, len(body.read())) == (UNAUTHORISED, 1001)


def test_a_body_that_is_not_refused_is_left_to_the_view() -> None:
    """Nothing is read for a view that does not look at it."""
    app, body = an_app(), BytesIO(b"a" * 1001)
    tokens = signed_in(app)
    response = call(app, "POST", "/me", access=tokens.access_token, input_stream=body, content_length=1001)
    assert (response.status_code, len(body.read())) == (200, 1001)


class BrokenStream:
    """A body whose chunks are none."""

    def read(self, _: int = -1) -> bytes:
        raise OSError("invalid chunk size")


def test_the_body_can_not_be_read() -> None:
    """The refusal is the response all the same, and its tokens are cleared."""
    app = an_app()
    environ = {"wsgi.input": BrokenStream(), "wsgi.input_terminated": True}
    response = call(app, "POST", "/refresh", access="x", environ_overrides=environ)
    assert (response.status_code, cleared(response)) == (401, {"cookie", "header"})


def test_an_app_swallows_a_refusal_and_streams_the_body() -> None:
    """The body is left to it: its response is no refusal."""
    app = an_app()

    def view() -> Any:
        with contextlib.suppress(SuperTokensError):
            get_session()
        return Response(stream_with_context(iter(lambda: request.stream.read(4), b"")))

    app.add_url_rule("/echo", view_func=view, methods=["POST"])
    assert call(app, "POST", "/echo", data=b"hello world").data == b"hello world"
