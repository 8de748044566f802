"""`SuperTokens`: wiring, no logic."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click
from flask import Flask, current_app, request_started

from .assembly import make_engine
from .blueprint import make_blueprint, prefer_app_rules
from .browser import fetch_script
from .claims import SessionClaim, SessionClaimValidator
from .engines.base import Engine
from .guards import find_misplaced_decorators
from .handlers import finish_response, register_handlers
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
    :param session_engine: your own engine (`flask_supertokens.engines.base.Engine`).
    :param core_hooks: called with each `requests.PreparedRequest` to a core before it is sent: to trace it, or to change it.
    :param store: your own store (`flask_supertokens.stores.base.Store`) for the embedded engine.

    :param claims: built whenever a user signs in, and kept in the access token.
    :param claim_validators: used by every `verify_session` that names none itself.
    :param user_exists: ``user_exists(user_id)``, called at every refresh; ``False`` revokes the session.
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
        _check_single_engine(database_engine, session_engine, store)
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
        ``app.dispatch_request`` and ``app.url_map.add``: the app's view at a path of ours wins. An app with wrong settings
        is left as it was, so that a corrected retry works.

        :param database_engine: as in `SuperTokens`, for an engine that exists only once there is an app.
        :raises RuntimeError: the app has been initialised before.
        :raises ValueError: wrong settings, all of them in one text; or two engines.
        """
        if EXTENSION in app.extensions:
            raise RuntimeError(
                "SuperTokens is on this app already; call init_app once. SuperTokens(app) does it by itself:"
                " leave out one of the two."
            )
        _check_single_engine(database_engine, self._database_engine, self._session_engine, self._store)
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
            is_testing=lambda: app.testing,
        )
        app.register_blueprint(make_blueprint(settings, app))
        prefer_app_rules(app)
        state = app.extensions[EXTENSION] = AppState(settings, engine, self._hooks)
        register_handlers(app)
        note_errors(app, state)
        app.after_request(finish_response)
        request_started.connect(_warn_of_misplaced_decorators, app)
        app.template_context_processors[None].insert(0, self._template_names)  # the app's names win
        app.cli.add_command(_LazyCommands("supertokens", help="Sessions: tables, sessions of users, upkeep."))

    def _template_names(self) -> dict[str, Any]:
        """Return the names for templates: ``current_session``, ``supertokens_script``, and ``current_user`` if there is a user
        loader and the app has no such name already.
        """
        names: dict[str, Any] = {"current_session": current_session, "supertokens_script": fetch_script}
        if self._hooks.user_loader is not None and "current_user" not in current_app.jinja_env.globals:
            names["current_user"] = current_user
        return names


class _LazyCommands(click.Group):
    """``flask supertokens``, which imports its commands when one is called: an app that serves needs none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return _load_commands().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _load_commands().get_command(ctx, cmd_name)


def _load_commands() -> click.Group:
    from .cli import group  # noqa: PLC0415 - see above

    return group


def _warn_of_misplaced_decorators(app: Flask, **_: Any) -> None:
    """Warn once of views that `verify_session` does not protect: at the first request, when all views are there."""
    request_started.disconnect(_warn_of_misplaced_decorators, app)
    for text in find_misplaced_decorators(app):
        logger.warning("%s", text)


def _check_single_engine(*given: object) -> None:
    """Check that at most one is given.

    :raises ValueError: there are more.
    """
    if sum(one is not None for one in given) > 1:
        raise ValueError("Pass one of database_engine, session_engine and store: each replaces the layers beneath it.")


def _check_hooks(hooks: Hooks) -> None:
    """Check the types of claims, validators and functions.

    :raises TypeError: one has the wrong type.
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
