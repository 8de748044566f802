"""Lives of a session, played on the rotation rule itself: what the site draws is what the rule says today."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from flask_supertokens.protocol.model import AccessToken, Line, RefreshToken
from flask_supertokens.protocol.rotation import Decision, Verdict, Window, decide_access, decide_refresh
from flask_supertokens.protocol.tokens import preimage, read_refresh_token, refresh_token_content
from flask_supertokens.settings.keys import Settings
from flask_supertokens.settings.reading import read_settings

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
DEFAULTS: Settings = read_settings({"SECRET_KEY": "of the pictures"})
START = 1_700_000_000_000


class Step(NamedTuple):
    """What somebody does with the token of a letter; ``after`` is how long after the step before, in ms."""

    who: str
    does: Literal["log in", "refresh", "call", "copy"]
    token: str = ""
    after: int = 0
    lost: bool = False
    """The answer does not arrive."""


class Story(NamedTuple):
    """``parties`` stand left and right of the server; ``ends`` is what the last step must come to."""

    title: str
    parties: tuple[str, ...]
    steps: tuple[Step, ...]
    ends: Verdict


class Played(NamedTuple):
    """A step and what became of it: why, the verdict, and the letter of the refresh token that was made."""

    step: Step
    why: str
    verdict: Verdict | None
    made: str | None


@dataclass
class Tree:
    """The tokens of one session by their letters."""

    tokens: dict[str, RefreshToken] = field(default_factory=dict)
    parents: dict[str, str | None] = field(default_factory=dict)

    def mint(self, parent: str | None, now: int) -> str:
        letter = "ABCDEFGH"[len(self.tokens)]
        parent_preimage = None if parent is None else preimage(self.tokens[parent].raw)
        token = read_refresh_token(letter, refresh_token_content("handle", now, letter, parent_preimage))
        if token is None:
            raise ValueError("the rule no longer reads what it writes")
        self.tokens[letter], self.parents[letter] = token, parent
        return letter

    def letter_of(self, fingerprint: str) -> str:
        return next(letter for letter, token in self.tokens.items() if token.fingerprint == fingerprint)


class Player:
    """One session on the rule, logged in with token A: a row, the tokens, a clock."""

    def __init__(self) -> None:
        self.now = START
        self.tree = Tree()
        self.confirmed: set[str] = set()
        self.window = Window(DEFAULTS.race_window, DEFAULTS.refresh_token_lifetime)
        first = self.tree.tokens[self.tree.mint(None, START)]
        self.line: Line | None = Line(first.fingerprint, 0, None, START + self.window.refresh_lifetime)

    @property
    def current(self) -> str | None:
        return None if self.line is None else self.tree.letter_of(self.line.current_fingerprint)

    def play(self, step: Step) -> Played:
        self.now += step.after
        return {"log in": self._log_in, "refresh": self._refresh, "call": self._call, "copy": self._copy}[step.does](
            step
        )

    def _log_in(self, step: Step) -> Played:
        return Played(step, "a new session", None, "A")

    def _copy(self, step: Step) -> Played:
        return Played(step, f"now both have {step.token}", None, None)

    def _refresh(self, step: Step) -> Played:
        why = self._why(step.token)
        decision = decide_refresh(self.line, self.tree.tokens[step.token], self.now, self.window)
        self._take(decision)
        made = self.tree.mint(step.token, self.now) if decision.verdict is Verdict.MINT else None
        return Played(step, why, decision.verdict, made)

    def _call(self, step: Step) -> Played:
        token = self.tree.tokens[step.token]
        if self.now - token.born >= DEFAULTS.access_token_lifetime:
            return Played(step, "the access token has expired", Verdict.TRY_REFRESH, None)
        if token.parent_fingerprint is None or step.token in self.confirmed:
            return Played(step, "the signature is good; the store is not asked", Verdict.PASS, None)
        first = self.line is not None and self.line.used_at is None
        decision = decide_access(self.line, self._access_token(token), self.now, self.window)
        self._take(decision)
        if decision.verdict is Verdict.CONFIRM:
            self.confirmed.add(step.token)
        return Played(step, f"{step.token} is used: noted" if first else self._why(step.token), decision.verdict, None)

    def _take(self, decision: Decision) -> None:
        if decision.verdict is Verdict.THEFT:
            self.line = None
        elif decision.line is not None:
            self.line = decision.line

    def _why(self, letter: str) -> str:
        """What the rule looks at, in words."""
        if self.line is None:
            return "the session has ended"
        if letter == self.current:
            used = self.line.used_at
            return f"{letter} is current; " + (
                "no child of it was used" if used is None else f"a child was used {span(self.now - used)} ago"
            )
        if self.tree.parents[letter] == self.current:
            return f"{letter} is a child of {self.current}, {span(self.now - self.tree.tokens[letter].born)} old"
        return f"{letter} is neither current ({self.current}) nor its child"

    def _access_token(self, token: RefreshToken) -> AccessToken:
        """What the use of the access token that came with a refresh token is judged by."""
        claims = {
            "sub": "user",
            "sessionHandle": token.handle,
            "iat": token.born // 1000,
            "exp": (token.born + DEFAULTS.access_token_lifetime) // 1000,
            "refreshTokenHash1": token.fingerprint,
            "parentRefreshTokenHash1": token.parent_fingerprint,
        }
        return AccessToken(f"access token of {token.raw}", "d-1", 5, claims)


def play(story: Story) -> tuple[list[Played], Player]:
    """
    :raises ValueError: the story ends otherwise than its page says; the page is to be written anew.
    """
    player = Player()
    played = [player.play(step) for step in story.steps]
    if played[-1].verdict is not story.ends:
        raise ValueError(f"{story.title!r} ends with {played[-1].verdict}, and not with {story.ends}")
    return played, player


def span(milliseconds: int) -> str:
    """``90_000`` → ``2 min``; below a minute to the second."""
    if milliseconds < MINUTE:
        return f"{milliseconds / SECOND:g} s"
    minutes = round(milliseconds / MINUTE)
    for size, unit in ((DAY // MINUTE, "days"), (HOUR // MINUTE, "h")):
        if minutes % size == 0:
            return f"{minutes // size} {unit}"
    return f"{minutes} min"


OWNER_AND_THIEF = ("owner", "thief")
STORIES = {
    "hour": Story(
        "An hour goes by",
        ("browser",),
        (
            Step("browser", "log in"),
            Step("browser", "call", "A", after=5 * MINUTE),
            Step("browser", "call", "A", after=HOUR),
            Step("browser", "refresh", "A"),
            Step("browser", "call", "B"),
        ),
        Verdict.PASS,
    ),
    "lost": Story(
        "A lost answer",
        ("browser",),
        (
            Step("browser", "refresh", "A", after=HOUR, lost=True),
            Step("browser", "refresh", "A", after=3 * DAY),
            Step("browser", "call", "C"),
            Step("browser", "refresh", "C", after=HOUR),
        ),
        Verdict.MINT,
    ),
    "tabs": Story(
        "Two tabs at once",
        ("tab 1", "tab 2"),
        (
            Step("tab 1", "refresh", "A", after=HOUR),
            Step("tab 2", "refresh", "A"),
            Step("tab 1", "call", "B"),
            Step("tab 2", "refresh", "C", after=HOUR),
        ),
        Verdict.MINT,
    ),
    "thief first": Story(
        "The thief is first",
        OWNER_AND_THIEF,
        (
            Step("thief", "copy", "A", after=40 * MINUTE),
            Step("thief", "refresh", "A"),
            Step("thief", "call", "B"),
            Step("owner", "refresh", "A", after=5 * MINUTE),
        ),
        Verdict.THEFT,
    ),
    "owner first": Story(
        "The owner is first",
        OWNER_AND_THIEF,
        (
            Step("thief", "copy", "A", after=40 * MINUTE),
            Step("owner", "refresh", "A", after=20 * MINUTE),
            Step("owner", "call", "B"),
            Step("thief", "refresh", "A", after=30 * MINUTE),
        ),
        Verdict.THEFT,
    ),
    "within": Story(
        "A thief within the window",
        OWNER_AND_THIEF,
        (
            Step("owner", "refresh", "A", after=HOUR),
            Step("owner", "call", "B"),
            Step("thief", "refresh", "A", after=10 * SECOND),
            Step("owner", "refresh", "B", after=HOUR),
            Step("thief", "refresh", "C", after=MINUTE),
        ),
        Verdict.THEFT,
    ),
}
