"""A measured model of a deployment: how many processes serve how many users, and what is full first.

Run after ``python -m benchmarks``: ``python -m benchmarks.sizing [--requests 60]``. It reads ``results/latest.json``. Clients,
server and database shared the cores of the machine that was measured, so on machines of their own they do more.
"""

from __future__ import annotations

import argparse
import json
import math
import pathlib
from typing import Any, NamedTuple

from .crowds import STORES, name_case
from .serving import OURS

RESULTS = pathlib.Path(__file__).parent / "results" / "latest.json"
USERS = (10_000, 100_000, 1_000_000, 10_000_000)
HOUR = 3600
FULL = 0.5
"""How much of a measured rate is planned with: the other half is for the hour in which everybody comes."""


class Rates(NamedTuple):
    """A second: requests of one worker process, refreshes of one store."""

    requests: float
    refreshes: float


class Plan(NamedTuple):
    """What so many active users need."""

    users: int
    refreshes: float
    requests: float
    workers: int
    store_used: float


def plan(users: int, requests_an_hour: float, rates: Rates) -> Plan:
    """Each user refreshes once an hour, and makes so many requests."""
    refreshes, requests = users / HOUR, users * requests_an_hour / HOUR
    workers = math.ceil((requests / rates.requests + refreshes / rates.refreshes) / FULL)
    return Plan(users, refreshes, requests, workers, refreshes / rates.refreshes)


def full_at(rates: Rates) -> float:
    """Active users at which the store has reached what is planned with."""
    return rates.refreshes * FULL * HOUR


def rates_of(results: dict[str, Any], store: str) -> Rates:
    """From a run: the better of one client and sixteen."""
    crowds = results["tables"]["crowds"]["figures"]
    return Rates(
        results["tables"]["servers"]["figures"][OURS], max(crowds[name_case("refresh", store, n)] for n in (1, 4, 16))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=float, default=60, help="of a user an hour (%(default)s)")
    wanted = parser.parse_args()
    results = json.loads(RESULTS.read_text("utf-8"))
    for store in STORES:
        rates = rates_of(results, store)
        print(f"{store}: {rates.refreshes:,.0f} refreshes/s, full at {full_at(rates):,.0f} active users")
        for users in USERS:
            made = plan(users, wanted.requests, rates)
            print(
                f"  {users:>12,} users  {made.refreshes:8.1f} refreshes/s  {made.requests:10.0f} requests/s"
                f"  {made.workers:5} workers  store {made.store_used:6.1%}"
            )


if __name__ == "__main__":
    main()
