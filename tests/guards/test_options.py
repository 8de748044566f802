"""OPTIONS, TRACE and preflights of protected views."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from flask import Flask
from flask.typing import ResponseReturnValue
from flask.views import MethodView, View

from flask_supertokens import (
    current_session,
    verify_session,
)

from ..support.apps import an_app, guarded_app, signed_in, user
from ..support.wire import ask, call, forge, sets_no_tokens

ASKED = ["GET", "POST", "OPTIONS", "TRACE"]


class Everything(View):
    methods: ClassVar = ASKED
    decorators: ClassVar = [verify_session]

    def dispatch_request(self) -> ResponseReturnValue:
        return secret()


class Options(MethodView):
    decorators: ClassVar = [verify_session]

    def options(self) -> ResponseReturnValue:
        return secret()

    def trace(self) -> ResponseReturnValue:
        return secret()

    get = post = options


def secret() -> ResponseReturnValue:
    return "secret", {"X-Secret": "1"}


async def secret_async() -> ResponseReturnValue:
    return secret()


def answering(view: Any, guard: Any = None) -> Flask:
    """An app whose view is asked for OPTIONS and TRACE itself, behind a guard or not."""
    app = an_app()
    app.after_request(lambda response: response.headers.update({"X-After": "1"}) or response)
    if guard is not None:
        app.before_request(guard)
    app.add_url_rule("/view", "view", view, methods=None if hasattr(view, "view_class") else ASKED)
    return app


VIEWS = pytest.mark.parametrize(
    ("view", "guard"),
    [
        (verify_session(secret), None),
        (verify_session(check_database=True)(secret_async), None),
        (Everything.as_view("view"), None),
        (Options.as_view("view"), None),
        (secret, verify_session(lambda: None)),
        (secret, verify_session(user)),
    ],
    ids=["function", "async", "View", "MethodView", "guard", "guard that asks who is there"],
)


TOKENS: list[dict[str, Any]] = [{}, {"access": "garbage"}, {"access": forge(), "cookies": ["sIdRefreshToken=x"]}]


@VIEWS
@pytest.mark.parametrize("tokens", TOKENS, ids=["none", "garbage", "forged"])
def test_flask_responds_to_options_of_a_protected_view(view: Any, guard: Any, tokens: dict[str, Any]) -> None:
    """The response is Flask's own, and the app's ``after_request`` runs; the view does not, whatever comes along."""
    app = answering(view, guard)
    response = call(app, "OPTIONS", "/view", **tokens)
    assert (response.status_code, response.text, response.headers["X-After"]) == (200, "", "1")
    assert set(response.allow) == {"GET", "HEAD", "POST", "OPTIONS"}
    assert "X-Secret" not in response.headers
    assert sets_no_tokens(response)


@VIEWS
def test_a_traced_protected_view_is_405(view: Any, guard: Any) -> None:
    """405 with the methods that there are, with a session as without one."""
    app = answering(view, guard)
    for access in (None, signed_in(app).access_token):
        response = call(app, "TRACE", "/view", access=access)
        assert (response.status_code, "X-Secret" in response.headers, response.headers["X-After"]) == (405, False, "1")
        assert set(response.allow) == {"GET", "HEAD", "POST", "OPTIONS"}


@VIEWS
def test_a_protected_view_with_options_of_its_own_runs_with_a_session(view: Any, guard: Any) -> None:
    """With a session, for what needs one; else 401."""
    app = answering(view, guard)
    assert call(app, "GET", "/view").status_code == 401
    response = call(app, "POST", "/view", access=signed_in(app).access_token)
    assert (response.status_code, "X-Secret" in response.headers) == (200, guard is None or guard.__name__ != "user")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("OPTIONS", "/auto", 200),
        ("TRACE", "/auto", 405),
        ("OPTIONS", "/nowhere", 404),
        ("OPTIONS", "/refresh", 200),
        ("OPTIONS", "/static/x", 200),
    ],
)
def test_flask_responds_behind_a_guard_as_if_there_were_none(method: str, path: str, status: int) -> None:
    """As if there were none."""
    bare, guarded = an_app(), guarded_app()
    for app in (bare, guarded):
        app.add_url_rule("/auto", "auto", secret)
    answers = [call(app, method, path) for app in (bare, guarded)]
    assert [(answer.status_code, answer.data, list(answer.headers)) for answer in answers] == [
        (status, answers[0].data, list(answers[0].headers))
    ] * 2


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_a_view_with_an_optional_session_runs_for_options(method: str) -> None:
    """It runs, as it does without a session."""
    app = answering(verify_session(session_required=False)(lambda: f"{bool(current_session)}"))
    for access in (None, "garbage", forge()):
        assert call(app, method, "/view", access=access).text == "False"


def test_a_preflight_reaches_neither_session_check_nor_view() -> None:
    """OPTIONS is answered, TRACE is not allowed, on a guarded view too."""
    from flask_supertokens import verify_session

    guarded = an_app()
    guarded.route("/all", methods=["OPTIONS", "TRACE", "GET"], provide_automatic_options=False)(
        verify_session(lambda: "ok")
    )
    options = ask(guarded, "OPTIONS", "/all")
    assert (options.status_code, options.text, set(options.allow)) == (200, "", {"GET", "HEAD", "OPTIONS"})
    assert ask(guarded, "TRACE", "/all").status_code == 405
    assert ask(guarded, "GET", "/all").status_code == 401


def test_a_preflight_of_a_protected_view_is_answered_without_running_it() -> None:
    """OPTIONS is answered, TRACE refused, and the view does not run."""
    app = an_app()
    app.add_url_rule(
        "/view", view_func=verify_session(lambda: "in"), methods=["OPTIONS", "TRACE"], provide_automatic_options=False
    )
    responses = [call(app, method, "/view") for method in ("OPTIONS", "TRACE")]
    assert [response.status_code for response in responses] == [200, 405]
    assert "in" not in [response.text for response in responses]
