"""A core of ours on a real socket, for engines elsewhere."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from flask import Flask, request
from waitress.server import create_server

from flask_supertokens.core.apps import Core
from flask_supertokens.core.serving import STATE, make_core_app
from flask_supertokens.engines.remote.client import CoreClient
from flask_supertokens.engines.remote.engine import RemoteEngine, RemoteSettings
from flask_supertokens.protocol.model import SigningKey
from flask_supertokens.signing import Sealer, make_key
from flask_supertokens.stores.base import Store

from .engines import KEYS, RULES, SETTINGS
from .plans import Clock
from .records import kids_of

TEST_CORE_URI = os.environ.get("SUPERTOKENS_TEST_CORE_URI")
TEST_CORE_WINDOW = float(os.environ.get("SUPERTOKENS_TEST_CORE_WINDOW", "0"))
"""Seconds for which the core forgives a repeated refresh: a core of ours has such a window, others have none."""
TEST_CORE_API_KEY = os.environ.get("SUPERTOKENS_TEST_CORE_API_KEY")
CORE_KEYS = dataclasses.replace(KEYS, algorithm="RS256", lifetime=10**12)
Serving = tuple[str, Callable[[Core], None]]
REMOTE_SETTINGS = RemoteSettings(rules=RULES, jwks_interval=4 * 3_600_000, cache_size=10_000, max_token=4075)


class RealClock(Clock):
    """The clock of a core that runs somewhere: it can be waited for a moment, not be moved."""

    tolerance = 5000

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000

    @property
    def now(self) -> int:  # type: ignore[override]
        return self()

    @now.setter
    def now(self, _: int) -> None:
        """Nothing to set."""

    def wait(self, milliseconds: int) -> None:
        if milliseconds > 3000:
            pytest.skip("a real core's clock can't be moved")
        time.sleep(milliseconds / 1000)

    def let_the_window_close(self) -> None:
        time.sleep(TEST_CORE_WINDOW)


@contextlib.contextmanager
def serving(core: Core) -> Iterator[Serving]:
    """A production server with a core behind it: its address, and how to put another core there."""
    app = make_core_app(core)
    server = create_server(app, host="127.0.0.1", port=0, threads=8)
    threading.Thread(target=server.run, daemon=True).start()
    yield f"http://127.0.0.1:{server.effective_port}", lambda other: app.extensions.__setitem__(STATE, other)


def a_core(store: Store, clock: Callable[[], int], *keys: SigningKey, api_keys: tuple[str, ...] = ()) -> Core:
    """A core with the tests' lifetimes and a tenant ``t1``; its keys are made already, since that takes a while."""
    for key in keys:
        store.swap_keys(frozenset(kids_of(store.keys())), key, frozenset())
    store.add_tenant("t1")
    return Core(store, dataclasses.replace(SETTINGS, keys=CORE_KEYS), api_keys, clock)


def of_versions(core: Core, *versions: str) -> Flask:
    """A core that speaks these versions of CDI only."""
    app = make_core_app(core)

    def answer() -> Any:
        if request.path.endswith("/apiversion"):
            return {"versions": versions}
        version = request.headers.get("cdi-version", versions[0])
        return None if version in versions else (f"cdi-version {version} not supported\n", 400)

    app.before_request(answer)
    return app


def core_keys() -> list[SigningKey]:
    """A key of each kind."""
    sealer = Sealer(SETTINGS.secret_keys)
    return [make_key(CORE_KEYS, sealer, Clock().now, dynamic) for dynamic in (True, False)]


def a_remote_engine(
    uris: str | tuple[str, ...], clock: Callable[[], int], api_key: str | None = None, **changes: object
) -> RemoteEngine:
    """An engine on a core or several; ``changes`` to its settings."""
    settings = dataclasses.replace(REMOTE_SETTINGS, **changes)  # type: ignore[arg-type]
    return RemoteEngine(CoreClient((uris,) if isinstance(uris, str) else uris, api_key, 10), settings, clock)


def an_app_of_the_test_core(uri: str, number: int) -> str:
    """An app of its own on the core that the environment names, with a tenant ``t1``; its address."""
    headers = {} if TEST_CORE_API_KEY is None else {"api-key": TEST_CORE_API_KEY}
    app_id = f"test{time.time_ns() // 1_000_000}-{number}"
    for path, body in (
        ("/recipe/multitenancy/app/v2", {"appId": app_id}),
        (f"/appid-{app_id}/recipe/multitenancy/tenant/v2", {"tenantId": "t1"}),
    ):
        requests.put(uri + path, json=body, headers=headers, timeout=30).raise_for_status()
    return f"{uri}/appid-{app_id}"
