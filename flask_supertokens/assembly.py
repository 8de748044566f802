"""From settings to an engine and what it stands on. What an engine needs is imported only where it is used."""

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
    is_tested: Callable[[], bool] = lambda: False,
) -> Engine:
    """The engine that the settings ask for. Nothing is connected yet.

    :param directory: where relative SQLite files are.
    :param is_tested: whether the default database is a temporary one; asked when it is opened.
    :raises ValueError: hooks for a core, and no core.
    """
    if settings.core_uris:
        return _remote_engine(settings, core_hooks)
    if tuple(core_hooks):
        raise ValueError("core_hooks are for a core: set SUPERTOKENS_CONNECTION_URI, or leave them out.")
    store = store or make_store(settings, directory, database_engine, is_tested)
    return EmbeddedEngine(store, embedded_settings(settings))


def make_store(
    settings: Settings, directory: str, database_engine: DatabaseEngine | None, is_tested: Callable[[], bool]
) -> Store:
    """The SQL store of the settings."""
    from .stores import connecting  # noqa: PLC0415 - slow to import
    from .stores.sqlalchemy import SQLAlchemyStore  # noqa: PLC0415

    engine = database_engine
    if engine is None:
        engine = connecting.database_engine(settings.database_uri, directory)
        if settings.has_default_database:
            connecting.use_temporary_file_in_tests(engine, is_tested)
    return SQLAlchemyStore(engine, creates_tables=settings.create_tables)


@contextmanager
def other_store(uri: str, directory: str) -> Iterator[SQLAlchemyStore]:
    """A store that the settings do not name, until the context ends. Relative SQLite paths are below ``directory``.

    :param uri: a URL that `values.database` has read.
    :raises ValueError: the database would end with the process.
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


def embedded_settings(settings: Settings) -> EmbeddedSettings:
    """What the settings say to the embedded engine."""
    return EmbeddedSettings(
        window=Window(settings.race_window, settings.refresh_token_lifetime),
        keys=KeySettings(
            algorithm=settings.algorithm,
            lifetime=settings.signing_key_lifetime,
            dynamic=settings.dynamic_signing_key,
            access_token_lifetime=settings.access_token_lifetime,
        ),
        secret_keys=settings.secret_keys,
        rules=_rules(settings),
        cache_size=settings.cache_size,
        max_token=_longest_token(settings),
        session_lifetime=settings.session_lifetime,
        sessions_per_user=settings.sessions_per_user,
    )


def _remote_engine(settings: Settings, hooks: Iterable[Hook]) -> RemoteEngine:
    from .engines.remote.client import CoreClient  # noqa: PLC0415 - slow to import
    from .engines.remote.engine import RemoteEngine, RemoteSettings  # noqa: PLC0415

    logger.info("Sessions are kept by a SuperTokens core; SECRET_KEY and SUPERTOKENS_DATABASE_URI are not used.")
    client = CoreClient(settings.core_uris, settings.api_key, settings.core_timeout / 1000, hooks)
    remote = RemoteSettings(_rules(settings), settings.jwks_interval, settings.cache_size, _longest_token(settings))
    return RemoteEngine(client, remote)


def _rules(settings: Settings) -> TokenRules:
    return TokenRules(
        settings.dynamic_signing_key, settings.issuer, settings.audience, checks_issuer=settings.checks_issuer
    )


def _longest_token(settings: Settings) -> int:
    """How long an access token may be so that name and value fit a cookie."""
    prefix = "__Host-01234567-" if settings.cookie_prefix == "auto" else settings.cookie_prefix  # below a script root
    return COOKIE_LIMIT - len(prefix + "sAccessToken")
