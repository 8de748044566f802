"""The apps of a core: each with an engine, with what its ``coreConfig`` sets, and with tenants. Each signs with RS256."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..assembly import make_embedded_settings
from ..engines.base import TokenRules, milliseconds
from ..engines.embedded import EmbeddedEngine, EmbeddedSettings
from ..errors import GeneralError
from ..forks import ForkSafeLock
from ..protocol.core_config import Lifetimes, merge_config, read_lifetimes
from ..protocol.model import FIRST_APP, PUBLIC_TENANT, Payload
from ..protocol.tokens import MAX_TOKEN_LENGTH, same_secret
from ..signing import RELOAD_EVERY, BoundedCache
from ..state import AppState
from ..stores.base import Store

logger: logging.Logger = logging.getLogger("flask_supertokens")

MAX_APPS = 1000
"""So many apps are kept in memory besides the first; what is kept of one is a copy of what is in the store."""
_ATTEMPTS = 20


@dataclass(frozen=True)
class _App:
    """An engine with the ``coreConfig`` that it was made with, and when that was read."""

    engine: EmbeddedEngine
    config: str | None
    read_at: int


class Core:
    """The apps of one store, each with an engine.

    :param settings: of the embedded engine; signs RS256 and judges no issuer, audience or kind of key: that is the client's.
    :param race_window: ms, as it was set: of each app it is a second shorter than its access tokens' life, at most.
    :param clock: milliseconds since the epoch; for tests.
    """

    def __init__(
        self,
        store: Store,
        settings: EmbeddedSettings,
        api_keys: tuple[str, ...] = (),
        clock: Callable[[], int] = milliseconds,
        race_window: int | None = None,
    ) -> None:
        self._clock = clock
        self._race_window = settings.window.race if race_window is None else race_window
        self.api_keys = api_keys
        self._store = store
        self._settings = replace(
            settings,
            keys=replace(settings.keys, algorithm="RS256", dynamic=True),
            rules=TokenRules(dynamic=None, issuer=None, audience=None, checks_issuer=False),
            max_token=MAX_TOKEN_LENGTH,
        )
        self._first = EmbeddedEngine(store, self._settings, clock)
        self._apps: BoundedCache[_App] = BoundedCache(MAX_APPS)
        self._lock = ForkSafeLock()
        self._known: frozenset[tuple[str, str]] = frozenset({(FIRST_APP, PUBLIC_TENANT)})

    # -- engines

    def engine_of(self, app_id: str) -> EmbeddedEngine:
        """Look up the engine of an app, added or not. What another process sets for the app is seen within `RELOAD_EVERY`.

        :raises GeneralError: the store can't be asked, and this process does not know the app yet.
        """
        if app_id == FIRST_APP:
            return self._first
        known, now = self._apps.get(app_id), self._clock()
        if known is not None and abs(now - known.read_at) < RELOAD_EVERY:
            return known.engine
        try:
            config = self._store.of_app(app_id).config()
        except GeneralError as error:
            if known is None:
                raise
            config = known.config
            logger.warning(
                "The coreConfig of an app could not be read again; the known one stays: %s", error.description
            )
        with self._lock:
            current = self._apps.get(app_id)
            if current is not None and current is not known:  # it was changed since this was read
                return current.engine
            return self._keep_engine(app_id, config, now)

    def _keep_engine(self, app_id: str, config: str | None, now: int) -> EmbeddedEngine:
        """Keep an engine with this ``coreConfig``: the one that is there, if it has it, since that one has read its keys.

        Call it under the lock only.
        """
        known = self._apps.get(app_id)
        if known is None or known.config != config:
            engine = EmbeddedEngine(self._store.of_app(app_id), self._make_settings(app_id, config), self._clock)
        else:
            engine = known.engine
        self._apps.put(app_id, _App(engine, config, now))
        return engine

    def _make_settings(self, app_id: str, config: str | None) -> EmbeddedSettings:
        """Put an app's own settings into the core's. They were checked when they were stored, but perhaps by another core."""
        try:
            own = read_lifetimes(json.loads(config or "{}"), self._lifetimes)
        except ValueError as error:
            logger.error(
                "The coreConfig of app %r is not used, the core's own settings are: %s. Put another one, or correct the core's.",
                app_id,
                error,
            )
            own = self._lifetimes
        race = min(self._race_window, own.access_token - 1000)
        return replace(
            self._settings,
            window=replace(self._settings.window, race=race, refresh_lifetime=own.refresh_token),
            keys=replace(self._settings.keys, lifetime=own.signing_key, access_token_lifetime=own.access_token),
        )

    @property
    def _lifetimes(self) -> Lifetimes:
        keys = self._settings.keys
        return Lifetimes(keys.access_token_lifetime, self._settings.window.refresh_lifetime, keys.lifetime)

    def make_keys(self) -> None:
        """Make the first app's signing keys, if they are not there: it takes up to seconds, and clients do not wait so long.

        While the store can't be reached they are left to the first call that needs them.
        """
        try:
            self._first.upkeep.make_keys()
        except GeneralError as error:
            logger.warning("The core has no signing keys yet; the first call makes them: %s", error.description)

    # -- apps, tenants, settings

    def has(self, app_id: str, tenant_id: str) -> bool:
        """Tell whether this tenant was added to this app. What is there stays, so the store is asked once."""
        if (app_id, tenant_id) not in self._known:
            there = self._store.of_app(app_id).tenants()
            self._known |= {(app_id, tenant) for tenant in there}
        return (app_id, tenant_id) in self._known

    def add(self, app_id: str, tenant_id: str) -> bool:
        """Add an app (with the public tenant, and with its keys) or a tenant of it, and tell whether it was new."""
        if (app_id, tenant_id) == (FIRST_APP, PUBLIC_TENANT):  # it is always there
            return False
        if tenant_id == PUBLIC_TENANT:
            self.engine_of(app_id).upkeep.make_keys()
        return self._store.of_app(app_id).add_tenant(tenant_id)

    def config_of(self, app_id: str) -> Payload:
        """Read the ``coreConfig`` of an app from the store, as it was given."""
        config: Payload = json.loads(self._store.of_app(app_id).config() or "{}")
        return config

    def update_config(self, app_id: str, update: Payload) -> None:
        """Change what an app sets for itself. This process has it at once.

        :raises ValueError: a name or a value that can't be, or the first app, whose settings are the core's.
        """
        if app_id == FIRST_APP:
            raise ValueError("the settings of the public app are those of the core, from its environment")
        store = self._store.of_app(app_id)
        for _ in range(_ATTEMPTS):
            seen = store.config()
            config = merge_config(json.loads(seen or "{}"), update)
            read_lifetimes(config, self._lifetimes)
            new = json.dumps(config) if config or seen else None
            if new == seen or store.swap_config(seen, str(new)):
                with self._lock:
                    self._keep_engine(app_id, new, self._clock())
                return
        raise GeneralError("The settings of this app are being changed by others all the time. Try again.")

    def admits(self, api_key: str | None) -> bool:
        """Tell whether this API key is one of the core's. Any will do where it has none."""
        return not self.api_keys or any(same_secret(known, api_key) for known in self.api_keys)


def make_core(state: AppState, *, needs_api_keys: bool) -> Core:
    """Make a core on the store of an app's engine.

    :raises ValueError: the engine has no store, or there are no API keys.
    """
    settings, store = state.settings, state.engine.upkeep.store
    if store is None:
        raise ValueError("A core needs the embedded engine: remove SUPERTOKENS_CONNECTION_URI, and set a database.")
    if needs_api_keys and not settings.core_api_keys:
        raise ValueError(
            "A core that others can reach needs API keys. Set SUPERTOKENS_CORE_API_KEYS to one or more, separated by commas;"
            " make one with python -c 'import secrets; print(secrets.token_hex())'."
        )
    return Core(
        store,
        make_embedded_settings(settings),
        settings.core_api_keys,
        race_window=settings.longest_race_window,
    )
