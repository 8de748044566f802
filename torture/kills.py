"""``kill -9`` of web processes in mid-refresh and in mid-write, a thousand times, under clients that go on.

A client that gets no answer asks again with the tokens it has, as the web client does. No session that was acknowledged is lost,
no alarm is raised, and everything goes on without a restart by hand.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

from .servers import WINDOW, Client, Gunicorn, Said, databases

CLIENTS = 8
CALLS_BETWEEN = 6
"""How many answers come between two kills, so that each of them hits a server that works."""


class Life:
    """A client that refreshes, uses and now and then logs in, and keeps what it was answered."""

    def __init__(self, port: int, figures: Counter[str]) -> None:
        self._client = Client(port)
        self._figures = figures
        self._log_in()

    def live(self, over: threading.Event) -> None:
        while not over.is_set():
            self._refresh()
            self._use("use")
            time.sleep(WINDOW * 1.2)

    def check(self) -> None:
        """The session is there."""
        self._use("check")
        self._client.close()

    def _refresh(self) -> None:
        asked = self._persist("refresh", lambda: self._client.ask("POST", "/refresh", **self._of("sRefreshToken")))
        self._cookies |= asked.cookies

    def _use(self, name: str) -> None:
        """Call a view. After two refreshes, the first one's answer lost, a token asks for one more when the window has closed."""
        said = self._persist(name, lambda: self._client.ask("GET", "/checked", **self._of("sAccessToken")))
        if said.status == 401:
            self._refresh()
            self._persist(f"{name} again", lambda: self._client.ask("GET", "/checked", **self._of("sAccessToken")))

    def _log_in(self) -> None:
        self._cookies = self._persist("log-in", lambda: self._client.ask("POST", "/login")).cookies

    def _of(self, name: str) -> dict[str, str]:
        return {name: self._cookies[name]}

    def _persist(self, name: str, ask: Callable[[], Said]) -> Said:
        """Ask until there is an answer; 503 is one to wait after."""
        for _ in range(200):
            try:
                said = ask()
            except OSError:
                self._figures["no answer"] += 1
                time.sleep(0.02)
                continue
            if said.status == 503:
                self._figures["503"] += 1
                time.sleep(0.1)
                continue
            if said.status == 401 and "try refresh" in said.text and name in ("use", "check"):
                self._figures["once more"] += 1
                return said
            if said.status != 200:
                self._figures[f"{name}: {said.status} {said.text[:60]}"] += 1
                self._figures["lost"] += 1
                self._log_in()
                return Said(200, "", self._cookies)
            self._figures[name] += 1
            return said
        raise RuntimeError(f"{name}: no answer in a long time")


def kills(database_uri: str, number: int, workers: int = 4) -> Counter[str]:
    """Kill so many workers; what came of the clients."""
    figures: Counter[str] = Counter()
    over = threading.Event()
    with Gunicorn(database_uri, workers) as server:
        lives = [Life(server.port, figures) for _ in range(CLIENTS)]
        threads = [threading.Thread(target=life.live, args=(over,)) for life in lives]
        for thread in threads:
            thread.start()
        for count in range(number):
            _wait_for_answers(figures)
            figures["kills"] += server.kill_one(count)
        over.set()
        for thread in threads:
            thread.join(60)
        for life in lives:
            life.check()
    return figures


def _wait_for_answers(figures: Counter[str]) -> None:
    before = figures["refresh"] + figures["use"]
    deadline = time.monotonic() + 30
    while figures["refresh"] + figures["use"] < before + CALLS_BETWEEN and time.monotonic() < deadline:
        time.sleep(0.002)


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
