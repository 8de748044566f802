"""Apps for tests: one builder, the views that most tests ask, and what stands behind an app: its clock, store, sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, current_app, jsonify
from flask.typing import ResponseReturnValue

from flask_supertokens import (
    Session,
    SessionTokens,
    SuperTokens,
    create_new_session,
    create_new_session_without_request,
    current_session,
    get_session,
    list_sessions,
    refresh_session_without_request,
    verify_session,
)
from flask_supertokens.errors import GeneralError
from flask_supertokens.state import AppState
from flask_supertokens.stores.base import Store
from flask_supertokens.stores.memory import MemoryStore

from .plans import HOUR, Clock

SECRET = "a secret of the tests"
Views = Callable[[Flask], object]


# -- the builder -------------------------------------------------------------------------------------------------------


def build_app(
    *views: Views,
    flask: Flask | None = None,
    store: Store | None = None,
    clock: Callable[[], int] | None = None,
    hooks: dict[str, Any] | None = None,
    **settings: Any,
) -> Flask:
    """An app with the extension, to which each of ``views`` adds its own.

    ``settings`` are those of the extension without their prefix, in lower case, and whole names in upper case; ``hooks`` are
    further arguments of `SuperTokens`. Sessions are kept in memory, unless a store, an engine, a database or a core is named.
    """
    app = Flask("tests.support.apps") if flask is None else flask
    whole = {key if key.isupper() else f"SUPERTOKENS_{key.upper()}": value for key, value in settings.items()}
    app.config.update({"SECRET_KEY": SECRET, **whole})
    hooks = hooks or {}
    is_elsewhere = any(app.config.get(f"SUPERTOKENS_{place}_URI") for place in ("DATABASE", "CONNECTION"))
    if store is None and not is_elsewhere and hooks.keys().isdisjoint({"database_engine", "engine"}):
        store = MemoryStore()
    app.supertokens = SuperTokens(app, store=store, **hooks)  # type: ignore[attr-defined]
    if clock is not None:
        state_of(app).engine.clock = clock  # type: ignore[attr-defined]
    for add_views in views:
        add_views(app)
    return app


def an_app(store: Store | None = None, clock: Callable[[], int] | None = None, **settings: Any) -> Flask:
    """An app with the usual views, its clock standing still."""
    return build_app(add_usual_views, store=store, clock=clock or Clock(), **{"cookie_secure": False, **settings})


def an_app_with_users(store: Store | None = None, clock: Callable[[], int] | None = None, **settings: Any) -> Flask:
    """An app at which users log in by name."""
    return build_app(add_users, store=store, clock=clock, cookie_secure=False, **settings)


def bare_app(**config: Any) -> Flask:
    """One without the extension."""
    app = Flask("bare")
    app.config.update(config)
    return app


# -- views -------------------------------------------------------------------------------------------------------------


def add_usual_views(app: Flask) -> None:
    """`/login`, `/me` (a session is required), `/maybe` (it is optional), and two that run what a test gives."""
    app.add_url_rule("/login", view_func=login, methods=["POST"])
    app.add_url_rule("/me", "me", verify_session(whoami), methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    app.add_url_rule("/maybe", "maybe", verify_session(session_required=False)(whoami), methods=["GET", "POST"])
    app.add_url_rule("/run", "run", act)
    app.add_url_rule("/run-verified", "run-verified", verify_session(act))


def add_users(app: Flask) -> None:
    """`/login/<user>`, with a role in the payload, and `/me`."""

    @app.post("/login/<user>")
    def login(user: str) -> dict[str, str]:
        return {"handle": create_new_session(user, {"role": "admin"}).handle}

    @app.get("/me")
    @verify_session
    def me() -> dict[str, Any]:
        return {"user": current_session.user_id, "role": current_session.access_token_payload.get("role")}


def login() -> ResponseReturnValue:
    return {"handle": create_new_session("user-1").handle}


def whoami() -> ResponseReturnValue:
    session = get_session(session_required=False, anti_csrf_check=False)
    return {"user": session and session.user_id, "method": session and session._method}


def user() -> dict[str, Any]:
    return {"user": current_session.user_id}


def act() -> ResponseReturnValue:
    return jsonify(current_app.config["ACTION"]())


def raising(error: Exception) -> Callable[[], Any]:
    def view() -> Any:
        raise error

    return view


def add(app: Flask, view: Callable[[], Any], path: str = "/view") -> Flask:
    """The app with one more view, for GET and POST."""
    app.add_url_rule(path, path, view, methods=["GET", "POST"])
    return app


def guarded_app() -> Flask:
    """Every request of this app needs a session."""
    app = an_app()

    @app.before_request
    @verify_session
    def guard() -> None:
        pass

    return add(app, user)


# -- what stands behind an app ----------------------------------------------------------------------------------------


def state_of(app: Flask) -> AppState:
    state: AppState = app.extensions["supertokens"]
    return state


def clock_of(app: Flask) -> Clock:
    clock: Clock = state_of(app).engine.clock  # type: ignore[attr-defined]
    return clock


def close_database(app: Flask) -> None:
    """Dispose of the connections of an app's store, which stay open as long as its process otherwise."""
    state_of(app).engine.store._engine.dispose()  # type: ignore[attr-defined]


def signed_in(app: Flask, user_id: str = "user-1", **arguments: Any) -> SessionTokens:
    """The tokens of a new session, made without a request."""
    return a_session(app, user_id, **arguments).tokens


def a_session(app: Flask, user_id: str = "user-1", **arguments: Any) -> Session:
    with app.app_context():
        return create_new_session_without_request(user_id, **arguments)


def new_handle(user_id: str = "user-1", **arguments: Any) -> str:
    """A new session's handle, in the context of an app."""
    return create_new_session_without_request(user_id, **arguments).handle


def handles(app: Flask, user_id: str = "user-1") -> list[str]:
    """The sessions that a user has."""
    with app.app_context():
        return [info.handle for info in list_sessions(user_id)]


def steal(app: Flask, refresh_token: str) -> None:
    """Refresh twice, later a third time with the first token."""
    child = refresh_session_without_request(refresh_token).tokens.refresh_token
    clock_of(app).wait(HOUR)
    refresh_session_without_request(str(child))
    refresh_session_without_request(refresh_token)


class BrokenStore(MemoryStore):
    """A store that fails in every verb while it is ``down``."""

    down = False

    def __getattribute__(self, name: str) -> Any:
        verb = super().__getattribute__(name)
        if name not in {*Store.__abstractmethods__, "config", "swap_config"}:
            return verb

        def guarded(*arguments: Any) -> Any:
            if self.down:
                raise GeneralError(f"The session store failed in {name}. OSError: the disk is gone") from OSError()
            return verb(*arguments)

        return guarded

    def of_app(self, app_id: str) -> MemoryStore:
        """One that can fail as well."""
        self._apps.setdefault(app_id, BrokenStore())
        return self._apps[app_id]
