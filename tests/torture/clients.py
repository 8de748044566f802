"""Clients that live on a server: they refresh, use and now and then log in, whatever happens to it.

A client that gets no answer asks again with the tokens it has, as the web client does.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from .servers import WINDOW, Client, Said

CLIENTS = 8


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
            start = time.monotonic()
            try:
                said = ask()
            except OSError:
                self._figures["no answer"] += 1
                time.sleep(0.02)
                continue
            waited = int(1000 * (time.monotonic() - start))
            self._figures["longest wait (ms)"] = max(waited, self._figures["longest wait (ms)"])
            if said.status == 503:
                self._figures["503"] += 1
                self._figures["cookies touched"] += bool(said.cookies)
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


@contextlib.contextmanager
def living(port: int, figures: Counter[str]) -> Iterator[None]:
    """Meanwhile clients live there; at the end each of them still has the session that it was told of."""
    over = threading.Event()
    lives = [Life(port, figures) for _ in range(CLIENTS)]
    threads = [threading.Thread(target=life.live, args=(over,)) for life in lives]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    for life in lives:
        life.check()


def wait_for_answers(figures: Counter[str], number: int) -> bool:
    """Until so many calls more were answered; whether they were, within half a minute."""
    goal = figures["refresh"] + figures["use"] + number
    deadline = time.monotonic() + 30
    while figures["refresh"] + figures["use"] < goal and time.monotonic() < deadline:
        time.sleep(0.002)
    return figures["refresh"] + figures["use"] >= goal
