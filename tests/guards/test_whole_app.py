"""What an app asks for in ``before_request`` keeps no client from our own routes, whoever serves them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, g
from flask_limiter import Limiter
from flask_login import LoginManager, UserMixin, current_user

from flask_supertokens import (
    Session,
    current_session,
    get_session,
    refresh_session,
    verify_session,
)
from flask_supertokens.claims import BooleanClaim

from ..support.apps import add, an_app, an_app_with_users, clock_of, handles, signed_in
from ..support.cookies import set_cookies
from ..support.plans import HOUR, Clock
from ..support.wire import TRY_REFRESH, call

REJECTED = BooleanClaim("staff", lambda *_: False).validators.is_true()
OURS = [
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/.well-known/openid-configuration"),
    ("GET", "/health"),
    ("GET", "/supertokens-assets/refresh.js"),
]
SETTINGS = {"api_domain": "http://localhost", "health_path": "/health"}


def limited(app: Flask) -> None:
    def key() -> str:
        session = get_session(session_required=False)
        return "nobody" if session is None else session.user_id

    Limiter(key, app=app, default_limits=["1000 per minute"], storage_uri="memory://")


def flask_login(app: Flask) -> None:
    class User(UserMixin):  # type: ignore[misc]
        pass

    def load(_: Any) -> User | None:
        return None if get_session(session_required=False) is None else User()

    LoginManager(app).request_loader(load)
    app.before_request(lambda: setattr(g, "is_in", current_user.is_authenticated))


def asks(**options: Any) -> Callable[[Flask], Any]:
    def guard() -> None:
        get_session(**options)

    return lambda app: app.before_request(guard)


GUARDS: dict[str, Callable[[Flask], Any]] = {
    "optional": asks(session_required=False),
    "required": asks(),
    "with the database": asks(check_database=True),
    "with a claim": asks(claim_validators=[REJECTED]),
    "with an age": asks(max_age=0),
    "decorated": lambda app: app.before_request(verify_session(lambda: None)),
    "limiter": limited,
    "flask-login": flask_login,
}


def guarded(guard: str, **settings: Any) -> Flask:
    app = an_app(**SETTINGS, **settings)
    GUARDS[guard](app)
    return app


@pytest.mark.parametrize("guard", GUARDS)
def test_a_guarded_app_refreshes_an_expired_token(guard: str) -> None:
    """POST refresh works an hour later, and the views after it."""
    app = guarded(guard)
    tokens = signed_in(app)
    clock_of(app).wait(HOUR)
    response = call(app, "POST", "/refresh", access=tokens.access_token, refresh=tokens.refresh_token)
    assert response.status_code == 200
    if guard not in ("with a claim", "with an age"):
        assert call(app, "GET", "/me", access=set_cookies(response)["sAccessToken"].value).status_code == 200


@pytest.mark.parametrize("token", ["expired", "missing", "good"])
@pytest.mark.parametrize(("method", "path"), OURS)
@pytest.mark.parametrize("guard", GUARDS)
def test_our_public_routes_answer_whatever_the_access_token_is_like(
    guard: str, method: str, path: str, token: str
) -> None:
    """They answer, whatever the access token is like."""
    app = guarded(guard)
    access = None if token == "missing" else signed_in(app).access_token
    clock_of(app).wait(HOUR if token == "expired" else 0)
    response = call(app, method, path, access=access)
    response.close()
    assert response.status_code == 200


@pytest.mark.parametrize("guard", GUARDS)
def test_a_sign_out_with_an_expired_token_is_told_to_refresh(guard: str) -> None:
    """It is told to refresh, as ever; with a valid token, claims or age do not matter."""
    app = guarded(guard)
    tokens = signed_in(app)
    assert call(app, "POST", "/signout", access=signed_in(app).access_token).status_code == 200
    clock_of(app).wait(HOUR)
    response = call(app, "POST", "/signout", access=tokens.access_token)
    assert (response.status_code, response.json) == (401, TRY_REFRESH)


@pytest.mark.parametrize("guard", ["required", "with the database", "with a claim", "with an age", "decorated"])
def test_other_paths_are_guarded(guard: str) -> None:
    """A view of the app does not run without a session."""
    app = add(guarded(guard), lambda: "in")
    assert call(app, "GET", "/view").status_code == 401


def test_a_guard_gets_none_or_a_falsy_session_at_our_paths_unless_the_token_is_valid() -> None:
    """At our paths: ``None``, or a session that is falsy; with a valid token the session."""
    app, got = an_app(), []
    app.before_request(lambda: got.append((get_session(session_required=False), bool(get_session()))))
    tokens = signed_in(app)
    call(app, "POST", "/refresh")
    assert got == [(None, False)]
    call(app, "POST", "/signout", access=tokens.access_token)
    assert (isinstance(got[1][0], Session), got[1][1]) == (True, True)


def test_our_paths_that_an_app_serves_itself_are_open_before_its_view_only() -> None:
    """Before its view all is open; inside the view an expired token is refused as anywhere."""
    app = an_app(register_routes=False)
    asks()(app)
    app.add_url_rule("/refresh", "own-refresh", lambda: {"user": refresh_session().user_id}, methods=["POST"])
    app.add_url_rule(
        "/signout", "own-sign-out", verify_session(lambda: str(current_session.revoke())), methods=["POST", "GET"]
    )
    tokens = signed_in(app)
    clock_of(app).wait(HOUR)
    assert call(app, "POST", "/signout", access=tokens.access_token).json == TRY_REFRESH
    assert call(app, "GET", "/signout").status_code == 401
    response = call(app, "POST", "/refresh", access=tokens.access_token, refresh=tokens.refresh_token)
    assert response.json == {"user": "user-1"}
    call(app, "POST", "/signout", access=set_cookies(response)["sAccessToken"].value)
    assert handles(app) == []


@pytest.mark.parametrize("registered", [True, ["signout"], False])
@pytest.mark.parametrize("guard", GUARDS)
def test_an_app_s_own_refresh_view_and_public_keys_are_reached_as_ours_are(guard: str, registered: Any) -> None:
    """Its refresh view and its public keys are reached as ours are, whether ours are registered beside them or not."""
    app = an_app(register_routes=registered)
    GUARDS[guard](app)
    app.add_url_rule("/refresh", "own-refresh", lambda: {"user": refresh_session().user_id}, methods=["POST"])
    app.add_url_rule("/.well-known/jwks.json", "own-keys", lambda: {"keys": []})
    tokens = signed_in(app)
    clock_of(app).wait(HOUR)
    response = call(app, "POST", "/refresh", access=tokens.access_token, refresh=tokens.refresh_token)
    assert response.json == {"user": "user-1"}
    assert call(app, "GET", "/.well-known/jwks.json", access=tokens.access_token).json == {"keys": []}


@pytest.mark.parametrize("settings", [{}, {"health_path": "/health"}], ids=str)
@pytest.mark.parametrize("guard", ["required", "decorated"])
def test_a_path_that_does_not_exist_is_guarded_as_all_others(guard: str, settings: dict[str, str]) -> None:
    """It is guarded as all others are: visitors are not told which paths there are."""
    app = an_app(**settings)
    GUARDS[guard](app)
    assert call(app, "GET", "/nothing").status_code == 401
    assert call(app, "GET", "/nothing", access=signed_in(app).access_token).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/refresh"), ("POST", "/signout"), *[(method, path) for method, path in OURS if path != "/health"]],
)
@pytest.mark.parametrize("guard", ["required", "decorated"])
def test_a_view_that_takes_any_path_is_guarded_at_paths_that_none_of_ours_serves(
    guard: str, method: str, path: str
) -> None:
    """At a path of ours that none of our views serves, such a view runs with a session only."""
    app = an_app(register_routes=False)
    GUARDS[guard](app)
    app.add_url_rule("/<path:rest>", "any", lambda rest: "secret", methods=["GET", "POST"])
    assert call(app, method, path).status_code == 401
    assert call(app, method, path, access=signed_in(app).access_token).text == "secret"


def test_the_app_s_own_sign_out_behind_a_guard_is_told_to_refresh() -> None:
    """It asks for a session: with an expired token the client is told to refresh."""
    app = an_app(register_routes=False)
    asks()(app)
    app.add_url_rule("/signout", "out", lambda: str(current_session.revoke()), methods=["POST"])
    token = signed_in(app).access_token
    clock_of(app).wait(HOUR)
    assert call(app, "POST", "/signout", access=token).json == TRY_REFRESH


def test_a_guard_with_a_body_runs_everywhere_but_at_our_own_routes() -> None:
    """At our own routes it does not run: there is no session for it. Elsewhere it does."""
    app, seen = an_app(**SETTINGS), []

    @app.before_request
    @verify_session
    def guard() -> None:
        seen.append(current_session.user_id)

    tokens = signed_in(app)
    assert call(app, "GET", "/.well-known/jwks.json").status_code == 200
    assert call(app, "POST", "/refresh", refresh=tokens.refresh_token).status_code == 200
    assert seen == []
    assert call(app, "GET", "/me", access=tokens.access_token).status_code == 200
    assert seen == ["user-1"]


def test_a_guard_of_the_whole_app_lets_a_refresh_through() -> None:
    """With an expired access token the refresh route is the way back; everything else is guarded."""
    clock = Clock()
    app = an_app_with_users(clock=clock)

    @app.before_request
    def guard() -> Any:
        return None if current_path() == "/login/alice" else verify_session(lambda: None)()

    client = app.test_client()
    client.post("/login/alice")
    clock.wait(7_200_000)
    assert client.get("/me").status_code == 401
    assert client.post("/refresh").status_code == 200
    assert client.get("/me").status_code == 200


def current_path() -> str:
    from flask import request

    return request.path
