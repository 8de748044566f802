"""`SuperTokens`: wiring, no logic."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click
from flask import Flask, current_app, request_started

from .assembly import make_engine
from .blueprint import give_way, make_blueprint
from .browser import fetch_script
from .claims import SessionClaim, SessionClaimValidator
from .engines.base import Engine
from .guards import misplaced
from .handlers import finish, register_handlers
from .hooks import Hooks
from .protocol.model import Payload
from .sessions import current_session, current_user
from .sessions.consequences import note_errors
from .settings.reading import read_settings
from .state import EXTENSION, AppState
from .stores.base import Store

if TYPE_CHECKING:
    from sqlalchemy import Engine as DatabaseEngine

    from .engines.remote.client import Hook

logger: logging.Logger = logging.getLogger("flask_supertokens")
L = TypeVar("L", bound=Callable[[str], Any])


class SuperTokens:
    """Sessions for a Flask app: ``SuperTokens(app)``, or ``SuperTokens()`` and later ``init_app(app)``.

    :param app: initialise this app at once.
    :param database_engine: a SQLAlchemy engine for the embedded engine, instead of ``SUPERTOKENS_DATABASE_URI``.
    :param session_engine: an engine of one's own (`flask_supertokens.engines.base.Engine`).
    :param core_hooks: called with each `requests.PreparedRequest` to a core before it is sent: to trace it, or to change it.
    :param store: a store of one's own (`flask_supertokens.stores.base.Store`) for the embedded engine.

    :param claims: built at every log-in and kept in the access token.
    :param claim_validators: asked by every `verify_session` that names none itself.
    :param user_exists: ``user_exists(user_id)``: asked at every refresh; ``False`` ends the session.
    :param before_session_created: ``before_session_created(user_id, payload)`` returns the payload to create a session with.

    The object keeps these arguments and nothing else; state lives in ``app.extensions["supertokens"]``, so that one object
    can serve several apps.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        database_engine: DatabaseEngine | None = None,
        session_engine: Engine | None = None,
        store: Store | None = None,
        core_hooks: Iterable[Hook] = (),
        claims: Iterable[SessionClaim[Any]] = (),
        claim_validators: Iterable[SessionClaimValidator] = (),
        user_exists: Callable[[str], bool] | None = None,
        before_session_created: Callable[[str, Payload], Mapping[str, Any]] | None = None,
    ) -> None:
        self._hooks = Hooks(tuple(claims), tuple(claim_validators), user_exists, before_session_created)
        _check_hooks(self._hooks)
        _check_foundations(database_engine, session_engine, store)
        self._database_engine = database_engine
        self._session_engine = session_engine
        self._store = store
        self._core_hooks = tuple(core_hooks)
        if app is not None:
            self.init_app(app)

    def user_loader(self, load: L) -> L:
        """Decorate the function that finds the app's own user for a user id; `Session.user` calls it, once a request."""
        self._hooks.user_loader = load
        return load

    def init_app(self, app: Flask, *, database_engine: DatabaseEngine | None = None) -> None:
        """Check the settings, build the engine, register routes, handlers, ``after_request`` and commands.

        Reads ``app.config`` once. Opens no connection and no file. Wraps ``app.preprocess_request``,
        ``app.dispatch_request`` and ``app.url_map.add``: a view of the app's at a path of ours wins. An app whose settings are
        wrong is left as it was, so that a corrected retry works.

        :param database_engine: as in `SuperTokens`, for an engine that is there with the app only.
        :raises RuntimeError: the app has been initialised before.
        :raises ValueError: wrong settings, all of them in one text; or two engines.
        """
        if EXTENSION in app.extensions:
            raise RuntimeError(
                "SuperTokens is on this app already; call init_app once. SuperTokens(app) does it by itself:"
                " leave out one of the two."
            )
        _check_foundations(database_engine, self._database_engine, self._session_engine, self._store)
        database_engine = database_engine if database_engine is not None else self._database_engine
        settings = read_settings(
            app.config,
            needs_database=database_engine is None and self._session_engine is None and self._store is None,
            needs_secret=self._session_engine is None,
        )
        engine = self._session_engine or make_engine(
            settings,
            app.instance_path,
            self._store,
            database_engine,
            core_hooks=self._core_hooks,
            is_tested=lambda: app.testing,
        )
        app.register_blueprint(make_blueprint(settings, app))
        give_way(app)
        state = app.extensions[EXTENSION] = AppState(settings, engine, self._hooks)
        register_handlers(app)
        note_errors(app, state)
        app.after_request(finish)
        request_started.connect(_look_at_views, app)
        app.template_context_processors[None].insert(0, self._names_for_templates)  # a name that the app has wins
        app.cli.add_command(_Commands("supertokens", help="Sessions: tables, sessions of users, upkeep."))

    def _names_for_templates(self) -> dict[str, Any]:
        """``current_session``, the script for pages that call by scripts, and ``current_user``, unless the app has one already or
        there is no user loader.
        """
        names: dict[str, Any] = {"current_session": current_session, "supertokens_script": fetch_script}
        if self._hooks.user_loader is not None and "current_user" not in current_app.jinja_env.globals:
            names["current_user"] = current_user
        return names


class _Commands(click.Group):
    """``flask supertokens``, whose commands are loaded when one is asked for: an app that serves needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return _commands().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _commands().get_command(ctx, cmd_name)


def _commands() -> click.Group:
    from .cli import group  # noqa: PLC0415 - see above

    return group


def _look_at_views(app: Flask, **_: Any) -> None:
    """Warn of views that `verify_session` does not reach, once: when the first request comes all of them are there."""
    request_started.disconnect(_look_at_views, app)
    for text in misplaced(app):
        logger.warning("%s", text)


def _check_foundations(*given: object) -> None:
    """
    :raises ValueError: more than one.
    """
    if sum(one is not None for one in given) > 1:
        raise ValueError("Pass one of database_engine, session_engine and store: each stands for the ones below it.")


def _check_hooks(hooks: Hooks) -> None:
    """
    :raises TypeError: one of them is something else than it should be.
    """
    if not all(isinstance(claim, SessionClaim) for claim in hooks.claims):
        raise TypeError("claims must be a list of claims: SuperTokens(claims=[PrimitiveClaim(…)])")
    if not all(isinstance(validator, SessionClaimValidator) for validator in hooks.claim_validators):
        raise TypeError(
            "claim_validators must be a list of validators: SuperTokens(claim_validators=[claim.validators.…])"
        )
    for name in ("user_exists", "before_session_created"):
        if getattr(hooks, name) is not None and not callable(getattr(hooks, name)):
            raise TypeError(f"{name} must be a function")
