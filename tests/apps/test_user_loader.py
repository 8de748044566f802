"""A user loader, and `current_user`."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, render_template_string
from flask_login import LoginManager

from flask_supertokens import (
    SuperTokens,
    UnauthorisedError,
    create_new_session,
    current_session,
    current_user,
    get_session,
    get_session_without_request,
    verify_session,
)
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import a_session, build_app, handles, signed_in
from ..support.both import Make
from ..support.cookies import set_cookies
from ..support.wire import assert_response, call, cleared_methods, run


async def async_answer(*_: Any) -> Any:
    """Nobody awaits it."""


def with_loader(app: Flask, load: Any) -> Flask:
    assert app.supertokens.user_loader(load) is load  # type: ignore[attr-defined]
    return app


def test_a_user_is_loaded_once_a_request(make: Make) -> None:
    """At first use, once a request however often the session is verified, and anew in the next one."""
    asked: list[str] = []
    app = with_loader(make(), lambda user_id: asked.append(user_id) or {"name": user_id.title(), "visit": len(asked)})
    token = signed_in(app).access_token

    def view() -> list[Any]:
        before = len(asked)
        first = current_session.user
        get_session(check_database=True)
        return [before, first, current_session.user is first]

    assert run(app, view, verified=True, access=token).json == [0, {"name": "User-1", "visit": 1}, True]
    assert run(app, view, verified=True, access=token).json == [1, {"name": "User-1", "visit": 2}, True]
    assert call(app, "GET", "/me", access=token).status_code == 200
    assert asked == ["user-1", "user-1"]


@pytest.mark.parametrize("touch", [lambda: current_session.user, lambda: current_user.name], ids=["session", "user"])
def test_a_missing_user_is_unauthorised_where_a_session_is_required(make: Make, touch: Any) -> None:
    """The first touch ends it: *unauthorised*, tokens cleared, session revoked."""
    app = with_loader(make(), lambda user_id: None)
    token = signed_in(app).access_token
    response = run(app, touch, verified=True, access=token)
    assert_response(response, 401, {"message": "unauthorised"})
    assert (cleared_methods(response), handles(app)) == ({"cookie", "header"}, [])


def test_a_missing_user_is_nobody_on_an_optional_page(make: Make) -> None:
    """The page is shown, as to nobody: from the first touch on there is no session, and the client's tokens go."""
    app = with_loader(make(), lambda user_id: None)
    token = signed_in(app).access_token

    def view() -> list[Any]:
        session = get_session(session_required=False)
        assert session is not None
        return [
            session.user,
            session.user,
            bool(current_session),
            bool(current_user),
            get_session(session_required=False),
        ]

    response = run(app, view, access=token)
    assert response.json == [None, None, False, False, None]
    assert ("cookie" in cleared_methods(response), handles(app)) == (True, [])


def test_a_missing_user_stays_unauthorised_where_only_a_later_look_is_optional(make: Make) -> None:
    """Where a session is required it stays so: a missing user is *unauthorised*."""
    app = with_loader(make(), lambda user_id: None)

    def view() -> Any:
        get_session(session_required=False)
        return current_session.user

    response = run(app, view, verified=True, access=signed_in(app).access_token)
    assert (response.status_code, handles(app)) == (401, [])


def test_the_page_of_an_error_is_rendered_as_for_nobody_where_the_user_is_missing() -> None:
    """It is rendered as for nobody, and the session has ended."""
    app = with_loader(build_app(cookie_secure=False), lambda user_id: None)
    app.before_request(verify_session(lambda: None))
    app.register_error_handler(404, lambda _: (render_template_string("{{ 'in' if current_user else 'nobody' }}"), 404))
    response = call(app, "GET", "/missing", access=signed_in(app).access_token)
    assert (response.status_code, response.text, handles(app)) == (404, "nobody", [])


def test_public_keys_are_served_though_an_optional_guard_finds_no_user() -> None:
    """The public keys are served all the same."""
    app = with_loader(build_app(cookie_secure=False), lambda user_id: None)

    @app.before_request
    def look() -> None:
        get_session(session_required=False)
        assert not current_user

    assert call(app, "GET", "/.well-known/jwks.json", access=signed_in(app).access_token).status_code == 200


@pytest.mark.parametrize("way", ["global", "processor"])
def test_the_app_s_own_current_user_wins_in_templates(way: str) -> None:
    """Its name wins in templates."""
    app = Flask("app")
    app.config.update(SECRET_KEY="a secret of the tests", SUPERTOKENS_COOKIE_SECURE=False)
    if way == "global":
        app.jinja_env.globals["current_user"] = "mine"
    else:
        app.context_processor(lambda: {"current_user": "mine"})
    SuperTokens(app, store=MemoryStore()).user_loader(str.title)
    app.add_url_rule("/page", view_func=lambda: render_template_string("{{ current_user }}"))
    assert call(app, "GET", "/page").text == "mine"


def test_a_missing_user_without_a_request_is_unauthorised_and_the_session_revoked(make: Make) -> None:
    """`UnauthorisedError`, and the session is revoked."""
    app = with_loader(make(), lambda user_id: None)
    token = signed_in(app).access_token
    with app.app_context(), pytest.raises(UnauthorisedError):
        _ = get_session_without_request(token).user
    assert handles(app) == []


@pytest.mark.parametrize("required", [True, False])
def test_a_user_loader_that_fails_in_a_view_revokes_nothing(make: Make, required: bool) -> None:
    """It revokes nothing: the database of the app may be down."""
    app = with_loader(make(), lambda user_id: {}[user_id])
    token = signed_in(app).access_token
    response = run(app, lambda: get_session(session_required=required) and current_session.user, access=token)
    assert (response.status_code, len(handles(app)), cleared_methods(response)) == (500, 1, set())


def test_current_user_is_in_templates_and_falsy_without_a_session() -> None:
    """``current_user`` is there where the app has a user loader; without a session it is falsy."""
    app = with_loader(build_app(cookie_secure=False), lambda user_id: {"name": user_id.title()})
    page = "{{ current_user.name if current_user else 'nobody' }}"
    app.add_url_rule("/page", view_func=lambda: (get_session(session_required=False), render_template_string(page))[1])
    assert call(app, "GET", "/page", access=signed_in(app).access_token).text == "User-1"
    assert call(app, "GET", "/page").text == "nobody"


@pytest.mark.parametrize("case", ["no loader", "flask-login"])
def test_a_template_has_no_user_of_ours_without_a_user_loader(case: str) -> None:
    """Without a user loader the name is free, and Flask-Login keeps its own."""
    app = build_app(cookie_secure=False)
    if case == "flask-login":
        with_loader(app, str.title)
        LoginManager(app).request_loader(lambda request: None)
    app.add_url_rule("/page", view_func=lambda: render_template_string("{{ current_user is defined }}"))
    assert call(app, "GET", "/page").text == str(case == "flask-login")


def test_a_user_is_loaded_once_for_each_session_without_a_request(make: Make) -> None:
    """Once for each `Session`."""
    app = with_loader(make(), str.title)
    token = signed_in(app).access_token
    with app.app_context():
        assert get_session_without_request(token).user == "User-1"


def test_a_missing_user_loader_is_an_error_that_shows_how_to_write_one(make: Make) -> None:
    """A RuntimeError shows how to write one."""
    with pytest.raises(RuntimeError, match=r"@supertokens\.user_loader"):
        _ = a_session(make()).user


def test_an_async_user_loader_is_a_type_error(make: Make) -> None:
    """A TypeError says so."""
    with pytest.raises(TypeError, match="The user loader is async"):
        _ = a_session(with_loader(make(), async_answer)).user


def test_a_user_loader_that_fails_is_asked_again_at_the_next_use(make: Make) -> None:
    """Its error is the app's, and the next use asks again."""
    answers = [KeyError("user-1")]

    def load(user_id: str) -> str:
        if answers:
            raise answers.pop()
        return user_id

    session = a_session(with_loader(make(), load))
    with pytest.raises(KeyError):
        _ = session.user
    assert session.user == "user-1"


def test_two_apps_have_a_user_loader_each() -> None:
    """Each app has its own, also for the same user id."""
    apps = []
    for name in ("one", "two"):
        app = Flask(name)
        app.config.update(SECRET_KEY="a secret of the tests", SUPERTOKENS_COOKIE_SECURE=False)
        supertokens = SuperTokens(app, store=MemoryStore())
        supertokens.user_loader(lambda user_id, name=name: f"{user_id} of {name}")
        apps.append(app)
    assert [a_session(app).user for app in apps] == ["user-1 of one", "user-1 of two"]


def test_a_sign_in_changes_the_user_of_the_current_session(make: Make) -> None:
    """`current_session.user` is the user of the session that is current now."""
    app = with_loader(make(), str.title)

    def view() -> list[str]:
        before = current_session.user
        create_new_session("user-2")
        return [before, current_session.user]

    response = run(app, view, verified=True, access=signed_in(app).access_token)
    assert response.json == ["User-1", "User-2"]
    assert set_cookies(response)["sAccessToken"].value
