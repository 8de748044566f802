"""What a core costs: refreshes over the remote engine beside bare HTTP calls, and refreshes a second of a core of ours.

Run: ``python benchmarks/cores.py [--database postgresql://…] [--rounds 9] [--calls 40] [--seconds 5]``. Without a database it
starts a PostgreSQL server of its own, as the tests do, or takes SQLite where there is none.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import multiprocessing
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import requests

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from flask_supertokens.core_client import CoreClient
from flask_supertokens.engines.base import RefreshRequest
from flask_supertokens.engines.remote import RemoteEngine
from tests.support.core_process import CoreProcess
from tests.support.engines import a_session, issued
from tests.support.postgres import PostgresServer, programs
from tests.support.served import REMOTE_SETTINGS

OK = 200
CDI = "5.4"
DURABLE = ("listen_addresses=", "max_connections=200")
"""PostgreSQL as it comes: a commit is on the disk."""
BODY = {"userDataInJWT": {"role": "admin"}, "userDataInDatabase": {}, "enableAntiCsrf": False}


# -- over the engine, beside bare calls --------------------------------------------------------------------------------


def remote_chain(uri: str) -> Callable[[], None]:
    """Refreshes one session over and over through the remote engine."""
    engine = RemoteEngine(CoreClient((uri,), None, 30), REMOTE_SETTINGS)
    tokens = [issued(engine.create(a_session()))]

    def refresh() -> None:
        tokens[0] = issued(engine.refresh(RefreshRequest(str(tokens[0].refresh_token))))

    return refresh


def bare_chain(uri: str) -> Callable[[], None]:
    """The same calls by a `requests.Session` and nothing else."""
    http_session = requests.Session()
    headers = {"cdi-version": CDI}
    created = http_session.post(f"{uri}/public/recipe/session", json={"userId": "u", **BODY}, headers=headers).json()
    token = [created["refreshToken"]["token"]]

    def refresh() -> None:
        body = {"refreshToken": token[0], "enableAntiCsrf": False, "useDynamicSigningKey": True}
        answer = http_session.post(f"{uri}/recipe/session/refresh", json=body, headers=headers).json()
        token[0] = answer["refreshToken"]["token"]

    return refresh


def compare(uri: str, rounds: int, calls: int) -> None:
    """Interleaved rounds of both; medians and their ratio."""
    chains = {"bare requests": bare_chain(uri), "remote engine": remote_chain(uri)}
    times: dict[str, list[float]] = {name: [] for name in chains}
    for _ in range(rounds):
        for name, refresh in chains.items():
            for _ in range(calls):
                time.sleep(0.002)  # the token must not be young any more
                start = time.perf_counter()
                refresh()
                times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    for name, median in medians.items():
        print(f"{name:24} {median * 1e3:8.2f} ms a refresh (median of {rounds * calls})")
    print(f"{'ratio':24} {medians['remote engine'] / medians['bare requests']:8.2f} (goal: 1.30 at most)")


# -- as many as it can -------------------------------------------------------------------------------------------------


def client(uri: str, seconds: float) -> tuple[int, int]:
    """One client that refreshes its session without a pause: refreshes and errors."""
    connection = http.client.HTTPConnection(urlsplit(uri).netloc, timeout=30)
    token = _post(connection, "/public/recipe/session", {"userId": "u", **BODY})["refreshToken"]["token"]
    done = errors = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        body = {"refreshToken": token, "enableAntiCsrf": False, "useDynamicSigningKey": True}
        answer = _post(connection, "/recipe/session/refresh", body)
        if answer.get("status") == "OK":
            token, done = answer["refreshToken"]["token"], done + 1
        else:
            errors += 1
    return done, errors


def _post(connection: http.client.HTTPConnection, path: str, body: dict[str, Any]) -> dict[str, Any]:
    connection.request("POST", path, json.dumps(body), {"cdi-version": CDI})
    response = connection.getresponse()
    text = response.read()
    return json.loads(text) if response.status == OK else {"status": response.status}  # type: ignore[no-any-return]


def clients(uri: str, number: int, seconds: float) -> list[tuple[int, int]]:
    """Clients in threads of this process."""
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(lambda _: client(uri, seconds), range(number)))


def load(uri: str, number: int, seconds: float) -> None:
    """Clients in a process of their own, so that they do not share an interpreter with anything."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        results = pool.apply(clients, (uri, number, seconds))
    done, errors = sum(done for done, _ in results), sum(errors for _, errors in results)
    print(f"{number:2} clients: {done / seconds:8.0f} refreshes a second, {errors} errors")


# -- the database ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def a_database(given: str | None) -> Iterator[str]:
    """The one that was given, a PostgreSQL server of our own, or a SQLite file."""
    if given is not None:
        yield given
        return
    binaries = programs()
    if binaries is None:
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/sessions.sqlite3"
        return
    server = PostgresServer(binaries, DURABLE)
    server.start()
    try:
        yield server.empty_database().replace("postgresql+psycopg", "postgresql")
    finally:
        server.stop()
        server.remove()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    with a_database(options.database) as uri, CoreProcess(uri, REFRESH_RACE_WINDOW=0) as core:
        print(f"serve-core on {uri.partition(':')[0]}, one process; the clients run on the same machine")
        compare(core.uri, options.rounds, options.calls)
        for number in (1, 4, 16):
            load(core.uri, number, options.seconds)


if __name__ == "__main__":
    main()
