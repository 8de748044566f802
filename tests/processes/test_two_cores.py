"""Two cores of ours on one PostgreSQL, and an engine that knows both: one is killed in mid-load and started again."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import make_url

from flask_supertokens.engines.base import Grant, RefreshRequest
from flask_supertokens.engines.remote.client import CoreClient
from flask_supertokens.engines.remote.engine import RemoteEngine
from flask_supertokens.errors import GeneralError, SuperTokensError

from ..support.core_process import CoreProcess
from ..support.engines import a_session, present, refresh_token_of
from ..support.served import REMOTE_SETTINGS
from ..support.threads import at_once

pytestmark = [pytest.mark.postgres, pytest.mark.long]
CLIENTS = 8
KILLS = 4
SECONDS_UP = 1.2
"""Between two kills, and without one of the cores: some ten refreshes of each client."""
WINDOW = 0.05


@pytest.fixture
def cores(postgres_uri: str) -> Iterator[list[CoreProcess]]:
    uri = make_url(postgres_uri).render_as_string(hide_password=False).replace("postgresql+psycopg", "postgresql")
    with (
        CoreProcess(uri, REFRESH_RACE_WINDOW=WINDOW) as one,
        CoreProcess(uri, REFRESH_RACE_WINDOW=WINDOW) as other,
    ):
        yield [one, other]


class Life:
    """One client's session: it refreshes and uses its tokens without a pause, and keeps what it was answered."""

    def __init__(self, engine: RemoteEngine, outcomes: Counter[str]) -> None:
        self._engine = engine
        self._outcomes = outcomes
        self.grant = engine.create(a_session())

    def live(self, over: threading.Event) -> None:
        while not over.is_set():
            self._keep(self._count("refresh", lambda: self._engine.refresh(RefreshRequest(self._refresh_token))))
            self._count("verify", lambda: self._engine.verify(present(self._engine, self.grant.access.raw)))
            time.sleep(WINDOW * 1.5)

    def create(self, over: threading.Event) -> None:
        """Log in again and again: the one call that is not repeated elsewhere."""
        while not over.is_set():
            self._count("create", lambda: self._engine.create(a_session("user-2")))
            time.sleep(WINDOW)

    @property
    def _refresh_token(self) -> str:
        return refresh_token_of(self.grant)

    def _keep(self, grant: Grant | None) -> None:
        if grant is not None and grant.tokens is not None and grant.tokens.refresh_token is not None:
            self.grant = grant

    def _count(self, name: str, ask: Callable[[], Grant]) -> Grant | None:
        try:
            grant = ask()
        except GeneralError:
            self._outcomes[f"{name}: 503"] += 1
            return None
        except SuperTokensError as error:
            self._outcomes[f"{name}: {type(error).__name__}"] += 1
            raise
        self._outcomes[f"{name}: ok"] += 1
        return grant


def test_no_session_is_lost_where_a_core_is_killed_in_mid_load(
    cores: list[CoreProcess], report: Callable[[str], None]
) -> None:
    """No session is lost and no alarm is raised; what was in flight fails over to the other core."""
    outcomes: Counter[str] = Counter()
    client = CoreClient(tuple(core.uri for core in cores), None, 10)
    engine, over = RemoteEngine(client, REMOTE_SETTINGS), threading.Event()
    lives = [Life(engine, outcomes) for _ in range(CLIENTS)]
    with _running([*(life.live for life in lives), Life(engine, outcomes).create], over):
        for number in range(KILLS):
            time.sleep(SECONDS_UP)
            cores[number % 2].kill()
            time.sleep(SECONDS_UP)
            cores[number % 2].start()
    for life in lives:
        engine.verify(engine.refresh(RefreshRequest(refresh_token_of(life.grant))).access, check_database=True)
    assert {name for name in outcomes if not name.endswith(": ok")} <= {"create: 503"}
    assert outcomes["create: 503"] <= KILLS, "only those in flight"
    assert outcomes["refresh: ok"] > 100
    report(f"two cores, {KILLS} times kill -9, {CLIENTS} clients: {dict(outcomes)}; 0 sessions lost, 0 alarms")


def test_the_session_goes_on_after_both_cores_were_down_for_a_while(cores: list[CoreProcess]) -> None:
    """Every call fails in words until one is back; then the session goes on with the same tokens."""
    engine = RemoteEngine(CoreClient(tuple(core.uri for core in cores), None, 10), REMOTE_SETTINGS)
    grant = engine.create(a_session())
    for core in cores:
        core.kill()
    with pytest.raises(GeneralError, match=f"{cores[0].uri}.*{cores[1].uri}|{cores[1].uri}.*{cores[0].uri}"):
        engine.refresh(RefreshRequest(refresh_token_of(grant)))
    cores[1].start()
    assert engine.refresh(RefreshRequest(refresh_token_of(grant))).tokens


def test_a_core_that_is_asked_to_stop_answers_what_it_has_and_ends_with_code_0(cores: list[CoreProcess]) -> None:
    """It answers what it has in hand and ends with code 0."""
    engine = RemoteEngine(CoreClient((cores[0].uri,), None, 10), REMOTE_SETTINGS)
    created = threading.Thread(target=lambda: at_once(4, lambda _: engine.create(a_session())))
    created.start()
    created.join()
    assert cores[0].stop() == 0


class _running:
    """The clients live while the block runs; an error of one is an error of the test."""

    def __init__(self, loops: list[Callable[[threading.Event], None]], over: threading.Event) -> None:
        self._over = over
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=(loop,)) for loop in loops]

    def _run(self, loop: Callable[[threading.Event], None]) -> None:
        try:
            loop(self._over)
        except BaseException as error:
            self._errors.append(error)

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)
        assert self._errors == []
