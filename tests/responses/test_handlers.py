"""An app renders our errors as it likes; what they do to tokens and sessions happens whatever it does."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Blueprint, Flask
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, Unauthorized

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
    signals,
    verify_session,
)
from flask_supertokens.errors import LEAVES
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import SECRET, a_session, add, an_app, an_app_with_users, handles, raising, signed_in
from ..support.cookies import BOTH_COOKIES, cleared_cookies, set_cookies
from ..support.names import spell
from ..support.wire import UNAUTHORISED, ask, call, cleared_methods, run, sets_no_tokens


@pytest.mark.parametrize("when", ["before", "after", "blueprint"])
def test_a_handler_of_the_app_decides_the_looks_and_tokens_are_cleared(when: str) -> None:
    """It decides the looks; the tokens are cleared all the same."""
    app = Flask("own")
    app.config.update(SECRET_KEY="x", SUPERTOKENS_COOKIE_SECURE=False)
    place: Any = Blueprint("place", __name__) if when == "blueprint" else app
    if when == "after":
        SuperTokens(app, store=MemoryStore())
    place.errorhandler(UnauthorisedError)(lambda error: ("mine", 418))

    @place.get("/fail")
    def fail() -> str:
        raise UnauthorisedError("out")

    if when == "blueprint":
        app.register_blueprint(place)
    if when != "after":
        SuperTokens(app, store=MemoryStore())
    response = ask(app, "GET", "/fail")
    assert (response.status_code, response.text, cleared_cookies(response)) == (418, "mine", BOTH_COOKIES)


def test_handlers_for_401_and_exception_do_not_replace_the_defaults() -> None:
    """Those for 401 and for Exception do not replace the defaults."""
    app = an_app()
    app.register_error_handler(401, lambda error: ("other", 418))
    app.register_error_handler(Exception, lambda error: ("other", 418))
    assert ask(app, "GET", "/me").json == {"message": "unauthorised"}


@pytest.mark.parametrize(("clear", "cleared"), [(None, BOTH_COOKIES), (True, BOTH_COOKIES), (False, set())])
def test_unauthorised_raised_by_the_app_clears_the_tokens_unless_told_not_to(
    clear: bool | None, cleared: set[str]
) -> None:
    """It clears the tokens unless told not to."""
    app = an_app()

    @app.get("/fail")
    def fail() -> str:
        raise UnauthorisedError(clear_tokens=clear)

    assert cleared_cookies(ask(app, "GET", "/fail")) == cleared


@pytest.mark.parametrize("on_blueprint", [False, True])
def test_a_handler_for_the_base_class_renders_every_leaf_without_its_own(on_blueprint: bool) -> None:
    """The app's or a blueprint's handler for `SuperTokensError` renders every leaf that has no handler of its own."""
    from flask import Blueprint

    app = an_app_with_users()
    place: Any = Blueprint("place", __name__) if on_blueprint else app
    place.errorhandler(SuperTokensError)(lambda error: (type(error).__name__, 418))
    place.get("/guarded")(verify_session(lambda: ""))
    if on_blueprint:
        app.register_blueprint(place)
    response = app.test_client().get("/guarded")
    assert (response.status_code, response.text) == (418, "UnauthorisedError")


def test_an_error_class_of_the_app_keeps_its_status() -> None:
    """It keeps that status."""

    class Teapot(UnauthorisedError):
        code = 418

    app = an_app_with_users(SUPERTOKENS_SESSION_EXPIRED_STATUS_CODE=440)

    @app.get("/tea")
    def tea() -> str:
        raise Teapot

    assert app.test_client().get("/tea").status_code == 418
    assert app.test_client().get("/me").status_code == 440


def test_an_error_that_an_app_renders_itself_clears_the_tokens() -> None:
    """Its handler is asked, and the tokens are cleared all the same."""
    app = an_app()
    app.register_error_handler(UnauthorisedError, lambda error: ("mine", 418))
    response = call(app, "POST", "/refresh", refresh="garbage")
    assert (response.status_code, response.text, cleared_methods(response)) == (418, "mine", {"cookie", "header"})


LEAF = pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)


def mine(error: Exception) -> ResponseReturnValue:
    return {"mine": type(error).__name__}, 418


async def mine_async(error: Exception) -> ResponseReturnValue:
    return mine(error)


@LEAF
@pytest.mark.parametrize("handled", ["leaf", "base"])
@pytest.mark.parametrize("handler", [mine, mine_async], ids=["sync", "async"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_handler_of_the_app_wins_whenever_it_was_registered(
    moment: str, handler: Any, handled: str, leaf: type[SuperTokensError]
) -> None:
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
def test_a_handler_of_a_blueprint_wins_for_its_own_views_only(
    nested: bool, handled: str, leaf: type[SuperTokensError]
) -> None:
    """It wins for its own views, nested ones too, and for no others."""
    app, blueprint, inner = an_app(), Blueprint("outer", __name__), Blueprint("inner", __name__)
    blueprint.register_error_handler(leaf if handled == "leaf" else SuperTokensError, mine)
    (inner if nested else blueprint).add_url_rule("/inside", view_func=raising(leaf()))
    blueprint.register_blueprint(inner)
    app.register_blueprint(blueprint)
    assert call(app, "GET", "/inside").json == {"mine": leaf.__name__}
    assert call(app, "POST", "/refresh").json == UNAUTHORISED


def test_a_handler_for_a_leaf_wins_over_the_one_for_the_base() -> None:
    """The handler for the leaf wins, the other one takes the rest."""
    app = an_app()
    app.register_error_handler(SuperTokensError, mine)
    app.register_error_handler(UnauthorisedError, lambda error: "leaf")
    assert run(app, raising(UnauthorisedError())).text == "leaf"
    assert run(app, raising(TryRefreshTokenError())).json == {"mine": "TryRefreshTokenError"}


@pytest.mark.parametrize("handled", [401, Unauthorized, HTTPException, Exception], ids=str)
@pytest.mark.parametrize("on_blueprint", [False, True])
def test_a_handler_for_something_wider_does_not_replace_ours(handled: Any, on_blueprint: bool) -> None:
    """Ours stays: web clients need its answer."""
    app, blueprint = an_app(), Blueprint("b", __name__)
    (blueprint if on_blueprint else app).register_error_handler(handled, mine)
    blueprint.add_url_rule("/inside", view_func=verify_session(lambda: "inside"))
    app.register_blueprint(blueprint)
    response = call(app, "GET", "/inside")
    assert (response.status_code, response.json) == (401, UNAUTHORISED)


def test_a_derived_error_is_rendered_and_cleared_as_its_parent() -> None:
    """A subclass is answered and cleared as its parent, its own handler wins."""

    class GoneError(UnauthorisedError):
        pass

    app = an_app()
    response = run(app, raising(GoneError()))
    assert (response.json, cleared_methods(response)) == (UNAUTHORISED, {"cookie", "header"})
    other = an_app()
    other.register_error_handler(GoneError, mine)
    assert run(other, raising(GoneError())).json == {"mine": "GoneError"}


@pytest.mark.parametrize("setting", ["TRAP_HTTP_EXCEPTIONS", "TESTING", "DEBUG"])
def test_our_errors_are_rendered_and_not_thrown_while_developing(setting: str) -> None:
    """Our errors are answered, not thrown at the developer."""
    assert call(an_app(**{setting: True}), "GET", "/me").json == UNAUTHORISED


def broken(error: Exception) -> ResponseReturnValue:
    raise RuntimeError("the handler is broken")


HANDLERS: list[Any] = [None, mine, mine_async, lambda error: ("", 204), broken]


@pytest.mark.parametrize("handler", HANDLERS, ids=["default", "own", "async", "204", "broken"])
@pytest.mark.parametrize("leaf", [UnauthorisedError, TokenTheftError, SuperTokensError])
def test_tokens_are_cleared_whoever_raises_and_renders_the_error(leaf: type[SuperTokensError], handler: Any) -> None:
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
        assert cleared_methods(response) == {"cookie", "header"}
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
    ids=spell,
)
def test_an_error_raised_by_the_app_clears_as_it_says_with_the_fixed_response(
    error: SuperTokensError, clears: set[str]
) -> None:
    """Tokens are cleared as the error says; the answer is the fixed one."""
    app = an_app()
    response = run(app, raising(error), verified=True, access=signed_in(app).access_token)
    assert (response.status_code, response.json, cleared_methods(response)) == (error.code, error.data, clears)
    assert clears or sets_no_tokens(response)


def test_an_error_raised_after_a_sign_in_drops_its_tokens() -> None:
    """The tokens that were about to leave are dropped."""
    app = an_app(anti_csrf="VIA_TOKEN")

    def view() -> None:
        create_new_session("user-1")
        raise UnauthorisedError("on second thoughts")

    response = run(app, view)
    assert cleared_methods(response) == {"cookie", "header"}
    assert (response.headers.getlist("front-token"), "anti-csrf" in response.headers) == (["remove"], False)


def test_an_error_that_keeps_the_tokens_lets_new_ones_leave_too() -> None:
    """``clear_tokens=False``: those made in this request leave too."""
    app = an_app()

    def view() -> None:
        create_new_session("user-1")
        raise UnauthorisedError("not yet", clear_tokens=False)

    response = run(app, view)
    assert response.status_code == 401
    assert all(cookie.value for cookie in set_cookies(response).values())


def test_a_sign_in_after_a_caught_error_sends_its_tokens() -> None:
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


def test_a_theft_that_is_raised_twice_is_revoked_and_signalled_once() -> None:
    """Revoked and signalled once, though noted on every way out."""

    heard: list[str] = []

    def hear(sender: Any, session_handle: str, **_: Any) -> None:
        heard.append(session_handle)

    app = an_app()
    app.register_error_handler(TokenTheftError, lambda error: error.get_response())
    handle = a_session(app).handle
    with signals.token_theft_detected.connected_to(hear):
        run(app, raising(TokenTheftError(user_id="user-1", session_handle=handle)))
    assert heard == [handle]
