"""The rule of rotation under a search for trouble: browsers with bad networks, and a thief who does what he likes.

`pytest --hypothesis-profile=long` searches longer, and elsewhere each time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ..support.plans import HOUR, REFRESH_LIFETIME, SECOND, WINDOW, Answer, Jar
from ..support.pure_server import PureServer

LEG = WINDOW // 4
"""The longest that a request or an answer is under way."""
ACCESS_LIFETIMES = st.sampled_from([WINDOW, 2 * WINDOW, HOUR])
REFRESH_LIFETIMES = st.sampled_from([9 * HOUR + WINDOW, REFRESH_LIFETIME, REFRESH_LIFETIME, REFRESH_LIFETIME])
WAITS = st.sampled_from([1, LEG // 2, LEG, LEG, WINDOW, WINDOW + 1, 3 * WINDOW, HOUR, 9 * HOUR])
PAUSES = st.lists(st.sampled_from([SECOND, WINDOW + SECOND, 3 * WINDOW]), max_size=3)
WHICH = st.integers(0, 7)
FATES = st.sampled_from(["arrives", "arrives", "arrives", "arrives, and will again", "is lost"])
NEWEST_FIRST = st.sampled_from([0, 0, 0, 1, 2, 5])
COPIES = 2


class Machine(RuleBasedStateMachine):
    """What both machines share: a session on a server, and what a session that has ended may answer.

    (e) refresh, first use and ``check_database`` on a revoked or expired session answer *unauthorised* and nothing else
    (an access token that is itself expired is asked to refresh, which the store has no part in).
    """

    server: PureServer
    jar: Jar

    @initialize(access_lifetime=ACCESS_LIFETIMES, refresh_lifetime=REFRESH_LIFETIMES)
    def log_in(self, access_lifetime: int, refresh_lifetime: int) -> None:
        self.refresh_lifetime = refresh_lifetime
        self.server = PureServer(access_lifetime, refresh_lifetime)
        self.jar = self.server.create()
        self.born = self.server.clock.now

    def refresh(self, token: str) -> Answer:
        ended = self.server.ended
        answer = self.server.refresh(token)
        assert not ended or answer == Answer("unauthorised")
        return answer

    def use(self, token: str, *, check_database: bool = False) -> Answer:
        decided = self.server.ended and (check_database or self.server.looks_up(token))
        answer = self.server.use(token, check_database=check_database)
        if decided:
            assert answer == Answer("try refresh" if self.server.expired(token) else "unauthorised")
        return answer

    def teardown(self) -> None:
        if hasattr(self, "server"):
            self.server.revoke()
            self.refresh(self.jar.refresh)
            self.use(self.jar.access)
            self.use(self.jar.access, check_database=True)


class Message(NamedTuple):
    """A request or an answer under way: when it is delivered at the latest, and what happens then."""

    due: int
    arrive: Callable[[], None]


class HonestBrowser(Machine):
    """One browser with any number of tabs and one jar.

    (a) Each request and each answer is at most W/4 under way, and may be lost, delivered again, delayed and reordered; any
    tab refreshes whenever it likes: never an alarm.
    """

    def __init__(self) -> None:
        super().__init__()
        self.under_way: list[Message] = []

    def send(self, arrive: Callable[[], None]) -> None:
        self.under_way.append(Message(self.server.clock.now + LEG, arrive))

    def refresh_arrives(self, token: str) -> None:
        answer = self.refresh(token)
        assert answer.outcome != "theft"
        self.send(partial(self.answer_arrives, answer))

    def use_arrives(self, token: str) -> None:
        answer = self.use(token)
        assert answer.outcome != "theft"
        self.send(partial(self.answer_arrives, answer))

    def answer_arrives(self, answer: Answer) -> None:
        self.jar = self.jar.storing(answer)
        if answer.outcome == "try refresh":
            self.a_tab_refreshes()

    @rule()
    def a_tab_refreshes(self) -> None:
        self.send(partial(self.refresh_arrives, self.jar.refresh))

    @rule()
    def a_tab_calls_a_view(self) -> None:
        self.send(partial(self.use_arrives, self.jar.access))

    @precondition(lambda self: self.under_way)
    @rule(which=WHICH, fate=FATES)
    def a_message_meets_its_fate(self, which: int, fate: str) -> None:
        message = self.under_way[which % len(self.under_way)]
        if fate != "arrives, and will again":
            self.under_way.remove(message)
        if fate != "is lost":
            message.arrive()

    @rule(milliseconds=WAITS)
    def time_passes(self, milliseconds: int) -> None:
        end = self.server.clock.now + milliseconds
        while late := [message for message in self.under_way if message.due <= end]:
            first = min(late, key=lambda message: message.due)
            self.server.clock.wait(max(0, first.due - self.server.clock.now))
            self.under_way.remove(first)
            first.arrive()
        self.server.clock.wait(end - self.server.clock.now)

    @rule()
    def a_tab_has_a_good_network(self) -> None:
        """Nobody loops: where nothing is lost or late, a view answers after one refresh at most."""
        answer = self.use(self.jar.access)
        if answer.outcome == "try refresh":
            self.jar = self.jar.storing(self.refresh(self.jar.refresh))
            answer = self.use(self.jar.access)
        self.jar = self.jar.storing(answer)
        assert answer.outcome == "ok" or self.server.clock.now - self.born >= self.refresh_lifetime


class OwnerAndThief(Machine):
    """A browser whose answers may be lost, and a thief who copies its jar, once or twice, and then does what he likes.

    All invariants count from the last copy; a refresh *succeeds* when its answer brings a new refresh token.

    (b) Once owner and thief have each presented, older than W, a refresh token that they received after the copy: an alarm.
    (c) After the thief's first refresh at most one more refresh of the owner succeeds before the thief's last one does.
    (d) After a fork, when both have received a token, the owner makes at most two requests, more than W apart, before the
    thief's last refresh succeeds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.thief_refresh_tokens: list[str] = []
        self.thief_access_tokens: list[str] = []
        self.alarm = False
        self.copies = 0
        self.forget()

    def forget(self) -> None:
        self.received: dict[str, set[str]] = {"owner": set(), "thief": set()}
        self.presented_old: set[str] = set()
        self.thief_has_refreshed = False
        self.refreshes_after_the_thief = 0
        self.owner_requests: list[int] = []

    @property
    def forked(self) -> bool:
        return all(self.received.values())

    def present(self, who: str, token: str) -> Answer:
        alive = not self.server.ended and self.server.age(token) < self.refresh_lifetime
        if alive and token in self.received[who] and self.server.age(token) > WINDOW:
            self.presented_old.add(who)
        answer = self.refresh(token)
        self.alarm |= answer.outcome == "theft"
        return answer

    def receive(self, who: str, answer: Answer) -> None:
        if answer.refresh is not None:
            self.received[who].add(answer.refresh)

    # -- the owner

    def owner_refreshes(self) -> None:
        answer = self.present("owner", self.jar.refresh)
        self.jar = self.jar.storing(answer)
        self.receive("owner", answer)
        self.refreshes_after_the_thief += self.thief_has_refreshed and answer.refresh is not None

    @rule(answer_lost=st.booleans())
    def the_owner_refreshes(self, answer_lost: bool) -> None:
        if answer_lost:
            self.present("owner", self.jar.refresh)
        else:
            self.owner_refreshes()

    @rule(pauses=PAUSES)
    def the_owner_calls_views(self, pauses: list[int]) -> None:
        for pause in [0, *pauses]:
            self.server.clock.wait(pause)
            self.the_owner_calls_a_view()

    def the_owner_calls_a_view(self) -> None:
        now, forked = self.server.clock.now, self.forked
        answer = self.use(self.jar.access)
        if answer.outcome == "try refresh":
            self.owner_refreshes()
            answer = self.use(self.jar.access)
        self.jar = self.jar.storing(answer)
        if forked and all(now - earlier > WINDOW for earlier in self.owner_requests):
            self.owner_requests.append(now)

    # -- the thief

    @precondition(lambda self: self.copies < COPIES)
    @rule()
    def the_thief_copies_the_jar(self) -> None:
        self.copies += 1
        self.thief_refresh_tokens.append(self.jar.refresh)
        self.thief_access_tokens.append(self.jar.access)
        self.forget()

    @precondition(lambda self: self.thief_refresh_tokens)
    @rule(which=NEWEST_FIRST)
    def the_thief_refreshes(self, which: int) -> None:
        answer = self.present("thief", self.thief_refresh_tokens[-1 - which % len(self.thief_refresh_tokens)])
        self.thief_has_refreshed |= answer.outcome == "ok"
        if answer.access is not None:
            self.thief_access_tokens.append(answer.access)
        if answer.refresh is not None:
            assert self.refreshes_after_the_thief <= 1, "(c)"
            assert len(self.owner_requests) <= 2, "(d)"
            self.thief_refresh_tokens.append(answer.refresh)
            self.receive("thief", answer)

    @precondition(lambda self: self.thief_access_tokens)
    @rule(which=NEWEST_FIRST)
    def the_thief_calls_a_view(self, which: int) -> None:
        self.use(self.thief_access_tokens[-1 - which % len(self.thief_access_tokens)])

    # -- time

    @rule(milliseconds=WAITS)
    def time_passes(self, milliseconds: int) -> None:
        self.server.clock.wait(milliseconds)

    @invariant()
    def two_lines_mean_an_alarm(self) -> None:
        assert self.alarm or self.presented_old < {"owner", "thief"}, "(b)"


TestHonestBrowser = HonestBrowser.TestCase
TestOwnerAndThief = OwnerAndThief.TestCase
