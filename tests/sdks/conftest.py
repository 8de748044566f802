"""Cores and SDK apps, each started when it is first asked for, and an app of ours on the same core."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from waitress.server import create_server

from flask_supertokens import SuperTokens, current_session, verify_session

from ..support.core_process import CoreProcess
from .client import REFRESH
from .processes import API_KEY, Configuration, a_core, sdk_app, what_is_missing

CoreOf = Callable[[str], CoreProcess]
AppOf = Callable[[Configuration, str], str]


@pytest.fixture(params=["python", "node"])
def sdk(request: pytest.FixtureRequest) -> str:
    """Each SDK; without it: skipped, but in CI a failure."""
    return installed(request.param)


def installed(sdk: str) -> str:
    lack = what_is_missing(sdk)
    if lack is not None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(lack)
    return sdk


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> str:
    """Each database that a core can have."""
    name: str = request.param
    return name


@pytest.fixture(scope="package")
def uri_of(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The address of a core's database."""
    folder = tmp_path_factory.mktemp("databases")

    def uri(name: str) -> str:
        if name == "postgres":
            address: str = request.getfixturevalue("postgres_server").empty_database()
            return address
        return f"sqlite:///{folder}/{name}.sqlite3"

    return uri


@pytest.fixture(scope="package")
def core_of(uri_of: Callable[[str], str]) -> Iterator[CoreOf]:
    """A core by name: on ``sqlite``, on ``postgres``, or ``hasty`` with access tokens of five seconds."""
    with contextlib.ExitStack() as stack:
        cores: dict[str, CoreProcess] = {}

        def core(name: str) -> CoreProcess:
            if name not in cores:
                hasty: dict[str, Any] = {"ACCESS_TOKEN_LIFETIME": 5} if name == "hasty" else {}
                cores[name] = stack.enter_context(a_core(uri_of(name), **hasty))
            return cores[name]

        yield core


@pytest.fixture(scope="package")
def app_of(core_of: CoreOf, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppOf]:
    """The address of an app on an SDK in some configuration, on a core that is named."""
    folder = tmp_path_factory.mktemp("apps")
    with contextlib.ExitStack() as stack:
        apps: dict[tuple[Configuration, str], str] = {}

        def app(configuration: Configuration, core: str) -> str:
            key = (configuration, core)
            if key not in apps:
                apps[key] = stack.enter_context(sdk_app(configuration, core_of(core).uri, folder))
            return apps[key]

        yield app


@pytest.fixture
def app(sdk: str, database: str, app_of: AppOf) -> str:
    """An SDK's app as it usually is, on each database."""
    return app_of((sdk, "NONE", True), database)


@pytest.fixture
def hasty_app(sdk: str, app_of: AppOf) -> str:
    """The same with access tokens of five seconds."""
    return app_of((sdk, "NONE", True), "hasty")


@pytest.fixture
def strict_app(sdk: str, app_of: AppOf) -> str:
    """An SDK's app with anti-CSRF tokens and the static signing key."""
    return app_of((sdk, "VIA_TOKEN", False), "sqlite")


@pytest.fixture
def our_app(core_of: CoreOf) -> str:
    """The address of an app of ours on the core that the SDKs' apps have."""
    app = Flask("an_app")
    app.config.update(
        SUPERTOKENS_CONNECTION_URI=core_of("sqlite").uri, SUPERTOKENS_API_KEY=API_KEY, SUPERTOKENS_REFRESH_PATH=REFRESH
    )
    SuperTokens(app)
    app.add_url_rule("/me", "me", verify_session(lambda: {"user": current_session.user_id}))
    server = create_server(app, host="127.0.0.1", port=0, threads=2)
    threading.Thread(target=server.run, daemon=True).start()
    return f"http://127.0.0.1:{server.effective_port}"
