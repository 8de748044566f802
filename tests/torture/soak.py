"""Half an hour of everything at once on gunicorn and PostgreSQL: log-in, use, refresh, sign-out, sessions that are forgotten.

Memory of the web processes, connections and rows of the database and the slowest calls stay what they were after a warm-up.
Sessions live for a minute here, so that forgotten ones have to be removed all the time.
"""

from __future__ import annotations

import json
import pathlib
import random
import statistics
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass

import psycopg

from .clients import CLIENTS
from .servers import WINDOW, Client, Gunicorn, databases

LIFETIME = 60
"""Seconds that a session lives without a refresh."""
ROUNDS = (2, 30)
"""How many times a client refreshes and uses before it goes."""
WORKERS = 4
GROWTH = 1.05
PAGE = 4096


@dataclass
class Sample:
    """One look at the servers."""

    minute: float
    memory_mb: float
    connections: int
    rows: int
    living: int
    calls: int
    p50_ms: float
    p99_ms: float


class Load:
    """Clients that come and go; `calls` takes how long each call took, in ms."""

    def __init__(self, port: int) -> None:
        self.figures: Counter[str] = Counter()
        self.calls: list[float] = []
        self._port = port
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._visit, args=(seed,)) for seed in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def _visit(self, seed: int) -> None:
        chance, client = random.Random(seed), Client(self._port)
        while not self._over.is_set():
            cookies = self._call(client, "POST", "/login")
            for _ in range(chance.randrange(*ROUNDS)):
                time.sleep(WINDOW * 1.2)
                cookies |= self._call(client, "POST", "/refresh", sRefreshToken=cookies["sRefreshToken"])
                for path in ("/me", "/checked", "/me"):
                    cookies |= self._call(client, "GET", path, sAccessToken=cookies["sAccessToken"])
            if chance.random() < 0.5:
                self._call(client, "POST", "/signout", sAccessToken=cookies["sAccessToken"])
        client.close()

    def _call(self, client: Client, method: str, path: str, **cookies: str) -> dict[str, str]:
        start = time.perf_counter()
        said = client.ask(method, path, **cookies)
        self.calls.append(1000 * (time.perf_counter() - start))
        self.figures[path if said.status == 200 else f"{path}: {said.status} {said.text[:60]}"] += 1
        return said.cookies


def look(server: Gunicorn, database: str, load: Load, started: float) -> Sample:
    """A sample; it takes the calls that were made since the one before."""
    calls, load.calls = load.calls, []
    cuts = statistics.quantiles(calls, n=100)
    pages = sum(int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in server.workers())
    with psycopg.connect(database) as connection:
        backends = (
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        rows = "SELECT count(*), count(*) FILTER (WHERE expires_at > %s) FROM supertokens_sessions"
        [connections] = connection.execute(backends).fetchone() or (0,)
        [all_rows, living] = connection.execute(rows, [time.time() * 1000]).fetchone() or (0, 0)
    minute = round((time.monotonic() - started) / 60, 2)
    memory = round(pages * PAGE / 1e6, 1)
    return Sample(minute, memory, connections, all_rows, living, len(calls), round(cuts[49], 2), round(cuts[98], 2))


def soak(database: str, minutes: float, looks: int) -> tuple[list[Sample], Counter[str]]:
    """Samples in equal distances, and how the calls were answered."""
    samples = []
    lifetimes = {"TORTURE_REFRESH_LIFETIME": str(LIFETIME), "TORTURE_ACCESS_LIFETIME": "20"}
    with Gunicorn(database, WORKERS, environment=lifetimes) as server, Load(server.port) as load:
        started = time.monotonic()
        for _ in range(looks):
            time.sleep(60 * minutes / looks)
            samples.append(look(server, database, load, started))
            print(json.dumps(asdict(samples[-1])), flush=True)
    return samples, load.figures


def findings(samples: list[Sample], figures: Counter[str]) -> list[str]:
    """What grew, or was answered with an error; the first third is the warm-up."""
    half = len(samples) // 3
    early, late = samples[half], samples[-1]
    p99 = [sample.p99_ms for sample in samples[half:]]
    found = [f"{name}: {count}" for name, count in figures.items() if ":" in name]
    if late.memory_mb > GROWTH * early.memory_mb:
        found.append(f"memory grew from {early.memory_mb} to {late.memory_mb} MB")
    if late.connections > early.connections + 2:
        found.append(f"connections grew from {early.connections} to {late.connections}")
    if late.rows > 2 * late.living + 100:
        found.append(f"{late.rows} rows are kept for {late.living} living sessions")
    if statistics.median(p99[-3:]) > 2 * statistics.median(p99[:3]):
        found.append(f"the slowest calls went from {p99[:3]} to {p99[-3:]} ms")
    return found


def main(minutes: float = 30) -> None:
    with databases() as found:
        if "postgresql" not in found:
            sys.exit("A soak needs PostgreSQL's server programs: install the package postgresql.")
        samples, figures = soak(found["postgresql"], minutes, 30)
    print(f"soak for {minutes:g} min: {dict(figures)}")
    if wrong := findings(samples, figures):
        sys.exit("; ".join(wrong))


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
