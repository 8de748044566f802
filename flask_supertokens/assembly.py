"""Makes the engine that the settings ask for, with its store. Slow libraries are imported only where they are used."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .engines.base import Engine, TokenRules
from .engines.embedded import EmbeddedEngine, EmbeddedSettings
from .protocol.rotation import Window
from .protocol.tokens import COOKIE_LIMIT
from .settings.keys import Settings
from .signing import KeySettings
from .stores.base import Store

if TYPE_CHECKING:
    from sqlalchemy import Engine as DatabaseEngine

    from .engines.remote.client import Hook
    from .engines.remote.engine import RemoteEngine
    from .stores.sqlalchemy import SQLAlchemyStore

logger: logging.Logger = logging.getLogger("flask_supertokens")


def make_engine(
    settings: Settings,
    directory: str,
    store: Store | None = None,
    database_engine: DatabaseEngine | None = None,
    *,
    core_hooks: Iterable[Hook] = (),
    is_testing: Callable[[], bool] = lambda: False,
) -> Engine:
    """Make the engine that the settings ask for. It opens no connection yet.

    :param directory: where relative SQLite files are.
    :param is_testing: whether the default database is a temporary one; called when it is opened.
    :raises ValueError: there are hooks for a core, but no core.
    """
    if settings.core_uris:
        return _make_remote_engine(settings, core_hooks)
    if tuple(core_hooks):
        raise ValueError("core_hooks are for a core: set SUPERTOKENS_CONNECTION_URI, or leave them out.")
    store = store or make_store(settings, directory, database_engine, is_testing)
    return EmbeddedEngine(store, make_embedded_settings(settings))


def make_store(
    settings: Settings, directory: str, database_engine: DatabaseEngine | None, is_testing: Callable[[], bool]
) -> Store:
    """Make the SQL store that the settings name."""
    from .stores import connecting  # noqa: PLC0415 - slow to import
    from .stores.sqlalchemy import SQLAlchemyStore  # noqa: PLC0415

    engine = database_engine
    if engine is None:
        engine = connecting.database_engine(settings.database_uri, directory)
        if settings.has_default_database:
            connecting.use_temporary_file_in_tests(engine, is_testing)
    return SQLAlchemyStore(engine, creates_tables=settings.create_tables)


@contextmanager
def open_other_store(uri: str, directory: str) -> Iterator[SQLAlchemyStore]:
    """Open a store that the settings do not name, until the context ends. Relative SQLite paths are below ``directory``.

    :param uri: a URL that `values.database` has read.
    :raises ValueError: the database is in memory.
    """
    from .stores.connecting import database_engine  # noqa: PLC0415 - slow to import
    from .stores.sqlalchemy import OtherStore  # noqa: PLC0415

    engine = database_engine(uri, directory)
    try:
        store = OtherStore(engine)
        if store.is_in_memory:
            raise ValueError("A database in memory ends with this command: name a file or a server.")
        yield store
    finally:
        engine.dispose()


def make_embedded_settings(settings: Settings) -> EmbeddedSettings:
    """Return the settings of the embedded engine."""
    return EmbeddedSettings(
        window=Window(settings.race_window, settings.refresh_token_lifetime),
        keys=KeySettings(
            algorithm=settings.algorithm,
            lifetime=settings.signing_key_lifetime,
            dynamic=settings.dynamic_signing_key,
            access_token_lifetime=settings.access_token_lifetime,
        ),
        secret_keys=settings.secret_keys,
        rules=_token_rules(settings),
        cache_size=settings.cache_size,
        max_token=_max_token_length(settings),
        session_lifetime=settings.session_lifetime,
        sessions_per_user=settings.sessions_per_user,
    )


def _make_remote_engine(settings: Settings, hooks: Iterable[Hook]) -> RemoteEngine:
    from .engines.remote.client import CoreClient  # noqa: PLC0415 - slow to import
    from .engines.remote.engine import RemoteEngine, RemoteSettings  # noqa: PLC0415

    logger.info("Sessions are kept by a SuperTokens core; SECRET_KEY and SUPERTOKENS_DATABASE_URI are not used.")
    client = CoreClient(settings.core_uris, settings.api_key, settings.core_timeout / 1000, hooks)
    remote = RemoteSettings(
        _token_rules(settings), settings.jwks_interval, settings.cache_size, _max_token_length(settings)
    )
    return RemoteEngine(client, remote)


def _token_rules(settings: Settings) -> TokenRules:
    return TokenRules(
        settings.dynamic_signing_key, settings.issuer, settings.audience, checks_issuer=settings.checks_issuer
    )


def _max_token_length(settings: Settings) -> int:
    """Return how many characters an access token may have, so that name and value fit a cookie."""
    prefix = "__Host-01234567-" if settings.cookie_prefix == "auto" else settings.cookie_prefix  # below a script root
    return COOKIE_LIMIT - len(prefix + "sAccessToken")
