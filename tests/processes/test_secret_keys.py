"""`SECRET_KEY` is replaced while several processes are up: operations.md step by step, with processes on both sides of each."""

from __future__ import annotations

import pathlib

import pytest

from flask_supertokens.engines.base import RefreshRequest, milliseconds
from flask_supertokens.errors import TryRefreshTokenError, UnauthorisedError
from flask_supertokens.stores.connecting import database_engine
from flask_supertokens.stores.sqlalchemy import SQLAlchemyStore

from ..support.engines import a_session, an_engine, present, refresh_token_of, rotate_keys
from ..support.plans import HOUR, UNITS, WINDOW, Clock, Jar
from ..support.records import sqlite_uri
from ..support.workers import State, Workers

DAY = UNITS["days"]
OLD, OLD_KNOWS_NEW, NEW_KNOWS_OLD, NEW = ("old",), ("new", "old"), ("old", "new"), ("new",)
"""As Flask orders them: fallbacks first, `SECRET_KEY` last."""
SIDES = 2

# -- in the processes --------------------------------------------------------------------------------------------------


def start(state: State, uri: str, now: int, secret_keys: tuple[str, ...]) -> None:
    """A new process as far as keys go: it knows nothing of what the one before knew."""
    stop(state)
    state["clock"], state["database"] = Clock(now), database_engine(uri, "")
    state["engine"] = an_engine(SQLAlchemyStore(state["database"]), state["clock"], secret_keys=secret_keys)


def stop(state: State) -> None:
    if "database" in state:
        state["database"].dispose()


def log_in(state: State, now: int) -> Jar:
    state["clock"].now = now
    grant = state["engine"].create(a_session())
    return Jar(grant.access.raw, refresh_token_of(grant))


def refresh(state: State, jar: Jar, now: int) -> Jar:
    state["clock"].now = now
    grant = state["engine"].refresh(RefreshRequest(jar.refresh))
    return Jar(grant.access.raw, refresh_token_of(grant))


def use(state: State, jar: Jar, now: int) -> str:
    state["clock"].now = now
    try:
        state["engine"].verify(present(state["engine"], jar.access))
    except TryRefreshTokenError:
        return "try refresh"
    return "ok"


def refresh_is(state: State, jar: Jar, now: int) -> str:
    try:
        refresh(state, jar, now)
    except UnauthorisedError:
        return "unauthorised"
    return "ok"


def rotate(state: State, now: int) -> str:
    state["clock"].now = now
    return rotate_keys(state["engine"]).kid


def end_old_keys(state: State, now: int) -> None:
    state["clock"].now = now
    rotate_keys(state["engine"], *(key.kid for key in state["engine"].store.keys()))


def reseal(state: State) -> list[str]:
    return list(state["engine"].upkeep.keys.reseal(state["engine"].now()))


def published_kids(state: State, now: int) -> set[str]:
    state["clock"].now = now
    return {key["kid"] for key in state["engine"].upkeep.published_keys()[0]}


def status_of_keys(state: State) -> tuple[list[str], list[str]]:
    """What `status` tells of: keys that end with a fallback, and keys that do not open."""
    keys, now = state["engine"].upkeep.keys, state["engine"].now()
    return keys.fallback_ids(now), keys.unusable_ids(now)


# -- the tests ---------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def uri(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    return sqlite_uri(tmp_path) if request.param == "sqlite" else str(request.getfixturevalue(f"{request.param}_uri"))


class Life:
    """People whose requests go to one side and the other in turn, while keys are replaced on either."""

    def __init__(self, uri: str, one: Workers, other: Workers) -> None:
        self.uri = uri
        self.sides = [one, other]
        self.now = (
            milliseconds() - 40 * DAY
        )  # what a database removes has outlived its own clock too, which nobody moves here
        self.jars: list[Jar] = []
        self.refreshed = 0

    def restart(self, side: int, secret_keys: tuple[str, ...]) -> None:
        self.sides[side].all_do(start, self.uri, self.now, secret_keys)

    def go_on(self) -> None:
        """Everybody uses his token and refreshes, on either side; a key is made on each, and signs; somebody signs in."""
        for side in (0, 1):
            here, there = self.sides[side], self.sides[1 - side]
            here.one_does(rotate, self.now)
            self.now += HOUR
            self.jars = [here.one_does(refresh, jar, self.now) for jar in self.jars]
            self.jars += [there.one_does(log_in, self.now)]
            self.refreshed += len(self.jars)
            for jar in self.jars:
                for workers in (here, there):
                    assert workers.all_do(use, jar, self.now) == ["ok"] * SIDES
            self.now += WINDOW + 1

    def known(self) -> list[set[str]]:
        return [kids for workers in self.sides for kids in workers.all_do(published_kids, self.now)]


def test_nobody_notices_a_new_secret_key(uri: str) -> None:
    """At each step, with one side before it and the other behind it: every token is good on both, and no key is lost."""
    with Workers(SIDES) as one, Workers(SIDES) as other:
        life = Life(uri, one, other)
        for side in (0, 1):
            life.restart(side, OLD)
        life.go_on()
        before = life.known()[0]
        for step in (OLD_KNOWS_NEW, NEW_KNOWS_OLD, NEW):
            for side in (0, 1):
                if step == NEW and side == 0:
                    assert set(other.one_does(reseal)) >= before
                life.restart(side, step)
                life.go_on()
                kids = life.known()
                assert kids == [kids[0]] * 4
                assert kids[0] >= before
        assert [workers.all_do(status_of_keys) for workers in (one, other)] == [[([], [])] * SIDES] * 2
        assert len(life.jars) == 14
        for workers in (one, other):
            workers.all_do(stop)


def test_the_keys_end_with_the_fallback_where_they_are_not_sealed_again(uri: str) -> None:
    """Users notice nothing of that either; but the keys end with the fallback, which was told before."""
    with Workers(SIDES) as one, Workers(SIDES) as other:
        life = Life(uri, one, other)
        for step in (OLD, OLD_KNOWS_NEW, NEW_KNOWS_OLD):
            for side in (0, 1):
                life.restart(side, step)
            if step == OLD:
                before = life.known()[0]
                jar = one.one_does(log_in, life.now)
        fallback_ids, unusable_ids = one.one_does(status_of_keys)
        assert (set(fallback_ids), unusable_ids) == (before, [])
        life.now += HOUR
        jar = one.one_does(refresh, jar, life.now)
        life.restart(0, NEW)
        assert one.one_does(use, jar, life.now) == "try refresh"
        assert set(one.one_does(status_of_keys)[1]) == before
        life.now += WINDOW + 1
        jar = one.one_does(refresh, jar, life.now)
        assert [workers.all_do(use, jar, life.now) for workers in (one, other)] == [["ok"] * SIDES] * 2
        for workers in (one, other):
            workers.all_do(stop)


def test_nothing_signed_before_passes_once_a_leaked_secret_key_is_changed(uri: str) -> None:
    """Behind the change nothing passes that was signed before it, at the first request; processes make few keys meanwhile."""
    with Workers(SIDES) as one, Workers(SIDES) as other:
        life = Life(uri, one, other)
        for side in (0, 1):
            life.restart(side, OLD)
        life.go_on()
        life.restart(0, NEW)
        assert one.all_do(use, life.jars[0], life.now) == ["try refresh"] * SIDES
        assert one.all_do(refresh_is, life.jars[0], life.now) == ["unauthorised"] * SIDES
        for _ in range(30):  # the other side still runs
            life.now += DAY
            for workers in (one, other):
                workers.all_do(log_in, life.now)
        assert len(one.one_does(published_kids, life.now) | other.one_does(published_kids, life.now)) <= 8
        life.restart(1, NEW)
        one.one_does(end_old_keys, life.now)
        jar = one.one_does(log_in, life.now)
        assert other.all_do(use, jar, life.now) == ["ok"] * SIDES
        assert other.all_do(status_of_keys) == [([], [])] * SIDES
        for workers in (one, other):
            workers.all_do(stop)
