"""Cores and SDK apps, each started when it is first asked for, and an app of ours on the same core."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from flask import Flask
from waitress.server import create_server

from flask_supertokens import SuperTokens, current_session, verify_session

from ..support.core_process import CoreProcess
from .client import REFRESH
from .processes import API_KEY, Configuration, Outcomes, a_core, outcomes_of, sdk_app, what_is_missing
from .scenarios import Run

CoreOf = Callable[[str], CoreProcess]
AppOf = Callable[[Configuration, str], str]
OutcomesOf = Callable[[Run], Outcomes]


@pytest.fixture(params=["python", "node"])
def sdk(request: pytest.FixtureRequest) -> str:
    """Each SDK; without it: skipped, but in CI a failure."""
    return require_installed(request.param)


def require_installed(sdk: str) -> str:
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
    """A core by name: on ``sqlite``, on ``postgres``, or ``restarted`` for tests that end it for a while."""
    with contextlib.ExitStack() as stack:
        cores: dict[str, CoreProcess] = {}

        def core(name: str) -> CoreProcess:
            if name not in cores:
                cores[name] = stack.enter_context(a_core(uri_of(name)))
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
def restarted_app(sdk: str, app_of: AppOf) -> str:
    """The same on a core of its own, which the test may end and start."""
    return app_of((sdk, "NONE", True), "restarted")


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


def selected_runs(request: pytest.FixtureRequest) -> list[Run]:
    """What the selected tests on scenarios need, of the SDKs that are there; in the order of the tests."""
    params = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    runs = [given["run"] for given in params if isinstance(given.get("run"), Run)]
    return [run for run in dict.fromkeys(runs) if what_is_missing(run.sdk) is None]


@pytest.fixture(scope="package")
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutcomesOf]:
    """What came out of a run of scenarios. All runs start at once, some at a time, each in a process of its own."""
    folder = tmp_path_factory.mktemp("scenarios")
    runs = selected_runs(request)
    with contextlib.ExitStack() as stack:
        cores = {
            window: stack.enter_context(a_core(f"sqlite:///{folder}/{window}.sqlite3", window=window)).uri
            for window in dict.fromkeys(run.window for run in runs)
        }
        pool = stack.enter_context(ThreadPoolExecutor(3))
        started: dict[Run, Future[Outcomes]] = {
            run: pool.submit(outcomes_of, run, cores[run.window], folder) for run in runs
        }
        yield lambda run: started[run].result()


@pytest.fixture(scope="package", autouse=True)
def scenarios_run_beside(request: pytest.FixtureRequest) -> None:
    """They run while the other tests here wait for something; with several workers, of which each has some files, they do not."""
    if "PYTEST_XDIST_WORKER" not in os.environ and selected_runs(request):
        request.getfixturevalue("outcomes")
