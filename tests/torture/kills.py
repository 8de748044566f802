"""``kill -9`` of web processes in mid-refresh and in mid-write, a thousand times, under clients that go on.

No session that was acknowledged is lost, no alarm is raised, and everything goes on without a restart by hand.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

from .clients import living, wait_for_answers
from .servers import Gunicorn, databases

CALLS_BETWEEN = 6
"""How many answers come between two kills, so that each of them hits a server that works."""


def kills(database_uri: str, number: int, workers: int = 4) -> Counter[str]:
    """Kill so many workers; what came of the clients."""
    figures: Counter[str] = Counter()
    with Gunicorn(database_uri, workers) as server, living(server.port, figures):
        for count in range(number):
            wait_for_answers(figures, CALLS_BETWEEN)
            figures["kills"] += server.kill_one(count)
    return figures


def main(number: int = 1000) -> None:
    failed = False
    with databases() as found:
        for name, uri in found.items():
            start = time.perf_counter()
            figures = kills(uri, number)
            print(f"kills on {name}: {dict(figures)} in {time.perf_counter() - start:.0f} s")
            failed |= bool(figures["lost"]) or figures["kills"] < number * 0.9
    if failed:
        sys.exit("a session was lost, or workers were not killed")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
