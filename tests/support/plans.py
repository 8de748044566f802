"""What browsers and thieves do to one session, as data that any server can be made to play.

A `Server` is whatever answers `create`, `refresh`, `use` and `revoke` at the time of its clock: the pure rule in memory,
or a whole application. Tokens are opaque strings. Three kinds of plans are played on it:

* scenarios: a sentence, the steps, and every answer that was not *ok*;
* honest rounds: what one browser can meet at a refresh;
* duels: owner and thief hold copies of one jar and refresh in turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol

Outcome = Literal["ok", "try refresh", "theft", "unauthorised"]

SECOND = 1000
UNITS = {"ms": 1, "s": SECOND, "min": 60 * SECOND, "h": 3600 * SECOND, "days": 86_400 * SECOND}
HOUR = UNITS["h"]
DAY = UNITS["days"]
WINDOW = 30 * SECOND
ACCESS_LIFETIME = HOUR
REFRESH_LIFETIME = 100 * UNITS["days"]


# -- the interface -----------------------------------------------------------------------------------------------------


class Answer(NamedTuple):
    """What a server says; the tokens are those that it sets, ``None`` where it leaves the client's alone."""

    outcome: Outcome
    access: str | None = None
    refresh: str | None = None


class Jar(NamedTuple):
    """The two cookies of a browser."""

    access: str
    refresh: str

    def storing(self, answer: Answer) -> Jar:
        """The jar after an answer: what the answer does not set stays."""
        return Jar(answer.access or self.access, answer.refresh or self.refresh)


class Clock:
    """Milliseconds since the epoch, moved by hand."""

    tolerance: int = 0
    """How far a time that an engine tells may be from the one that is meant."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def wait(self, milliseconds: int) -> None:
        self.now += milliseconds

    def let_the_window_close(self) -> None:
        self.wait(HOUR)

    def is_near(self, told: int | None, meant: int) -> bool:
        return told is not None and abs(told - meant) <= self.tolerance


class Server(Protocol):
    """One session on a server with the lifetimes and the window from above."""

    clock: Clock

    def create(self) -> Jar:
        """Log in."""

    def refresh(self, token: str) -> Answer:
        """Present a refresh token; a theft revokes the session."""

    def use(self, access_token: str, *, check_database: bool = False) -> Answer:
        """Present an access token to a view."""

    def revoke(self) -> None:
        """End the session from the server's side."""


class AlarmError(Exception):
    """A server called something a theft."""


def _quiet(answer: Answer) -> Answer:
    if answer.outcome == "theft":
        raise AlarmError
    return answer


class Client:
    """A browser (or a thief's script) with a perfect network that follows *try refresh*."""

    def __init__(self, server: Server, jar: Jar) -> None:
        self.server = server
        self.jar = jar

    def refresh(self) -> Outcome:
        """Refresh with the jar and store the answer; raises `AlarmError` when it is called a theft."""
        answer = _quiet(self.server.refresh(self.jar.refresh))
        self.jar = self.jar.storing(answer)
        return answer.outcome

    def use(self) -> Outcome:
        """Call a view, refreshing once in between if the server asks for it."""
        answer = self.server.use(self.jar.access)
        if answer.outcome == "try refresh" and self.refresh() == "ok":
            answer = self.server.use(self.jar.access)
        self.jar = self.jar.storing(answer)
        return answer.outcome


# -- scenarios ---------------------------------------------------------------------------------------------------------


class Scenario(NamedTuple):
    """A situation in one sentence, its steps, and all answers that were not *ok*, in order (or just ``ok``).

    Steps are ``[who] verb [name]``; who is the owner unless said: ``refresh a`` presents who's refresh token and calls the
    answer *a*; ``keep a`` stores that answer in who's jar; ``use`` presents the jar's access token, ``use a`` that of an
    answer; ``check`` is a use with ``check_database``; ``copy thief`` gives the thief (a tab, a disk) a copy of the owner's
    jar; ``revoke`` ends the session; ``20 s`` waits.
    """

    sentence: str
    steps: str
    outcome: str


SCENARIOS = (
    # one browser and a bad network
    Scenario("a lost answer is retried after 2 s", "refresh a, 2 s, refresh b, keep b, use, 1 h, refresh c", "ok"),
    Scenario(
        "a lost answer is retried after 3 days", "refresh a, 3 days, refresh b, keep b, use, 1 h, refresh c", "ok"
    ),
    Scenario(
        "three answers in a row are lost, days apart",
        "refresh a, 1 days, refresh b, 1 days, refresh c, 1 days, refresh d, keep d, use, 1 h, refresh e",
        "ok",
    ),
    Scenario(
        "an answer is lost after the one before was used",
        "refresh a, keep a, use, 1 h, refresh b, 1 h, refresh c, keep c, use, 1 h, refresh d",
        "ok",
    ),
    # several tabs
    Scenario(
        "two tabs at once, the jar keeps the first answer",
        "refresh a, refresh b, keep b, keep a, use, 1 h, refresh c, keep c, use, 1 h, refresh d",
        "ok",
    ),
    Scenario(
        "two tabs at once, the first answer is used, the jar keeps the last",
        "refresh a, refresh b, keep a, use, keep b, use, 1 h, refresh c, keep c, use, 1 h, refresh d",
        "ok",
    ),
    Scenario(
        "a frozen tab refreshes 20 s after the other one",
        "copy tab, refresh a, keep a, use, 20 s, tab refresh b, keep b, use, 1 h, refresh c",
        "ok",
    ),
    Scenario(
        "two tabs at once, the first answer is used, the jar keeps the other and nobody uses it overnight",
        "refresh a, refresh b, keep a, use, keep b, 12 h, refresh c, keep c, use, 1 h, refresh d",
        "ok",
    ),
    Scenario(
        "two tabs at once, neither answer is used until the next refresh",
        "refresh a, refresh b, keep b, keep a, 12 h, refresh c, keep c, use, 1 h, refresh d",
        "ok",
    ),
    Scenario(
        "two tabs at once: after the window the browser is sent to refresh once, and then never again",
        "refresh a, refresh b, keep a, use, 31 s, use, refresh c, keep c, use, 31 s, use, 10 min, use",
        "try refresh",
    ),
    Scenario(
        "two tabs at once: after the window the answer that was not kept is asked to refresh too",
        "refresh a, refresh b, keep a, use, use b, 31 s, use b, refresh c, keep c, use",
        "try refresh",
    ),
    Scenario(
        "a tab refreshes right after a refresh and its echo comes back after the other tab's answer",
        "refresh a, refresh b, keep a, refresh c, keep b, keep c, use, 1 h, refresh d, keep d, use, 1 h, refresh e",
        "ok",
    ),
    Scenario(
        "a tab refreshes without need, over and over, within the window",
        "refresh a, keep a, 9 s, refresh b, keep b, 9 s, refresh c, keep c, use, 9 s, refresh d, keep d, 1 h, refresh e",
        "ok",
    ),
    # stragglers
    Scenario(
        "an access token two generations old is asked to refresh",
        "refresh a, keep a, use, copy tab, 40 s, refresh b, keep b, use, 40 s, refresh c, keep c, use, tab use, refresh d",
        "try refresh",
    ),
    Scenario(
        "a refresh request two generations old looks like a thief",
        "copy tab, refresh a, keep a, use, 1 h, refresh b, keep b, use, tab refresh c",
        "theft",
    ),
    Scenario(
        "a refresh request is held back longer than the window, and looks like a thief",
        "copy tab, refresh a, keep a, use, 31 s, tab refresh b",
        "theft",
    ),
    # a jar rolled back
    Scenario(
        "a crash rolls the jar back within the window",
        "copy disk, refresh a, keep a, use, 30 s, disk refresh b, keep b, use, 1 h, refresh c",
        "ok",
    ),
    Scenario(
        "a crash rolls the jar back before the newer one was used",
        "copy disk, refresh a, keep a, 1 h, disk refresh b, keep b, use, 1 h, refresh c",
        "ok",
    ),
    Scenario(
        "a crash rolls the jar back long after the newer one's first use, and looks like a thief",
        "copy disk, refresh a, keep a, use, 31 s, disk refresh b",
        "theft",
    ),
    # a thief
    Scenario(
        "a thief replays 30 min after the owner and is found at once",
        "copy thief, refresh a, keep a, use, 30 min, thief refresh t",
        "theft",
    ),
    Scenario(
        "a thief comes 5 min before the owner and is found at once",
        "copy thief, thief refresh t, thief keep t, thief use, 5 min, refresh a",
        "theft",
    ),
    Scenario(
        "a thief who does not use what he got is found when the second of the two refreshes again",
        "copy thief, thief refresh t, thief keep t, 5 min, refresh a, keep a, use, 1 h, refresh b, thief refresh u",
        "theft",
    ),
    Scenario(
        "a thief 5 s after the owner is found when he comes again",
        "copy thief, refresh a, keep a, use, 5 s, thief refresh t, thief keep t, thief use, 1 h, refresh b, keep b, use, "
        "5 s, thief refresh u",
        "theft",
    ),
    Scenario(
        "a thief 5 s after the owner is served for the window at most",
        "copy thief, refresh a, keep a, use, 5 s, thief refresh t, thief keep t, thief use, 25 s, thief use, 6 s, thief use",
        "try refresh",
    ),
    Scenario(
        "a thief 5 s after the owner, and both follow *try refresh*: found before the access tokens have expired",
        "copy thief, refresh a, keep a, use, 5 s, thief refresh t, thief keep t, thief use, 10 min, use, refresh b, keep b, "
        "use, thief use, thief refresh u",
        "try refresh, try refresh, theft",
    ),
    Scenario(
        "a thief promotes his fork first: the owner trips the alarm",
        "copy thief, refresh a, keep a, use, 5 s, thief refresh t, thief keep t, 40 s, thief refresh u, use, refresh b",
        "try refresh, theft",
    ),
    # a session that has ended
    Scenario(
        "after an alarm owner and thief are out",
        "copy thief, refresh a, keep a, use, 1 min, thief refresh t, refresh b, use, check, thief refresh u",
        "theft, unauthorised, unauthorised, unauthorised, unauthorised",
    ),
    Scenario(
        "a revoked session is refreshed, with any token",
        "copy thief, refresh a, keep a, use, 1 min, revoke, refresh b, thief refresh t",
        "unauthorised, unauthorised",
    ),
    Scenario("a child's first use on a revoked session", "refresh a, keep a, revoke, use", "unauthorised"),
    Scenario("`check_database` on a revoked session", "revoke, check", "unauthorised"),
    Scenario("an expired session is refreshed", "100 days, refresh a", "unauthorised"),
    Scenario(
        "a session is refreshed in its last minute and used at once: it goes on",
        "143999 min, refresh a, keep a, use, 2 min, use",
        "ok",
    ),
    Scenario(
        "a child's first use comes after its session has expired",
        "143999 min, refresh a, keep a, 1 min, use",
        "unauthorised",
    ),
)


def play(server: Server, steps: str) -> str:
    """Play a scenario's steps; the answers that were not *ok*, joined by commas, or ``ok``."""
    jars = {"owner": server.create()}
    answers: dict[str, Answer] = {}
    seen: list[Outcome] = []
    for step in steps.split(", "):
        match step.split():
            case [number, unit] if unit in UNITS:
                server.clock.wait(int(number) * UNITS[unit])
            case ["copy", who]:
                jars[who] = jars["owner"]
            case ["revoke"]:
                server.revoke()
            case words:
                who = words.pop(0) if words[0] in jars else "owner"
                seen += _act(server, jars, answers, who, words)
    return ", ".join(outcome for outcome in seen if outcome != "ok") or "ok"


def _act(
    server: Server, jars: dict[str, Jar], answers: dict[str, Answer], who: str, words: list[str]
) -> Iterator[Outcome]:
    match words:
        case ["refresh", name]:
            answers[name] = server.refresh(jars[who].refresh)
            yield answers[name].outcome
        case ["keep", name]:
            jars[who] = jars[who].storing(answers[name])
        case ["use" | "check" as verb]:
            answer = server.use(jars[who].access, check_database=verb == "check")
            jars[who] = jars[who].storing(answer)
            yield answer.outcome
        case ["use", name]:
            yield server.use(str(answers[name].access)).outcome
        case _:
            raise ValueError(f"no such step: {words}")


# -- honest rounds -----------------------------------------------------------------------------------------------------


class HonestRound(NamedTuple):
    """One refresh of one browser: how many requests went out at once with the same token, and what became of the answers.

    First the answers in ``used_before`` are used by the tabs that got them; then the jar keeps the answer ``kept`` (``None``
    = all are lost) and, if ``uses_kept``, uses it at once and again 10 minutes later. The next round comes an hour after.
    """

    sentence: str
    requests: int
    kept: int | None
    used_before: tuple[int, ...] = ()
    uses_kept: bool = True


HONEST_ROUNDS = (
    HonestRound("ok", 1, kept=0),
    HonestRound("the answer is lost", 1, kept=None),
    HonestRound("duplicated, the first answer kept", 2, kept=0),
    HonestRound("duplicated, the last answer kept", 2, kept=1),
    HonestRound("duplicated, the first answer kept, the other one used first", 2, kept=0, used_before=(1,)),
    HonestRound("duplicated, the last answer kept, the other one used first", 2, kept=1, used_before=(0,)),
    HonestRound("three at once, the middle one kept, the others used first", 3, kept=1, used_before=(0, 2)),
    HonestRound("duplicated, one used, the other kept unused until the next refresh", 2, 1, (0,), uses_kept=False),
)


def play_round(server: Server, jar: Jar, plan: HonestRound) -> Jar:
    """Play one honest round; the jar after it. Raises `AlarmError`, and fails when a client is sent in circles."""
    answers = [_quiet(server.refresh(jar.refresh)) for _ in range(plan.requests)]
    for index in plan.used_before:
        server.use(str(answers[index].access))
    if plan.kept is not None:
        jar = jar.storing(answers[plan.kept])
    if plan.kept is not None and plan.uses_kept:
        browser = Client(server, jar)
        assert browser.use() == "ok"
        server.clock.wait(10 * UNITS["min"])
        assert browser.use() == "ok"
        jar = browser.jar
    server.clock.wait(HOUR)
    return jar


# -- duels -------------------------------------------------------------------------------------------------------------

OFFSETS = (-1800, -20, -5, 5, 20, 45, 1800)
ROUND = 6000 * SECOND
"""From one refresh of the owner to the next: more than the access token's lifetime, and room for all offsets."""


def found_in_round(server: Server, offsets: tuple[int, ...], owner_uses: bool, thief_uses: bool) -> int | None:
    """Play a duel; the round of the alarm, counted from 1, or ``None`` when the thief was missed.

    The thief copies the jar after an honest refresh. In each round the owner refreshes, and the thief so many seconds after
    (or before) him. Who *uses* calls a view after his refresh and again 10 minutes later, and follows *try refresh*.
    """
    owner = Client(server, server.create())
    owner.refresh()
    owner.use()
    thief = Client(server, owner.jar)
    for number, offset in enumerate(offsets, start=1):
        start = server.clock.now + ROUND
        try:
            _play_duel_round(server, [(start, owner, owner_uses), (start + offset * SECOND, thief, thief_uses)])
        except AlarmError:
            return number
    return None


def _play_duel_round(server: Server, parties: list[tuple[int, Client, bool]]) -> None:
    moments = [(at, client.refresh) for at, client, _ in parties]
    moments += [(at + later, client.use) for at, client, uses in parties if uses for later in (1, 10 * UNITS["min"])]
    for at, act in sorted(moments, key=lambda moment: moment[0]):
        server.clock.wait(at - server.clock.now)
        act()
