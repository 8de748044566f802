"""`verify_session`: what can be decorated, and what the view finds."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from flask import Blueprint, Flask, render_template_string
from flask.typing import ResponseReturnValue
from flask.views import MethodView, View

from flask_supertokens import (
    UnauthorisedError,
    current_session,
    get_session,
    verify_session,
)

from ..support.apps import add, an_app, guarded_app, signed_in, user
from ..support.names import spell
from ..support.wire import UNAUTHORISED, ask, assert_response, call, log_in


async def user_async() -> dict[str, Any]:
    return user()


class Page(MethodView):
    decorators: ClassVar = [verify_session]

    def get(self) -> ResponseReturnValue:
        return user()


class OldPage(View):
    decorators: ClassVar = [verify_session(session_required=True)]

    def dispatch_request(self) -> ResponseReturnValue:
        return user()


@pytest.mark.parametrize(
    "view",
    [
        verify_session(user),
        verify_session()(user),
        verify_session(session_required=True)(user),
        verify_session(user_async),
        verify_session(check_database=True)(user_async),
        Page.as_view("page"),
        OldPage.as_view("page"),
    ],
    ids=["bare", "parentheses", "arguments", "async", "async, arguments", "MethodView", "View"],
)
def test_a_decorated_view_runs_with_a_session_only(view: Any) -> None:
    """With a session it runs, without one it does not."""
    app = an_app()
    app.add_url_rule("/view", view_func=view)
    assert call(app, "GET", "/view", access=signed_in(app).access_token).json == {"user": "user-1"}
    assert_response(call(app, "GET", "/view"), 401, UNAUTHORISED)


def test_a_decorated_view_keeps_its_name() -> None:
    """Endpoints are named after functions."""
    assert (verify_session(user).__name__, verify_session()(user_async).__name__) == ("user", "user_async")


def test_arguments_are_handed_through_to_a_decorated_view() -> None:
    """They are handed through."""
    app = an_app()
    app.add_url_rule("/items/<int:item>", view_func=verify_session(lambda item: {"item": item}))
    assert call(app, "GET", "/items/5", access=signed_in(app).access_token).json == {"item": 5}


def test_a_decorated_before_request_guards_every_view() -> None:
    """The decorated function runs before each view, and the session is the view's."""
    app = guarded_app()
    assert call(app, "GET", "/view", access=signed_in(app).access_token).json == {"user": "user-1"}
    assert_response(call(app, "GET", "/view"), 401, UNAUTHORISED)
    assert call(app, "OPTIONS", "/view").status_code == 200


def test_a_guard_of_a_blueprint_guards_its_requests_only() -> None:
    """Only its own requests are."""
    app, blueprint = an_app(), Blueprint("admin", __name__, url_prefix="/admin")
    blueprint.before_request(verify_session(lambda: None))
    blueprint.add_url_rule("/view", view_func=user)
    app.register_blueprint(blueprint)
    assert call(app, "GET", "/admin/view").status_code == 401
    assert call(app, "GET", "/maybe").status_code == 200
    assert call(app, "GET", "/admin/view", access=signed_in(app).access_token).json == {"user": "user-1"}


def test_the_bare_decorator_as_before_request_raises_and_no_view_runs() -> None:
    """A TypeError shows the right form; no view runs unguarded."""
    app = add(an_app(TESTING=True), lambda: "open", "/view")
    app.before_request(verify_session)
    with pytest.raises(TypeError, match=r"@app\.before_request\s+@verify_session\s+def guard"):
        call(app, "GET", "/view")
    app.testing = False
    assert call(app, "GET", "/view").status_code == 500


@pytest.mark.parametrize("what", [Page, "text", 5, False, []], ids=spell)
def test_decorating_something_else_than_a_view_raises_at_once(what: Any) -> None:
    """A TypeError shows the right forms, at once."""
    with pytest.raises(TypeError, match=r"decorators = \[verify_session\]"):
        verify_session(what)
    with pytest.raises(TypeError, match=r"decorators = \[verify_session\]"):
        verify_session()(what)


def test_current_session_where_nothing_was_verified_is_falsy_and_names_the_decorator() -> None:
    """`current_session` is falsy and names the decorator when something is asked of it; in a view, and outside of one."""
    with an_app().test_request_context():
        assert not current_session
        with pytest.raises(RuntimeError, match="@verify_session"):
            _ = current_session.user_id
    assert not current_session
    with pytest.raises(RuntimeError, match="@verify_session"):
        current_session.revoke()


def test_a_view_runs_with_a_falsy_session_where_it_is_optional() -> None:
    """The view runs, `current_session` is falsy."""
    app = an_app()
    app.add_url_rule("/view", view_func=verify_session(session_required=False)(lambda: str(bool(current_session))))
    assert call(app, "GET", "/view").text == "False"
    assert call(app, "GET", "/view", access=signed_in(app).access_token).text == "True"


@pytest.mark.parametrize("required", [True, False])
def test_current_session_is_known_in_templates(required: bool) -> None:
    """`current_session` is known in Jinja."""
    template = "{% if current_session %}{{ current_session.user_id }}{% else %}nobody{% endif %}"
    app = an_app()
    add(app, verify_session(session_required=required)(lambda: render_template_string(template)))
    add(app, lambda: render_template_string(template), "/open")
    access = signed_in(app).access_token
    assert call(app, "GET", "/view", access=access).text == "user-1"
    assert call(app, "GET", "/open", access=access).text == "nobody"


def test_errors_can_be_caught_in_a_view() -> None:
    """`get_session` raises what the decorator raises."""

    def view() -> ResponseReturnValue:
        with pytest.raises(UnauthorisedError):
            get_session()
        return "caught"

    assert call(add(an_app(), view), "GET", "/view").text == "caught"


def guarded_views() -> Flask:
    """Every kind of view that can be guarded."""
    app = an_app()

    @app.get("/bare")
    @verify_session
    def bare() -> str:
        return current_session.user_id

    @app.get("/called")
    @verify_session(check_database=True)
    def called() -> str:
        return current_session.user_id

    @app.get("/async")
    @verify_session
    async def in_a_coroutine() -> str:
        return current_session.user_id

    class View(MethodView):
        decorators = (verify_session,)

        def get(self) -> str:
            return current_session.user_id

    app.add_url_rule("/class", view_func=View.as_view("class"))
    blueprint = Blueprint("guarded", __name__)
    blueprint.before_request(verify_session(lambda: None))
    blueprint.get("/before")(lambda: current_session.user_id)
    app.register_blueprint(blueprint)
    return app


@pytest.mark.parametrize("path", ["/bare", "/called", "/async", "/class", "/before"])
def test_a_guarded_view_runs_with_a_session_only(path: str) -> None:
    """It runs with a session only, whatever kind of view it is."""
    app = guarded_views()
    assert ask(app, "GET", path).status_code == 401
    assert ask(app, "GET", path, f"sAccessToken={log_in(app).access}").text == "user-1"


def test_the_decorator_as_a_before_request_function_is_a_type_error() -> None:
    """A TypeError that shows the right form."""
    app = an_app(TESTING=True)
    app.before_request(verify_session)
    with pytest.raises(TypeError, match=r"@app.before_request\n    @verify_session"):
        ask(app, "GET", "/maybe")


def test_the_decorator_on_a_class_is_a_type_error() -> None:
    """A TypeError that shows the right form."""
    with pytest.raises(TypeError, match=r"decorators = \[verify_session\]"):
        verify_session(MethodView)


def test_a_template_has_the_session_until_it_is_revoked() -> None:
    """It is there, verified or not, and unset by a revoke."""
    app = an_app()
    page = "{% if current_session %}{{ current_session.user_id }}{% else %}nobody{% endif %}"

    @app.get("/page")
    def in_page() -> str:
        get_session(session_required=False)
        return render_template_string(page)

    @app.get("/leave")
    @verify_session
    def leave() -> str:
        current_session.revoke()
        assert get_session(session_required=False) is None
        return render_template_string(page)

    cookies = f"sAccessToken={log_in(app).access}"
    assert [ask(app, "GET", "/page").text, ask(app, "GET", "/page", cookies).text] == ["nobody", "user-1"]
    assert ask(app, "GET", "/leave", cookies).text == "nobody"
