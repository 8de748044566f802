"""Lives of sessions in virtual time, through the whole stack: Flask, cookies, engine and a store.

A browser with several tabs and one cookie jar; requests and answers that are late, lost, doubled and out of order, each leg at
most a quarter of the window, and clocks that are wrong; gaps from a tenth of a second to days. In every other life a thief
copies the jar at some moment and goes on like a browser of his own. A seed tells the whole life.

* false alarm: a theft was told in a life without a thief;
* missed: owner and thief have each presented, older than the window, a refresh token that they received after the copy, and no
  theft was told.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from ..support.flask_server import FlaskServer, an_app, embedded_settings
from ..support.plans import HOUR, SECOND, UNITS, WINDOW, Answer, Clock, Jar

ACTIONS = 14
PATIENCE = 10 * SECOND
LOST, DOUBLED, FORCED = 0.08, 0.04, 0.1
"""How likely a request or an answer is lost, a request arrives twice, a refresh comes without need."""
GAPS = (
    (100, 3 * SECOND),
    (5 * SECOND, 60 * SECOND),
    (10 * UNITS["min"], 3 * HOUR),
    (UNITS["days"] // 2, 3 * UNITS["days"]),
)


class Weather(NamedTuple):
    """What network and clocks do. The window allows four times the longest ``leg`` plus the ``drift``; all are ms."""

    leg: int = WINDOW // 4
    """The longest way of a request or an answer."""
    drift: int = 0
    """How far apart the clocks of two hosts are; every request comes to one of them."""
    step: int = 0
    """By how much all clocks are set, once in a life, at a moment when nothing is on its way."""


CLEAR = Weather()


@dataclass
class Browser:
    """Whoever holds a jar. ``since``: when the copy was made; ``got``: when each refresh token came, by the servers' clocks."""

    name: str
    jar: Jar
    since: int | None = None
    got: dict[str, int] = field(default_factory=dict)
    claimed: bool = False
    out: bool = False


@dataclass(order=True)
class _Event:
    at: int
    number: int
    do: Callable[[], object] = field(compare=False)


class Life:
    """One session from its creation on; `live` tells how it ended."""

    def __init__(self, server: FlaskServer, seed: int, weather: Weather, *, with_thief: bool) -> None:
        self._server = server
        self._weather = weather
        self._shift = 0
        self._asked = server.clock.now
        self._random = random.Random(seed)
        self._events: list[_Event] = []
        self._numbers = itertools.count()
        self._now = server.clock.now
        self.alarm = False
        self.counts: Counter[str] = Counter()
        self.owner = Browser("owner", server.create())
        self.browsers = [self.owner]
        self._plan(self.owner, self._now)
        if with_thief:
            self._at(self._now + self._gap(), self._steal)
        if weather.step:
            self._at(self._now + self._gap(), self._set_the_clocks)

    def live(self) -> None:
        """Until nothing is left to happen, or everybody is out."""
        while self._events and not self.alarm:
            event = heapq.heappop(self._events)
            self._now = max(self._now, event.at)
            event.do()

    @property
    def missed(self) -> bool:
        """Whether a thief went unseen though both claimed the session."""
        return not self.alarm and len(self.browsers) > 1 and all(browser.claimed for browser in self.browsers)

    @property
    def _clock(self) -> int:
        return self._now + self._shift

    # -- what happens

    def _plan(self, browser: Browser, start: int) -> None:
        """What a browser's tabs will do, and when."""
        moment = start
        for _ in range(ACTIONS):
            moment += self._gap()
            for _ in range(self._random.choice((1, 1, 1, 2, 3))):
                self._at(moment + self._random.randrange(2 * SECOND), lambda: self._use(browser, 3))
            if self._random.random() < FORCED:
                self._at(moment, lambda: self._refresh(browser, 0))

    def _set_the_clocks(self) -> None:
        """When all is quiet; a race at this very moment is told by a clock that is wrong."""
        quiet = not self._events or self._events[0].at > self._now + 2 * WINDOW
        if quiet and self._now - self._asked > 2 * WINDOW:
            self._shift = self._weather.step
        else:
            self._at(self._now + 2 * WINDOW, self._set_the_clocks)

    def _steal(self) -> None:
        thief = Browser("thief", self.owner.jar, since=self._clock)
        self.owner.since = self._clock
        self.browsers.append(thief)
        self._plan(thief, self._now)

    def _use(self, browser: Browser, patience: int) -> None:
        """Call a view; *try refresh* leads to a refresh and to another try, as the web client does it."""
        if browser.out:
            return

        def done(answer: Answer) -> None:
            self._keep(browser, answer)
            if answer.outcome == "try refresh" and patience:
                self._refresh(browser, patience - 1)

        def lost() -> None:
            if patience:
                self._use(browser, patience - 1)

        access = browser.jar.access
        self._send(lambda: self._server.use(access), done, lost)

    def _refresh(self, browser: Browser, patience: int) -> None:
        if browser.out:
            return
        token = browser.jar.refresh

        def present() -> Answer:
            self._note_claim(browser, token)
            return self._server.refresh(token)

        def done(answer: Answer) -> None:
            self._keep(browser, answer)
            if answer.outcome == "ok" and patience:
                self._use(browser, patience - 1)

        def lost() -> None:
            if patience:
                self._refresh(browser, patience - 1)

        self._send(present, done, lost)

    def _note_claim(self, browser: Browser, token: str) -> None:
        got = browser.got.get(token)
        long_ago = WINDOW + 2 * self._weather.leg + self._weather.drift
        if browser.since is not None and got is not None and got > browser.since and self._clock - got > long_ago:
            browser.claimed = True

    def _keep(self, browser: Browser, answer: Answer) -> None:
        self.counts[answer.outcome] += 1
        if answer.outcome == "theft":
            self.alarm = True
        elif answer.outcome == "unauthorised":
            browser.out = True
        else:
            browser.jar = browser.jar.storing(answer)
            if answer.refresh is not None:
                browser.got.setdefault(answer.refresh, self._clock)

    # -- the network

    def _send(self, ask: Callable[[], Answer], done: Callable[[Answer], None], lost: Callable[[], None]) -> None:
        """A request on its way: late, doubled or lost, and so is its answer. Who waits too long tries again."""
        if self._random.random() < LOST:
            self._at(self._now + PATIENCE, lost)
            return
        arrives = self._now + self._random.randrange(self._weather.leg)
        answer_lost = self._random.random() < LOST
        if self._random.random() < DOUBLED:
            self._at(arrives + self._random.randrange(self._weather.leg), lambda: self._ask(ask))

        def arrive() -> None:
            answer = self._ask(ask)
            if answer_lost and answer.outcome != "theft":
                self._at(self._now + PATIENCE, lost)
            else:
                self._at(self._now + self._random.randrange(self._weather.leg), lambda: done(answer))

        self._at(arrives, arrive)

    def _ask(self, ask: Callable[[], Answer]) -> Answer:
        self._asked = self._now
        self._server.clock.now = self._clock + self._random.choice((0, self._weather.drift))
        answer = ask()
        if answer.outcome == "theft":
            self.alarm = True
        return answer

    def _at(self, moment: int, do: Callable[[], object]) -> None:
        heapq.heappush(self._events, _Event(moment, next(self._numbers), do))

    def _gap(self) -> int:
        return self._random.randrange(*self._random.choice(GAPS))


def lives(number: int, first_seed: int = 0, weather: Weather = CLEAR) -> Counter[str]:
    """Live so many lives, every other one with a thief; what came of them."""
    figures: Counter[str] = Counter()
    server = FlaskServer(an_app(None, **embedded_settings(None)), Clock())
    for seed in range(first_seed, first_seed + number):
        life = Life(server, seed, weather, with_thief=seed % 2 == 1)
        life.live()
        thief = len(life.browsers) > 1
        figures["lives"] += 1
        figures["requests"] += sum(life.counts.values())
        figures["false alarms"] += life.alarm and not thief
        figures["thieves"] += thief
        figures["thieves found"] += life.alarm and thief
        figures["thieves missed"] += life.missed
        figures["both claimed"] += thief and all(browser.claimed for browser in life.browsers)
        if (life.alarm and not thief) or life.missed:
            figures[f"seed {seed}"] = 1
    return figures


WEATHERS = {
    "clear": CLEAR,
    "clocks apart": Weather(leg=WINDOW // 8, drift=WINDOW // 2),
    "set forward": Weather(step=HOUR),
    "set back": Weather(step=-HOUR),
}


def main(number: int = 10_000) -> None:
    logging.disable(logging.ERROR)  # a theft is told as one, thousands of times
    failed = False
    for name, weather in WEATHERS.items():
        start = time.perf_counter()
        figures = lives(number, weather=weather)
        print(f"lives, {name}: {dict(figures)} in {time.perf_counter() - start:.0f} s")
        failed |= bool(figures["false alarms"] + figures["thieves missed"])
    if failed:
        sys.exit("a rule was broken; the seeds are in the line above")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
