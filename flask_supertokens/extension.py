"""`SuperTokens`: wiring, no logic."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask

from .assembly import make_engine
from .blueprint import make_blueprint
from .cli import group
from .config import read_settings
from .context import EXTENSION, AppState, apply_plan, note_errors
from .engines.base import Engine
from .handlers import register_handlers
from .sessions import current_session, refuse_unbuilt
from .stores.base import Store

if TYPE_CHECKING:
    from sqlalchemy import Engine as DatabaseEngine

    from .core_client import Hook


class SuperTokens:
    """Sessions for a Flask app: ``SuperTokens(app)``, or ``SuperTokens()`` and later ``init_app(app)``.

    :param app: initialise this app at once.
    :param database_engine: a SQLAlchemy engine for the embedded engine, instead of ``SUPERTOKENS_DATABASE_URI``.
    :param session_engine: an engine of one's own (`flask_supertokens.engines.base.Engine`).
    :param core_hooks: called with each `requests.PreparedRequest` to a core before it is sent: to trace it, or to change it.
    :param store: a store of one's own (`flask_supertokens.stores.base.Store`) for the embedded engine.

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
        claims: Iterable[Any] = (),
        claim_validators: Iterable[Any] = (),
        user_exists: Any = None,
        before_session_created: Any = None,
    ) -> None:
        refuse_unbuilt(
            claims=tuple(claims),
            claim_validators=tuple(claim_validators),
            user_exists=user_exists,
            before_session_created=before_session_created,
        )
        if sum(given is not None for given in (database_engine, session_engine, store)) > 1:
            raise ValueError(
                "Pass one of database_engine, session_engine and store: each stands for the ones below it."
            )
        self._database_engine = database_engine
        self._session_engine = session_engine
        self._store = store
        self._core_hooks = tuple(core_hooks)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Check the settings, build the engine, register routes, handlers, ``after_request`` and commands.

        Reads ``app.config`` once. Opens no connection and no file. Wraps ``app.preprocess_request`` and
        ``app.dispatch_request``. An app whose settings are wrong is left as it was, so that a corrected retry works.

        :raises RuntimeError: the app has been initialised before.
        :raises ValueError: wrong settings, all of them in one text.
        """
        if EXTENSION in app.extensions:
            raise RuntimeError("SuperTokens is on this app already; call init_app once.")
        settings = read_settings(
            app.config,
            needs_database=self._database_engine is None and self._session_engine is None and self._store is None,
            needs_secret=self._session_engine is None,
        )
        engine = self._session_engine or make_engine(
            settings, app.instance_path, self._store, self._database_engine, self._core_hooks
        )
        if settings.register_routes:
            app.register_blueprint(make_blueprint(settings))
        app.extensions[EXTENSION] = AppState(settings, engine)
        register_handlers(app)
        note_errors(app)
        app.after_request(apply_plan)
        app.context_processor(lambda: {"current_session": current_session})
        app.cli.add_command(group)
