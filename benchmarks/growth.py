"""What a million sessions cost: verbs of the store at three sizes of its table on PostgreSQL, which indexes they use, and a
clean-up of a million expired rows beside refreshes.

Run: ``python -m benchmarks.growth [--sizes 1000 100000 10000000] [--expired 1000000]``. Each size has a database of its own on
one server; rounds go around all of them.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import pathlib
import random
import re
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import psycopg
from sqlalchemy import text
from sqlalchemy.schema import CreateIndex

from flask_supertokens.cli import BATCH
from flask_supertokens.engines.base import RefreshRequest
from flask_supertokens.engines.embedded import EmbeddedEngine
from flask_supertokens.stores.connecting import database_engine
from flask_supertokens.stores.schema import sessions
from flask_supertokens.stores.sqlalchemy import SQLAlchemyStore
from tests.support.engines import a_session, an_engine, refresh_token_of
from tests.support.plans import Clock
from tests.support.postgres import PostgresServer, programs

SETTINGS = ("fsync=off", "listen_addresses=", "max_connections=50", "shared_buffers=2GB", "max_wal_size=8GB")
NOW = 1_800_000_000_000
SESSIONS_OF_A_USER = 3
REAL = 60
"""Sessions of the engine's own among the rows, which are refreshed."""
RESULTS = pathlib.Path(__file__).parent / "results" / "growth.json"

_FILL = """
INSERT INTO supertokens_sessions (handle, app_id, user_id, recipe_user_id, tenant_id, current_hash2, children, used_at,
    expires_at, created_at, refreshed_at, anti_csrf_token, payload, data, user_agent, ip)
SELECT md5(n::text), 'public', 'user-' || n / {each}, 'user-' || n / {each}, 'public', md5(n::text) || md5((-n)::text), 1,
    {now} - 60000, {now} + (1 + n::bigint * 7919 % 100) * 86400000, {now} - 86400000, {now} - 60000, NULL,
    '{{"role": "user", "auth_time": 1800000000}}', '{{"cart": []}}', 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36', NULL
FROM generate_series(1, {number}) AS n
"""
_EXPIRE = """
UPDATE supertokens_sessions SET expires_at = 1
WHERE handle IN (SELECT handle FROM supertokens_sessions WHERE user_id <> 'real' LIMIT {number})
"""
_PLANS = {
    "read": "WHERE handle = 'x' AND app_id = 'public'",
    "list": "WHERE user_id = 'user-7' AND app_id = 'public' ORDER BY created_at, handle",
    "clean-up": "WHERE app_id = 'public' AND expires_at <= 0 ORDER BY expires_at LIMIT 1000",
}


class Database(NamedTuple):
    """So many sessions, and an engine on them."""

    size: int
    uri: str
    engine: EmbeddedEngine
    store: SQLAlchemyStore
    clock: Clock
    tokens: list[str]
    users: Iterator[int]


def fill(uri: str, size: int) -> Database:
    """A database with so many rows, and some real sessions besides."""
    store, clock = SQLAlchemyStore(database_engine(uri, "")), Clock(NOW)
    store.create_tables()
    indexes = [f"DROP INDEX {index.name}" for index in sessions.indexes]
    indexes_again = [str(CreateIndex(index).compile(dialect=store._engine.dialect)) for index in sessions.indexes]
    filled = _FILL.format(each=SESSIONS_OF_A_USER, now=NOW, number=size)
    execute(uri, *indexes, filled, *indexes_again, "VACUUM ANALYZE supertokens_sessions")
    engine = an_engine(store, clock)
    tokens = [refresh_token_of(engine.create(a_session("real"))) for _ in range(REAL)]
    return Database(size, uri, engine, store, clock, tokens, itertools.count(1))


def execute(uri: str, *statements: str) -> None:
    """However long it takes; the store's own connections would give up."""
    with psycopg.connect(uri.replace("+psycopg", ""), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


# -- what is timed -----------------------------------------------------------------------------------------------------


def refresh(database: Database, number: int) -> None:
    """Each time the child of before, no longer young: a promotion and a new child."""
    place = number % REAL
    database.clock.wait(60_000)
    database.tokens[place] = refresh_token_of(database.engine.refresh(RefreshRequest(database.tokens[place])))


def verify(database: Database, number: int) -> None:
    """What `check_database` asks."""
    row = random.Random(number).randrange(database.size // 2, database.size)
    assert database.store.read(_handle(row)) is not None


def list_sessions(database: Database, number: int) -> None:
    assert database.store.of_user(_user(database, number), None, NOW)


def log_in(database: Database, number: int) -> None:
    database.engine.create(a_session("somebody"))


def revoke_all(database: Database, number: int) -> None:
    """The sessions of one user, another one each time."""
    assert database.engine.revoke_user(f"user-{next(database.users)}", None, None)


VERBS: dict[str, Callable[[Database, int], None]] = {
    "verify with the database": verify,
    "refresh": refresh,
    "log-in": log_in,
    "list": list_sessions,
    "revoke all of a user": revoke_all,
}


def measure(databases: list[Database], rounds: int, calls: int) -> dict[str, dict[int, float]]:
    """Microseconds by verb and size: the median of rounds that go around the databases."""
    taken: dict[str, dict[int, list[float]]] = {name: {d.size: [] for d in databases} for name in VERBS}
    for turn in range(rounds):
        for name, verb in VERBS.items():
            for database in databases:
                start = time.perf_counter()
                for number in range(turn * calls, (turn + 1) * calls):
                    verb(database, number)
                taken[name][database.size].append((time.perf_counter() - start) / calls * 1e6)
    return {name: {size: statistics.median(times) for size, times in sizes.items()} for name, sizes in taken.items()}


def explain(database: Database) -> dict[str, str]:
    """The index that each kind of statement uses."""
    found = {}
    with database.store._engine.connect() as connection:
        for name, rest in _PLANS.items():
            rows = connection.execute(text(f"EXPLAIN SELECT * FROM supertokens_sessions {rest}"))
            plan = " ".join(str(row[0]) for row in rows)
            found[name] = ", ".join(re.findall(r"(?:using|Index Scan on) (\w+)", plan)) or "no index"
    return found


# -- a clean-up beside refreshes ---------------------------------------------------------------------------------------


def clean_up_during_refreshes(database: Database, expired: int) -> dict[str, float]:
    """The slowest hundredth of refreshes in ms, before and while so many rows are removed."""
    execute(database.uri, _EXPIRE.format(number=expired), "VACUUM ANALYZE supertokens_sessions")
    normal = _measure_p99_during(database, lambda: time.sleep(10))
    removed: list[int] = []

    def remove() -> None:
        while number := database.store.remove_expired(NOW, BATCH):
            removed.append(number)

    start = time.perf_counter()
    meanwhile = _measure_p99_during(database, remove)
    seconds = time.perf_counter() - start
    return {
        "expired": sum(removed),
        "seconds": seconds,
        "p99 before": normal,
        "p99 meanwhile": meanwhile,
        "ratio": meanwhile / normal,
    }


def _measure_p99_during(database: Database, job: Callable[[], None]) -> float:
    working = threading.Thread(target=job)
    working.start()
    taken, number = [], 0
    while working.is_alive():
        start = time.perf_counter()
        refresh(database, number)
        taken.append((time.perf_counter() - start) * 1e3)
        number += 1
        time.sleep(0.005)
    return statistics.quantiles(taken, n=100)[98]


# -- the table ---------------------------------------------------------------------------------------------------------


def _handle(row: int) -> str:
    return hashlib.md5(str(row).encode()).hexdigest()


def _user(database: Database, number: int) -> str:
    users = database.size // SESSIONS_OF_A_USER
    return f"user-{random.Random(number).randrange(users // 2, users)}"


def print_results(times: dict[str, dict[int, float]], used: dict[str, str], cleaned: dict[str, float]) -> None:
    sizes = list(next(iter(times.values())))
    print(f"{'µs a call':26}" + "".join(f"{size:>14,}" for size in sizes) + f"{'last/first':>12}")
    for name, by_size in times.items():
        ratio = by_size[sizes[-1]] / by_size[sizes[0]]
        print(f"{name:26}" + "".join(f"{by_size[size]:14.0f}" for size in sizes) + f"{ratio:12.2f}")
    for name, index in used.items():
        print(f"{name}: {index}")
    print(
        f"clean-up of {cleaned['expired']:,.0f} rows in {cleaned['seconds']:.0f} s: p99 of refreshes"
        f" {cleaned['p99 before']:.1f} → {cleaned['p99 meanwhile']:.1f} ms, ratio {cleaned['ratio']:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 100_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=25)
    parser.add_argument("--expired", type=int, default=1_000_000)
    wanted = parser.parse_args()
    binaries = programs()
    if binaries is None:
        raise SystemExit("This needs PostgreSQL's server programs: install the package postgresql.")
    server = PostgresServer(binaries, SETTINGS)
    try:
        server.start()
        databases = []
        for size in wanted.sizes:
            server.execute(f"CREATE DATABASE growth_{size}")
            start = time.perf_counter()
            databases.append(fill(server.empty_database().replace("/postgres?", f"/growth_{size}?"), size))
            print(f"{size:,} rows filled in {time.perf_counter() - start:.0f} s", flush=True)
        measure(databases, 1, 10)
        times = measure(databases, wanted.rounds, wanted.calls)
        used, cleaned = explain(databases[-1]), clean_up_during_refreshes(databases[-1], wanted.expired)
        print_results(times, used, cleaned)
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(
            json.dumps({"µs": times, "indexes": used, "clean-up": cleaned}, indent=2, ensure_ascii=False) + "\n"
        )
    finally:
        server.remove()


if __name__ == "__main__":
    main()
