"""Several processes on one database: they refresh one token at the same moment, and start on an empty database."""

from __future__ import annotations

import pathlib

import pytest

from flask_supertokens.engines.base import RefreshRequest, milliseconds
from flask_supertokens.stores.connecting import database_engine
from flask_supertokens.stores.sqlalchemy import SQLAlchemyStore

from ..support.engines import a_session, an_engine, keys_of, present, refresh_token_of, tokens_of
from ..support.plans import HOUR, WINDOW, Clock, Jar
from ..support.records import kids_of, sqlite_uri
from ..support.workers import State, Workers

PROCESSES = 6
GENERATIONS = 30

# -- in the processes --------------------------------------------------------------------------------------------------


def start(state: State, uri: str, now: int) -> None:
    """An engine of one's own, with connections of its own and a clock that the test moves."""
    state["clock"], state["database"] = Clock(now), database_engine(uri, "")
    state["engine"] = an_engine(SQLAlchemyStore(state["database"]), state["clock"])


def stop(state: State) -> None:
    state["database"].dispose()


def log_in(state: State) -> Jar:
    grant = state["engine"].create(a_session())
    return Jar(grant.access.raw, refresh_token_of(grant))


def refresh(state: State, token: str, now: int) -> tuple[Jar, bool]:
    """The new tokens, and whether this refresh promoted ``token``. A theft or a lost swap is an error of the test."""
    state["clock"].now = now
    grant = state["engine"].refresh(RefreshRequest(token))
    return Jar(tokens_of(grant).access_token, refresh_token_of(grant)), grant.confirmed


def use(state: State, token: str, now: int) -> tuple[str, bool]:
    """The access token to go on with, and whether this was its first use."""
    state["clock"].now = now
    grant = state["engine"].verify(present(state["engine"], token))
    return grant.access.raw, grant.confirmed


# -- the tests ---------------------------------------------------------------------------------------------------------


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ]
)
def uri(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    return sqlite_uri(tmp_path) if request.param == "sqlite" else str(request.getfixturevalue(f"{request.param}_uri"))


def test_six_processes_that_refresh_one_token_get_children_and_raise_no_alarm(uri: str) -> None:
    """All get children, exactly one promotes; nobody is turned away and nobody is called a thief."""
    now = milliseconds()
    with Workers(PROCESSES) as workers:
        workers.all_do(start, uri, now)
        token = workers.all_do(log_in)[0].refresh
        for generation in range(GENERATIONS):
            jars, promoted = zip(*workers.all_do(refresh, token, now), strict=True)
            assert len({jar.refresh for jar in jars}) == PROCESSES
            assert sum(promoted) == (1 if generation else 0)
            token = jars[generation % PROCESSES].refresh
            now += WINDOW + 1
        workers.all_do(stop)


def test_one_first_use_a_generation_where_six_processes_refresh_and_use(uri: str) -> None:
    """With one refresh a generation there is one first use, and later a fresh token in each process."""
    now = milliseconds()
    with Workers(PROCESSES) as workers:
        workers.all_do(start, uri, now)
        token = workers.all_do(log_in)[0].refresh
        for _ in range(GENERATIONS // 3):
            now += HOUR
            jar, _promoted = workers.one_does(refresh, token, now)
            _, first = zip(*workers.all_do(use, jar.access, now), strict=True)
            assert sum(first) == 1
            later, first = zip(*workers.all_do(use, jar.access, now + WINDOW + 1), strict=True)
            assert jar.access not in later
            assert not any(first)
            token = jar.refresh
        workers.all_do(stop)


def test_four_processes_that_start_on_an_empty_database_agree_on_one_key(uri: str) -> None:
    """They agree on one signing key, and each finds the tokens of all the others good."""
    now = milliseconds()
    with Workers(4) as workers:
        workers.all_do(start, uri, now)
        jars = workers.all_do(log_in)
        for jar in jars:
            assert workers.all_do(use, jar.access, now) == [(jar.access, False)] * 4
        kids = workers.all_do(known_keys)
        workers.all_do(stop)
    assert kids == [kids[0]] * 4
    assert len(kids[0]) == 1


def known_keys(state: State) -> list[str]:
    return kids_of(keys_of(state["engine"]))
